//! Checked conversions between wire and domain types, and the text forms of values.
//!
//! * [`json`] – what the CLI and the HTTP edge print
//! * [`oplog`] – oplog entries with the names of the guest contract
//! * `make` – values out of Rust's own types
//! * [`to_wave`] – a value as WAVE text (WebAssembly value encoding)

pub mod json;
mod make;
pub mod oplog;
mod time;
mod wave;

pub use time::{now_ns, rfc3339};
pub use wave::to_wave;

/// The character of a wire value; U+FFFD for a number that is none.
fn char_of(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests;
