//! Calls on keys, as the interfaces of this package share them: each is recorded with what came of it.

use bytes::Bytes;
use kiln_proto::{
    Error,
    v1::{KeyChange, Value},
};

use crate::{
    host::{
        HostState,
        payload::{list_of, string, u64_value},
        recorded::{
            StorageBegun, boolean, bytes, bytes_of, elements, is_true, option, option_of, tuple, unit,
        },
        spool::Spool,
    },
    replay::Kind as CallKind,
};

/// A key with the value that it is to get.
pub(super) struct NewValue {
    pub(super) key: String,
    pub(super) spool: Spool,
    /// Nanoseconds since the Unix epoch; 0 for never.
    pub(super) expires_at_ns: u64,
}

impl HostState {
    pub(super) async fn get_value(
        &mut self,
        function: &'static str,
        bucket: String,
        key: String,
    ) -> wasmtime::Result<Result<Option<Bytes>, String>> {
        let request = tuple([string(&bucket), string(&key)]);
        let outcome = match self
            .begin_storage(function, CallKind::ReadRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let found = call.storage.get_keys(&call.application, &bucket, &[key]).await;
                let value = found.map(|values| option(values.into_iter().flatten().next().map(bytes)));
                self.end_storage(call, value).await?
            }
        };
        Ok(outcome.map(|value| option_of(value).map(bytes_of)))
    }

    pub(super) async fn has_value(
        &mut self,
        function: &'static str,
        bucket: String,
        key: String,
    ) -> wasmtime::Result<Result<bool, String>> {
        let request = tuple([string(&bucket), string(&key)]);
        let outcome = match self
            .begin_storage(function, CallKind::ReadRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let found = call.storage.get_keys(&call.application, &bucket, &[key]).await;
                let value = found.map(|values| boolean(values.iter().any(Option::is_some)));
                self.end_storage(call, value).await?
            }
        };
        Ok(outcome.map(|value| is_true(&value)))
    }

    pub(super) async fn get_values(
        &mut self,
        function: &'static str,
        bucket: String,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Bytes>>, String>> {
        let request = tuple([string(&bucket), list_of(keys.iter().map(|key| string(key)))]);
        let outcome = match self
            .begin_storage(function, CallKind::ReadRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let found = call.storage.get_keys(&call.application, &bucket, &keys).await;
                let value =
                    found.map(|values| list_of(values.into_iter().map(|value| option(value.map(bytes)))));
                self.end_storage(call, value).await?
            }
        };
        let values = |value| {
            elements(value)
                .into_iter()
                .map(|value| option_of(value).map(bytes_of))
        };
        Ok(outcome.map(|value| values(value).collect()))
    }

    /// Stores values. The request names their sizes and checksums; the bytes need no place in the oplog.
    pub(super) async fn set_values(
        &mut self,
        function: &'static str,
        bucket: String,
        values: Vec<NewValue>,
    ) -> wasmtime::Result<Result<(), String>> {
        let request = tuple([string(&bucket), list_of(values.iter().map(described))]);
        let outcome = match self
            .begin_storage(function, CallKind::WriteRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let written = match changes(values).await {
                    Ok(changes) => {
                        let writer = call.writer.clone();
                        call.storage
                            .write_keys(&call.application, &bucket, changes, writer)
                            .await
                    }
                    Err(error) => Err(error),
                };
                self.end_storage(call, written.map(|()| unit())).await?
            }
        };
        Ok(outcome.map(|_| ()))
    }

    pub(super) async fn delete_values(
        &mut self,
        function: &'static str,
        bucket: String,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), String>> {
        let request = tuple([string(&bucket), list_of(keys.iter().map(|key| string(key)))]);
        let outcome = match self
            .begin_storage(function, CallKind::WriteRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let change = |key| KeyChange {
                    key,
                    ..KeyChange::default()
                };
                let changes = keys.into_iter().map(change).collect();
                let writer = call.writer.clone();
                let written = call
                    .storage
                    .write_keys(&call.application, &bucket, changes, writer)
                    .await;
                self.end_storage(call, written.map(|()| unit())).await?
            }
        };
        Ok(outcome.map(|_| ()))
    }
}

fn described(value: &NewValue) -> Value {
    tuple([
        string(&value.key),
        u64_value(value.spool.size()),
        u64_value(value.spool.checksum().into()),
    ])
}

async fn changes(values: Vec<NewValue>) -> Result<Vec<KeyChange>, Error> {
    let mut changes = Vec::with_capacity(values.len());
    for value in values {
        changes.push(KeyChange {
            value: Some(value.spool.bytes().await?),
            key: value.key,
            expires_at_ns: value.expires_at_ns,
        });
    }
    Ok(changes)
}
