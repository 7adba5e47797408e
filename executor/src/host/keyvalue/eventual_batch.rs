use wasmtime::component::Resource;

use super::{
    bindings::wasi::keyvalue::eventual_batch::Host,
    calls::NewValue,
    error::Outcome,
    types::{Bucket, IncomingValue, OutgoingValue},
};
use crate::{
    host::{
        HostState,
        payload::{list_of, string, texts_of},
        recorded::{StorageBegun, elements},
    },
    replay::Kind as CallKind,
};

impl Host for HostState {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Outcome<Vec<Option<Resource<IncomingValue>>>>> {
        let bucket = self.bucket_name(&bucket)?;
        let found = self
            .get_values("golem keyvalue::eventual_batch::get_many", bucket, keys)
            .await?;
        let values = match found {
            Ok(values) => values,
            Err(text) => return self.key_outcome(Err(text)),
        };
        let mut incoming = Vec::with_capacity(values.len());
        for value in values {
            incoming.push(value.map(|bytes| self.new_incoming(bytes)).transpose()?);
        }
        Ok(Ok(incoming))
    }

    async fn keys(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<Outcome<Vec<String>>> {
        const NAME: &str = "golem keyvalue::eventual_batch::get_keys";
        let bucket = self.bucket_name(&bucket)?;
        let listed = match self
            .begin_storage(NAME, CallKind::ReadRemote, string(&bucket))
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let keys = call.storage.list_keys(&call.application, &bucket).await;
                let keys = keys.map(|keys| list_of(keys.iter().map(|key| string(key))));
                self.end_storage(call, keys).await?
            }
        };
        self.key_outcome(listed.map(|keys| texts_of(elements(keys))))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        key_values: Vec<(String, Resource<OutgoingValue>)>,
    ) -> wasmtime::Result<Outcome<()>> {
        let bucket = self.bucket_name(&bucket)?;
        let mut values = Vec::with_capacity(key_values.len());
        for (key, value) in key_values {
            let spool = match self.written(&value)? {
                Ok(spool) => spool,
                Err(text) => return self.key_outcome(Err(format!("{key}: {text}"))),
            };
            values.push(NewValue {
                key,
                spool,
                expires_at_ns: 0,
            });
        }
        let stored = self
            .set_values("golem keyvalue::eventual_batch::set_many", bucket, values)
            .await?;
        self.key_outcome(stored)
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Outcome<()>> {
        let bucket = self.bucket_name(&bucket)?;
        let deleted = self
            .delete_values("golem keyvalue::eventual_batch::delete_many", bucket, keys)
            .await?;
        self.key_outcome(deleted)
    }
}
