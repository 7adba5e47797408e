use kiln_proto::v1::{FieldValue, Value};

use super::{
    WitError,
    nodes::{Writer, index},
};
use crate::host::value::Type;

/// How the nodes of a `wit-type` look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `golem:rpc@0.2.2`: a node has a name and an owner beside its type.
    Named,
    /// `golem:rpc@0.2.0` and earlier: a node is its type.
    #[cfg_attr(not(test), allow(dead_code, reason = "golem:rpc is to use it"))]
    Bare,
}

/// Writes a type as a `wit-type`.
///
/// # Errors
/// When it nests too deep, or is of a kind that guests cannot pass on.
pub(crate) fn type_to_wit(ty: &Type, shape: Shape) -> Result<Value, WitError> {
    let mut writer = Writer::default();
    write(&mut writer, ty, shape, 0)?;
    Ok(writer.finish())
}

fn write(writer: &mut Writer, ty: &Type, shape: Shape, depth: usize) -> Result<usize, WitError> {
    let at = writer.reserve(depth)?;
    let mut name = None;
    let node = match ty {
        Type::Record(fields) => {
            let mut written = Vec::with_capacity(fields.len());
            for field in &**fields {
                let child = index(write(writer, &field.ty, shape, depth + 1)?);
                written.push(Value::tuple(vec![(&*field.name).into(), child]));
            }
            node("record-type", written.into_iter().collect())
        }
        Type::Variant(cases) => {
            let mut written = Vec::with_capacity(cases.len());
            for case in &**cases {
                let payload = one(writer, case.payload.as_ref(), shape, depth)?;
                written.push(Value::tuple(vec![(&*case.name).into(), payload]));
            }
            node("variant-type", written.into_iter().collect())
        }
        Type::Enum(names) => node("enum-type", names.iter().map(|name| &**name).collect()),
        Type::Flags(names) => node("flags-type", names.iter().map(|name| &**name).collect()),
        Type::Tuple(types) => {
            let mut children = Vec::with_capacity(types.len());
            for ty in &**types {
                children.push(index(write(writer, ty, shape, depth + 1)?));
            }
            node("tuple-type", children.into_iter().collect())
        }
        Type::List(inner) | Type::FixedList(inner, _) => {
            node("list-type", index(write(writer, inner, shape, depth + 1)?))
        }
        Type::Option(inner) => node("option-type", index(write(writer, inner, shape, depth + 1)?)),
        Type::Result(sides) => {
            let ok = one(writer, sides.0.as_ref(), shape, depth)?;
            let error = one(writer, sides.1.as_ref(), shape, depth)?;
            node("result-type", Value::tuple(vec![ok, error]))
        }
        Type::Own(resource) => {
            name = Some(resource);
            handle("owned")
        }
        Type::Borrow(resource) => {
            name = Some(resource);
            handle("borrowed")
        }
        Type::Unsupported(kind) => return Err(WitError::NoForm(kind)),
        primitive => Value::variant(primitive_name(primitive), None),
    };
    writer.fill(at, shaped(node, name.map(|name| &**name), shape));
    Ok(at)
}

fn node(case: &str, payload: Value) -> Value {
    Value::variant(case, Some(payload))
}

/// Resources are told apart by their names; the number is for guests that build types themselves.
fn handle(mode: &str) -> Value {
    node(
        "handle-type",
        Value::tuple(vec![0u64.into(), Value::enum_case(mode)]),
    )
}

fn one(writer: &mut Writer, ty: Option<&Type>, shape: Shape, depth: usize) -> Result<Value, WitError> {
    let child = ty.map(|ty| write(writer, ty, shape, depth + 1)).transpose()?;
    Ok(child.map(index).into())
}

fn shaped(node: Value, name: Option<&str>, shape: Shape) -> Value {
    match shape {
        Shape::Bare => node,
        Shape::Named => Value::record(vec![
            FieldValue::of("name", name),
            FieldValue::of("owner", None::<Value>),
            FieldValue::of("type", node),
        ]),
    }
}

fn primitive_name(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "prim-bool-type",
        Type::U8 => "prim-u8-type",
        Type::U16 => "prim-u16-type",
        Type::U32 => "prim-u32-type",
        Type::U64 => "prim-u64-type",
        Type::S8 => "prim-s8-type",
        Type::S16 => "prim-s16-type",
        Type::S32 => "prim-s32-type",
        Type::S64 => "prim-s64-type",
        Type::F32 => "prim-f32-type",
        Type::F64 => "prim-f64-type",
        Type::Char => "prim-char-type",
        _ => "prim-string-type",
    }
}
