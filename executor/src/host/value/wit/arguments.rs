use kiln_proto::v1::Value;

use super::value_from_wit;
use crate::host::value::{ArgumentError, Place, Signature, check::check_count};

/// Reads arguments that a guest gave as `wit-value`s, in the types of the function that they are meant for.
///
/// # Errors
/// Which argument does not fit, and why.
pub(crate) fn arguments_from_wit(
    signature: &Signature,
    given: &[Value],
) -> Result<Vec<Value>, ArgumentError> {
    check_count(signature, given.len())?;
    let pairs = (1..).zip(&signature.params).zip(given);
    pairs
        .map(|((number, param), tree)| {
            value_from_wit(tree, &param.ty).map_err(|error| ArgumentError::Mismatch {
                number,
                name: param.name.to_string(),
                place: Place::default(),
                expected: param.ty.to_string(),
                found: error.to_string(),
            })
        })
        .collect()
}
