//! Calls on storage, and what the oplog keeps of them: a result whose error is a text.

use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::{
    Error, ErrorCode,
    v1::{OptionValue, ResultValue, StorageWriter, Value, ValueList, value::Kind},
};

use super::{
    HostState, Storage,
    durable::{Begun, Call},
};
use crate::replay::Kind as CallKind;

/// How a call on storage begins.
pub(super) enum StorageBegun {
    /// What came of it in an earlier life of the worker.
    Recorded(Result<Value, String>),
    /// It has to be made now.
    New(Box<StorageCall>),
}

/// A call on storage that is made now.
pub(super) struct StorageCall {
    call: Call,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) application: String,
    /// Who writes, and which write it is; none where the write is made anew in each life of the worker.
    pub(super) writer: Option<StorageWriter>,
}

impl StorageCall {
    /// The id of content that this call uploads: the same in every life of the worker, so that a repeated upload goes on
    /// where the first one stopped.
    pub(super) fn content_id(&self) -> Bytes {
        match &self.writer {
            Some(_) => Bytes::copy_from_slice(self.call.idempotency_key().as_bytes()),
            None => Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
        }
    }
}

impl HostState {
    /// Begins a call on storage.
    ///
    /// # Errors
    /// As [`HostState::begin`].
    pub(super) async fn begin_storage(
        &mut self,
        function: &'static str,
        kind: CallKind,
        request: Value,
    ) -> wasmtime::Result<StorageBegun> {
        let call = match self.begin(function, kind, request).await? {
            Begun::Recorded(response) => return Ok(StorageBegun::Recorded(outcome_of(response))),
            Begun::New(call) => call,
        };
        let writer = self.is_recorded().then(|| StorageWriter {
            writer: self.context.id.urn().into_bytes().into(),
            incarnation: self.journal.created_at_ns(),
            position: call.begin_index().0,
            ..StorageWriter::default()
        });
        Ok(StorageBegun::New(Box::new(StorageCall {
            call,
            storage: self.context.storage.clone(),
            application: self.context.application.clone(),
            writer,
        })))
    }

    /// Ends a call on storage. Trouble with a shard leaves the guest, as long as its retry policy has attempts left; any
    /// other error is the guest's.
    ///
    /// # Errors
    /// The end of this attempt, and as [`HostState::end`].
    pub(super) async fn end_storage(
        &mut self,
        call: Box<StorageCall>,
        outcome: Result<Value, Error>,
    ) -> wasmtime::Result<Result<Value, String>> {
        let outcome = match outcome {
            Ok(value) => Ok(value),
            Err(error) => {
                self.retry_after(&call.call, &trouble(&error))?;
                Err(error.message)
            }
        };
        let response = self.end(call.call, value_of_outcome(outcome)).await?;
        Ok(outcome_of(response))
    }
}

/// A deadline that has passed is as good as a shard that cannot be reached: trying again may help.
fn trouble(error: &Error) -> Error {
    match error.code {
        ErrorCode::DeadlineExceeded => Error::unavailable(error.message.clone()),
        _ => error.clone(),
    }
}

fn value_of_outcome(outcome: Result<Value, String>) -> Value {
    let (is_error, payload) = match outcome {
        Ok(value) => (false, value),
        Err(text) => (true, super::payload::string(&text)),
    };
    kind(Kind::Result(Box::new(ResultValue {
        is_error,
        payload: Some(Box::new(payload)),
    })))
}

fn outcome_of(response: Value) -> Result<Value, String> {
    match response.kind {
        Some(Kind::Result(result)) => {
            let payload = result.payload.map_or_else(Value::default, |payload| *payload);
            if result.is_error {
                Err(super::payload::text_of(payload).unwrap_or_default())
            } else {
                Ok(payload)
            }
        }
        _ => Err("the recorded result cannot be read".to_owned()),
    }
}

fn kind(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

/// No more than that it was done.
pub(super) fn unit() -> Value {
    tuple([])
}

pub(super) fn tuple(values: impl IntoIterator<Item = Value>) -> Value {
    kind(Kind::Tuple(ValueList {
        values: values.into_iter().collect(),
    }))
}

pub(super) fn elements(value: Value) -> Vec<Value> {
    match value.kind {
        Some(Kind::Tuple(list) | Kind::List(list)) => list.values,
        _ => Vec::new(),
    }
}

pub(super) fn bytes(bytes: Bytes) -> Value {
    kind(Kind::ByteList(bytes))
}

pub(super) fn bytes_of(value: Value) -> Bytes {
    match value.kind {
        Some(Kind::ByteList(bytes)) => bytes,
        _ => Bytes::new(),
    }
}

pub(super) fn boolean(is_true: bool) -> Value {
    kind(Kind::BoolValue(is_true))
}

pub(super) fn is_true(value: &Value) -> bool {
    matches!(value.kind, Some(Kind::BoolValue(true)))
}

pub(super) fn option(value: Option<Value>) -> Value {
    kind(Kind::Option(Box::new(OptionValue {
        value: value.map(Box::new),
    })))
}

pub(super) fn option_of(value: Value) -> Option<Value> {
    match value.kind {
        Some(Kind::Option(option)) => option.value.map(|value| *value),
        _ => None,
    }
}
