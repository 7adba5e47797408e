//! Calls about components.

use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::ComponentId,
    v1::{
        ComponentVersion, DeleteComponentRequest, GetComponentRequest, GetComponentResponse,
        ListComponentsRequest, UploadComponentRequest, UploadComponentResponse, UploadHeader,
        upload_component_request::Part,
    },
};
use tonic::{Request, Response, Status, transport::Channel};

use crate::{Client, worker::incomplete};

/// Bytes a message of an upload; the server accepts up to 1 MiB.
const CHUNK_BYTES: usize = 512 << 10;

/// A component to upload.
#[derive(Clone)]
pub struct Upload {
    /// Its name and settings.
    pub header: UploadHeader,
    /// The component's bytes.
    pub bytes: Bytes,
    /// The bytes of the files in the header, in their order.
    pub files: Vec<Bytes>,
    /// Told how many bytes have been handed to the network; starts again from 0 when the upload does.
    pub progress: Arc<dyn Fn(usize) + Send + Sync>,
}

impl Client {
    /// Uploads a component: a new one, or the next version of one. All attempts carry one request token, so that a
    /// lost answer does not make a second version.
    ///
    /// # Errors
    /// `INVALID` for bytes that are no component or import what the host does not offer; `ALREADY_EXISTS` and
    /// `NOT_FOUND` by name.
    pub async fn upload_component(&self, mut upload: Upload) -> Result<ComponentVersion, Error> {
        if upload.header.request_token.is_empty() {
            upload.header.request_token = uuid::Uuid::new_v4().to_string();
        }
        let deadline = self.options().upload_deadline.max(self.options().deadline);
        let response = self
            .call_within(deadline, upload, |channel, request| async move {
                self.send_upload(channel, request).await
            })
            .await?;
        self.note_component(response.component.as_ref());
        response.component.ok_or_else(|| incomplete("UploadComponent"))
    }

    async fn send_upload(
        &self,
        channel: Channel,
        request: Request<Upload>,
    ) -> Result<Response<UploadComponentResponse>, Status> {
        let (metadata, extensions, upload) = request.into_parts();
        let Upload {
            header,
            bytes,
            files,
            progress,
        } = upload;
        let header = UploadComponentRequest {
            part: Some(Part::Header(header)),
        };
        let chunk_count = bytes.len().div_ceil(CHUNK_BYTES);
        let chunks = (0..chunk_count).map(move |number| {
            let end = bytes.len().min((number + 1) * CHUNK_BYTES);
            progress(end);
            UploadComponentRequest {
                part: Some(Part::Chunk(bytes.slice(number * CHUNK_BYTES..end))),
            }
        });
        let file_chunks = files.into_iter().flat_map(|file| {
            let count = file.len().div_ceil(CHUNK_BYTES);
            (0..count).map(move |number| {
                let end = file.len().min((number + 1) * CHUNK_BYTES);
                UploadComponentRequest {
                    part: Some(Part::FileChunk(file.slice(number * CHUNK_BYTES..end))),
                }
            })
        });
        let messages = std::iter::once(header).chain(chunks).chain(file_chunks);
        let messages = futures::stream::iter(messages);
        self.components(channel)
            .upload_component(Request::from_parts(metadata, extensions, messages))
            .await
    }

    /// The latest version of each component, by name.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody answers.
    pub async fn list_components(&self) -> Result<Vec<ComponentVersion>, Error> {
        self.call(ListComponentsRequest {}, |channel, request| async move {
            self.components(channel).list_components(request).await
        })
        .await
        .map(|response| response.components)
    }

    /// One version of a component, the latest one if `None`, with its exports.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn get_component(
        &self,
        component: &str,
        version: Option<u64>,
    ) -> Result<GetComponentResponse, Error> {
        let request = GetComponentRequest {
            component: component.to_owned(),
            version,
        };
        let response = self
            .call(request, |channel, request| async move {
                self.components(channel).get_component(request).await
            })
            .await?;
        self.note_component(response.component.as_ref());
        Ok(response)
    }

    /// Removes a component that has no workers.
    ///
    /// # Errors
    /// `NOT_FOUND`; `CONFLICT` while it has workers.
    pub async fn delete_component(&self, component: &str) -> Result<(), Error> {
        let request = DeleteComponentRequest {
            component: component.to_owned(),
        };
        self.call(request, |channel, request| async move {
            self.components(channel).delete_component(request).await
        })
        .await
        .map(|_| ())
    }

    pub(crate) fn note_component(&self, component: Option<&ComponentVersion>) {
        if let Some(component) = component
            && let Ok(id) = ComponentId::from_slice(&component.component_id)
        {
            self.routes().learn_component(&component.name, id);
        }
    }
}
