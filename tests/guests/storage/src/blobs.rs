use crate::bindings::wasi::blobstore::blobstore;
use crate::bindings::wasi::blobstore::container::Container;
use crate::bindings::wasi::blobstore::types::{IncomingValue, OutgoingValue};
use crate::bindings::wasi::io::streams::StreamError;
use crate::keys::{described, write};

/// The container, made at its first use.
pub fn open(name: &str) -> Result<Container, String> {
    if blobstore::container_exists(name)? {
        blobstore::get_container(name)
    } else {
        blobstore::create_container(name)
    }
}

/// The byte of the pattern at this place.
fn byte(seed: u8, at: u64) -> u8 {
    seed.wrapping_add((at ^ (at >> 8) ^ (at >> 16)) as u8)
}

pub fn put(container: &Container, object: &str, size: u64, seed: u8) -> Result<(), String> {
    const PIECE: u64 = 1 << 16;
    let value = OutgoingValue::new_outgoing_value();
    let stream = value.outgoing_value_write_body().map_err(|()| "the value has no stream left")?;
    for begin in (0..size).step_by(PIECE as usize) {
        let piece: Vec<u8> = (begin..size.min(begin + PIECE)).map(|at| byte(seed, at)).collect();
        write(&stream, &piece)?;
    }
    drop(stream);
    container.write_data(object, &value)
}

/// Length and checksum of a value, read through a stream.
pub fn digest(value: &IncomingValue) -> Result<(u64, u64), String> {
    let stream = value.incoming_value_consume_async()?;
    let (mut length, mut sum) = (0, 0_u64);
    loop {
        // Every other read does not wait.
        let read = if length % 2 == 0 { stream.blocking_read(77_777) } else { stream.read(77_777) };
        match read {
            Ok(bytes) => {
                length += bytes.len() as u64;
                for byte in bytes {
                    sum = sum.wrapping_mul(31).wrapping_add(byte.into());
                }
            }
            Err(StreamError::Closed) => return Ok((length, sum)),
            Err(error) => return Err(described(error)),
        }
    }
}
