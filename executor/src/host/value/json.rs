use kiln_proto::v1::{FieldValue, HandleValue, RecordValue, Value, ValueList, value::Kind};
use serde_json::{Map, Value as Json};

use super::{
    ArgumentError, Case, Field, Signature, Type, build,
    check::check_count,
    path::{Path, Unfit},
};

/// Reads a JSON array with one element an argument, against the parameters' types. `null` and an empty text stand for no
/// arguments.
///
/// # Errors
/// Which argument does not fit, where in it, what is expected there and what was found.
pub fn parse_json(signature: &Signature, text: &str) -> Result<Vec<Value>, ArgumentError> {
    if text.trim().is_empty() {
        check_count(signature, 0)?;
        return Ok(Vec::new());
    }
    let json: Json = serde_json::from_str(text).map_err(|e| ArgumentError::Json {
        message: e.to_string(),
    })?;
    match json {
        Json::Array(arguments) => from_json(signature, &arguments),
        Json::Null => from_json(signature, &[]),
        other => {
            let message = format!("expected an array of arguments, found {}", shown(&other));
            Err(ArgumentError::Json { message })
        }
    }
}

fn from_json(signature: &Signature, arguments: &[Json]) -> Result<Vec<Value>, ArgumentError> {
    check_count(signature, arguments.len())?;
    let pairs = signature.params.iter().zip(arguments).enumerate();
    pairs
        .map(|(at, (param, json))| {
            read(json, &param.ty, &Path::Root).map_err(|unfit| unfit.of_argument(at + 1, param))
        })
        .collect()
}

pub(super) fn read(json: &Json, ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
    let unfit = || Unfit::new(path, ty, shown(json));
    match (ty, json) {
        (Type::Bool, Json::Bool(b)) => Ok(build::value(Kind::BoolValue(*b))),
        (
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64,
            json,
        ) => integer_of(json)
            .and_then(|number| build::integer(ty, number))
            .ok_or_else(|| Unfit::new(path, build::range(ty), shown(json))),
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a JSON number is rounded to the nearest f32"
        )]
        (Type::F32, json) => float_of(json)
            .map(|n| build::value(Kind::F32Value(n as f32)))
            .ok_or_else(unfit),
        (Type::F64, json) => float_of(json)
            .map(|n| build::value(Kind::F64Value(n)))
            .ok_or_else(unfit),
        (Type::Char, Json::String(text)) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(build::value(Kind::CharValue(c.into()))),
                _ => Err(unfit()),
            }
        }
        (Type::String, Json::String(text)) => Ok(build::value(Kind::StringValue(text.clone()))),
        (Type::List(element), Json::Array(items)) => {
            Ok(build::list(element, read_all(items, |_| element, path)?))
        }
        (Type::FixedList(element, length), Json::Array(items)) if items.len() == *length as usize => {
            Ok(build::value(Kind::List(ValueList {
                values: read_all(items, |_| element, path)?,
            })))
        }
        (Type::Tuple(types), Json::Array(items)) if items.len() == types.len() => {
            Ok(build::value(Kind::Tuple(ValueList {
                values: read_all(items, |at| &types[at], path)?,
            })))
        }
        (Type::Record(fields), Json::Object(object)) => record(object, fields, path),
        (Type::Variant(cases), json) => variant(json, cases, ty, path),
        (Type::Enum(names), Json::String(name)) => {
            let case = build::case_name(names.iter().map(|name| &**name), name);
            let expected = || build::one_of(names.iter().map(|name| &**name));
            let case = case.ok_or_else(|| Unfit::new(path, expected(), shown(json)))?;
            Ok(build::value(Kind::EnumValue(case)))
        }
        (Type::Flags(declared), Json::Array(items)) => flags(items, declared, ty, path),
        (Type::Option(_), Json::Null) => Ok(build::option(None)),
        (Type::Option(some), json) => Ok(build::option(Some(option_payload(json, some, path)?))),
        (Type::Result(sides), Json::Object(object)) => result(object, sides, json, ty, path),
        (Type::Own(_) | Type::Borrow(_), json) => handle(json, path),
        _ => Err(unfit()),
    }
}

fn read_all<'t>(
    items: &[Json],
    ty: impl Fn(usize) -> &'t Type,
    path: &Path<'_>,
) -> Result<Vec<Value>, Unfit> {
    items
        .iter()
        .enumerate()
        .map(|(at, item)| read(item, ty(at), &path.index(at)))
        .collect()
}

/// `option<option<T>>` cannot be told apart by `null` alone: its inner option is written `{"some": …}`.
fn option_payload(json: &Json, some: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
    match (some, json) {
        (Type::Option(_), Json::Object(object)) if object.len() == 1 && object.contains_key("some") => {
            read(&object["some"], some, path)
        }
        _ => read(json, some, path),
    }
}

fn record(object: &Map<String, Json>, fields: &[Field], path: &Path<'_>) -> Result<Value, Unfit> {
    if let Some(unknown) = object
        .keys()
        .find(|key| !fields.iter().any(|field| *field.name == ***key))
    {
        let expected = build::one_of(fields.iter().map(|field| &*field.name));
        return Err(Unfit::new(path, expected, format!("field \"{unknown}\"")));
    }
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        let value = match (object.get(&*field.name), &field.ty) {
            (Some(json), ty) => read(json, ty, &path.field(&field.name))?,
            (None, Type::Option(_)) => build::option(None),
            (None, ty) => return Err(Unfit::new(&path.field(&field.name), ty, "no such field")),
        };
        values.push(FieldValue {
            name: field.name.to_string(),
            value: Some(value),
        });
    }
    Ok(build::value(Kind::Record(RecordValue { fields: values })))
}

fn variant(json: &Json, cases: &[Case], ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
    let (name, payload) = match json {
        Json::String(name) => (name, None),
        Json::Object(object) => match object.iter().next() {
            Some((name, payload)) if object.len() == 1 => (name, Some(payload)),
            _ => return Err(Unfit::new(path, ty, shown(json))),
        },
        _ => return Err(Unfit::new(path, ty, shown(json))),
    };
    let names = || build::one_of(cases.iter().map(|case| &*case.name));
    let case =
        build::find_case(cases, name).ok_or_else(|| Unfit::new(path, names(), format!("case \"{name}\"")))?;
    let payload = payload_of(payload, case.payload.as_ref(), &path.case(&case.name))?;
    build::variant(cases, name, payload).ok_or_else(|| Unfit::new(path, ty, shown(json)))
}

fn result(
    object: &Map<String, Json>,
    sides: &(Option<Type>, Option<Type>),
    json: &Json,
    ty: &Type,
    path: &Path<'_>,
) -> Result<Value, Unfit> {
    let is_error = match object.keys().next().map(String::as_str) {
        Some("ok") if object.len() == 1 => false,
        Some("error" | "err") if object.len() == 1 => true,
        _ => return Err(Unfit::new(path, ty, shown(json))),
    };
    let (name, side) = if is_error {
        ("error", &sides.1)
    } else {
        ("ok", &sides.0)
    };
    let payload = payload_of(object.values().next(), side.as_ref(), &path.case(name))?;
    Ok(build::result(is_error, payload))
}

/// A case without payload may be written with `null`.
fn payload_of(json: Option<&Json>, ty: Option<&Type>, path: &Path<'_>) -> Result<Option<Value>, Unfit> {
    match (json, ty) {
        (Some(json), Some(ty)) => read(json, ty, path).map(Some),
        (None | Some(Json::Null), None) => Ok(None),
        (None, Some(ty)) => Err(Unfit::new(path, ty, "no payload")),
        (Some(json), None) => Err(Unfit::new(path, "no payload", shown(json))),
    }
}

fn flags(items: &[Json], declared: &[Box<str>], ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
    let mut set = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let path = path.index(at);
        let Json::String(name) = item else {
            return Err(Unfit::new(&path, ty, shown(item)));
        };
        if !declared.iter().any(|known| **known == **name) {
            return Err(Unfit::new(
                &path,
                build::one_of(declared.iter().map(|name| &**name)),
                shown(item),
            ));
        }
        set.push(name.as_str());
    }
    Ok(build::flags(declared, &set))
}

fn handle(json: &Json, path: &Path<'_>) -> Result<Value, Unfit> {
    let unfit = || Unfit::new(path, build::HANDLE_FORM, shown(json));
    match json {
        Json::String(text) => build::handle(text).ok_or_else(unfit),
        Json::Object(object) => {
            let uri = object
                .get("uri")
                .and_then(Json::as_str)
                .filter(|uri| build::is_worker_uri(uri));
            let id = object
                .get("id")
                .and_then(integer_of)
                .and_then(|id| u64::try_from(id).ok());
            let (Some(uri), Some(id)) = (uri, id) else {
                return Err(unfit());
            };
            Ok(build::value(Kind::Handle(HandleValue {
                uri: uri.to_owned(),
                id,
            })))
        }
        _ => Err(unfit()),
    }
}

/// Numbers beyond 2^53 are not exact in many JSON libraries, so integers are also taken as strings.
fn integer_of(json: &Json) -> Option<i128> {
    match json {
        Json::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from)),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// JSON has no words for what is not finite: they come as strings.
fn float_of(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "nan" | "NaN" => Some(f64::NAN),
            "inf" | "Infinity" => Some(f64::INFINITY),
            "-inf" | "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn shown(json: &Json) -> String {
    const SHOWN_MAX: usize = 60;
    let text = json.to_string();
    let mut found: String = text.chars().take(SHOWN_MAX).collect();
    if found.len() < text.len() {
        found.push('…');
    }
    found
}
