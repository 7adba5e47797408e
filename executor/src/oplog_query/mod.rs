//! Searching an oplog: one language for guests, gRPC, HTTP and the command line.
//!
//! ```text
//! query  = all { "OR" all }
//! all    = term { [ "AND" ] term }
//! term   = "NOT" term | "(" query ")" | [ FIELD { "." FIELD } ( ":" | "=" ) ] text
//! text   = WORD | '"' … '"' | "/" … "/"
//! ```
//!
//! A word is found in any case, a phrase in quotes exactly, and between slashes stands a regular expression. A field names
//! where to look: a field of the entry itself, or of a record inside an argument, a result or a request.

mod leaves;
mod matches;
mod parse;
#[cfg(test)]
mod tests;
mod token;

pub use parse::ParseError;

/// What an entry must contain.
#[derive(Debug, Clone)]
pub enum Query {
    /// Every one holds; true when there is none.
    All(Vec<Query>),
    /// At least one holds.
    Any(Vec<Query>),
    /// The other does not hold.
    Not(Box<Query>),
    /// Some text of the entry.
    Text(TextTest),
    /// Some text below a field, given as a path of names.
    Field(Vec<String>, TextTest),
}

/// What a text must be like.
#[derive(Debug, Clone)]
pub enum TextTest {
    /// Contains these words, upper and lower case being the same. Kept in lower case.
    Word(String),
    /// Contains exactly this.
    Phrase(String),
    /// Fits a regular expression somewhere.
    Regex(regex::Regex),
}

impl Query {
    /// Reads a query. An empty one finds everything.
    ///
    /// # Errors
    /// Where it goes wrong and what is expected there.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }
}
