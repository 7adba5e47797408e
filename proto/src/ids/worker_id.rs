use std::{fmt, str::FromStr, sync::Arc};

use super::ComponentId;
use crate::{Error, v1};

/// Longest accepted worker name, in characters.
pub(super) const NAME_LENGTH_MAX: usize = 512;

/// A worker's name: 1 to 512 characters without `/` and control characters, unique within its component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerName(Arc<str>);

impl WorkerName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkerName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::invalid("a worker name cannot be empty"));
        }
        if text.chars().count() > NAME_LENGTH_MAX {
            return Err(Error::invalid(format!(
                "a worker name has at most {NAME_LENGTH_MAX} characters"
            )));
        }
        match text.char_indices().find(|(_, c)| *c == '/' || c.is_control()) {
            Some((at, c)) => Err(Error::invalid(format!(
                "a worker name cannot contain {c:?} (at byte {at} of \"{}\")",
                text.escape_debug()
            ))),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A worker's identity: its component and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// The component, whatever its version.
    pub component: ComponentId,
    /// The name within the component.
    pub name: WorkerName,
}

impl WorkerId {
    /// `urn:worker:<component>/<name>`, the form that guests see.
    #[must_use]
    pub fn urn(&self) -> String {
        format!("urn:worker:{}/{}", self.component, self.name)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.component, self.name)
    }
}

impl From<&WorkerId> for v1::WorkerId {
    fn from(id: &WorkerId) -> Self {
        Self {
            component_id: bytes::Bytes::copy_from_slice(id.component.as_bytes()),
            name: id.name.as_str().to_owned(),
        }
    }
}

impl TryFrom<&v1::WorkerId> for WorkerId {
    type Error = Error;

    fn try_from(wire: &v1::WorkerId) -> Result<Self, Error> {
        Ok(Self {
            component: ComponentId::from_slice(&wire.component_id)?,
            name: wire.name.parse()?,
        })
    }
}
