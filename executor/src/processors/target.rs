use std::fmt::Display;

use kiln_proto::{
    Error,
    ids::{ComponentVersion, WorkerId},
    v1::{ExportedFunctionInvokedEntry, Value},
};
use uuid::Uuid;

use super::{
    contract::{Contract, PROCESS, RESOURCE_NEW, RESOURCE_PROCESS},
    delivery::NAMESPACE,
};
use crate::{
    component::FunctionRef,
    host::{Batch, processor_arguments, processor_introduction},
    shard::Owned,
};

/// The worker of a processor that is given one source's oplog, and what it runs now.
pub(super) struct Target<'a> {
    owned: &'a Owned,
    worker: &'a WorkerId,
    /// Name of its component.
    component: String,
    contract: Contract,
    /// From where its state is replayed: what it made before, as resources, is gone.
    snapshot_index: u64,
}

impl<'a> Target<'a> {
    pub(super) async fn of(owned: &'a Owned, worker: &'a WorkerId) -> Result<Self, Error> {
        let context = owned.context();
        let registry = &context.registry;
        let running = context.cluster()?.worker(worker).await?;
        let version = match &running {
            Some(record) => {
                let version = ComponentVersion(record.component_version);
                registry.version(worker.component, version).await?
            }
            None => registry.latest(worker.component).await?,
        };
        let component = registry.load(&version).await?;
        let contract = Contract::of(&component).map_err(|error| {
            Error::invalid(format!(
                "component \"{}\" is no oplog processor: {error}",
                version.name
            ))
        })?;
        Ok(Self {
            owned,
            worker,
            component: version.name.clone(),
            contract,
            snapshot_index: running.map_or(0, |record| record.snapshot_index),
        })
    }

    /// The function that processes a batch, with its arguments.
    pub(super) async fn call(&self, batch: &Batch<'_>) -> Result<(&'static str, Vec<Value>), Error> {
        let (function, process, resource) = match &self.contract {
            Contract::Function { process } => (PROCESS, process, None),
            Contract::Resource { new, process } => {
                let resource = self.resource(new, batch.source).await?;
                (RESOURCE_PROCESS, process, Some(resource))
            }
        };
        let arguments = processor_arguments(&process.signature, resource, batch);
        Ok((function, arguments.map_err(|error| self.misfit(error))?))
    }

    /// The resource that processes a source's oplog. It is made once; asked again, the worker answers from its record.
    async fn resource(&self, new: &FunctionRef, source: &WorkerId) -> Result<Value, Error> {
        let arguments = processor_introduction(&new.signature, source);
        let named = format!("processor\n{}", self.snapshot_index);
        let call = ExportedFunctionInvokedEntry {
            function_name: RESOURCE_NEW.to_owned(),
            request: arguments.map_err(|error| self.misfit(error))?,
            idempotency_key: Uuid::new_v5(&NAMESPACE, named.as_bytes()).to_string(),
            context: None,
        };
        let made = self.owned.context().cluster()?.run(self.worker, call).await?;
        made.ok_or_else(|| Error::invalid("the constructor of an oplog processor gave nothing"))
    }

    fn misfit(&self, error: impl Display) -> Error {
        Error::invalid(format!("the oplog processor \"{}\": {error}", self.component))
    }
}
