use std::{fmt, sync::Arc};

/// The type of a parameter or result: a plain tree, so that values can be checked without the component at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are WIT's own types")]
pub enum Type {
    Bool,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F32,
    F64,
    Char,
    String,
    List(Arc<Type>),
    FixedList(Arc<Type>, u32),
    Record(Arc<[Field]>),
    Tuple(Arc<[Type]>),
    Variant(Arc<[Case]>),
    Enum(Arc<[Box<str>]>),
    Option(Arc<Type>),
    Result(Arc<(Option<Type>, Option<Type>)>),
    Flags(Arc<[Box<str>]>),
    /// A resource that changes hands, by the name of its type.
    Own(Arc<str>),
    /// A resource that is lent for the call.
    Borrow(Arc<str>),
    /// A kind that cannot cross the boundary of a worker: stream, future, error-context, map.
    Unsupported(&'static str),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub ty: Type,
}

/// A case of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: Box<str>,
    /// The type of its payload, if it has one.
    pub payload: Option<Type>,
}

impl fmt::Display for Type {
    /// Prints WIT. Named types are printed by their structure, since components do not carry the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::U8 => f.write_str("u8"),
            Self::U16 => f.write_str("u16"),
            Self::U32 => f.write_str("u32"),
            Self::U64 => f.write_str("u64"),
            Self::S8 => f.write_str("s8"),
            Self::S16 => f.write_str("s16"),
            Self::S32 => f.write_str("s32"),
            Self::S64 => f.write_str("s64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::FixedList(element, length) => write!(f, "list<{element}, {length}>"),
            Self::Record(fields) => {
                f.write_str("record")?;
                braced(f, fields.iter(), |f, field| {
                    write!(f, "{}: {}", field.name, field.ty)
                })
            }
            Self::Tuple(types) => {
                f.write_str("tuple<")?;
                separated(f, types.iter(), |f, ty| write!(f, "{ty}"))?;
                f.write_str(">")
            }
            Self::Variant(cases) => {
                f.write_str("variant")?;
                braced(f, cases.iter(), |f, case| match &case.payload {
                    Some(ty) => write!(f, "{}({ty})", case.name),
                    None => f.write_str(&case.name),
                })
            }
            Self::Enum(names) => {
                f.write_str("enum")?;
                braced(f, names.iter(), |f, name| f.write_str(name))
            }
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Result(sides) => display_result(f, sides),
            Self::Flags(names) => {
                f.write_str("flags")?;
                braced(f, names.iter(), |f, name| f.write_str(name))
            }
            Self::Own(name) => f.write_str(name),
            Self::Borrow(name) => write!(f, "borrow<{name}>"),
            Self::Unsupported(kind) => f.write_str(kind),
        }
    }
}

fn display_result(f: &mut fmt::Formatter<'_>, sides: &(Option<Type>, Option<Type>)) -> fmt::Result {
    match sides {
        (None, None) => f.write_str("result"),
        (Some(ok), None) => write!(f, "result<{ok}>"),
        (None, Some(error)) => write!(f, "result<_, {error}>"),
        (Some(ok), Some(error)) => write!(f, "result<{ok}, {error}>"),
    }
}

fn braced<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    print: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(" { ")?;
    separated(f, items, print)?;
    f.write_str(" }")
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    print: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (at, item) in items.enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        print(f, item)?;
    }
    Ok(())
}
