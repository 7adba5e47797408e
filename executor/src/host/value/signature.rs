use std::fmt;

use super::Type;

/// What a function takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Its parameters in order.
    pub params: Vec<Param>,
    /// Its result, if it has one.
    pub result: Option<Type>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub ty: Type,
}

impl fmt::Display for Signature {
    /// Prints WIT: `func(by: u64) -> u64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        for (at, Param { name, ty }) in self.params.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{name}: {ty}")?;
        }
        f.write_str(")")?;
        match &self.result {
            Some(ty) => write!(f, " -> {ty}"),
            None => Ok(()),
        }
    }
}
