use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, pipe::MemoryInputPipe};

use super::bindings::wasi::blobstore::types::{Host, HostIncomingValue, HostOutgoingValue};
use crate::host::{
    HostState,
    content_stream::{ContentRange, ContentStream},
    spool::{Spool, SpoolStream},
};

/// A larger value is not given as one list: the guest can stream it.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// A value on its way into a container.
pub struct OutgoingValue {
    pub(super) spool: Spool,
    /// It has one stream.
    is_taken: bool,
}

/// A value, or a range of one.
pub enum IncomingValue {
    /// What the oplog has.
    Recorded(Bytes),
    /// What the oplog names.
    Content(ContentRange),
}

impl Host for HostState {}

impl HostOutgoingValue for HostState {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<OutgoingValue>> {
        let bytes_max = self.context.storage.limits().object_bytes_max;
        let value = OutgoingValue {
            spool: Spool::new(self.scratch.clone(), bytes_max),
            is_taken: false,
        };
        Ok(self.table.push(value)?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let value = self.table.get_mut(&value)?;
        if std::mem::replace(&mut value.is_taken, true) {
            return Ok(Err(()));
        }
        let stream: DynOutputStream = Box::new(SpoolStream(value.spool.clone()));
        Ok(Ok(self.table.push(stream)?))
    }

    async fn drop(&mut self, value: Resource<OutgoingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

impl HostIncomingValue for HostState {
    async fn incoming_value_consume_sync(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        match self.table.get(&value)? {
            IncomingValue::Recorded(bytes) => Ok(Ok(bytes.to_vec())),
            IncomingValue::Content(range) if range.size() > LIST_BYTES_MAX => Ok(Err(format!(
                "the value has {} bytes; beyond {LIST_BYTES_MAX} it can only be read as a stream",
                range.size()
            ))),
            // The content never changes: trouble with its shard ends the attempt, and the next one reads the same.
            IncomingValue::Content(range) => Ok(Ok(range.clone().bytes().await?)),
        }
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> wasmtime::Result<Result<Resource<DynInputStream>, String>> {
        let stream: DynInputStream = match self.table.get(&value)? {
            IncomingValue::Recorded(bytes) => Box::new(MemoryInputPipe::new(bytes.clone())),
            IncomingValue::Content(range) => Box::new(ContentStream::new(range.clone())),
        };
        Ok(Ok(self.table.push(stream)?))
    }

    async fn size(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<u64> {
        Ok(match self.table.get(&value)? {
            IncomingValue::Recorded(bytes) => bytes.len() as u64,
            IncomingValue::Content(range) => range.size(),
        })
    }

    async fn drop(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}
