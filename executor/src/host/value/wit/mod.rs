//! The guest contract's flat form of values and types: `wit-value`, `wit-type` and `value-and-type` of `golem:rpc/types`.
//!
//! A value is a list of nodes that refer to each other by position; the first is the root, and children follow in
//! pre-order. The nodes are themselves component values here, so that they can be handed to a guest like any other.
//!
//! * [`value_to_wit`], [`value_from_wit`] – `wit-value`; reading needs the type, since nodes carry no field names
//! * [`arguments_from_wit`] – what a guest calls another one's function with
//! * [`type_to_wit`], [`type_from_wit`] – `wit-type`, in both shapes that are in the field
//! * [`type_of`] – a type for a value whose own is not known

mod arguments;
mod error;
mod infer;
mod nodes;
mod read_type;
mod read_value;
#[cfg(test)]
mod tests;
mod write_type;
mod write_value;

pub(crate) use {
    arguments::arguments_from_wit,
    error::WitError,
    infer::type_of,
    read_type::type_from_wit,
    read_value::value_from_wit,
    write_type::{Shape, type_to_wit},
    write_value::value_to_wit,
};

use kiln_proto::v1::{FieldValue, Value};

/// Deepest nesting. The oplog's encoding nests three messages for a record in a record, and its decoder goes a hundred deep.
const DEPTH_MAX: usize = 28;

/// Writes `value-and-type`; `ty` is the type as a `wit-type` already.
///
/// # Errors
/// See [`value_to_wit`].
pub(crate) fn value_and_type(value: &Value, ty: Value) -> Result<Value, WitError> {
    Ok(Value::record(vec![
        FieldValue::of("value", value_to_wit(value)?),
        FieldValue::of("typ", ty),
    ]))
}
