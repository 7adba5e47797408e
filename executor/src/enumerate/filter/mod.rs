//! Filters of workers: one grammar for the command line, HTTP and gRPC.
//!
//! ```text
//! filter     = all { "or" all }
//! all        = term { "and" term }
//! term       = "not" term | "(" filter ")" | comparison
//! comparison = property operator value
//! property   = "name" | "status" | "version" | "createdAt" | "env." KEY | "config." KEY
//! operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "like" | "notlike" | "startswith"
//! value      = WORD | "'" … "'" | '"' … '"'
//! ```

mod eval;
mod instant;
mod parse;
mod token;

use kiln_proto::v1::WorkerStatus;

pub use parse::ParseError;

/// What a worker must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Every one holds; true when there is none.
    All(Vec<Filter>),
    /// At least one holds; false when there is none.
    Any(Vec<Filter>),
    /// The other does not hold.
    Not(Box<Filter>),
    /// The worker's name.
    Name(TextTest),
    /// The worker's status, in the order running, idle, suspended, interrupted, retrying, failed, exited.
    Status(Order, WorkerStatus),
    /// The version of the component that it runs.
    Version(Order, u64),
    /// When it was created, in nanoseconds since the Unix epoch.
    CreatedAt(Order, u64),
    /// One of its environment variables; upper and lower case of the name are the same.
    Env(String, TextTest),
    /// One of its configuration variables.
    Config(String, TextTest),
}

/// A comparison of ordered values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A comparison of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTest {
    /// How.
    pub comparison: TextComparison,
    /// With what.
    pub value: String,
}

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextComparison {
    /// The same text.
    Equal,
    /// Another text, or none.
    NotEqual,
    /// Contains the value.
    Like,
    /// Does not contain the value.
    NotLike,
    /// Begins with the value.
    StartsWith,
}

impl Filter {
    /// Reads filters, all of which must hold.
    ///
    /// # Errors
    /// Where the first one goes wrong and what is expected there.
    pub fn parse_all<S: AsRef<str>>(texts: &[S]) -> Result<Self, ParseError> {
        texts
            .iter()
            .map(|text| parse::parse(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self::All)
    }

    /// True when every worker passes.
    #[must_use]
    pub fn is_trivial(&self) -> bool {
        matches!(self, Self::All(all) if all.is_empty())
    }
}
