use kiln_proto::v1::{CaseName, FieldValue, RecordValue, Value, ValueList, value::Kind};

use crate::host::value::{Case, Field, Type};

/// Names that a dialect has for what others call differently, with the names to look for instead.
const ALIASES: &[(&str, &[&str])] = &[
    ("agent-id", &["worker-id", "worker-name"]),
    ("config-vars", &["wasi-config-vars"]),
    ("account-id", &["created-by"]),
    ("pending-agent-invocation", &["pending-worker-invocation"]),
];

/// What the body of a host function gives has no place in the shape that the component declares.
#[derive(Debug, thiserror::Error)]
#[error("the host cannot give a {expected} from {what}")]
pub(crate) struct Unfit {
    expected: String,
    what: String,
}

/// Brings a value into a declared shape: fields and cases are found by name, in this dialect's or another's; fields that the
/// shape has not are dropped.
pub(in crate::host) fn conform(value: Value, ty: &Type) -> Result<Value, Unfit> {
    let Some(kind) = value.kind else {
        return Err(unfit(ty, "nothing"));
    };
    let kind = match (ty, kind) {
        (Type::Record(fields), Kind::Record(record)) => Kind::Record(conform_record(record, fields, ty)?),
        (Type::List(element), Kind::List(list)) => Kind::List(conform_all(list, |_| element)?),
        (Type::Tuple(types), Kind::Tuple(tuple)) if types.len() == tuple.values.len() => {
            Kind::Tuple(conform_all(tuple, |at| &types[at])?)
        }
        (Type::Option(some), Kind::Option(mut option)) => {
            option.value = option
                .value
                .map(|value| conform(*value, some).map(Box::new))
                .transpose()?;
            Kind::Option(option)
        }
        // Older versions of the contract show an empty tuple for a function without a result.
        (Type::Record(fields), Kind::Option(option)) if option.value.is_none() && is_wit_value(fields) => {
            return conform(empty_wit_value(), ty);
        }
        // What some shapes leave out if it is missing and others always have.
        (_, Kind::Option(option)) => match option.value {
            Some(value) => return conform(*value, ty),
            None => return Err(unfit(ty, "none")),
        },
        (Type::Result(sides), Kind::Result(mut result)) => {
            let side = if result.is_error { &sides.1 } else { &sides.0 };
            result.payload = match (result.payload, side) {
                (Some(value), Some(ty)) => Some(Box::new(conform(*value, ty)?)),
                (_, None) => None,
                (None, Some(ty)) => return Err(unfit(ty, "a result without a payload")),
            };
            Kind::Result(result)
        }
        (Type::Variant(cases), Kind::Variant(mut variant)) => {
            let name = variant.case.map(|case| case.name).unwrap_or_default();
            let Some((index, case)) = find_case(cases, &name) else {
                return as_unknown_entry(variant.payload, cases).unwrap_or_else(|| Err(unfit(ty, &name)));
            };
            variant.case = Some(CaseName {
                name: case.name.to_string(),
                index,
            });
            variant.payload = match (variant.payload, &case.payload) {
                (Some(value), Some(ty)) => Some(Box::new(conform(*value, ty)?)),
                (_, None) => None,
                (None, Some(ty)) => return Err(unfit(ty, "a case without a payload")),
            };
            Kind::Variant(variant)
        }
        (_, other) => other,
    };
    Ok(Value { kind: Some(kind) })
}

fn conform_all<'t>(list: ValueList, ty: impl Fn(usize) -> &'t Type) -> Result<ValueList, Unfit> {
    let values = list.values.into_iter().enumerate();
    Ok(ValueList {
        values: values
            .map(|(at, value)| conform(value, ty(at)))
            .collect::<Result<_, _>>()?,
    })
}

fn conform_record(mut record: RecordValue, fields: &[Field], ty: &Type) -> Result<RecordValue, Unfit> {
    let mut conformed = Vec::with_capacity(fields.len());
    for field in fields {
        let given = names_in_dialects(&field.name).find_map(|name| take(&mut record, name));
        let value = match (given, &field.ty) {
            (Some(value), _) => conform(value, &field.ty)?,
            (None, Type::Option(_)) => Value {
                kind: Some(Kind::Option(Box::default())),
            },
            (None, _) => return Err(unfit(ty, &format!("a record without {}", field.name))),
        };
        conformed.push(FieldValue {
            name: field.name.to_string(),
            value: Some(value),
        });
    }
    Ok(RecordValue { fields: conformed })
}

fn is_wit_value(fields: &[Field]) -> bool {
    matches!(fields, [field] if &*field.name == "nodes")
}

fn empty_wit_value() -> Value {
    let node = Value::variant("tuple-value", Some(std::iter::empty::<Value>().collect()));
    Value::record(vec![FieldValue::of(
        "nodes",
        [node].into_iter().collect::<Value>(),
    )])
}

/// An oplog entry of a kind that this version of the contract has not: it keeps its place as one without meaning.
fn as_unknown_entry(payload: Option<Box<Value>>, cases: &[Case]) -> Option<Result<Value, Unfit>> {
    let (index, no_op) = find_case(cases, "no-op")?;
    let ty = no_op.payload.as_ref()?;
    let timestamp = match payload?.kind? {
        Kind::Record(mut record) => {
            take(&mut record, "timestamp").unwrap_or_else(|| Kind::Record(record).into())
        }
        other => other.into(),
    };
    Some(conform(timestamp, ty).map(|time| Value::variant_at("no-op", index, Some(time))))
}

fn take(record: &mut RecordValue, name: &str) -> Option<Value> {
    let field = record.fields.iter_mut().find(|field| field.name == name)?;
    field.value.take()
}

fn find_case<'c>(cases: &'c [Case], given: &str) -> Option<(u32, &'c Case)> {
    let mut cases = (0..).zip(cases);
    cases.find(|(_, case)| names_in_dialects(&case.name).any(|name| name == given))
}

/// A declared name, then what others call it.
pub(crate) fn names_in_dialects(declared: &str) -> impl Iterator<Item = &str> {
    let aliases = ALIASES.iter().find(|(name, _)| *name == declared);
    std::iter::once(declared).chain(aliases.into_iter().flat_map(|(_, others)| others.iter().copied()))
}

fn unfit(ty: &Type, what: &str) -> Unfit {
    Unfit {
        expected: ty.to_string(),
        what: what.to_owned(),
    }
}
