use std::fmt;

use super::ArgumentError;
use super::argument_error::Place;
use super::signature::Param;

/// The way from an argument's root to where a conversion stands; a list on the call stack, printed only on error.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
    Case(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    pub(super) fn index(&'a self, at: usize) -> Self {
        Self::Index(self, at)
    }

    pub(super) fn case(&'a self, name: &'a str) -> Self {
        Self::Case(self, name)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, at) => write!(f, "{parent}[{at}]"),
            Self::Case(parent, name) => write!(f, "{parent}({name})"),
        }
    }
}

/// A value that does not fit its type; an [`ArgumentError`] once the argument's number is known.
#[derive(Debug)]
pub(crate) struct Unfit {
    place: Place,
    expected: String,
    found: String,
}

impl Unfit {
    pub(super) fn new(path: &Path<'_>, expected: impl fmt::Display, found: impl Into<String>) -> Self {
        let place = Place {
            offset: None,
            path: path.to_string(),
        };
        Self {
            place,
            expected: expected.to_string(),
            found: found.into(),
        }
    }

    pub(super) fn at_offset(mut self, offset: usize) -> Self {
        self.place.offset.get_or_insert(offset);
        self
    }

    pub(crate) fn of_argument(self, number: usize, param: &Param) -> ArgumentError {
        ArgumentError::Mismatch {
            number,
            name: param.name.to_string(),
            place: self.place,
            expected: self.expected,
            found: self.found,
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected {}, found {}{}",
            self.expected, self.found, self.place
        )
    }
}
