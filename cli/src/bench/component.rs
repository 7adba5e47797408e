use std::path::Path;

use anyhow::Context;
use kiln_client::{Client, Error};
use kiln_proto::{ErrorCode, v1::UploadHeader};

use crate::command::component::upload_bytes;

/// Adds a component unless there is one of that name.
pub(super) async fn ensure(
    client: &Client,
    name: &str,
    file: &Path,
    indexed_env: Vec<String>,
) -> anyhow::Result<()> {
    match client.get_component(name, None).await {
        Ok(_) => return Ok(()),
        Err(Error {
            code: ErrorCode::NotFound,
            ..
        }) => {}
        Err(error) => return Err(error.into()),
    }
    let bytes = tokio::fs::read(file)
        .await
        .with_context(|| format!("read {}", file.display()))?;
    let header = UploadHeader {
        name: name.to_owned(),
        indexed_env,
        ..UploadHeader::default()
    };
    upload_bytes(client, header, bytes.into(), Vec::new()).await?;
    Ok(())
}
