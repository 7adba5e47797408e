use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{ComponentVersion, IdempotencyKey, OplogIndex},
    v1::{
        self, CreateEntry, EmptyEntry, KeyValue, SuccessfulUpdateEntry, WorkerRecord, WorkerStatus,
        oplog_entry::Entry,
    },
};

use super::{
    origin::{Origin, Update},
    residency::Place,
    seat::Seat,
};
use crate::{
    component::{FunctionRef, LoadedComponent},
    host::{
        Failures, Instance, Interrupter, Invocation, SystemOutside, Unbounded, WorkerContext,
        env::guest_environment,
    },
    invoke::{
        Input,
        outcome::{Ending, Failure},
        retry,
    },
    journal::{self, Journal, Options},
    replay::Divergence,
    shard::ShardOplog,
};

/// A worker in memory: its code, its oplog, and once it is loaded its instance.
///
/// After any failure the body is dropped and made again from what is stored.
pub(crate) struct Body {
    pub(crate) component: Arc<LoadedComponent>,
    pub(crate) journal: Journal,
    pub(crate) resident: Option<Resident>,
    /// A commit is under way: whether it takes effect must be known before anything else is done.
    pub(crate) is_committing: Arc<AtomicBool>,
    /// Where the current invocation began: the point from which it is retried.
    pub(crate) invoked_at: OplogIndex,
    /// The worker does not exist yet; this entry is its first.
    pub(super) birth: Option<CreateEntry>,
    /// Every invocation begins with a fresh instance.
    pub(super) is_ephemeral: bool,
    /// An invocation has ended in this life.
    pub(super) has_ended: bool,
    /// The update that this life of the worker is to bring about.
    update: Option<Update>,
    /// Another update waits for this life to end.
    more_updates: bool,
    /// What the state begins with.
    snapshot: Option<Bytes>,
    was_interrupted: bool,
    /// Bytes of the component.
    size: u64,
    context: WorkerContext,
    /// Linear memory that the worker had when it was last seen.
    memory_bytes: u64,
}

/// An instance and the room that it takes.
pub(crate) struct Resident {
    pub(crate) instance: Instance,
    _place: Place,
}

/// What an explicit creation asks for.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<KeyValue>,
    pub(crate) config: Vec<KeyValue>,
    pub(crate) version: Option<ComponentVersion>,
    /// The worker that makes this one.
    pub(crate) parent: Option<v1::WorkerId>,
}

impl Body {
    /// Prepares an existing worker.
    pub(crate) async fn of_record(seat: &Seat, record: &WorkerRecord) -> Result<Self, Error> {
        let registry = &seat.context.registry;
        let origin = Origin::of(record);
        let version = registry.version(seat.id.component, origin.version).await?;
        let create = CreateEntry {
            component_version: version.version,
            args: record.args.clone(),
            env: record.env.clone(),
            config: record.config.clone(),
            ..CreateEntry::default()
        };
        let options = Options {
            skipped: origin.skipped(record, version.ephemeral),
            ..Options::new(seat.id.clone(), seat.epoch, OplogIndex(record.oplog_index))
        };
        let failures = Failures {
            retry_from: OplogIndex(record.retry_from),
            count: record.retry_count,
        };
        let mut body = Self::new(seat, &version, create, options, failures).await?;
        body.birth = None;
        body.memory_bytes = body.memory_bytes.max(record.total_linear_memory_size);
        body.was_interrupted = record.status() == WorkerStatus::WorkerInterrupted;
        body.more_updates = record.pending_updates.len() > 1;
        body.update = origin.update;
        if origin.snapshot_index != OplogIndex::NONE {
            body.snapshot = Some(read_snapshot(seat, origin.snapshot_index)?);
        }
        if origin.update.is_some_and(|update| !update.is_snapshot_based) {
            body.journal.on_arrival(body.success_entry());
        }
        Ok(body)
    }

    /// Prepares a worker that does not exist yet. Nothing is written.
    pub(crate) async fn unborn(seat: &Seat, wishes: Wishes) -> Result<Self, Error> {
        let registry = &seat.context.registry;
        let version = match wishes.version {
            Some(version) => registry.version(seat.id.component, version).await?,
            None => registry.latest(seat.id.component).await?,
        };
        let create = CreateEntry {
            worker_id: Some((&seat.id).into()),
            component_version: version.version,
            args: wishes.args,
            env: wishes.env,
            config: wishes.config,
            parent: wishes.parent,
            component_size: version.size,
            initial_memory_size: 0,
            indexed_env: version.indexed_env.clone(),
            indexed_config: version.indexed_config.clone(),
            fork_token: Bytes::new(),
        };
        let options = Options::new(seat.id.clone(), seat.epoch, OplogIndex::NONE);
        Self::new(seat, &version, create, options, Failures::default()).await
    }

    async fn new(
        seat: &Seat,
        version: &v1::ComponentVersion,
        create: CreateEntry,
        options: Options,
        failures: Failures,
    ) -> Result<Self, Error> {
        let component = seat.context.registry.load(version).await?;
        let number = ComponentVersion(create.component_version);
        let cluster = seat.context.cluster()?.clone();
        let context = WorkerContext {
            id: seat.id.clone(),
            component_version: number,
            args: create.args.clone(),
            env: guest_environment(&pairs(&version.env), &pairs(&create.env), &seat.id, number),
            config: pairs(&create.config),
            application: application_of(version).to_owned(),
            storage: seat.context.storage()?,
            clients: pairs(&version.clients).into(),
            outside: Arc::new(SystemOutside),
            callees: cluster.clone(),
            cluster,
            retry_policy: retry::DEFAULT,
            failures,
            suspend_after: seat.context.limits.suspend_after,
            interrupter: Interrupter::default(),
            files: seat.context.registry.files(version).await?.into(),
            room: Arc::new(Unbounded),
        };
        let memory_bytes = component.initial_memory_bytes();
        let create = CreateEntry {
            initial_memory_size: memory_bytes,
            ..create
        };
        let store = Arc::new(ShardOplog(seat.shard.clone()));
        let journal = Journal::open(store, options).map_err(|error| crate::invoke::outcome::lost(&error))?;
        Ok(Self {
            component,
            journal,
            resident: None,
            is_committing: Arc::default(),
            invoked_at: OplogIndex::FIRST,
            birth: Some(create),
            is_ephemeral: version.ephemeral,
            has_ended: false,
            update: None,
            more_updates: false,
            snapshot: None,
            was_interrupted: false,
            size: version.size,
            context,
            memory_bytes,
        })
    }

    fn success_entry(&self) -> Entry {
        Entry::SuccessfulUpdate(SuccessfulUpdateEntry {
            target_version: self.context.component_version.0,
            new_component_size: self.size,
        })
    }

    /// The update that is not yet brought about nor given up.
    pub(super) fn open_update(&self) -> Option<Update> {
        self.update
            .filter(|update| update.is_snapshot_based || !self.journal.has_arrived())
    }

    /// True when the worker has to be loaded anew before its next invocation.
    pub(super) fn must_reload(&self) -> bool {
        self.more_updates || (self.is_ephemeral && self.has_ended)
    }

    /// Work is accepted: a worker that was interrupted goes on, also at a new owner.
    pub(super) fn rouse(&mut self) {
        if std::mem::take(&mut self.was_interrupted) {
            self.journal.append(Entry::Restart(EmptyEntry {}));
        }
    }

    /// True until the Create entry has been appended.
    pub(crate) fn is_unborn(&self) -> bool {
        self.birth.is_some()
    }

    /// Appends the Create entry of a new worker.
    pub(crate) fn be_born(&mut self, seat: &Seat) {
        if let Some(create) = self.birth.take() {
            seat.context.metrics.workers_created.increment();
            self.journal.append(Entry::Create(create));
        }
    }

    /// Appends the entry that says that an invocation is accepted; for a new worker the Create entry before.
    pub(crate) fn append_pending(&mut self, input: &Input, key: &IdempotencyKey) {
        if let Some(create) = self.birth.take() {
            self.journal.append(Entry::Create(create));
        }
        self.journal.append(input.pending_entry(key));
    }

    /// Makes everything appended durable.
    pub(crate) async fn commit(&mut self) -> Result<(), journal::Error> {
        commit(&self.journal, &self.is_committing).await
    }

    /// Instantiates and replays. When the last recorded invocation had not ended, it goes on live: its ending is returned.
    /// It waits for room for `memory_bytes` of linear memory, if that is more than the worker had so far.
    pub(crate) async fn load(&mut self, seat: &Seat, memory_bytes: u64) -> Result<Option<Ending>, Ending> {
        let memory_bytes = self.memory_bytes.max(memory_bytes);
        let place = seat
            .context
            .residency
            .enter(memory_bytes, seat.activity.held())
            .await;
        let context = WorkerContext {
            room: place.room(),
            ..self.context.clone()
        };
        if let Some((_, entry)) = self.journal.peek()
            && matches!(entry.entry, Some(Entry::Create(_)))
        {
            self.journal.take()?;
        }
        let mut instance = Instance::start(&self.component, context, self.journal.clone()).await?;
        seat.context.metrics.workers_loaded.increment();
        if let Some(snapshot) = self.snapshot.clone() {
            instance.load_snapshot(snapshot).await?;
        }
        if self.update.is_some_and(|update| update.is_snapshot_based) {
            self.journal.append(self.success_entry());
            self.commit().await?;
            self.update = None;
        }
        let unfinished = self.replay(&mut instance).await?;
        if self.update.is_some() {
            self.journal.arrive();
            self.commit().await?;
        }
        seat.activity.set_loaded(true);
        self.resident = Some(Resident {
            instance,
            _place: place,
        });
        Ok(unfinished)
    }

    async fn replay(&mut self, instance: &mut Instance) -> Result<Option<Ending>, Ending> {
        let mut functions: HashMap<String, FunctionRef> = HashMap::new();
        // Nothing is taken before it is known to fit: with the last entry an update has come to its end.
        while let Some((index, entry)) = self.journal.peek() {
            let Some(Entry::ExportedFunctionInvoked(call)) = &entry.entry else {
                return Err(self.diverged(index, entry.entry.as_ref(), "nothing more"));
            };
            let function = match functions.get(&call.function_name) {
                Some(function) => function.clone(),
                None => {
                    let found = self.component.function(&call.function_name);
                    let function =
                        found.map_err(|error| Ending::Failed(Failure::of_guest(error.to_string())))?;
                    functions.insert(call.function_name.clone(), function.clone());
                    function
                }
            };
            self.journal.take()?;
            self.invoked_at = index;
            instance.enter(Invocation {
                key: IdempotencyKey::new(&call.idempotency_key).map_err(Ending::Refused)?,
                function: call.function_name.clone(),
                started_ns: entry.timestamp_ns,
                context: call.context.clone(),
            });
            let result = instance.call(&function, &call.request).await?;
            self.journal.pass_zone()?;
            match self.journal.peek() {
                None => return Ok(Some(complete(&self.journal, &self.is_committing, result).await)),
                Some((index, recorded)) => self.compare(index, recorded.entry.as_ref(), result.as_ref())?,
            }
            self.journal.take()?;
        }
        Ok(None)
    }

    /// The function gave a result: it must be the recorded one, bit by bit.
    fn compare(
        &self,
        index: OplogIndex,
        recorded: Option<&Entry>,
        result: Option<&v1::Value>,
    ) -> Result<(), Ending> {
        let Some(Entry::ExportedFunctionCompleted(completed)) = recorded else {
            return Err(self.diverged(index, recorded, "the end of the invocation"));
        };
        // Encoded, because NaN is not equal to itself.
        let encoded = |value: Option<&v1::Value>| value.map(prost::Message::encode_to_vec);
        if encoded(completed.response.as_ref()) == encoded(result) {
            return Ok(());
        }
        Err(self.diverged(index, recorded, "another result"))
    }

    fn diverged(&self, index: OplogIndex, recorded: Option<&Entry>, actual: &str) -> Ending {
        let divergence = Divergence {
            worker: self.journal.worker().clone(),
            index,
            expected: crate::replay::describe(recorded),
            actual: actual.to_owned(),
        };
        Ending::Failed(Failure::of_guest(divergence.to_string()))
    }

    /// Runs an accepted invocation on the loaded instance and commits its result.
    pub(crate) async fn run(&mut self, key: &IdempotencyKey, input: &Input) -> Ending {
        let Some(resident) = &mut self.resident else {
            return Ending::Refused(Error::internal("the worker is not loaded"));
        };
        self.invoked_at = self.journal.append(input.invoked_entry(key));
        resident.instance.enter(Invocation {
            key: key.clone(),
            function: input.function.full_name.clone(),
            started_ns: self.journal.now_ns(),
            context: input.context.clone(),
        });
        match resident.instance.call(&input.function, &input.arguments).await {
            Ok(result) => complete(&self.journal, &self.is_committing, result).await,
            Err(error) => error.into(),
        }
    }
}

/// Records a result. From the commit on it counts.
async fn complete(journal: &Journal, is_committing: &AtomicBool, result: Option<v1::Value>) -> Ending {
    let entry = v1::ExportedFunctionCompletedEntry {
        response: result.clone(),
        consumed_fuel: 0,
    };
    journal.append(Entry::ExportedFunctionCompleted(entry));
    match commit(journal, is_committing).await {
        Ok(()) => Ending::Completed(result),
        Err(error) => error.into(),
    }
}

async fn commit(journal: &Journal, is_committing: &AtomicBool) -> Result<(), journal::Error> {
    is_committing.store(true, Ordering::Relaxed);
    let committed = journal.commit().await;
    is_committing.store(false, Ordering::Relaxed);
    committed.map(|_| ())
}

/// Versions from before there were applications are of the default one.
fn application_of(version: &v1::ComponentVersion) -> &str {
    match version.application.as_str() {
        "" => "default",
        name => name,
    }
}

fn read_snapshot(seat: &Seat, index: OplogIndex) -> Result<Bytes, Error> {
    match seat.entry(index)?.entry {
        Some(Entry::PendingUpdate(update)) => update
            .snapshot
            .ok_or_else(|| Error::corrupt(format!("entry {index} holds no snapshot"))),
        _ => Err(Error::corrupt(format!("entry {index} is no update"))),
    }
}

fn pairs(list: &[KeyValue]) -> Vec<(String, String)> {
    list.iter()
        .map(|pair| (pair.key.clone(), pair.value.clone()))
        .collect()
}
