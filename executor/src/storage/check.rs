//! Names, sizes and quotas, before anything is sent.

use kiln_proto::{Error, v1};

use crate::host::StorageLimits;

/// The bucket of `wasi:keyvalue/cache`. No guest can open it, since names have no control characters.
pub(crate) const CACHE_BUCKET: &str = "\u{1}cache";

/// A name of a bucket, key, container or object can be stored.
///
/// # Errors
/// `INVALID` for one that is empty, too long, or has control characters.
pub(crate) fn name(limits: &StorageLimits, what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::invalid(format!("the name of a {what} cannot be empty")));
    }
    if name.len() > limits.name_bytes_max {
        return Err(Error::invalid(format!(
            "the name of a {what} has at most {} bytes, not {}",
            limits.name_bytes_max,
            name.len()
        )));
    }
    if name != CACHE_BUCKET && name.contains(char::is_control) {
        return Err(Error::invalid(format!(
            "the name of a {what} cannot contain control characters"
        )));
    }
    Ok(())
}

/// What one call writes can be stored.
///
/// # Errors
/// `LIMIT_EXCEEDED` for a value or a batch that is too large; as [`name`] for keys.
pub(super) fn changes(limits: &StorageLimits, changes: &[v1::KeyChange]) -> Result<(), Error> {
    let mut sum = 0;
    for change in changes {
        name(limits, "key", &change.key)?;
        let size = change.value.as_ref().map_or(0, bytes::Bytes::len);
        if size > limits.value_bytes_max {
            return Err(Error::limit_exceeded(format!(
                "the value of a key has at most {} bytes, not {size}",
                limits.value_bytes_max
            ))
            .with_hint("store it as a blob"));
        }
        sum += change.key.len() + size;
    }
    batch(limits, sum)
}

/// So many bytes can be read or written by one call.
pub(super) fn batch(limits: &StorageLimits, bytes: usize) -> Result<(), Error> {
    if bytes > limits.batch_bytes_max {
        return Err(Error::limit_exceeded(format!(
            "one call reads or writes at most {} bytes of keys and values",
            limits.batch_bytes_max
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let limits = StorageLimits {
            name_bytes_max: 4,
            ..StorageLimits::default()
        };
        for good in ["a", "a/b", "ü-a"] {
            assert!(name(&limits, "key", good).is_ok(), "{good:?}");
        }
        for bad in ["", "abcde", "ü-ü", "a\nb", "\0"] {
            assert!(name(&limits, "key", bad).is_err(), "{bad:?}");
        }
    }
}
