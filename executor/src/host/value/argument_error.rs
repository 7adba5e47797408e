use std::fmt;

/// Why arguments do not fit a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Too many or too few.
    #[error("expected {expected} arguments, got {got}; the signature is {signature}")]
    Count {
        /// How many the function takes.
        expected: usize,
        /// How many there were.
        got: usize,
        /// The signature as WIT.
        signature: String,
    },
    /// One does not fit its parameter.
    #[error("argument {number} ({name}){place}: expected {expected}, found {found}")]
    Mismatch {
        /// Which argument, counted from 1.
        number: usize,
        /// The parameter's name.
        name: String,
        /// Where in the argument.
        place: Place,
        /// The type that is expected there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The text cannot be read at all.
    #[error("the arguments are not valid JSON")]
    Json {
        /// What the JSON parser said, with line and column.
        message: String,
    },
}

/// A place in an argument: in its text, in its structure, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the argument's text.
    pub offset: Option<usize>,
    /// The way from the argument's root, such as `.items[2].name`; empty at the root.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, " at {}", self.path)?;
        }
        match self.offset {
            Some(offset) => write!(f, ", offset {offset}"),
            None => Ok(()),
        }
    }
}
