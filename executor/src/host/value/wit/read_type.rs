use std::sync::Arc;

use kiln_proto::v1::{Value, value::Kind};

use super::{
    WitError,
    nodes::{Reader, case, field, items, position, some, text},
};
use crate::host::value::{Case, Field, Type};

/// Reads a `wit-type` of either shape.
///
/// # Errors
/// Which node is unknown, missing, or used twice.
pub(crate) fn type_from_wit(tree: &Value) -> Result<Type, WitError> {
    read(&mut Reader::new(tree)?, 0, 0)
}

fn read(reader: &mut Reader<'_>, at: usize, depth: usize) -> Result<Type, WitError> {
    let whole = reader.visit(at, depth)?;
    let node = field(whole, "type").unwrap_or(whole);
    let (name, payload) = case(node).ok_or(WitError::NoNodes)?;
    let read = match payload {
        None => primitive(name).map(Ok),
        Some(payload) => {
            compound(reader, name, payload, depth).or_else(|| handle(name, payload, whole).map(Ok))
        }
    };
    read.unwrap_or_else(|| {
        Err(WitError::Unfit {
            node: at,
            expected: "a type".to_owned(),
            found: name.to_owned(),
        })
    })
}

/// `None` for a node of another kind, or one that is malformed.
fn compound(
    reader: &mut Reader<'_>,
    name: &str,
    payload: &Value,
    depth: usize,
) -> Option<Result<Type, WitError>> {
    let mut child = |value: &Value| read(reader, position(value)?, depth + 1);
    Some(match name {
        "record-type" => named(payload)?
            .into_iter()
            .map(|(name, ty)| {
                Ok(Field {
                    name: name.into(),
                    ty: child(ty)?,
                })
            })
            .collect::<Result<Arc<[_]>, _>>()
            .map(Type::Record),
        "variant-type" => named(payload)?
            .into_iter()
            .map(|(name, ty)| {
                let payload = some(ty).ok_or(WitError::NoNodes)?;
                Ok(Case {
                    name: name.into(),
                    payload: payload.map(&mut child).transpose()?,
                })
            })
            .collect::<Result<Arc<[_]>, _>>()
            .map(Type::Variant),
        "tuple-type" => {
            let types = items(Some(payload))?.iter().map(child);
            types.collect::<Result<Arc<[_]>, _>>().map(Type::Tuple)
        }
        "list-type" => child(payload).map(|ty| Type::List(Arc::new(ty))),
        "option-type" => child(payload).map(|ty| Type::Option(Arc::new(ty))),
        "result-type" => {
            let [ok, error] = items(Some(payload))? else {
                return None;
            };
            let ok = some(ok)?.map(&mut child).transpose();
            let error = some(error)?.map(&mut child).transpose();
            ok.and_then(|ok| Ok(Type::Result(Arc::new((ok, error?)))))
        }
        "enum-type" => Ok(Type::Enum(names(payload)?)),
        "flags-type" => Ok(Type::Flags(names(payload)?)),
        _ => return None,
    })
}

/// `list<tuple<string, …>>`
fn named(payload: &Value) -> Option<Vec<(&str, &Value)>> {
    let pair = |pair| match items(Some(pair))? {
        [name, ty] => Some((text(name)?, ty)),
        _ => None,
    };
    items(Some(payload))?.iter().map(pair).collect()
}

fn names(payload: &Value) -> Option<Arc<[Box<str>]>> {
    items(Some(payload))?
        .iter()
        .map(|name| text(name).map(Box::from))
        .collect()
}

fn handle(name: &str, payload: &Value, whole: &Value) -> Option<Type> {
    if name != "handle-type" {
        return None;
    }
    let [_, mode] = items(Some(payload))? else {
        return None;
    };
    let given = field(whole, "name").and_then(some).flatten().and_then(text);
    let resource = Arc::from(given.unwrap_or("resource"));
    match &mode.kind {
        Some(Kind::EnumValue(mode)) if mode.name == "borrowed" => Some(Type::Borrow(resource)),
        _ => Some(Type::Own(resource)),
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "prim-bool-type" => Type::Bool,
        "prim-u8-type" => Type::U8,
        "prim-u16-type" => Type::U16,
        "prim-u32-type" => Type::U32,
        "prim-u64-type" => Type::U64,
        "prim-s8-type" => Type::S8,
        "prim-s16-type" => Type::S16,
        "prim-s32-type" => Type::S32,
        "prim-s64-type" => Type::S64,
        "prim-f32-type" => Type::F32,
        "prim-f64-type" => Type::F64,
        "prim-char-type" => Type::Char,
        "prim-string-type" => Type::String,
        _ => return None,
    })
}
