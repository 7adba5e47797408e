//! Texts that callers get and give back unread: authenticated, so that nobody else can make one.

use hmac::{Hmac, Mac};
use kiln_proto::Error;
use sha2::Sha256;

/// Bytes of the authentication code that a text carries.
const CODE_BYTES: usize = 16;

/// Seals with the cluster's secret, so that every node of the cluster can open, for ever.
pub(super) struct Seal(Hmac<Sha256>);

impl Seal {
    /// A seal for one purpose: what was sealed for another one does not open.
    pub(super) fn new(secret: &[u8], purpose: &str) -> Result<Self, Error> {
        let mut key = Hmac::<Sha256>::new_from_slice(secret)
            .map_err(|_| Error::internal("the cluster's secret is no key"))?;
        key.update(purpose.as_bytes());
        let key = key.finalize().into_bytes();
        Hmac::new_from_slice(&key)
            .map(Self)
            .map_err(|_| Error::internal("the cluster's secret is no key"))
    }

    pub(super) fn close(&self, content: &[u8]) -> String {
        let mut code = self.0.clone();
        code.update(content);
        let code = code.finalize().into_bytes();
        let bytes = content.iter().chain(&code[..CODE_BYTES]);
        bytes
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }

    /// The content of a text of at most `length_max` bytes that was sealed here; `None` for any other text.
    pub(super) fn open(&self, text: &str, length_max: usize) -> Option<Vec<u8>> {
        if text.len() > 2 * (length_max + CODE_BYTES) {
            return None;
        }
        let mut bytes = unhex(text)?;
        let code = bytes.split_off(bytes.len().checked_sub(CODE_BYTES)?);
        let mut expected = self.0.clone();
        expected.update(&bytes);
        expected.verify_truncated_left(&code).ok()?;
        Some(bytes)
    }
}

fn digit(four_bits: u8) -> char {
    char::from_digit(u32::from(four_bits), 16).unwrap_or('0')
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect()
}
