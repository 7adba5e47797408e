//! Stored records: a version byte, then the protobuf message.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::Error;

const VERSION: u8 = 1;

pub(super) fn encode(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(VERSION);
    message
        .encode(&mut bytes)
        .expect("the buffer has been made large enough");
    bytes.freeze()
}

/// Decodes a record; `what` names it in the error.
pub(super) fn decode<M: Message + Default>(what: &'static str, bytes: &Bytes) -> Result<M, Error> {
    M::decode(message(what, bytes)?)
        .map_err(|error| Error::Corrupt(format!("{what} does not decode: {error}")))
}

/// The encoded message behind the version byte.
pub(super) fn message(what: &'static str, bytes: &Bytes) -> Result<Bytes, Error> {
    match bytes.first() {
        Some(&VERSION) => Ok(bytes.slice(1..)),
        Some(version) => Err(Error::Corrupt(format!(
            "{what} has the unknown version {version}"
        ))),
        None => Err(Error::Corrupt(format!("{what} is empty"))),
    }
}
