use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, pipe::MemoryInputPipe};

use super::{
    bindings::wasi::keyvalue::types::{Host, HostBucket, HostIncomingValue, HostOutgoingValue},
    cache::Fill,
    error::Outcome,
};
use crate::host::{
    HostState,
    spool::{Spool, SpoolStream},
};

/// A bucket that the guest has opened.
pub struct Bucket {
    pub(super) name: String,
}

/// A value on its way into a bucket.
pub struct OutgoingValue {
    pub(super) spool: Spool,
    /// A body is written once.
    is_taken: bool,
    /// The vacancy of the cache that it fills.
    pub(super) fill: Option<Fill>,
}

/// A value as it was when it was read.
pub struct IncomingValue {
    pub(super) bytes: Bytes,
}

const TAKEN: &str = "the body of the value has been written already";

impl Host for HostState {}

impl HostBucket for HostState {
    /// Always succeeds, but for a name that cannot be one.
    async fn open_bucket(&mut self, name: String) -> wasmtime::Result<Outcome<Resource<Bucket>>> {
        let checked = crate::storage::check_name(self.context.storage.limits(), "bucket", &name);
        match checked {
            Ok(()) => Ok(Ok(self.table.push(Bucket { name })?)),
            Err(error) => self.key_outcome(Err(error.message)),
        }
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl HostOutgoingValue for HostState {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<OutgoingValue>> {
        self.new_outgoing(None)
    }

    async fn outgoing_value_write_body_async(
        &mut self,
        value: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Outcome<Resource<DynOutputStream>>> {
        let value = self.table.get_mut(&value)?;
        if std::mem::replace(&mut value.is_taken, true) {
            return self.key_outcome(Err(TAKEN.to_owned()));
        }
        let stream: DynOutputStream = Box::new(SpoolStream(value.spool.clone()));
        Ok(Ok(self.table.push(stream)?))
    }

    async fn outgoing_value_write_body_sync(
        &mut self,
        value: Resource<OutgoingValue>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Outcome<()>> {
        let value = self.table.get_mut(&value)?;
        if std::mem::replace(&mut value.is_taken, true) {
            return self.key_outcome(Err(TAKEN.to_owned()));
        }
        let written = value.spool.write(&bytes);
        self.key_outcome(written)
    }

    /// The value of a vacancy is stored now, since it is complete.
    async fn drop(&mut self, value: Resource<OutgoingValue>) -> wasmtime::Result<()> {
        let value = self.table.delete(value)?;
        if let Some(fill) = value.fill
            && value.is_taken
        {
            // A drop has no result: a value that could not be stored is missing from the cache, as if it had expired.
            let _ = self.fill_vacancy(fill, &value.spool).await?;
        }
        Ok(())
    }
}

impl HostIncomingValue for HostState {
    async fn incoming_value_consume_sync(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> wasmtime::Result<Outcome<Vec<u8>>> {
        Ok(Ok(self.table.get(&value)?.bytes.to_vec()))
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> wasmtime::Result<Outcome<Resource<DynInputStream>>> {
        let bytes = self.table.get(&value)?.bytes.clone();
        let stream: DynInputStream = Box::new(MemoryInputPipe::new(bytes));
        Ok(Ok(self.table.push(stream)?))
    }

    async fn incoming_value_size(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> wasmtime::Result<Outcome<u64>> {
        Ok(Ok(self.table.get(&value)?.bytes.len() as u64))
    }

    async fn drop(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

impl HostState {
    pub(super) fn new_outgoing(&mut self, fill: Option<Fill>) -> wasmtime::Result<Resource<OutgoingValue>> {
        let bytes_max = self.context.storage.limits().value_bytes_max as u64;
        let value = OutgoingValue {
            spool: Spool::new(self.scratch.clone(), bytes_max),
            is_taken: false,
            fill,
        };
        Ok(self.table.push(value)?)
    }

    pub(super) fn new_incoming(&mut self, bytes: Bytes) -> wasmtime::Result<Resource<IncomingValue>> {
        Ok(self.table.push(IncomingValue { bytes })?)
    }

    pub(super) fn bucket_name(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<String> {
        Ok(self.table.get(bucket)?.name.clone())
    }

    /// What has been written to a value, or why that failed.
    pub(super) fn written(&self, value: &Resource<OutgoingValue>) -> wasmtime::Result<Result<Spool, String>> {
        let spool = &self.table.get(value)?.spool;
        Ok(match spool.failure() {
            Some(failure) => Err(failure),
            None => Ok(spool.clone()),
        })
    }
}
