use kiln_proto::v1::{FieldValue, RecordValue, Value, ValueList, value::Kind};

use super::{
    ArgumentError, Field, Signature, Type, build,
    path::{Path, Unfit},
};

/// Checks values against a signature and returns them in normal form: case and flag positions filled in, `list<u8>`
/// compact.
///
/// # Errors
/// Which argument does not fit, where in it, what is expected there and what was found.
pub fn check_arguments(signature: &Signature, arguments: Vec<Value>) -> Result<Vec<Value>, ArgumentError> {
    check_count(signature, arguments.len())?;
    let pairs = signature.params.iter().zip(arguments).enumerate();
    pairs
        .map(|(at, (param, value))| {
            fit(value, &param.ty, &Path::Root).map_err(|unfit| unfit.of_argument(at + 1, param))
        })
        .collect()
}

pub(super) fn check_count(signature: &Signature, got: usize) -> Result<(), ArgumentError> {
    let expected = signature.params.len();
    if got == expected {
        return Ok(());
    }
    Err(ArgumentError::Count {
        expected,
        got,
        signature: signature.to_string(),
    })
}

fn fit(value: Value, ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
    let Some(kind) = value.kind else {
        return Err(Unfit::new(path, ty, "no value"));
    };
    let kind = match (ty, kind) {
        (Type::Bool, kind @ Kind::BoolValue(_))
        | (Type::U32, kind @ Kind::U32Value(_))
        | (Type::U64, kind @ Kind::U64Value(_))
        | (Type::S32, kind @ Kind::S32Value(_))
        | (Type::S64, kind @ Kind::S64Value(_))
        | (Type::F32, kind @ Kind::F32Value(_))
        | (Type::F64, kind @ Kind::F64Value(_))
        | (Type::String, kind @ Kind::StringValue(_)) => kind,
        (Type::U8, Kind::U8Value(number)) | (Type::U16, Kind::U16Value(number)) => {
            return build::integer(ty, number.into())
                .ok_or_else(|| Unfit::new(path, build::range(ty), number.to_string()));
        }
        (Type::S8, Kind::S8Value(number)) | (Type::S16, Kind::S16Value(number)) => {
            return build::integer(ty, number.into())
                .ok_or_else(|| Unfit::new(path, build::range(ty), number.to_string()));
        }
        (Type::Char, Kind::CharValue(code)) if char::from_u32(code).is_some() => Kind::CharValue(code),
        (Type::List(element), Kind::ByteList(bytes)) if **element == Type::U8 => Kind::ByteList(bytes),
        (Type::List(element), Kind::List(list)) => {
            return Ok(build::list(element, fit_all(list.values, |_| element, path)?));
        }
        (Type::FixedList(element, length), Kind::List(list)) if list.values.len() == *length as usize => {
            Kind::List(ValueList {
                values: fit_all(list.values, |_| element, path)?,
            })
        }
        (Type::Tuple(types), Kind::Tuple(tuple)) if tuple.values.len() == types.len() => {
            Kind::Tuple(ValueList {
                values: fit_all(tuple.values, |at| &types[at], path)?,
            })
        }
        (Type::Record(fields), Kind::Record(record)) => Kind::Record(fit_record(record, fields, ty, path)?),
        (Type::Variant(_) | Type::Enum(_) | Type::Option(_) | Type::Result(_) | Type::Flags(_), kind) => {
            return fit_choice(kind, ty, path);
        }
        (Type::Own(_) | Type::Borrow(_), Kind::Handle(handle)) => Kind::Handle(handle),
        (_, kind) => return Err(Unfit::new(path, ty, kind_of(&kind))),
    };
    Ok(build::value(kind))
}

fn fit_all<'t>(
    values: Vec<Value>,
    ty: impl Fn(usize) -> &'t Type,
    path: &Path<'_>,
) -> Result<Vec<Value>, Unfit> {
    values
        .into_iter()
        .enumerate()
        .map(|(at, value)| fit(value, ty(at), &path.index(at)))
        .collect()
}

fn fit_record(
    record: RecordValue,
    fields: &[Field],
    ty: &Type,
    path: &Path<'_>,
) -> Result<RecordValue, Unfit> {
    if record.fields.len() != fields.len() {
        return Err(Unfit::new(
            path,
            ty,
            format!("a record of {} fields", record.fields.len()),
        ));
    }
    let mut fitted = Vec::with_capacity(fields.len());
    for (given, field) in record.fields.into_iter().zip(fields) {
        if given.name != *field.name {
            return Err(Unfit::new(
                path,
                format!("field {}", field.name),
                format!("field {}", given.name),
            ));
        }
        let value = fit(
            given.value.unwrap_or_default(),
            &field.ty,
            &path.field(&field.name),
        )?;
        fitted.push(FieldValue {
            name: given.name,
            value: Some(value),
        });
    }
    Ok(RecordValue { fields: fitted })
}

fn fit_choice(kind: Kind, ty: &Type, path: &Path<'_>) -> Result<Value, Unfit> {
    match (ty, kind) {
        (Type::Variant(cases), Kind::Variant(variant)) => {
            let name = variant.case.unwrap_or_default().name;
            let Some(case) = build::find_case(cases, &name) else {
                let expected = build::one_of(cases.iter().map(|case| &*case.name));
                return Err(Unfit::new(path, expected, format!("case {name}")));
            };
            let payload = fit_payload(
                variant.payload.map(|p| *p),
                case.payload.as_ref(),
                &path.case(&case.name),
            )?;
            build::variant(cases, &name, payload).ok_or_else(|| Unfit::new(path, ty, name))
        }
        (Type::Enum(names), Kind::EnumValue(case)) => {
            match build::case_name(names.iter().map(|name| &**name), &case.name) {
                Some(case) => Ok(build::value(Kind::EnumValue(case))),
                None => Err(Unfit::new(
                    path,
                    build::one_of(names.iter().map(|name| &**name)),
                    case.name,
                )),
            }
        }
        (Type::Option(some), Kind::Option(option)) => {
            let value = option
                .value
                .map(|value| fit(*value, some, &path.case("some")))
                .transpose()?;
            Ok(build::option(value))
        }
        (Type::Result(sides), Kind::Result(result)) => {
            let (name, ty) = if result.is_error {
                ("err", &sides.1)
            } else {
                ("ok", &sides.0)
            };
            let payload = fit_payload(result.payload.map(|p| *p), ty.as_ref(), &path.case(name))?;
            Ok(build::result(result.is_error, payload))
        }
        (Type::Flags(declared), Kind::Flags(flags)) => {
            if let Some(unknown) = flags
                .set
                .iter()
                .find(|flag| !declared.iter().any(|known| **known == ***flag))
            {
                let expected = build::one_of(declared.iter().map(|name| &**name));
                return Err(Unfit::new(path, expected, format!("flag {unknown}")));
            }
            let set: Vec<&str> = flags.set.iter().map(String::as_str).collect();
            Ok(build::flags(declared, &set))
        }
        (_, kind) => Err(Unfit::new(path, ty, kind_of(&kind))),
    }
}

fn fit_payload(payload: Option<Value>, ty: Option<&Type>, path: &Path<'_>) -> Result<Option<Value>, Unfit> {
    match (payload, ty) {
        (Some(value), Some(ty)) => fit(value, ty, path).map(Some),
        (None, None) => Ok(None),
        (None, Some(ty)) => Err(Unfit::new(path, ty, "no payload")),
        (Some(_), None) => Err(Unfit::new(path, "no payload", "a payload")),
    }
}

/// What kind of value it is, in words.
pub(super) fn kind_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::BoolValue(_) => "a bool",
        Kind::U8Value(_) => "a u8",
        Kind::U16Value(_) => "a u16",
        Kind::U32Value(_) => "a u32",
        Kind::U64Value(_) => "a u64",
        Kind::S8Value(_) => "an s8",
        Kind::S16Value(_) => "an s16",
        Kind::S32Value(_) => "an s32",
        Kind::S64Value(_) => "an s64",
        Kind::F32Value(_) => "an f32",
        Kind::F64Value(_) => "an f64",
        Kind::CharValue(_) => "a char",
        Kind::StringValue(_) => "a string",
        Kind::List(_) => "a list",
        Kind::ByteList(_) => "a list of bytes",
        Kind::Record(_) => "a record",
        Kind::Tuple(_) => "a tuple",
        Kind::Variant(_) => "a variant",
        Kind::EnumValue(_) => "an enum case",
        Kind::Option(_) => "an option",
        Kind::Result(_) => "a result",
        Kind::Flags(_) => "flags",
        Kind::Handle(_) => "a resource handle",
    }
}
