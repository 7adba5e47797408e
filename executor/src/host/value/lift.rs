use kiln_proto::v1::{CaseName, FieldValue, HandleValue, RecordValue, Value, ValueList, value::Kind};
use wasmtime::component::{ResourceAny, Val};

use super::{Type, build};

/// Where resources that leave the guest are kept.
pub(crate) trait KeepResource {
    /// Keeps the resource and returns its handle.
    fn keep(&mut self, resource: ResourceAny, ty: &str) -> HandleValue;
}

/// The guest returned a value of another type than it declares; wasmtime rules that out.
#[derive(Debug)]
pub(crate) struct Unliftable;

/// Turns wasmtime's form into a value.
pub(crate) fn lift(val: Val, ty: &Type, resources: &mut dyn KeepResource) -> Result<Value, Unliftable> {
    let kind = match (ty, val) {
        (_, Val::Bool(b)) => Kind::BoolValue(b),
        (_, Val::U8(n)) => Kind::U8Value(n.into()),
        (_, Val::U16(n)) => Kind::U16Value(n.into()),
        (_, Val::U32(n)) => Kind::U32Value(n),
        (_, Val::U64(n)) => Kind::U64Value(n),
        (_, Val::S8(n)) => Kind::S8Value(n.into()),
        (_, Val::S16(n)) => Kind::S16Value(n.into()),
        (_, Val::S32(n)) => Kind::S32Value(n),
        (_, Val::S64(n)) => Kind::S64Value(n),
        (_, Val::Float32(n)) => Kind::F32Value(n),
        (_, Val::Float64(n)) => Kind::F64Value(n),
        (_, Val::Char(c)) => Kind::CharValue(c.into()),
        (_, Val::String(text)) => Kind::StringValue(text),
        (Type::List(element), Val::List(vals)) if **element == Type::U8 => Kind::ByteList(
            vals.iter()
                .map(|val| {
                    if let Val::U8(byte) = val {
                        Ok(*byte)
                    } else {
                        Err(Unliftable)
                    }
                })
                .collect::<Result<_, _>>()?,
        ),
        (Type::List(element), Val::List(vals)) => Kind::List(lift_all(vals, |_| element, resources)?),
        (Type::FixedList(element, _), Val::FixedLengthList(vals)) => {
            Kind::List(lift_all(vals, |_| element, resources)?)
        }
        (Type::Tuple(types), Val::Tuple(vals)) if types.len() == vals.len() => {
            Kind::Tuple(lift_all(vals, |at| &types[at], resources)?)
        }
        (Type::Record(fields), Val::Record(vals)) if fields.len() == vals.len() => {
            let lifted = vals.into_iter().zip(&**fields).map(|((name, val), field)| {
                Ok(FieldValue {
                    name,
                    value: Some(lift(val, &field.ty, resources)?),
                })
            });
            Kind::Record(RecordValue {
                fields: lifted.collect::<Result<_, _>>()?,
            })
        }
        (_, val) => return lift_choice(val, ty, resources),
    };
    Ok(build::value(kind))
}

fn lift_all<'t>(
    vals: Vec<Val>,
    ty: impl Fn(usize) -> &'t Type,
    resources: &mut dyn KeepResource,
) -> Result<ValueList, Unliftable> {
    let lifted = vals
        .into_iter()
        .enumerate()
        .map(|(at, val)| lift(val, ty(at), resources));
    Ok(ValueList {
        values: lifted.collect::<Result<_, _>>()?,
    })
}

fn lift_choice(val: Val, ty: &Type, resources: &mut dyn KeepResource) -> Result<Value, Unliftable> {
    match (ty, val) {
        (Type::Variant(cases), Val::Variant(name, payload)) => {
            let case = build::find_case(cases, &name).ok_or(Unliftable)?;
            let payload = lift_payload(payload, case.payload.as_ref(), resources)?;
            build::variant(cases, &name, payload).ok_or(Unliftable)
        }
        (Type::Enum(names), Val::Enum(name)) => {
            let index = names
                .iter()
                .position(|known| **known == *name)
                .ok_or(Unliftable)?;
            let index = u32::try_from(index).map_err(|_| Unliftable)?;
            Ok(build::value(Kind::EnumValue(CaseName { name, index })))
        }
        (Type::Option(some), Val::Option(val)) => {
            Ok(build::option(lift_payload(val, Some(some), resources)?))
        }
        (Type::Result(sides), Val::Result(Ok(val))) => Ok(build::result(
            false,
            lift_payload(val, sides.0.as_ref(), resources)?,
        )),
        (Type::Result(sides), Val::Result(Err(val))) => Ok(build::result(
            true,
            lift_payload(val, sides.1.as_ref(), resources)?,
        )),
        (Type::Flags(declared), Val::Flags(set)) => {
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            Ok(build::flags(declared, &set))
        }
        (Type::Own(name) | Type::Borrow(name), Val::Resource(resource)) => {
            Ok(build::value(Kind::Handle(resources.keep(resource, name))))
        }
        _ => Err(Unliftable),
    }
}

fn lift_payload(
    val: Option<Box<Val>>,
    ty: Option<&Type>,
    resources: &mut dyn KeepResource,
) -> Result<Option<Value>, Unliftable> {
    match (val, ty) {
        (Some(val), Some(ty)) => lift(*val, ty, resources).map(Some),
        (None, _) => Ok(None),
        (Some(_), None) => Err(Unliftable),
    }
}
