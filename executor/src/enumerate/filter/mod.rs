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

mod instant;
mod judge;
mod limits;
mod parse;
mod token;
mod wire;

use kiln_proto::{Error, v1::WorkerStatus};

pub(super) use judge::Known;
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
        let mut comparisons = 0;
        let parsed = texts
            .iter()
            .map(|text| parse::parse(text.as_ref(), &mut comparisons));
        parsed.collect::<Result<_, _>>().map(Self::All)
    }

    /// Compares the time of creation with milliseconds since the Unix epoch, as guests count it.
    #[must_use]
    pub fn created_at_ms(order: Order, at_ms: u64) -> Self {
        let from = at_ms.saturating_mul(1_000_000);
        let to = at_ms.saturating_add(1).saturating_mul(1_000_000);
        let (before, after) = (
            Self::CreatedAt(Order::Less, from),
            Self::CreatedAt(Order::GreaterOrEqual, to),
        );
        match order {
            Order::Equal => Self::Not(Box::new(Self::Any(vec![before, after]))),
            Order::NotEqual => Self::Any(vec![before, after]),
            Order::Less => before,
            Order::LessOrEqual => Self::CreatedAt(Order::Less, to),
            Order::Greater => after,
            Order::GreaterOrEqual => Self::CreatedAt(Order::GreaterOrEqual, from),
        }
    }

    /// Refuses a filter that was not parsed here when it is too large.
    ///
    /// # Errors
    /// `INVALID` with the limit.
    pub fn check(&self) -> Result<(), Error> {
        limits::check(self)
    }
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::WorkerRecord;

    use super::*;

    #[test]
    fn guests_compare_whole_milliseconds() {
        let record = WorkerRecord {
            created_at_ns: 7_000_001,
            ..WorkerRecord::default()
        };
        for (order, at_6, at_7, at_8) in [
            (Order::Equal, false, true, false),
            (Order::NotEqual, true, false, true),
            (Order::Less, false, false, true),
            (Order::LessOrEqual, false, true, true),
            (Order::Greater, true, false, false),
            (Order::GreaterOrEqual, true, true, false),
        ] {
            let judged = [6, 7, 8].map(|ms| Filter::created_at_ms(order, ms).matches(&record));
            assert_eq!(judged, [at_6, at_7, at_8], "{order:?}");
        }
    }
}
