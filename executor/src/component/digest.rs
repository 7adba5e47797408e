use std::fmt;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a component's bytes: its content address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Computes the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = kiln_proto::Error;

    fn try_from(bytes: &[u8]) -> Result<Self, kiln_proto::Error> {
        let length = bytes.len();
        let bytes = bytes.try_into();
        bytes
            .map(Self)
            .map_err(|_| kiln_proto::Error::invalid(format!("a digest has 32 bytes, not {length}")))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
