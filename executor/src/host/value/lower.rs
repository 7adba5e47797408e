use kiln_proto::v1::{HandleValue, Value, value::Kind};
use wasmtime::component::{ResourceAny, Val};

use super::{
    Type,
    check::kind_of,
    path::{Path, Unfit},
};

/// Where handles are turned into resources.
pub(crate) trait ResolveHandle {
    /// The resource of a handle; taken out of the table when it changes hands (`own`). The error says what is wrong.
    fn resolve(&mut self, handle: &HandleValue, ty: &str, own: bool) -> Result<ResourceAny, String>;
}

/// Turns a value into wasmtime's form.
pub(crate) fn lower(value: &Value, ty: &Type, resources: &mut dyn ResolveHandle) -> Result<Val, Unfit> {
    lower_at(value, ty, &Path::Root, resources)
}

fn lower_at(
    value: &Value,
    ty: &Type,
    path: &Path<'_>,
    resources: &mut dyn ResolveHandle,
) -> Result<Val, Unfit> {
    let Some(kind) = &value.kind else {
        return Err(Unfit::new(path, ty, "no value"));
    };
    let unfit = || Unfit::new(path, ty, kind_of(kind));
    Ok(match (ty, kind) {
        (Type::Bool, Kind::BoolValue(b)) => Val::Bool(*b),
        (Type::U8, Kind::U8Value(n)) => Val::U8((*n).try_into().map_err(|_| unfit())?),
        (Type::U16, Kind::U16Value(n)) => Val::U16((*n).try_into().map_err(|_| unfit())?),
        (Type::U32, Kind::U32Value(n)) => Val::U32(*n),
        (Type::U64, Kind::U64Value(n)) => Val::U64(*n),
        (Type::S8, Kind::S8Value(n)) => Val::S8((*n).try_into().map_err(|_| unfit())?),
        (Type::S16, Kind::S16Value(n)) => Val::S16((*n).try_into().map_err(|_| unfit())?),
        (Type::S32, Kind::S32Value(n)) => Val::S32(*n),
        (Type::S64, Kind::S64Value(n)) => Val::S64(*n),
        (Type::F32, Kind::F32Value(n)) => Val::Float32(*n),
        (Type::F64, Kind::F64Value(n)) => Val::Float64(*n),
        (Type::Char, Kind::CharValue(code)) => Val::Char(char::from_u32(*code).ok_or_else(unfit)?),
        (Type::String, Kind::StringValue(text)) => Val::String(text.clone()),
        (Type::List(element), Kind::ByteList(bytes)) if **element == Type::U8 => {
            Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
        }
        (Type::List(element), Kind::List(list)) => {
            Val::List(lower_all(&list.values, |_| element, path, resources)?)
        }
        (Type::FixedList(element, length), Kind::List(list)) if list.values.len() == *length as usize => {
            Val::FixedLengthList(lower_all(&list.values, |_| element, path, resources)?)
        }
        (Type::Tuple(types), Kind::Tuple(tuple)) if tuple.values.len() == types.len() => {
            Val::Tuple(lower_all(&tuple.values, |at| &types[at], path, resources)?)
        }
        (Type::Record(fields), Kind::Record(record)) if record.fields.len() == fields.len() => {
            let mut lowered = Vec::with_capacity(fields.len());
            for (given, field) in record.fields.iter().zip(&**fields) {
                let value = given
                    .value
                    .as_ref()
                    .filter(|_| given.name == *field.name)
                    .ok_or_else(unfit)?;
                lowered.push((
                    given.name.clone(),
                    lower_at(value, &field.ty, &path.field(&field.name), resources)?,
                ));
            }
            Val::Record(lowered)
        }
        (Type::Variant(_) | Type::Enum(_) | Type::Option(_) | Type::Result(_) | Type::Flags(_), _) => {
            return lower_choice(kind, ty, path, resources);
        }
        (Type::Own(name), Kind::Handle(handle)) => resource(handle, name, true, path, resources)?,
        (Type::Borrow(name), Kind::Handle(handle)) => resource(handle, name, false, path, resources)?,
        _ => return Err(unfit()),
    })
}

fn lower_all<'t>(
    values: &[Value],
    ty: impl Fn(usize) -> &'t Type,
    path: &Path<'_>,
    resources: &mut dyn ResolveHandle,
) -> Result<Vec<Val>, Unfit> {
    let lower = |(at, value)| lower_at(value, ty(at), &path.index(at), resources);
    values.iter().enumerate().map(lower).collect()
}

fn lower_choice(
    kind: &Kind,
    ty: &Type,
    path: &Path<'_>,
    resources: &mut dyn ResolveHandle,
) -> Result<Val, Unfit> {
    let unfit = || Unfit::new(path, ty, kind_of(kind));
    Ok(match (ty, kind) {
        (Type::Variant(cases), Kind::Variant(variant)) => {
            let name = &variant.case.as_ref().ok_or_else(unfit)?.name;
            let case = super::build::find_case(cases, name).ok_or_else(unfit)?;
            let path = path.case(name);
            Val::Variant(
                name.clone(),
                payload(
                    variant.payload.as_deref(),
                    case.payload.as_ref(),
                    &path,
                    resources,
                )?,
            )
        }
        (Type::Enum(names), Kind::EnumValue(case)) if names.iter().any(|name| **name == *case.name) => {
            Val::Enum(case.name.clone())
        }
        (Type::Option(some), Kind::Option(option)) => {
            let value = option
                .value
                .as_deref()
                .map(|value| lower_at(value, some, &path.case("some"), resources));
            Val::Option(value.transpose()?.map(Box::new))
        }
        (Type::Result(sides), Kind::Result(result)) => {
            let given = result.payload.as_deref();
            Val::Result(if result.is_error {
                Err(payload(given, sides.1.as_ref(), &path.case("err"), resources)?)
            } else {
                Ok(payload(given, sides.0.as_ref(), &path.case("ok"), resources)?)
            })
        }
        (Type::Flags(_), Kind::Flags(flags)) => Val::Flags(flags.set.clone()),
        _ => return Err(unfit()),
    })
}

fn payload(
    value: Option<&Value>,
    ty: Option<&Type>,
    path: &Path<'_>,
    resources: &mut dyn ResolveHandle,
) -> Result<Option<Box<Val>>, Unfit> {
    match (value, ty) {
        (Some(value), Some(ty)) => Ok(Some(Box::new(lower_at(value, ty, path, resources)?))),
        (None, None) => Ok(None),
        (None, Some(ty)) => Err(Unfit::new(path, ty, "no payload")),
        (Some(_), None) => Err(Unfit::new(path, "no payload", "a payload")),
    }
}

fn resource(
    handle: &HandleValue,
    ty: &str,
    own: bool,
    path: &Path<'_>,
    resources: &mut dyn ResolveHandle,
) -> Result<Val, Unfit> {
    let resolved = resources.resolve(handle, ty, own);
    resolved
        .map(Val::Resource)
        .map_err(|what| Unfit::new(path, format!("a handle of resource {ty}"), what))
}
