use std::{fmt, ops::Deref, sync::Arc};

use crate::host::value::Signature;

/// An exported function of a loaded component. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FunctionRef(Arc<Function>);

/// What is known of an exported function.
#[derive(Debug)]
pub struct Function {
    /// `ns:pkg/iface@version`, or `None` for a function of the world itself.
    pub interface: Option<InterfaceName>,
    /// Its name within the interface.
    pub name: FunctionName,
    /// Its parameters and result.
    pub signature: Signature,
    /// `ns:pkg/iface@version.{func}`, or the bare name: the form that is recorded and shown.
    pub full_name: String,
    /// Position in the component's function table.
    pub(crate) slot: usize,
}

/// The name of an interface, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName {
    /// `ns:pkg`; absent for an interface written inline in the world.
    pub package: Option<String>,
    /// The interface's own name.
    pub interface: String,
    /// The version after `@`.
    pub version: Option<String>,
}

/// The name of a function within its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the names")]
pub enum FunctionName {
    /// A plain function.
    Plain(String),
    /// Makes a resource: `{counter.new}` or `{[constructor]counter}`.
    Constructor { resource: String },
    /// Acts on a resource: `{counter.inc-by}` or `{[method]counter.inc-by}`.
    Method { resource: String, method: String },
    /// Belongs to a resource type: `{counter.merge}` or `{[static]counter.merge}`.
    Static { resource: String, function: String },
    /// Drops a resource: `{counter.drop}` or `{[drop]counter}`. Offered for each exported resource.
    Drop { resource: String },
}

impl FunctionRef {
    pub(crate) fn new(
        interface: Option<InterfaceName>,
        name: FunctionName,
        signature: Signature,
        slot: usize,
    ) -> Self {
        let full_name = match &interface {
            Some(interface) => format!("{interface}.{{{name}}}"),
            None => name.to_string(),
        };
        Self(Arc::new(Function {
            interface,
            name,
            signature,
            full_name,
            slot,
        }))
    }
}

impl FunctionRef {
    /// True when both are the same entry of the same table.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for FunctionRef {
    type Target = Function;

    fn deref(&self) -> &Function {
        &self.0
    }
}

impl InterfaceName {
    /// Takes `ns:pkg/iface@version` apart; package and version may be missing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version.to_owned())),
            None => (text, None),
        };
        let (package, interface) = match path.rsplit_once('/') {
            Some((package, interface)) => (Some(package.to_owned()), interface),
            None => (None, path),
        };
        Self {
            package,
            interface: interface.to_owned(),
            version,
        }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(package) = &self.package {
            write!(f, "{package}/")?;
        }
        f.write_str(&self.interface)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl FunctionName {
    /// Reads the name as a component's export table has it.
    #[must_use]
    pub fn from_export(name: &str) -> Self {
        if let Some(resource) = name.strip_prefix("[constructor]") {
            return Self::Constructor {
                resource: resource.to_owned(),
            };
        }
        let split = |rest: &str| rest.split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned()));
        if let Some((resource, method)) = name.strip_prefix("[method]").and_then(split) {
            return Self::Method { resource, method };
        }
        if let Some((resource, function)) = name.strip_prefix("[static]").and_then(split) {
            return Self::Static { resource, function };
        }
        Self::Plain(name.to_owned())
    }
}

impl fmt::Display for FunctionName {
    /// Prints the sugared form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Constructor { resource } => write!(f, "{resource}.new"),
            Self::Method {
                resource,
                method: member,
            }
            | Self::Static {
                resource,
                function: member,
            } => {
                write!(f, "{resource}.{member}")
            }
            Self::Drop { resource } => write!(f, "{resource}.drop"),
        }
    }
}
