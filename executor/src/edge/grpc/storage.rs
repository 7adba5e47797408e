use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use kiln_proto::{
    Error,
    v1::{
        self, BlobObject, StorageWriter, change_blobs::Change, combine_key::Combination,
        combine_key_request::Combination as Requested, get_object_response::Part as Sent,
        put_object_request::Part, storage_service_server::StorageService,
    },
};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    edge::Api,
    host::{ObjectName, Storage as _},
    storage::Storage as Cluster,
};

/// An upload that stands still for this long is given up.
const PIECE_PATIENCE: Duration = Duration::from_secs(60);

/// `kiln.v1.StorageService`.
pub(super) struct Storage(pub(super) Arc<Api>);

impl Storage {
    fn cluster(&self) -> &Cluster {
        &self.0.storage
    }
}

/// The writer of one request: none of its repetitions is applied again.
fn writer(idempotency_key: &str) -> StorageWriter {
    let name = match idempotency_key {
        "" => uuid::Uuid::new_v4().to_string(),
        key => key.to_owned(),
    };
    StorageWriter {
        writer: name.into_bytes().into(),
        position: 1,
        is_transient: true,
        ..StorageWriter::default()
    }
}

fn application(name: &str) -> &str {
    if name.is_empty() { "default" } else { name }
}

#[tonic::async_trait]
impl StorageService for Storage {
    async fn get_keys(
        &self,
        request: Request<v1::GetKeysRequest>,
    ) -> Result<Response<v1::GetKeysResponse>, Status> {
        let request = request.into_inner();
        let application = application(&request.application);
        let values = self
            .cluster()
            .get_keys(application, &request.bucket, &request.keys)
            .await?;
        let keys = values.into_iter().map(|value| v1::FoundKey { value }).collect();
        Ok(Response::new(v1::GetKeysResponse { keys }))
    }

    async fn change_keys(
        &self,
        request: Request<v1::ChangeKeysRequest>,
    ) -> Result<Response<v1::ChangeKeysResponse>, Status> {
        let request = request.into_inner();
        let writer = writer(&request.idempotency_key);
        self.cluster()
            .write_keys(
                application(&request.application),
                &request.bucket,
                request.changes,
                Some(writer),
            )
            .await?;
        Ok(Response::new(v1::ChangeKeysResponse {}))
    }

    async fn combine_key(
        &self,
        request: Request<v1::CombineKeyRequest>,
    ) -> Result<Response<v1::CombineKeyResponse>, Status> {
        let request = request.into_inner();
        let writer = writer(&request.idempotency_key);
        let combination = match request.combination {
            Some(Requested::Increment(delta)) => Combination::Increment(delta),
            Some(Requested::CompareAndSwap(swap)) => Combination::CompareAndSwap(swap),
            None => return Err(Error::invalid("the request names no combination").into()),
        };
        let application = application(&request.application);
        let reply = self
            .cluster()
            .combine_key(
                application,
                &request.bucket,
                &request.key,
                combination,
                Some(writer),
            )
            .await?;
        Ok(Response::new(v1::CombineKeyResponse {
            number: reply.number,
            swapped: reply.swapped,
        }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let request = request.into_inner();
        Ok(Response::new(self.cluster().list_page(request).await?))
    }

    async fn list_buckets(
        &self,
        request: Request<v1::ListBucketsRequest>,
    ) -> Result<Response<v1::ListBucketsResponse>, Status> {
        let request = request.into_inner();
        let buckets = self
            .cluster()
            .list_buckets(application(&request.application))
            .await?;
        Ok(Response::new(v1::ListBucketsResponse { buckets }))
    }

    async fn list_containers(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Result<Response<v1::ListContainersResponse>, Status> {
        let request = request.into_inner();
        let containers = self
            .cluster()
            .list_containers(application(&request.application), request.after, request.limit)
            .await?;
        Ok(Response::new(v1::ListContainersResponse { containers }))
    }

    async fn list_objects(
        &self,
        request: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        let request = request.into_inner();
        let (application, after) = (application(&request.application), request.after.as_deref());
        let objects = self
            .cluster()
            .list_objects(application, &request.container, after, request.limit)
            .await?;
        Ok(Response::new(v1::ListObjectsResponse { objects }))
    }

    async fn put_object(
        &self,
        request: Request<Streaming<v1::PutObjectRequest>>,
    ) -> Result<Response<v1::PutObjectResponse>, Status> {
        let mut parts = request.into_inner();
        let Some(Part::Header(header)) = next(&mut parts).await? else {
            return Err(Error::invalid("an upload begins with its header").into());
        };
        let application = application(&header.application);
        if header.create_container {
            let create = Change::CreateContainer(header.container.clone());
            self.cluster().change_blobs(application, create, None).await?;
        }
        let writer = writer(&header.idempotency_key);
        let target = ObjectName {
            application,
            container: &header.container,
            object: &header.object,
        };
        // The same for all attempts of a client, which sends the same bytes under one key.
        let content_id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &writer.writer);
        let content_id = Bytes::copy_from_slice(content_id.as_bytes());
        let mut size = 0;
        let content = pieces(&mut parts).inspect(|piece| {
            size += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        });
        self.cluster()
            .put_object(target, content_id, content.boxed(), Some(writer))
            .await?;
        Ok(Response::new(v1::PutObjectResponse { size }))
    }

    type GetObjectStream = Pin<Box<dyn Stream<Item = Result<v1::GetObjectResponse, Status>> + Send>>;

    async fn get_object(
        &self,
        request: Request<v1::GetObjectRequest>,
    ) -> Result<Response<Self::GetObjectStream>, Status> {
        let request = request.into_inner();
        let application = application(&request.application);
        let object = self
            .cluster()
            .object(application, &request.container, &request.object)
            .await?;
        let object = object.ok_or_else(|| {
            let (container, object) = (&request.container, &request.object);
            Error::not_found(format!("object \"{object}\" does not exist in \"{container}\""))
        })?;
        if !request.content_id.is_empty() && request.content_id != object.content_id {
            return Err(Error::conflict("the object has been replaced since the download began").into());
        }
        Ok(Response::new(download(self.cluster().clone(), object, &request)))
    }

    async fn delete_objects(
        &self,
        request: Request<v1::DeleteObjectsRequest>,
    ) -> Result<Response<v1::DeleteObjectsResponse>, Status> {
        let request = request.into_inner();
        let delete = Change::DeleteObjects(v1::DeleteObjects {
            container: request.container,
            objects: request.objects,
        });
        let writer = writer(&request.idempotency_key);
        let reply = self
            .cluster()
            .change_blobs(application(&request.application), delete, Some(writer))
            .await?;
        Ok(Response::new(v1::DeleteObjectsResponse {
            deleted: reply.number,
        }))
    }

    async fn copy_object(
        &self,
        request: Request<v1::CopyObjectRequest>,
    ) -> Result<Response<v1::CopyObjectResponse>, Status> {
        let request = request.into_inner();
        let copy = request
            .copy
            .ok_or_else(|| Error::invalid("the request names no object"))?;
        let writer = writer(&request.idempotency_key);
        self.cluster()
            .change_blobs(
                application(&request.application),
                Change::CopyObject(copy),
                Some(writer),
            )
            .await?;
        Ok(Response::new(v1::CopyObjectResponse {}))
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Result<Response<v1::CreateContainerResponse>, Status> {
        let request = request.into_inner();
        let create = Change::CreateContainer(request.container);
        let reply = self
            .cluster()
            .change_blobs(application(&request.application), create, None)
            .await?;
        Ok(Response::new(v1::CreateContainerResponse {
            container: reply.container,
        }))
    }

    async fn delete_container(
        &self,
        request: Request<v1::DeleteContainerRequest>,
    ) -> Result<Response<v1::DeleteContainerResponse>, Status> {
        let request = request.into_inner();
        let delete = Change::DeleteContainer(request.container);
        let writer = writer(&request.idempotency_key);
        self.cluster()
            .change_blobs(application(&request.application), delete, Some(writer))
            .await?;
        Ok(Response::new(v1::DeleteContainerResponse {}))
    }
}

async fn next(parts: &mut Streaming<v1::PutObjectRequest>) -> Result<Option<Part>, Error> {
    let message = tokio::time::timeout(PIECE_PATIENCE, parts.message()).await;
    let message = message.map_err(|_| Error::deadline_exceeded("the upload stands still"))??;
    message
        .map(|message| {
            message
                .part
                .ok_or_else(|| Error::invalid("an upload's message is empty"))
        })
        .transpose()
}

fn pieces(parts: &mut Streaming<v1::PutObjectRequest>) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    futures::stream::try_unfold(parts, |parts| async move {
        match next(parts).await? {
            Some(Part::Data(data)) => Ok(Some((data, parts))),
            Some(Part::Header(_)) => Err(Error::invalid("an upload has one header")),
            None => Ok(None),
        }
    })
}

/// The object, then its bytes chunk by chunk, as fast as the client takes them.
fn download(
    cluster: Cluster,
    object: BlobObject,
    request: &v1::GetObjectRequest,
) -> <Storage as StorageService>::GetObjectStream {
    let end = request
        .length
        .map_or(object.size, |length| request.offset.saturating_add(length))
        .min(object.size);
    let range = crate::host::ContentRange::new(
        Arc::new(cluster),
        object.content_id.clone(),
        request.offset.min(end),
        end,
    );
    let first = v1::GetObjectResponse {
        part: Some(Sent::Object(object)),
    };
    let rest = futures::stream::try_unfold(range, |mut range| async move {
        let data = range.next().await?;
        if data.is_empty() {
            return Ok::<_, Status>(None);
        }
        let message = v1::GetObjectResponse {
            part: Some(Sent::Data(data)),
        };
        Ok(Some((message, range)))
    });
    futures::stream::iter([Ok(first)]).chain(rest).boxed()
}
