//! Typed component values, apart from any running instance.
//!
//! * [`Type`] – the type of a parameter or result, printed as WIT
//! * [`parse_wave`], [`parse_json`] – arguments from text, checked against a signature
//! * [`check_arguments`] – the same check for values that came as a tree
//! * `lower`, `lift` – to and from wasmtime's own form
//! * `wit` – to and from the guest contract's flat form, `wit-value`

mod argument_error;
mod build;
mod check;
mod json;
mod lift;
mod lower;
mod path;
mod signature;
#[cfg(test)]
mod tests;
mod ty;
mod wave;
pub(crate) mod wit;

pub use argument_error::{ArgumentError, Place};
pub use check::check_arguments;
pub use json::parse_json;
pub use signature::{Param, Signature};
pub use ty::{Case, Field, Type};
pub use wave::parse_wave;
pub(crate) use {
    lift::{KeepResource, lift},
    lower::{ResolveHandle, lower},
};
