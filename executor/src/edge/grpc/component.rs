use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kiln_proto::{
    Error,
    v1::{self, component_service_server::ComponentService, upload_component_request::Part},
};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    edge::{Api, UPLOAD_PATIENCE},
    registry::NewVersion,
    route::Patience,
};

/// `kiln.v1.ComponentService`.
pub(super) struct Component(pub(super) Arc<Api>);

#[tonic::async_trait]
impl ComponentService for Component {
    async fn upload_component(
        &self,
        request: Request<Streaming<v1::UploadComponentRequest>>,
    ) -> Result<Response<v1::UploadComponentResponse>, Status> {
        let size_max = self.0.context.limits.component_bytes_max;
        let new = receive(request.into_inner(), size_max).await?;
        let component = self.0.add_component(new).await?;
        Ok(Response::new(v1::UploadComponentResponse {
            component: Some(component),
        }))
    }

    async fn list_components(
        &self,
        _request: Request<v1::ListComponentsRequest>,
    ) -> Result<Response<v1::ListComponentsResponse>, Status> {
        let mut components = self.0.registry.list().await?;
        components.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(v1::ListComponentsResponse { components }))
    }

    async fn get_component(
        &self,
        request: Request<v1::GetComponentRequest>,
    ) -> Result<Response<v1::GetComponentResponse>, Status> {
        Ok(Response::new(self.0.component(request.into_inner()).await?))
    }

    async fn delete_component(
        &self,
        request: Request<v1::DeleteComponentRequest>,
    ) -> Result<Response<v1::DeleteComponentResponse>, Status> {
        let timeout = self.0.context.limits.control_timeout;
        let patience = Patience::from_metadata(request.metadata(), Some(timeout));
        self.0
            .delete_component(&request.into_inner().component, patience)
            .await?;
        Ok(Response::new(v1::DeleteComponentResponse {}))
    }
}

async fn receive(
    mut parts: Streaming<v1::UploadComponentRequest>,
    size_max: usize,
) -> Result<NewVersion, Error> {
    let Some(Part::Header(header)) = next(&mut parts).await? else {
        return Err(Error::invalid("an upload begins with its header"));
    };
    let (mut bytes, mut files) = (BytesMut::new(), BytesMut::new());
    while let Some(part) = next(&mut parts).await? {
        let (what, all, chunk) = match part {
            Part::Header(_) => return Err(Error::invalid("an upload has one header")),
            Part::Chunk(chunk) => ("a component has", &mut bytes, chunk),
            Part::FileChunk(chunk) => ("the files of a component have", &mut files, chunk),
        };
        if all.len() + chunk.len() > size_max {
            return Err(Error::limit_exceeded(format!("{what} at most {size_max} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(NewVersion {
        files: split(files.freeze(), &header.files)?,
        header,
        bytes: bytes.freeze(),
    })
}

/// The bytes of each file, from those of all.
fn split(mut all: Bytes, files: &[v1::InitialFile]) -> Result<Vec<Bytes>, Error> {
    let wrong = || Error::invalid("the files of the upload have other sizes than its header says");
    let mut split = Vec::with_capacity(files.len());
    for file in files {
        let size = usize::try_from(file.size).map_err(|_| wrong())?;
        if size > all.len() {
            return Err(wrong());
        }
        split.push(all.split_to(size));
    }
    if all.is_empty() { Ok(split) } else { Err(wrong()) }
}

async fn next(parts: &mut Streaming<v1::UploadComponentRequest>) -> Result<Option<Part>, Error> {
    let message = tokio::time::timeout(UPLOAD_PATIENCE, parts.message()).await;
    let message = message.map_err(|_| Error::deadline_exceeded("the upload stands still"))??;
    message
        .map(|message| {
            message
                .part
                .ok_or_else(|| Error::invalid("an upload's message is empty"))
        })
        .transpose()
}
