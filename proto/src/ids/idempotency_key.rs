use std::{fmt, sync::Arc};

use crate::Error;

/// Longest accepted key, in bytes.
pub(super) const LENGTH_MAX: usize = 512;

/// Names one invocation of a worker: all calls with the same key get the same result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// Checks a caller's key.
    ///
    /// # Errors
    /// `INVALID` when it is empty or longer than 512 bytes.
    pub fn new(text: &str) -> Result<Self, Error> {
        match text.len() {
            0 => Err(Error::invalid("an idempotency key cannot be empty")),
            length if length > LENGTH_MAX => Err(Error::invalid(format!(
                "an idempotency key has at most {LENGTH_MAX} bytes, not {length}"
            ))),
            _ => Ok(Self(text.into())),
        }
    }

    /// A random key, for callers that gave none.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
