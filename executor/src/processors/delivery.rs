use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{OplogIndex, WorkerId, WorkerName},
    v1::{ExportedFunctionInvokedEntry, OplogEntry, Value, WorkerRecord, value::Kind},
};
use prost::Message as _;
use uuid::Uuid;

use super::{progress::Progress, target::Target};
use crate::{host::Batch, shard::Owned};

/// Entries of a batch.
const ENTRIES_MAX: usize = 100;
/// Encoded size of a batch, exceeded only by a single larger entry: as the guest's own values they are some hundred times as
/// large.
const BYTES_MAX: usize = 128 << 10;
/// Namespace of keys and names that follow from a source. Part of the format: a new owner derives the same ones.
pub(super) const NAMESPACE: Uuid = Uuid::from_u128(0x1f6e_8c0a_52d3_4b7e_8a41_6c3d_90b2_e5f7);

/// The entries of one worker on their way to one processor.
pub(super) struct Delivery {
    pub(super) source: WorkerId,
    /// When the source was created: one of the same name that is made later is another one.
    created_at_ns: u64,
    /// Name of the processor's component.
    pub(super) processor: String,
    /// The first index that has not been delivered; `None` until the processor's oplog was looked at.
    pub(super) next: Option<OplogIndex>,
    /// Attempts at the batch that begins there that came to nothing, which sets their keys apart.
    attempt: u64,
    /// How many entries the present attempt has: asked again, it is the same call.
    count: Option<usize>,
}

impl Delivery {
    pub(super) fn new(source: &WorkerId, record: &WorkerRecord, processor: String) -> Self {
        Self {
            source: source.clone(),
            created_at_ns: record.created_at_ns,
            processor,
            next: None,
            attempt: 0,
            count: None,
        }
    }

    /// True when the record is of the very worker that is delivered.
    pub(super) fn is_of(&self, record: &WorkerRecord) -> bool {
        self.created_at_ns == record.created_at_ns
    }

    /// Delivers batches until everything that is committed has arrived.
    pub(super) async fn deliver(&mut self, owned: &Owned) -> Result<(), Error> {
        let target = WorkerId {
            component: owned.context().registry.resolve(&self.processor).await?,
            name: self.target_name()?,
        };
        let mut next = match self.next {
            Some(next) => next,
            None => self.take_up(owned, &target).await?,
        };
        self.next = Some(next);
        loop {
            let entries = self.batch(owned, next)?;
            let Some((last, _)) = entries.last() else {
                return Ok(());
            };
            let behind = last.next();
            self.count = Some(entries.len());
            self.process(owned, &target, next, &entries).await?;
            next = behind;
            (self.next, self.attempt, self.count) = (Some(next), 0, None);
        }
    }

    /// One worker of the processor for each source, named after it where that fits into a name.
    fn target_name(&self) -> Result<WorkerName, Error> {
        let (name, created) = (&self.source.name, self.created_at_ns);
        let legible = format!("{name}@{}@{created:x}", self.source.component);
        let short = || Uuid::new_v5(&NAMESPACE, legible.as_bytes()).to_string();
        let name = legible.parse::<WorkerName>().or_else(|_| short().parse())?;
        Ok(name)
    }

    /// Where the owner before has stopped. A call that it has begun is waited for.
    async fn take_up(&mut self, owned: &Owned, target: &WorkerId) -> Result<OplogIndex, Error> {
        let cluster = owned.context().cluster()?;
        match Progress::of(&**cluster, target).await? {
            Progress::Nothing => Ok(OplogIndex::FIRST),
            Progress::Done { next } => Ok(next),
            Progress::Refused { first, at } => {
                self.attempt = at.0;
                Ok(first)
            }
            Progress::Begun {
                call,
                first,
                at,
                next,
            } => {
                match cluster.run(target, call).await.and_then(accepted) {
                    Ok(()) => return Ok(next),
                    Err(error) if error.is_retryable() => return Err(error),
                    Err(error) => tracing::warn!(%target, %error, "a batch that was begun came to nothing"),
                }
                self.attempt = at.0;
                Ok(first)
            }
        }
    }

    fn batch(&self, owned: &Owned, next: OplogIndex) -> Result<Vec<(OplogIndex, OplogEntry)>, Error> {
        let (entries_max, bytes_max) = self
            .count
            .map_or((ENTRIES_MAX, BYTES_MAX), |count| (count, usize::MAX));
        let encoded: Vec<(OplogIndex, Bytes)> =
            owned
                .shard
                .read_oplog(&self.source, next, entries_max, bytes_max)?;
        let entry = |(index, bytes): (OplogIndex, Bytes)| {
            let entry = OplogEntry::decode(bytes);
            let entry = entry.map_err(|error| {
                Error::corrupt(format!(
                    "entry {index} of worker {} cannot be read: {error}",
                    self.source
                ))
            });
            Ok((index, entry?))
        };
        encoded.into_iter().map(entry).collect()
    }

    async fn process(
        &mut self,
        owned: &Owned,
        target: &WorkerId,
        first: OplogIndex,
        entries: &[(OplogIndex, OplogEntry)],
    ) -> Result<(), Error> {
        let record = owned.record(&self.source)?;
        let record = record.ok_or_else(|| Error::not_found("the worker is gone"))?;
        let batch = Batch {
            source: &self.source,
            record: &record,
            first,
            entries,
        };
        let (function, request) = Target::of(owned, target).await?.call(&batch).await?;
        let call = ExportedFunctionInvokedEntry {
            function_name: function.to_owned(),
            request,
            idempotency_key: self.key(first, entries.len()).to_string(),
            context: None,
        };
        let answer = match owned.context().cluster()?.run(target, call).await {
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => Err(error),
            Ok(answer) => accepted(answer),
        };
        if answer.is_err() {
            self.attempt += 1;
        }
        answer
    }

    /// The same for the same entries at the same attempt, whichever owner makes it.
    fn key(&self, first: OplogIndex, count: usize) -> Uuid {
        let (urn, created, attempt) = (self.source.urn(), self.created_at_ns, self.attempt);
        let named = format!("{urn}\n{created}\n{first}\n{count}\n{attempt}");
        Uuid::new_v5(&NAMESPACE, named.as_bytes())
    }
}

/// `process` gives `result<_, string>`.
fn accepted(answer: Option<Value>) -> Result<(), Error> {
    let Some(Kind::Result(result)) = answer.and_then(|answer| answer.kind) else {
        return Err(Error::invalid("an oplog processor gave no result"));
    };
    if !result.is_error {
        return Ok(());
    }
    let reason = match result.payload.and_then(|payload| payload.kind) {
        Some(Kind::StringValue(text)) => text,
        _ => "it gave no reason".to_owned(),
    };
    Err(Error::conflict(format!(
        "the processor refused a batch: {reason}"
    )))
}
