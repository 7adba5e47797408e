use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::bindings::wasi::keyvalue::types::{Bucket, Error, IncomingValue, OutgoingValue};
use crate::bindings::wasi::keyvalue::{atomic, eventual};

pub fn text(error: Error) -> String {
    error.trace()
}

pub fn open(name: &str) -> Result<Bucket, String> {
    Bucket::open_bucket(name).map_err(text)
}

pub fn outgoing(value: &[u8]) -> Result<OutgoingValue, String> {
    let outgoing = OutgoingValue::new_outgoing_value();
    outgoing.outgoing_value_write_body_sync(value).map_err(text)?;
    Ok(outgoing)
}

pub fn streamed(value: &[u8]) -> Result<OutgoingValue, String> {
    let outgoing = OutgoingValue::new_outgoing_value();
    let stream = outgoing.outgoing_value_write_body_async().map_err(text)?;
    write(&stream, value)?;
    Ok(outgoing)
}

pub fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        let permitted = stream.check_write().map_err(described)? as usize;
        let (now, later) = bytes.split_at(bytes.len().min(permitted));
        stream.write(now).map_err(described)?;
        bytes = later;
    }
    stream.blocking_flush().map_err(described)
}

pub fn described(error: StreamError) -> String {
    match error {
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
        StreamError::Closed => "closed".to_owned(),
    }
}

pub fn set(bucket: &Bucket, key: &str, value: &[u8]) -> Result<(), String> {
    eventual::set(bucket, key, &outgoing(value)?).map_err(text)
}

pub fn get(bucket: &Bucket, key: &str) -> Result<Option<String>, String> {
    eventual::get(bucket, key).map_err(text)?.map(|value| consumed(&value)).transpose()
}

/// The value, read in both ways.
pub fn consumed(value: &IncomingValue) -> Result<String, String> {
    let bytes = value.incoming_value_consume_sync().map_err(text)?;
    let stream = value.incoming_value_consume_async().map_err(text)?;
    let read = read(&stream)?;
    let size = value.incoming_value_size().map_err(text)?;
    if read != bytes || size != bytes.len() as u64 {
        return Err(format!("{} bytes in a list, {} in a stream, {size} in all", bytes.len(), read.len()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read(stream: &InputStream) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(bytes) => all.extend(bytes),
            Err(StreamError::Closed) => return Ok(all),
            Err(error) => return Err(described(error)),
        }
    }
}

pub fn increment(bucket: &Bucket, key: &str, delta: u64) -> Result<u64, String> {
    atomic::increment(bucket, key, delta).map_err(text)
}

pub fn compare_and_swap(bucket: &Bucket, key: &str, old: u64, new: u64) -> Result<bool, String> {
    atomic::compare_and_swap(bucket, key, old, new).map_err(text)
}
