//! Calls about keys and blobs.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use kiln_proto::{
    Error,
    v1::{
        self, get_object_response::Part as Received, put_object_request::Part,
        storage_service_client::StorageServiceClient,
    },
};
use tonic::{Request, Response, Status, transport::Channel};

use crate::{Client, worker::incomplete};

/// Bytes of an object from its beginning, as often as an attempt begins anew.
pub type Source = Arc<dyn Fn() -> BoxStream<'static, Bytes> + Send + Sync>;

/// An object to store.
#[derive(Clone)]
pub struct NewObject {
    /// Where it belongs.
    pub header: v1::PutObjectHeader,
    /// Its bytes, in pieces of at most 1 MiB.
    pub source: Source,
}

/// An object that is being read.
pub struct Download {
    /// What is read.
    pub object: v1::BlobObject,
    /// Its bytes.
    pub pieces: BoxStream<'static, Result<Bytes, Error>>,
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $rpc:ident($request:ident) -> $response:ident,)*) => {
        impl Client {
            $($(#[$doc])*
            ///
            /// # Errors
            /// What the cluster says; `UNAVAILABLE` when nobody answers.
            pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, Error> {
                self.call(request, |channel, request| async move {
                    self.storage(channel).$rpc(request).await
                })
                .await
            })*
        }
    };
}

calls! {
    /// Values of keys.
    get_keys: get_keys(GetKeysRequest) -> GetKeysResponse,
    /// A page of a bucket's keys.
    list_keys: list_keys(ListKeysRequest) -> ListKeysResponse,
    /// The buckets of an application.
    list_buckets: list_buckets(ListBucketsRequest) -> ListBucketsResponse,
    /// A page of an application's containers.
    list_containers: list_containers(ListContainersRequest) -> ListContainersResponse,
    /// A page of a container's objects.
    list_objects: list_objects(ListObjectsRequest) -> ListObjectsResponse,
    /// Creates a container, or finds the one that exists.
    create_container: create_container(CreateContainerRequest) -> CreateContainerResponse,
}

macro_rules! keyed_calls {
    ($($(#[$doc:meta])* $name:ident: $request:ident -> $response:ident,)*) => {
        impl Client {
            $($(#[$doc])*
            /// All attempts carry one key.
            ///
            /// # Errors
            /// What the cluster says; `UNAVAILABLE` when nobody answers.
            pub async fn $name(&self, mut request: v1::$request) -> Result<v1::$response, Error> {
                if request.idempotency_key.is_empty() {
                    request.idempotency_key = uuid::Uuid::new_v4().to_string();
                }
                self.call(request, |channel, request| async move {
                    self.storage(channel).$name(request).await
                })
                .await
            })*
        }
    };
}

keyed_calls! {
    /// Sets and deletes keys.
    change_keys: ChangeKeysRequest -> ChangeKeysResponse,
    /// Adds to a number, or swaps it.
    combine_key: CombineKeyRequest -> CombineKeyResponse,
    /// Deletes objects.
    delete_objects: DeleteObjectsRequest -> DeleteObjectsResponse,
    /// Copies or moves an object.
    copy_object: CopyObjectRequest -> CopyObjectResponse,
    /// Deletes a container with all its objects.
    delete_container: DeleteContainerRequest -> DeleteContainerResponse,
}

impl Client {
    /// Stores an object. A broken attempt begins anew, under the same key, as long as there is time.
    ///
    /// # Errors
    /// What the cluster says; `UNAVAILABLE` when nobody answers.
    pub async fn put_object(&self, mut new: NewObject) -> Result<v1::PutObjectResponse, Error> {
        if new.header.idempotency_key.is_empty() {
            new.header.idempotency_key = uuid::Uuid::new_v4().to_string();
        }
        let deadline = self.options().upload_deadline.max(self.options().deadline);
        self.call_within(deadline, new, |channel, request| async move {
            self.send_object(channel, request).await
        })
        .await
    }

    async fn send_object(
        &self,
        channel: Channel,
        request: Request<NewObject>,
    ) -> Result<Response<v1::PutObjectResponse>, Status> {
        let (metadata, extensions, new) = request.into_parts();
        let header = v1::PutObjectRequest {
            part: Some(Part::Header(new.header)),
        };
        let data = (new.source)().map(|piece| v1::PutObjectRequest {
            part: Some(Part::Data(piece)),
        });
        let messages = futures::stream::iter([header]).chain(data);
        self.storage(channel)
            .put_object(Request::from_parts(metadata, extensions, messages))
            .await
    }

    /// Begins to read an object, or a range of one. A download that breaks off can be taken up with the offset that it
    /// reached and the content that it is of.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `CONFLICT` when the object has another content by now.
    pub async fn get_object(&self, request: v1::GetObjectRequest) -> Result<Download, Error> {
        let deadline = self.options().upload_deadline.max(self.options().deadline);
        let mut parts = self
            .call_within(deadline, request, |channel, request| async move {
                self.storage(channel).get_object(request).await
            })
            .await?;
        let first = parts.message().await?.and_then(|message| message.part);
        let Some(Received::Object(object)) = first else {
            return Err(incomplete("GetObject"));
        };
        let pieces = parts.map(|message| match message?.part {
            Some(Received::Data(data)) => Ok(data),
            _ => Err(incomplete("GetObject")),
        });
        Ok(Download {
            object,
            pieces: pieces.boxed(),
        })
    }

    fn storage(&self, channel: Channel) -> StorageServiceClient<Channel> {
        let size_max = self.options().message_size_max;
        StorageServiceClient::new(channel)
            .max_decoding_message_size(size_max)
            .max_encoding_message_size(size_max)
    }
}
