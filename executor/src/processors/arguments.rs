use kiln_proto::{
    Error,
    ids::{ComponentVersion, OplogIndex, WorkerId},
    v1::{OplogEntry, Value, WorkerRecord, value::Kind},
};

use crate::{host::processor_arguments, shard::Owned};

/// The function of a processor, in whatever version of the contract.
pub(crate) const PROCESS: &str = "golem:api/oplog-processor.{process}";

/// Entries of one worker that follow each other.
pub(super) struct Batch<'a> {
    pub(super) source: &'a WorkerId,
    pub(super) record: &'a WorkerRecord,
    pub(super) first: OplogIndex,
    pub(super) entries: &'a [(OplogIndex, OplogEntry)],
}

/// The arguments of `process` in the shape that the processor declares.
pub(super) async fn of(owned: &Owned, target: &WorkerId, batch: &Batch<'_>) -> Result<Vec<Value>, Error> {
    let context = owned.context();
    let running = context.cluster()?.worker(target).await?;
    let version = match running {
        Some(record) => {
            let version = ComponentVersion(record.component_version);
            context.registry.version(target.component, version).await?
        }
        None => context.registry.latest(target.component).await?,
    };
    let processor = context.registry.load(&version).await?;
    let function = processor.function(PROCESS);
    let function = function.map_err(|error| {
        Error::invalid(format!(
            "component \"{}\" is no oplog processor: {error}",
            version.name
        ))
    })?;
    processor_arguments(
        &function.signature,
        batch.source,
        batch.record,
        batch.first,
        batch.entries,
    )
    .map_err(|error| Error::invalid(format!("the oplog processor \"{}\": {error}", version.name)))
}

/// True for the name under which a call of `process` is recorded.
pub(super) fn is_process(function: &str) -> bool {
    function.starts_with("golem:api/oplog-processor") && function.ends_with(".{process}")
}

/// The index of a batch's first entry, which comes before the entries.
pub(super) fn first_index(request: &[Value]) -> Option<OplogIndex> {
    let [.., first, _] = request else { return None };
    match first.kind {
        Some(Kind::U64Value(index)) => Some(OplogIndex(index)),
        _ => None,
    }
}
