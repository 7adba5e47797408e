use kiln_proto::v1::{CaseName, FieldValue, FlagsValue, HandleValue, ResultValue, Value, value::Kind};

use super::{
    WitError,
    nodes::{Writer, index},
};

/// Writes a value as a `wit-value`.
///
/// # Errors
/// When it nests too deep, or holds nothing where a value has to be.
pub(crate) fn value_to_wit(value: &Value) -> Result<Value, WitError> {
    let mut writer = Writer::default();
    write(&mut writer, value, 0)?;
    Ok(writer.finish())
}

fn write(writer: &mut Writer, value: &Value, depth: usize) -> Result<usize, WitError> {
    let at = writer.reserve(depth)?;
    let kind = value.kind.as_ref().ok_or(WitError::NoForm("an absent value"))?;
    let node = match kind {
        Kind::Record(record) => {
            let fields = record.fields.iter().map(|field| field.value.as_ref());
            let fields = fields.collect::<Option<Vec<_>>>();
            let fields = fields.ok_or(WitError::NoForm("an absent value"))?;
            node("record-value", all(writer, fields, depth)?)
        }
        Kind::Tuple(tuple) => node("tuple-value", all(writer, &tuple.values, depth)?),
        Kind::List(list) => node("list-value", all(writer, &list.values, depth)?),
        Kind::ByteList(bytes) => node("list-value", byte_nodes(writer, bytes, depth)?),
        Kind::Variant(variant) => {
            let case = case_index(variant.case.as_ref());
            let payload = one(writer, variant.payload.as_deref(), depth)?;
            node("variant-value", Value::tuple(vec![case, payload]))
        }
        Kind::EnumValue(case) => node("enum-value", case_index(Some(case))),
        Kind::Flags(flags) => node("flags-value", flag_bits(flags)),
        Kind::Option(option) => node("option-value", one(writer, option.value.as_deref(), depth)?),
        Kind::Result(result) => node("result-value", either(writer, result, depth)?),
        Kind::Handle(handle) => node("handle", self::handle(handle)),
        primitive => node(primitive_name(primitive), value_of(primitive)),
    };
    writer.fill(at, node);
    Ok(at)
}

fn node(case: &str, payload: Value) -> Value {
    Value::variant(case, Some(payload))
}

fn all<'a>(
    writer: &mut Writer,
    values: impl IntoIterator<Item = &'a Value>,
    depth: usize,
) -> Result<Value, WitError> {
    let mut children = Vec::new();
    for value in values {
        children.push(index(write(writer, value, depth + 1)?));
    }
    Ok(children.into_iter().collect())
}

fn byte_nodes(writer: &mut Writer, bytes: &[u8], depth: usize) -> Result<Value, WitError> {
    let mut children = Vec::with_capacity(bytes.len());
    for byte in bytes {
        let at = writer.reserve(depth + 1)?;
        writer.fill(at, node("prim-u8", Kind::U8Value((*byte).into()).into()));
        children.push(index(at));
    }
    Ok(children.into_iter().collect())
}

/// `option<node-index>`
fn one(writer: &mut Writer, value: Option<&Value>, depth: usize) -> Result<Value, WitError> {
    let child = value.map(|value| write(writer, value, depth + 1)).transpose()?;
    Ok(child.map(index).into())
}

/// `result<option<node-index>, option<node-index>>`
fn either(writer: &mut Writer, result: &ResultValue, depth: usize) -> Result<Value, WitError> {
    let payload = Some(one(writer, result.payload.as_deref(), depth)?);
    Ok(Value::result(if result.is_error {
        Err(payload)
    } else {
        Ok(payload)
    }))
}

fn case_index(case: Option<&CaseName>) -> Value {
    case.map_or(0, |case| case.index).into()
}

fn flag_bits(flags: &FlagsValue) -> Value {
    (0..flags.declared)
        .map(|at| flags.indices.contains(&at))
        .collect()
}

fn handle(handle: &HandleValue) -> Value {
    let uri = Value::record(vec![FieldValue::of("value", &handle.uri)]);
    Value::tuple(vec![uri, handle.id.into()])
}

fn value_of(kind: &Kind) -> Value {
    kind.clone().into()
}

fn primitive_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::BoolValue(_) => "prim-bool",
        Kind::U8Value(_) => "prim-u8",
        Kind::U16Value(_) => "prim-u16",
        Kind::U32Value(_) => "prim-u32",
        Kind::U64Value(_) => "prim-u64",
        Kind::S8Value(_) => "prim-s8",
        Kind::S16Value(_) => "prim-s16",
        Kind::S32Value(_) => "prim-s32",
        Kind::S64Value(_) => "prim-s64",
        Kind::F32Value(_) => "prim-float32",
        Kind::F64Value(_) => "prim-float64",
        Kind::CharValue(_) => "prim-char",
        _ => "prim-string",
    }
}
