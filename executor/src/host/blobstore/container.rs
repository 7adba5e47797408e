use bytes::Bytes;
use kiln_proto::{
    Error,
    v1::{BlobObject, DeleteObjects, PinObject, Value, change_blobs::Change},
};
use wasmtime::component::Resource;

use super::{
    bindings::wasi::blobstore::{
        container::{Host, HostContainer},
        types::{ContainerMetadata, ObjectMetadata},
    },
    names::ObjectNames,
    types::{IncomingValue, OutgoingValue},
};
use crate::{
    host::{
        HostState, ObjectName,
        content_stream::ContentRange,
        payload::{list_of, string, u64_of, u64_value},
        recorded::{StorageBegun, StorageCall, boolean, bytes, bytes_of, elements, is_true, tuple, unit},
    },
    replay::Kind as CallKind,
};

const NS_PER_MS: u64 = 1_000_000;

/// A container that the guest has opened.
pub struct Container {
    pub(super) name: String,
    pub(super) created_at_ns: u64,
}

impl Host for HostState {}

impl HostContainer for HostState {
    async fn name(&mut self, container: Resource<Container>) -> wasmtime::Result<Result<String, String>> {
        Ok(Ok(self.table.get(&container)?.name.clone()))
    }

    async fn info(
        &mut self,
        container: Resource<Container>,
    ) -> wasmtime::Result<Result<ContainerMetadata, String>> {
        let container = self.table.get(&container)?;
        Ok(Ok(ContainerMetadata {
            name: container.name.clone(),
            created_at: container.created_at_ns / NS_PER_MS,
        }))
    }

    async fn get_data(
        &mut self,
        container: Resource<Container>,
        name: String,
        start: u64,
        end: u64,
    ) -> wasmtime::Result<Result<Resource<IncomingValue>, String>> {
        let container = self.container_name(&container)?;
        let request = tuple([
            string(&container),
            string(&name),
            u64_value(start),
            u64_value(end),
        ]);
        let outcome = match self
            .begin_storage(
                "golem blobstore::container::get_data",
                CallKind::ReadRemote,
                request,
            )
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let reader = self.context.id.urn();
                let opened = open(&call, &container, &name, (start, end), reader).await;
                self.end_storage(call, opened).await?
            }
        };
        match outcome {
            Ok(value) => {
                let incoming = self.incoming(value);
                Ok(Ok(self.table.push(incoming)?))
            }
            Err(text) => Ok(Err(text)),
        }
    }

    async fn write_data(
        &mut self,
        container: Resource<Container>,
        name: String,
        data: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Result<(), String>> {
        let container = self.container_name(&container)?;
        let spool = self.table.get(&data)?.spool.clone();
        if let Some(failure) = spool.failure() {
            return Ok(Err(failure));
        }
        let request = tuple([
            string(&container),
            string(&name),
            u64_value(spool.size()),
            u64_value(spool.checksum().into()),
        ]);
        let outcome = match self
            .begin_storage(
                "golem blobstore::container::write_data",
                CallKind::WriteRemote,
                request,
            )
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let target = ObjectName {
                    application: &call.application,
                    container: &container,
                    object: &name,
                };
                let (content_id, writer) = (call.content_id(), call.writer.clone());
                let stored = call
                    .storage
                    .put_object(target, content_id, spool.content(), writer)
                    .await;
                self.end_storage(call, stored.map(|()| unit())).await?
            }
        };
        Ok(outcome.map(|_| ()))
    }

    async fn list_objects(
        &mut self,
        container: Resource<Container>,
    ) -> wasmtime::Result<Result<Resource<ObjectNames>, String>> {
        let container = self.container_name(&container)?;
        Ok(Ok(self.table.push(ObjectNames::of(container))?))
    }

    async fn delete_object(
        &mut self,
        container: Resource<Container>,
        name: String,
    ) -> wasmtime::Result<Result<(), String>> {
        let container = self.container_name(&container)?;
        let request = tuple([string(&container), string(&name)]);
        let delete = DeleteObjects {
            container,
            objects: vec![name],
        };
        let function = "golem blobstore::container::delete_object";
        self.change_blobs(function, request, Change::DeleteObjects(delete))
            .await
    }

    async fn delete_objects(
        &mut self,
        container: Resource<Container>,
        names: Vec<String>,
    ) -> wasmtime::Result<Result<(), String>> {
        let container = self.container_name(&container)?;
        let request = tuple([string(&container), list_of(names.iter().map(|name| string(name)))]);
        let delete = DeleteObjects {
            container,
            objects: names,
        };
        let function = "golem blobstore::container::delete_objects";
        self.change_blobs(function, request, Change::DeleteObjects(delete))
            .await
    }

    async fn has_object(
        &mut self,
        container: Resource<Container>,
        name: String,
    ) -> wasmtime::Result<Result<bool, String>> {
        let container = self.container_name(&container)?;
        let request = tuple([string(&container), string(&name)]);
        let function = "golem blobstore::container::has_object";
        let outcome = match self
            .begin_storage(function, CallKind::ReadRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let found = call.storage.object(&call.application, &container, &name).await;
                self.end_storage(call, found.map(|found| boolean(found.is_some())))
                    .await?
            }
        };
        Ok(outcome.map(|found| is_true(&found)))
    }

    async fn object_info(
        &mut self,
        container: Resource<Container>,
        name: String,
    ) -> wasmtime::Result<Result<ObjectMetadata, String>> {
        let container = self.container_name(&container)?;
        let request = tuple([string(&container), string(&name)]);
        let function = "golem blobstore::container::object_info";
        let outcome = match self
            .begin_storage(function, CallKind::ReadRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let object = find(&call, &container, &name).await;
                let object =
                    object.map(|object| tuple([u64_value(object.created_at_ns), u64_value(object.size)]));
                self.end_storage(call, object).await?
            }
        };
        Ok(outcome.map(|found| {
            let numbers: Vec<u64> = elements(found).iter().map(u64_of).collect();
            let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
            ObjectMetadata {
                name,
                container,
                created_at: number(0) / NS_PER_MS,
                size: number(1),
            }
        }))
    }

    async fn clear(&mut self, container: Resource<Container>) -> wasmtime::Result<Result<(), String>> {
        let container = self.container_name(&container)?;
        let request = string(&container);
        let function = "golem blobstore::container::clear";
        self.change_blobs(function, request, Change::ClearContainer(container))
            .await
    }

    async fn drop(&mut self, container: Resource<Container>) -> wasmtime::Result<()> {
        self.table.delete(container)?;
        Ok(())
    }
}

impl HostState {
    fn container_name(&self, container: &Resource<Container>) -> wasmtime::Result<String> {
        Ok(self.table.get(container)?.name.clone())
    }

    /// Changes the application's directory, and records that it was done.
    pub(super) async fn change_blobs(
        &mut self,
        function: &'static str,
        request: Value,
        change: Change,
    ) -> wasmtime::Result<Result<(), String>> {
        let outcome = match self
            .begin_storage(function, CallKind::WriteRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let writer = call.writer.clone();
                let changed = call.storage.change_blobs(&call.application, change, writer).await;
                self.end_storage(call, changed.map(|_| unit())).await?
            }
        };
        Ok(outcome.map(|_| ()))
    }

    /// What was recorded of a value that was opened.
    fn incoming(&self, value: Value) -> IncomingValue {
        let mut fields = elements(value).into_iter();
        let content = fields.next().map(bytes_of).unwrap_or_default();
        let (Some(from), Some(to)) = (fields.next(), fields.next()) else {
            return IncomingValue::Recorded(content);
        };
        IncomingValue::Content(ContentRange {
            storage: self.context.storage.clone(),
            content_id: content,
            from: u64_of(&from),
            to: u64_of(&to),
        })
    }
}

/// Opens a range of an object, as it is to be recorded: its bytes when they are few; else the content, which is pinned for
/// the worker first, since its oplog is going to name it.
async fn open(
    call: &StorageCall,
    container: &str,
    name: &str,
    range: (u64, u64),
    reader: String,
) -> Result<Value, Error> {
    let object = find(call, container, name).await?;
    let opened = clamp(call, &object, range);
    if opened.size() <= call.storage.limits().recorded_bytes_max as u64 {
        return Ok(tuple([bytes(Bytes::from(opened.bytes().await?))]));
    }
    let pin = PinObject {
        container: container.to_owned(),
        object: name.to_owned(),
        reader: reader.into_bytes().into(),
    };
    let pinned = call
        .storage
        .change_blobs(&call.application, Change::PinObject(pin), None)
        .await?;
    // It may be another content by now.
    let object = pinned.object.unwrap_or(object);
    let opened = clamp(call, &object, range);
    Ok(tuple([
        bytes(opened.content_id),
        u64_value(opened.from),
        u64_value(opened.to),
    ]))
}

async fn find(call: &StorageCall, container: &str, name: &str) -> Result<BlobObject, Error> {
    let found = call.storage.object(&call.application, container, name).await?;
    found.ok_or_else(|| Error::not_found(format!("object \"{name}\" does not exist in \"{container}\"")))
}

/// The bytes from the first to the last, both included, as far as the object has them.
fn clamp(call: &StorageCall, object: &BlobObject, (first, last): (u64, u64)) -> ContentRange {
    let to = last.saturating_add(1).min(object.size);
    ContentRange {
        storage: call.storage.clone(),
        content_id: object.content_id.clone(),
        from: first.min(to),
        to,
    }
}
