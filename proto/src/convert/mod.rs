//! Checked conversions between wire and domain types, and the text forms of values.

mod time;

pub use time::{now_ns, rfc3339};
