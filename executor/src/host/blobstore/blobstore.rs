use kiln_proto::v1::{CopyObject, change_blobs::Change};
use wasmtime::component::Resource;

use super::{
    bindings::wasi::blobstore::{blobstore::Host, types::ObjectId},
    container::Container,
};
use crate::{
    host::{
        HostState,
        payload::{string, u64_of, u64_value},
        recorded::{StorageBegun, boolean, is_true, tuple},
    },
    replay::Kind as CallKind,
};

impl Host for HostState {
    async fn create_container(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Container>, String>> {
        const NAME: &str = "golem blobstore::blobstore::create_container";
        let created = match self
            .begin_storage(NAME, CallKind::WriteRemote, string(&name))
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let (change, writer) = (Change::CreateContainer(name.clone()), call.writer.clone());
                let reply = call.storage.change_blobs(&call.application, change, writer).await;
                let created_at =
                    reply.map(|reply| u64_value(reply.container.map_or(0, |created| created.created_at_ns)));
                self.end_storage(call, created_at).await?
            }
        };
        self.opened(name, created.map(|at| u64_of(&at)))
    }

    async fn get_container(&mut self, name: String) -> wasmtime::Result<Result<Resource<Container>, String>> {
        const NAME: &str = "golem blobstore::blobstore::get_container";
        let found = match self
            .begin_storage(NAME, CallKind::ReadRemote, string(&name))
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let found = call.storage.container(&call.application, &name).await;
                let found = found.and_then(|found| {
                    found.ok_or_else(|| {
                        kiln_proto::Error::not_found(format!("container \"{name}\" does not exist"))
                    })
                });
                self.end_storage(call, found.map(|container| u64_value(container.created_at_ns)))
                    .await?
            }
        };
        self.opened(name, found.map(|at| u64_of(&at)))
    }

    async fn delete_container(&mut self, name: String) -> wasmtime::Result<Result<(), String>> {
        let function = "golem blobstore::blobstore::delete_container";
        self.change_blobs(function, string(&name), Change::DeleteContainer(name))
            .await
    }

    async fn container_exists(&mut self, name: String) -> wasmtime::Result<Result<bool, String>> {
        const NAME: &str = "golem blobstore::blobstore::container_exists";
        let found = match self
            .begin_storage(NAME, CallKind::ReadRemote, string(&name))
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let found = call.storage.container(&call.application, &name).await;
                self.end_storage(call, found.map(|found| boolean(found.is_some())))
                    .await?
            }
        };
        Ok(found.map(|found| is_true(&found)))
    }

    async fn copy_object(
        &mut self,
        source: ObjectId,
        target: ObjectId,
    ) -> wasmtime::Result<Result<(), String>> {
        self.copy("golem blobstore::blobstore::copy_object", source, target, false)
            .await
    }

    async fn move_object(
        &mut self,
        source: ObjectId,
        target: ObjectId,
    ) -> wasmtime::Result<Result<(), String>> {
        self.copy("golem blobstore::blobstore::move_object", source, target, true)
            .await
    }
}

impl HostState {
    fn opened(
        &mut self,
        name: String,
        created_at_ns: Result<u64, String>,
    ) -> wasmtime::Result<Result<Resource<Container>, String>> {
        match created_at_ns {
            Ok(created_at_ns) => Ok(Ok(self.table.push(Container { name, created_at_ns })?)),
            Err(text) => Ok(Err(text)),
        }
    }

    async fn copy(
        &mut self,
        function: &'static str,
        source: ObjectId,
        target: ObjectId,
        is_move: bool,
    ) -> wasmtime::Result<Result<(), String>> {
        let names = [
            &source.container,
            &source.object,
            &target.container,
            &target.object,
        ];
        let request = tuple(names.map(|name| string(name)));
        let copy = CopyObject {
            container: source.container,
            object: source.object,
            to_container: target.container,
            to_object: target.object,
            is_move,
        };
        self.change_blobs(function, request, Change::CopyObject(copy))
            .await
    }
}
