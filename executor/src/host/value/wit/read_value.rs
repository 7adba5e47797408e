use kiln_proto::v1::{FieldValue, HandleValue, Value, value::Kind};

use super::{
    WitError,
    nodes::{Reader, case, field, items, position, some, text},
};
use crate::host::value::{Case, Type, build};

/// Reads a `wit-value` of a known type.
///
/// # Errors
/// Which node does not fit, is missing, or is used twice.
pub(crate) fn value_from_wit(tree: &Value, ty: &Type) -> Result<Value, WitError> {
    read(&mut Reader::new(tree)?, 0, ty, 0)
}

fn read(reader: &mut Reader<'_>, at: usize, ty: &Type, depth: usize) -> Result<Value, WitError> {
    let node = reader.visit(at, depth)?;
    let (name, payload) = case(node).ok_or(WitError::NoNodes)?;
    let value = match (ty, name) {
        (Type::Record(fields), "record-value") => {
            let children = items(payload).filter(|children| children.len() == fields.len());
            children.map(|children| {
                let field = |(child, field): (&Value, &crate::host::value::Field)| {
                    let value = read(reader, position(child)?, &field.ty, depth + 1)?;
                    Ok(FieldValue::of(&field.name, value))
                };
                let fields = children.iter().zip(&**fields).map(field);
                Ok(Value::record(fields.collect::<Result<_, WitError>>()?))
            })
        }
        (Type::Tuple(types), "tuple-value") => {
            let children = items(payload).filter(|children| children.len() == types.len());
            children.map(|children| {
                let element = |(child, ty)| read(reader, position(child)?, ty, depth + 1);
                let elements = children.iter().zip(&**types).map(element);
                Ok(Value::tuple(elements.collect::<Result<_, WitError>>()?))
            })
        }
        (Type::List(element), "list-value") => items(payload).map(|children| {
            let elements = children
                .iter()
                .map(|child| read(reader, position(child)?, element, depth + 1));
            Ok(build::list(element, elements.collect::<Result<_, WitError>>()?))
        }),
        (Type::FixedList(element, length), "list-value") => {
            let children = items(payload).filter(|children| children.len() == *length as usize);
            children.map(|children| {
                let elements = children
                    .iter()
                    .map(|child| read(reader, position(child)?, element, depth + 1));
                elements.collect::<Result<Value, WitError>>()
            })
        }
        (Type::Variant(_) | Type::Option(_) | Type::Result(_), _) => {
            payload.and_then(|payload| choice(reader, name, payload, ty, depth))
        }
        _ => payload.and_then(|payload| leaf(name, payload, ty)).map(Ok),
    };
    value.unwrap_or_else(|| {
        Err(WitError::Unfit {
            node: at,
            expected: ty.to_string(),
            found: name.to_owned(),
        })
    })
}

/// A value that holds one child or none. `None` when the node is of another kind.
fn choice(
    reader: &mut Reader<'_>,
    name: &str,
    payload: &Value,
    ty: &Type,
    depth: usize,
) -> Option<Result<Value, WitError>> {
    match (ty, name) {
        (Type::Variant(cases), "variant-value") => {
            let [number, child] = items(Some(payload))? else {
                return None;
            };
            let chosen = case_at(cases, number)?;
            let child = one(reader, child, chosen.payload.as_ref(), depth)?;
            Some(child.and_then(|child| build::variant(cases, &chosen.name, child).ok_or(WitError::NoNodes)))
        }
        (Type::Option(inner), "option-value") => {
            let child = one(reader, payload, some(payload)?.map(|_| &**inner), depth)?;
            Some(child.map(build::option))
        }
        (Type::Result(sides), "result-value") => {
            let Some(Kind::Result(result)) = &payload.kind else {
                return None;
            };
            let side = if result.is_error { &sides.1 } else { &sides.0 };
            let child = one(reader, result.payload.as_deref()?, side.as_ref(), depth)?;
            Some(child.map(|child| build::result(result.is_error, child)))
        }
        _ => None,
    }
}

/// `None` when there is a child where the type has none, or the other way round.
fn one(
    reader: &mut Reader<'_>,
    child: &Value,
    ty: Option<&Type>,
    depth: usize,
) -> Option<Result<Option<Value>, WitError>> {
    match (some(child)?, ty) {
        (Some(child), Some(ty)) => {
            let child = position(child).and_then(|at| read(reader, at, ty, depth + 1));
            Some(child.map(Some))
        }
        (None, None) => Some(Ok(None)),
        _ => None,
    }
}

fn case_at<'a>(cases: &'a [Case], number: &Value) -> Option<&'a Case> {
    match number.kind {
        Some(Kind::U32Value(at)) => cases.get(usize::try_from(at).ok()?),
        _ => None,
    }
}

fn leaf(name: &str, payload: &Value, ty: &Type) -> Option<Value> {
    let kind = payload.kind.as_ref()?;
    Some(match (ty, name, kind) {
        (Type::Bool, "prim-bool", Kind::BoolValue(_))
        | (Type::U32, "prim-u32", Kind::U32Value(_))
        | (Type::U64, "prim-u64", Kind::U64Value(_))
        | (Type::S32, "prim-s32", Kind::S32Value(_))
        | (Type::S64, "prim-s64", Kind::S64Value(_))
        | (Type::F32, "prim-float32", Kind::F32Value(_))
        | (Type::F64, "prim-float64", Kind::F64Value(_))
        | (Type::String, "prim-string", Kind::StringValue(_)) => payload.clone(),
        (Type::U8, "prim-u8", Kind::U8Value(number)) | (Type::U16, "prim-u16", Kind::U16Value(number)) => {
            build::integer(ty, (*number).into())?
        }
        (Type::S8, "prim-s8", Kind::S8Value(number)) | (Type::S16, "prim-s16", Kind::S16Value(number)) => {
            build::integer(ty, (*number).into())?
        }
        (Type::Char, "prim-char", Kind::CharValue(code)) => {
            char::from_u32(*code)?;
            payload.clone()
        }
        (Type::Enum(names), "enum-value", Kind::U32Value(at)) => {
            let chosen = names.get(usize::try_from(*at).ok()?)?;
            let case = build::case_name(names.iter().map(|name| &**name), chosen)?;
            Kind::EnumValue(case).into()
        }
        (Type::Flags(names), "flags-value", Kind::List(bits)) if bits.values.len() == names.len() => {
            let is_set = |bit: &Value| bit.kind == Some(Kind::BoolValue(true));
            let set = names.iter().zip(&bits.values).filter(|(_, bit)| is_set(bit));
            build::flags(names, &set.map(|(name, _)| &**name).collect::<Vec<_>>())
        }
        (Type::Own(_) | Type::Borrow(_), "handle", Kind::Tuple(_)) => handle(payload)?,
        _ => return None,
    })
}

fn handle(payload: &Value) -> Option<Value> {
    let [uri, id] = items(Some(payload))? else {
        return None;
    };
    let Some(Kind::U64Value(id)) = id.kind else {
        return None;
    };
    let uri = text(field(uri, "value")?)?.to_owned();
    Some(Kind::Handle(HandleValue { uri, id }).into())
}
