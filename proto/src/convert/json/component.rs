use serde_json::{Value as Json, json};

use crate::{
    convert::rfc3339,
    ids::ComponentId,
    v1::{ComponentVersion, GetComponentResponse, InitialFile},
};

/// One version of a component.
#[must_use]
pub fn component(version: &ComponentVersion) -> Json {
    let id =
        ComponentId::from_slice(&version.component_id).map_or_else(|_| String::new(), |id| id.to_string());
    let digest: String = version.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "component": version.name,
        "componentId": id,
        "version": version.version,
        "size": version.size,
        "digest": format!("sha256:{digest}"),
        "ephemeral": version.ephemeral,
        "application": if version.application.is_empty() { "default" } else { &version.application },
        "env": super::pairs(&version.env),
        "oplogProcessors": version.processors,
        "clients": super::pairs(&version.clients),
        "files": version.files.iter().map(file).collect::<Json>(),
        "createdAt": rfc3339(version.created_at_ns),
    })
}

fn file(file: &InitialFile) -> Json {
    json!({"path": file.path, "writable": file.writable, "size": file.size})
}

/// One version of a component with what it exports and imports.
#[must_use]
pub fn component_details(response: &GetComponentResponse) -> Json {
    let mut details = response.component.as_ref().map_or_else(|| json!({}), component);
    let exports: Vec<Json> = response
        .exports
        .iter()
        .map(|export| json!({"name": export.name, "signature": export.signature}))
        .collect();
    details["exports"] = exports.into();
    details["imports"] = json!(response.imports);
    details
}
