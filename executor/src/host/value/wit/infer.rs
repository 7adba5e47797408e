//! Types of values whose own type is not at hand. What the value does not show is filled up: cases and flags that it does
//! not name, the inside of what is empty.

use std::sync::Arc;

use kiln_proto::v1::{FlagsValue, Value, VariantValue, value::Kind};

use crate::host::value::{Case, Field, Type};

/// A type that the value fits. Its `wit-value` is the same as under the type that it really has.
pub(crate) fn type_of(value: &Value) -> Type {
    match &value.kind {
        None => unknown(),
        Some(Kind::BoolValue(_)) => Type::Bool,
        Some(Kind::U8Value(_)) => Type::U8,
        Some(Kind::U16Value(_)) => Type::U16,
        Some(Kind::U32Value(_)) => Type::U32,
        Some(Kind::U64Value(_)) => Type::U64,
        Some(Kind::S8Value(_)) => Type::S8,
        Some(Kind::S16Value(_)) => Type::S16,
        Some(Kind::S32Value(_)) => Type::S32,
        Some(Kind::S64Value(_)) => Type::S64,
        Some(Kind::F32Value(_)) => Type::F32,
        Some(Kind::F64Value(_)) => Type::F64,
        Some(Kind::CharValue(_)) => Type::Char,
        Some(Kind::StringValue(_)) => Type::String,
        Some(Kind::ByteList(_)) => Type::List(Arc::new(Type::U8)),
        Some(Kind::List(list)) => {
            Type::List(Arc::new(list.values.iter().map(type_of).fold(unknown(), merge)))
        }
        Some(Kind::Tuple(tuple)) => Type::Tuple(tuple.values.iter().map(type_of).collect()),
        Some(Kind::Record(record)) => Type::Record(
            record
                .fields
                .iter()
                .map(|field| Field {
                    name: field.name.as_str().into(),
                    ty: field.value.as_ref().map_or_else(unknown, type_of),
                })
                .collect(),
        ),
        Some(Kind::Variant(variant)) => Type::Variant(cases(variant)),
        Some(Kind::EnumValue(case)) => Type::Enum(names([(case.index, case.name.as_str())], case.index + 1)),
        Some(Kind::Option(option)) => {
            Type::Option(Arc::new(option.value.as_deref().map_or_else(unknown, type_of)))
        }
        Some(Kind::Result(result)) => {
            let payload = result.payload.as_deref().map(type_of);
            Type::Result(Arc::new(if result.is_error {
                (None, payload)
            } else {
                (payload, None)
            }))
        }
        Some(Kind::Flags(flags)) => Type::Flags(flag_names(flags)),
        Some(Kind::Handle(_)) => Type::Own("resource".into()),
    }
}

/// Most cases that are made up in front of one that is known.
const CASES_MAX: u32 = 4096;

/// Stands where nothing shows the type.
fn unknown() -> Type {
    Type::Tuple(Arc::from([]))
}

fn cases(variant: &VariantValue) -> Arc<[Case]> {
    let case = variant.case.clone().unwrap_or_default();
    let names = names([(case.index, case.name.as_str())], case.index + 1);
    let payload = variant.payload.as_deref().map(type_of);
    let last = names.len() - 1;
    let case = |(at, name)| Case {
        name: Box::<str>::clone(name),
        payload: payload.clone().filter(|_| at == last),
    };
    names.iter().enumerate().map(case).collect()
}

fn flag_names(flags: &FlagsValue) -> Arc<[Box<str>]> {
    let set = flags
        .indices
        .iter()
        .copied()
        .zip(flags.set.iter().map(String::as_str));
    names(set, flags.declared)
}

/// Names at their positions, with made-up ones in between.
fn names<'a>(known: impl IntoIterator<Item = (u32, &'a str)>, count: u32) -> Arc<[Box<str>]> {
    let mut names: Vec<Box<str>> = (0..count.min(CASES_MAX)).map(made_up).collect();
    for (at, name) in known {
        if let Some(slot) = names.get_mut(at as usize) {
            *slot = name.into();
        }
    }
    names.into()
}

fn made_up(at: u32) -> Box<str> {
    format!("case-{at}").into()
}

fn is_made_up(at: usize, name: &str) -> bool {
    name.strip_prefix("case-")
        .is_some_and(|number| number.parse() == Ok(at))
}

/// One type for two values of the same type, each of which shows a part of it.
fn merge(left: Type, right: Type) -> Type {
    match (left, right) {
        (left, right) if left == right => left,
        (left, right) if right == unknown() => left,
        (left, right) if left == unknown() => right,
        (Type::List(left), Type::List(right)) => Type::List(Arc::new(merge_shared(&left, &right))),
        (Type::Option(left), Type::Option(right)) => Type::Option(Arc::new(merge_shared(&left, &right))),
        (Type::Tuple(left), Type::Tuple(right)) if left.len() == right.len() => {
            let pairs = left.iter().zip(&*right);
            Type::Tuple(pairs.map(|(left, right)| merge_shared(left, right)).collect())
        }
        (Type::Record(left), Type::Record(right)) if left.len() == right.len() => {
            let field = |(left, right): (&Field, &Field)| Field {
                name: left.name.clone(),
                ty: merge_shared(&left.ty, &right.ty),
            };
            Type::Record(left.iter().zip(&*right).map(field).collect())
        }
        (Type::Result(left), Type::Result(right)) => Type::Result(Arc::new((
            merge_sides(left.0.as_ref(), right.0.as_ref()),
            merge_sides(left.1.as_ref(), right.1.as_ref()),
        ))),
        (Type::Enum(left), Type::Enum(right)) => Type::Enum(merge_names(&left, &right)),
        (Type::Flags(left), Type::Flags(right)) => Type::Flags(merge_names(&left, &right)),
        (Type::Variant(left), Type::Variant(right)) => Type::Variant(merge_cases(&left, &right)),
        (left, _) => left,
    }
}

fn merge_shared(left: &Type, right: &Type) -> Type {
    merge(left.clone(), right.clone())
}

fn merge_sides(left: Option<&Type>, right: Option<&Type>) -> Option<Type> {
    match (left, right) {
        (Some(left), Some(right)) => Some(merge_shared(left, right)),
        (one, other) => one.or(other).cloned(),
    }
}

fn merge_names(left: &[Box<str>], right: &[Box<str>]) -> Arc<[Box<str>]> {
    (0..left.len().max(right.len()))
        .map(|at| {
            merge_name(
                at,
                left.get(at).map(|name| &**name),
                right.get(at).map(|name| &**name),
            )
        })
        .collect()
}

fn merge_name(at: usize, left: Option<&str>, right: Option<&str>) -> Box<str> {
    let known = left.filter(|name| !is_made_up(at, name));
    known.or(right).or(left).unwrap_or_default().into()
}

fn merge_cases(left: &[Case], right: &[Case]) -> Arc<[Case]> {
    let case = |at: usize| {
        let (left, right) = (left.get(at), right.get(at));
        Case {
            name: merge_name(at, left.map(|case| &*case.name), right.map(|case| &*case.name)),
            payload: merge_sides(
                left.and_then(|case| case.payload.as_ref()),
                right.and_then(|case| case.payload.as_ref()),
            ),
        }
    };
    (0..left.len().max(right.len())).map(case).collect()
}
