use wasmtime::component::Resource;

use super::{
    bindings::wasi::keyvalue::eventual::Host,
    calls::NewValue,
    error::Outcome,
    types::{Bucket, IncomingValue, OutgoingValue},
};
use crate::host::HostState;

impl Host for HostState {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Outcome<Option<Resource<IncomingValue>>>> {
        let bucket = self.bucket_name(&bucket)?;
        let found = self
            .get_value("golem keyvalue::eventual::get", bucket, key)
            .await?;
        match found {
            Ok(value) => Ok(Ok(value.map(|bytes| self.new_incoming(bytes)).transpose()?)),
            Err(text) => self.key_outcome(Err(text)),
        }
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Outcome<()>> {
        let bucket = self.bucket_name(&bucket)?;
        let spool = match self.written(&value)? {
            Ok(spool) => spool,
            Err(text) => return self.key_outcome(Err(text)),
        };
        let value = NewValue {
            key,
            spool,
            expires_at_ns: 0,
        };
        let stored = self
            .set_values("golem keyvalue::eventual::set", bucket, vec![value])
            .await?;
        self.key_outcome(stored)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Outcome<()>> {
        let bucket = self.bucket_name(&bucket)?;
        let deleted = self
            .delete_values("golem keyvalue::eventual::delete", bucket, vec![key])
            .await?;
        self.key_outcome(deleted)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Outcome<bool>> {
        let bucket = self.bucket_name(&bucket)?;
        let found = self
            .has_value("golem keyvalue::eventual::exists", bucket, key)
            .await?;
        self.key_outcome(found)
    }
}
