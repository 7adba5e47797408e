//! Snapshots: what one version of a component saves for the next.

use bytes::Bytes;
use kiln_proto::v1::{Value, value::Kind};

use super::{CallError, Instance};
use crate::component::{FunctionName, FunctionRef};

const PACKAGE: &str = "golem:api";

/// Why a snapshot could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The component does not export the function, in no version of the interface.
    #[error("the component does not export {0}")]
    Missing(&'static str),
    /// The function did not return.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The function returned an error.
    #[error("{0}")]
    Refused(String),
    /// The function has another shape than the interface says.
    #[error("{0} returned something else than the interface says")]
    Shape(&'static str),
}

impl Instance {
    /// Has the guest save its state. Nothing of that is recorded.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub async fn save_snapshot(&mut self) -> Result<Bytes, SnapshotError> {
        let saved = self.snapshot_call("save-snapshot", "save", &[]).await?;
        match saved.and_then(|saved| saved.kind) {
            Some(Kind::ByteList(bytes)) => Ok(bytes),
            _ => Err(SnapshotError::Shape("save-snapshot")),
        }
    }

    /// Has the guest take over a state. Nothing of that is recorded.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub async fn load_snapshot(&mut self, snapshot: Bytes) -> Result<(), SnapshotError> {
        let argument = Value {
            kind: Some(Kind::ByteList(snapshot)),
        };
        let loaded = self.snapshot_call("load-snapshot", "load", &[argument]).await?;
        let Some(Kind::Result(result)) = loaded.and_then(|loaded| loaded.kind) else {
            return Err(SnapshotError::Shape("load-snapshot"));
        };
        if !result.is_error {
            return Ok(());
        }
        let reason = result.payload.and_then(|reason| reason.kind);
        Err(SnapshotError::Refused(match reason {
            Some(Kind::StringValue(reason)) => reason,
            _ => "no reason given".to_owned(),
        }))
    }

    async fn snapshot_call(
        &mut self,
        interface: &'static str,
        name: &str,
        arguments: &[Value],
    ) -> Result<Option<Value>, SnapshotError> {
        let function = self.snapshot_function(interface, name);
        let function = function.ok_or(SnapshotError::Missing(interface))?;
        self.set_snapshotting(true);
        let result = self.call(&function, arguments).await;
        self.set_snapshotting(false);
        Ok(result?)
    }

    /// The export in whatever version of the interface the guest has it.
    fn snapshot_function(&self, interface: &str, name: &str) -> Option<FunctionRef> {
        let is_wanted = |function: &&FunctionRef| {
            function.interface.as_ref().is_some_and(|found| {
                found.package.as_deref() == Some(PACKAGE) && found.interface == interface
            }) && function.name == FunctionName::Plain(name.to_owned())
        };
        self.component().exports().iter().find(is_wanted).cloned()
    }
}
