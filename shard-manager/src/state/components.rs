//! Registering components: what happens to the tables, and how they are read.

use bytes::Bytes;
use kiln_proto::{Error as Refusal, v1};
use kiln_store::{Error, Reader, Table, Transaction};
use sha2::{Digest, Sha256};

use super::{
    keys,
    machine::Applied,
    records::{Blob, Component, Outcome, Register, Token, decode, encode},
};

pub(super) fn apply_register(state: &mut Transaction<'_>, register: Register) -> Applied {
    let Register {
        request,
        fresh_id,
        now_ns,
    } = register;
    if let Some(answered) = answered_before(state, &request.request_token)? {
        return Ok(Ok(Some(Outcome::Component(answered))));
    }
    let known = component_by_name(state, &request.name)?;
    let component = match (request.update, known) {
        (false, Some(_)) => return Ok(Err(exists(&request.name))),
        (true, None) => return Ok(Err(unknown(&request.name))),
        (false, None) => Component {
            component_id: fresh_id,
            name: request.name.clone(),
            latest: 0,
        },
        (true, Some(known)) => Component {
            latest: known.latest + 1,
            ..known
        },
    };
    let announced = Announced {
        digest: &request.digest,
        size: request.size,
        chunks: request.chunks,
    };
    let files = request.files.iter().map(|file| Announced {
        digest: &file.digest,
        size: file.size,
        chunks: file.chunks,
    });
    for blob in std::iter::once(announced).chain(files) {
        if let Err(refusal) = check_blob(state, &blob)? {
            return Ok(Err(refusal));
        }
    }
    let application = application(state, &component, &request)?;
    let version = v1::ComponentVersion {
        component_id: component.component_id.clone(),
        name: component.name.clone(),
        version: component.latest,
        size: request.size,
        digest: request.digest,
        ephemeral: request.ephemeral,
        env: request.env,
        created_at_ns: now_ns,
        indexed_env: request.indexed_env,
        indexed_config: request.indexed_config,
        application,
        files: request.files,
        clients: request.clients,
        processors: request.processors,
    };
    put_version(state, &component, &version, &request.request_token);
    Ok(Ok(Some(Outcome::Component(version))))
}

/// Workers keep their keys and blobs through an update: a version is of the application of the one before it.
fn application(
    state: &Transaction<'_>,
    component: &Component,
    request: &v1::RegisterComponentRequest,
) -> Result<String, Error> {
    const DEFAULT: &str = "default";
    if !request.update {
        let named = request.application.as_str();
        return Ok(if named.is_empty() { DEFAULT } else { named }.to_owned());
    }
    let key = keys::component_version(&component.component_id, component.latest.saturating_sub(1));
    let before: Option<v1::ComponentVersion> = state
        .get(Table::Control, &key)?
        .map(|row| decode(row, "a component version"))
        .transpose()?;
    let application = before.map(|before| before.application).unwrap_or_default();
    Ok(if application.is_empty() {
        DEFAULT.to_owned()
    } else {
        application
    })
}

fn exists(name: &str) -> Refusal {
    Refusal::already_exists(format!("a component named \"{name}\" exists already")).with_hint(format!(
        "give it a new version with `kiln component update {name}`"
    ))
}

fn unknown(name: &str) -> Refusal {
    Refusal::not_found(format!("there is no component named \"{name}\""))
        .with_hint(format!("add it with `kiln component add {name}`"))
}

fn answered_before(state: &Transaction<'_>, token: &str) -> Result<Option<v1::ComponentVersion>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let Some(bytes) = state.get(Table::Control, &keys::token(token))? else {
        return Ok(None);
    };
    let token: Token = decode(bytes, "a request token")?;
    let key = keys::component_version(&token.component_id, token.version);
    state
        .get(Table::Control, &key)?
        .map(|bytes| decode(bytes, "a component version"))
        .transpose()
}

fn component_by_name(state: &Transaction<'_>, name: &str) -> Result<Option<Component>, Error> {
    let Some(id) = state.get(Table::Control, &keys::component_name(name))? else {
        return Ok(None);
    };
    state
        .get(Table::Control, &keys::component(&id))?
        .map(|bytes| decode(bytes, "a component"))
        .transpose()
}

/// Bytes that should have been stored.
struct Announced<'a> {
    digest: &'a [u8],
    size: u64,
    chunks: u32,
}

/// Makes sure that the bytes behind the digest are there and are the right ones. They are hashed once.
fn check_blob(state: &mut Transaction<'_>, request: &Announced<'_>) -> Result<Result<(), Refusal>, Error> {
    let expected = Blob {
        size: request.size,
        chunks: request.chunks,
    };
    if let Some(bytes) = state.get(Table::Control, &keys::blob(request.digest))? {
        let blob: Blob = decode(bytes, "a blob record")?;
        let same_size = blob.size == expected.size;
        return Ok(if same_size {
            Ok(())
        } else {
            Err(wrong_size(expected.size, blob.size))
        });
    }
    let mut hasher = Sha256::new();
    let mut size = 0;
    for index in 0..request.chunks {
        let Some(bytes) = state.get(Table::Blob, &keys::chunk(request.digest, index))? else {
            let missing = format!("chunk {index} of {} has not been stored", request.chunks);
            return Ok(Err(
                Refusal::invalid(missing).with_hint("upload the component again")
            ));
        };
        size += bytes.len() as u64;
        hasher.update(&bytes);
    }
    if size != expected.size {
        return Ok(Err(wrong_size(expected.size, size)));
    }
    if hasher.finalize().as_slice() != request.digest {
        let wrong = "the component's bytes do not match their SHA-256 digest";
        return Ok(Err(
            Refusal::invalid(wrong).with_hint("upload the component again")
        ));
    }
    state.put(Table::Control, keys::blob(request.digest), encode(&expected));
    Ok(Ok(()))
}

fn wrong_size(announced: u64, found: u64) -> Refusal {
    Refusal::invalid(format!(
        "the component was announced with {announced} bytes, but has {found}"
    ))
}

fn put_version(
    state: &mut Transaction<'_>,
    component: &Component,
    version: &v1::ComponentVersion,
    token: &str,
) {
    let id = &component.component_id;
    state.put(Table::Control, keys::component(id), encode(component));
    state.put(Table::Control, keys::component_name(&component.name), id.clone());
    state.put(
        Table::Control,
        keys::component_version(id, version.version),
        encode(version),
    );
    if !token.is_empty() {
        let answer = Token {
            component_id: id.clone(),
            version: version.version,
        };
        state.put(Table::Control, keys::token(token), encode(&answer));
    }
}

/// The component with this name, or else with this id, in the version asked for or its newest.
pub(crate) fn find(
    reader: &Reader,
    name: &str,
    id: Option<&[u8]>,
    version: Option<u64>,
) -> Result<Option<(v1::ComponentVersion, u64)>, Error> {
    let by_name = reader.get(Table::Control, &keys::component_name(name))?;
    let Some(id) = by_name.or_else(|| id.map(Bytes::copy_from_slice)) else {
        return Ok(None);
    };
    let Some(bytes) = reader.get(Table::Control, &keys::component(&id))? else {
        return Ok(None);
    };
    let component: Component = decode(bytes, "a component")?;
    let key = keys::component_version(&id, version.unwrap_or(component.latest));
    let Some(bytes) = reader.get(Table::Control, &key)? else {
        return Ok(None);
    };
    Ok(Some((decode(bytes, "a component version")?, component.latest)))
}

/// The newest version of each component, by name.
pub(crate) fn list(reader: &Reader) -> Result<Vec<v1::ComponentVersion>, Error> {
    let mut list: Vec<v1::ComponentVersion> = Vec::new();
    for (_, bytes) in reader.scan_prefix(Table::Control, keys::COMPONENTS)? {
        let component: Component = decode(bytes, "a component")?;
        let key = keys::component_version(&component.component_id, component.latest);
        let bytes = reader.get(Table::Control, &key)?.ok_or_else(|| {
            Error::Corrupt(format!(
                "component \"{}\" has lost its newest version",
                component.name
            ))
        })?;
        list.push(decode(bytes, "a component version")?);
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// How many chunks a checked blob has; `None` when this replica does not hold it whole and checked.
pub(crate) fn blob_chunks(reader: &Reader, digest: &[u8]) -> Result<Option<u32>, Error> {
    let Some(bytes) = reader.get(Table::Control, &keys::blob(digest))? else {
        return Ok(None);
    };
    Ok(Some(decode::<Blob>(bytes, "a blob record")?.chunks))
}

/// One chunk of a blob, checked or not.
pub(crate) fn chunk(reader: &Reader, digest: &[u8], index: u32) -> Result<Option<Bytes>, Error> {
    reader.get(Table::Blob, &keys::chunk(digest, index))
}
