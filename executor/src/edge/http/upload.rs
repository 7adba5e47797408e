//! What an upload brings: the component alone as the body, or a form with a part each for settings, component and files.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use bytes::BytesMut;
use kiln_proto::{
    Error,
    v1::{InitialFile, KeyValue, UploadHeader},
};
use serde::Deserialize;

use super::{error::Failure, extract::Whole};
use crate::{
    edge::{Api, UPLOAD_PATIENCE},
    initial_files::FILES_MAX,
    registry::NewVersion,
};

/// The part with the settings.
const METADATA: &str = "metadata";
/// The part with the wasm bytes.
const COMPONENT: &str = "component";
const METADATA_BYTES_MAX: usize = 1 << 20;
/// What a form may have beside the bytes of its parts.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// A component as it came. The URL says under which name.
#[derive(Default)]
pub(super) struct Upload {
    metadata: Metadata,
    component: Option<Bytes>,
    /// By their paths, in the order in which they came.
    files: Vec<(String, Bytes)>,
}

/// Settings of a component, called as in the description that is given back.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Metadata {
    ephemeral: bool,
    application: String,
    env: BTreeMap<String, String>,
    clients: BTreeMap<String, String>,
    oplog_processors: Vec<String>,
    indexed_env: Vec<String>,
    indexed_config: Vec<String>,
    files: Vec<FileSettings>,
}

/// Only files that may be written to have to be listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSettings {
    path: String,
    #[serde(default)]
    writable: bool,
}

impl FromRequest<Arc<Api>> for Upload {
    type Rejection = Failure;

    async fn from_request(mut request: Request, api: &Arc<Api>) -> Result<Self, Failure> {
        let size_max = api.context.limits.component_bytes_max;
        if !is_form(request.headers()) {
            DefaultBodyLimit::max(size_max).apply(&mut request);
            let Whole(bytes) = Whole::from_request(request, api).await?;
            return Ok(Self {
                component: Some(bytes),
                ..Self::default()
            });
        }
        // The component, and its files together.
        let form_bytes_max = 2 * size_max + METADATA_BYTES_MAX + FRAME_BYTES_MAX;
        DefaultBodyLimit::max(form_bytes_max).apply(&mut request);
        let form = Multipart::from_request(request, api).await;
        let form = form.map_err(|error| Error::invalid(error.body_text()))?;
        Ok(receive(form, size_max).await?)
    }
}

impl Upload {
    /// The version to be added.
    pub(super) fn named(self, name: String, update: bool) -> Result<NewVersion, Error> {
        let Self {
            metadata,
            component,
            files,
        } = self;
        let missing = |part: &str| Error::invalid(format!("the form has no part \"{part}\""));
        let bytes = component.ok_or_else(|| missing(COMPONENT))?;
        for listed in &metadata.files {
            if !files.iter().any(|(path, _)| *path == listed.path) {
                return Err(missing(&listed.path).with_hint(
                    "a file that the metadata lists comes in a part that is called like its path",
                ));
            }
        }
        let writable = |path: &str| {
            metadata
                .files
                .iter()
                .any(|listed| listed.path == path && listed.writable)
        };
        let header = UploadHeader {
            name,
            update,
            ephemeral: metadata.ephemeral,
            files: files
                .iter()
                .map(|(path, bytes)| InitialFile {
                    path: path.clone(),
                    writable: writable(path),
                    size: bytes.len() as u64,
                    ..InitialFile::default()
                })
                .collect(),
            env: pairs(metadata.env),
            indexed_env: metadata.indexed_env,
            indexed_config: metadata.indexed_config,
            application: metadata.application,
            clients: pairs(metadata.clients),
            processors: metadata.oplog_processors,
            ..UploadHeader::default()
        };
        Ok(NewVersion {
            header,
            bytes,
            files: files.into_iter().map(|(_, bytes)| bytes).collect(),
        })
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| {
        text.trim_start()
            .to_ascii_lowercase()
            .starts_with("multipart/form-data")
    })
}

async fn receive(mut form: Multipart, size_max: usize) -> Result<Upload, Error> {
    let mut upload = Upload::default();
    let mut has_metadata = false;
    let mut files_room = size_max;
    while let Some(part) = in_time(form.next_field()).await? {
        match part.name().map(str::to_owned).as_deref() {
            Some(METADATA) if !has_metadata => {
                let text = read(part, METADATA_BYTES_MAX, "the metadata have").await?;
                upload.metadata = serde_json::from_slice(&text)
                    .map_err(|error| Error::invalid(format!("the part \"{METADATA}\": {error}")))?;
                has_metadata = true;
            }
            Some(COMPONENT) if upload.component.is_none() => {
                upload.component = Some(read(part, size_max, "a component has").await?);
            }
            Some(path) if path.starts_with('/') && upload.files.len() < FILES_MAX => {
                let bytes = read(part, files_room, "the files of a component have together").await?;
                files_room -= bytes.len();
                upload.files.push((path.to_owned(), bytes));
            }
            Some(path) if path.starts_with('/') => {
                return Err(Error::limit_exceeded(format!(
                    "a component has at most {FILES_MAX} files"
                )));
            }
            Some(name @ (METADATA | COMPONENT)) => {
                return Err(Error::invalid(format!("the form has two parts \"{name}\"")));
            }
            name => return Err(unknown(name.unwrap_or_default())),
        }
    }
    Ok(upload)
}

async fn read(mut part: Field<'_>, bytes_max: usize, what: &str) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = in_time(part.chunk()).await? {
        if chunk.len() > bytes_max - bytes.len() {
            return Err(Error::limit_exceeded(format!("{what} at most {bytes_max} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

async fn in_time<T>(step: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Error> {
    match tokio::time::timeout(UPLOAD_PATIENCE, step).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Error::limit_exceeded(
            "the form is larger than a component with its files may be",
        )),
        Ok(Err(error)) => Err(Error::invalid(format!("the form: {}", error.body_text()))),
        Err(_) => Err(Error::deadline_exceeded("the upload stands still")),
    }
}

fn unknown(part: &str) -> Error {
    Error::invalid(format!("the form has an unknown part \"{}\"", part.escape_debug())).with_hint(format!(
        "its parts are \"{METADATA}\", \"{COMPONENT}\", and one for each file, called like its path: /data/words.txt"
    ))
}

fn pairs(map: BTreeMap<String, String>) -> Vec<KeyValue> {
    map.into_iter()
        .map(|(key, value)| KeyValue { key, value })
        .collect()
}
