use async_trait::async_trait;
use bytes::Bytes;
use kiln_proto::{
    Error,
    convert::now_ns,
    hash::shard_of_directory,
    v1::{
        self, change_blobs::Change, combine_key::Combination, read_storage_request::Read,
        shard_operation::Operation,
    },
};

use super::{Storage, check};
use crate::host::{self, Content, ObjectName, StorageLimits};

#[async_trait]
impl host::Storage for Storage {
    async fn get_keys(
        &self,
        application: &str,
        bucket: &str,
        keys: &[String],
    ) -> Result<Vec<Option<Bytes>>, Error> {
        self.get(application, bucket, keys).await
    }

    async fn list_keys(&self, application: &str, bucket: &str) -> Result<Vec<String>, Error> {
        self.all_keys(application, bucket).await
    }

    async fn write_keys(
        &self,
        application: &str,
        bucket: &str,
        changes: Vec<v1::KeyChange>,
        writer: Option<v1::StorageWriter>,
    ) -> Result<(), Error> {
        self.write_changes(application, bucket, changes, writer).await
    }

    async fn combine_key(
        &self,
        application: &str,
        bucket: &str,
        key: &str,
        combination: Combination,
        writer: Option<v1::StorageWriter>,
    ) -> Result<v1::StorageReply, Error> {
        self.combine(application, bucket, key, combination, writer).await
    }

    async fn change_blobs(
        &self,
        application: &str,
        change: Change,
        writer: Option<v1::StorageWriter>,
    ) -> Result<v1::StorageReply, Error> {
        self.check_names(&change)?;
        self.change_directory(application, change, writer).await
    }

    async fn container(
        &self,
        application: &str,
        container: &str,
    ) -> Result<Option<v1::BlobContainer>, Error> {
        check::name(&self.limits, "container", container)?;
        let read = v1::ObjectsRead {
            container: container.to_owned(),
            ..v1::ObjectsRead::default()
        };
        Ok(self
            .read_directory(application, Read::Objects(read))
            .await?
            .container)
    }

    async fn object(
        &self,
        application: &str,
        container: &str,
        object: &str,
    ) -> Result<Option<v1::BlobObject>, Error> {
        check::name(&self.limits, "object", object)?;
        let read = v1::ObjectsRead {
            container: container.to_owned(),
            objects: vec![object.to_owned()],
        };
        let found = self.read_directory(application, Read::Objects(read)).await?;
        found.container.ok_or_else(|| no_container(container))?;
        Ok(found.objects.into_iter().find_map(|named| named.object))
    }

    async fn list_objects(
        &self,
        application: &str,
        container: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<v1::NamedObject>, Error> {
        let read = v1::ObjectPageRead {
            container: container.to_owned(),
            after: after.map(str::to_owned),
            limit,
        };
        let found = self.read_directory(application, Read::ObjectPage(read)).await?;
        found.container.ok_or_else(|| no_container(container))?;
        Ok(found.objects)
    }

    async fn put_object(
        &self,
        target: ObjectName<'_>,
        content_id: Bytes,
        content: Content<'_>,
        writer: Option<v1::StorageWriter>,
    ) -> Result<(), Error> {
        check::name(&self.limits, "object", target.object)?;
        self.upload(target, content_id, content, writer).await
    }

    async fn chunk(&self, content_id: &Bytes, chunk: u32, from: u32, to: u32) -> Result<Bytes, Error> {
        self.chunks_of(content_id)?
            .part(content_id, chunk, from, to)
            .await
    }

    fn limits(&self) -> &StorageLimits {
        &self.limits
    }
}

impl Storage {
    pub(super) async fn change_directory(
        &self,
        application: &str,
        change: Change,
        writer: Option<v1::StorageWriter>,
    ) -> Result<v1::StorageReply, Error> {
        let now_ns = now_ns();
        let delay = match change {
            Change::AnnounceContent(_) => self.limits.upload_patience,
            _ => self.limits.garbage_delay,
        };
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let change = v1::ChangeBlobs {
            writer,
            application: application.to_owned(),
            at_ns: now_ns,
            garbage_due_ns: now_ns.saturating_add(delay_ns),
            objects_max: self.limits.objects_per_application,
            bytes_max: self.limits.object_bytes_per_application,
            change: Some(change),
        };
        let shard = shard_of_directory(application, self.shard_count()?);
        self.write(shard, Operation::ChangeBlobs(change)).await
    }

    pub(super) async fn read_directory(
        &self,
        application: &str,
        read: Read,
    ) -> Result<v1::ReadStorageResponse, Error> {
        let shard = shard_of_directory(application, self.shard_count()?);
        self.read(shard, application, read).await
    }

    /// A page of an application's containers, by name.
    pub(crate) async fn list_containers(
        &self,
        application: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<v1::NamedContainer>, Error> {
        let read = Read::ContainerPage(v1::PageRead { after, limit });
        Ok(self.read_directory(application, read).await?.containers)
    }

    /// Names that a change would bring into being.
    fn check_names(&self, change: &Change) -> Result<(), Error> {
        match change {
            Change::CreateContainer(name) => check::name(&self.limits, "container", name),
            Change::CopyObject(copy) => check::name(&self.limits, "object", &copy.to_object),
            _ => Ok(()),
        }
    }
}

fn no_container(container: &str) -> Error {
    Error::not_found(format!("container \"{container}\" does not exist"))
}
