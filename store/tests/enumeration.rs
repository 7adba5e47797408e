//! Indexes, counters, searches and the feed of changes, against a model, under random lives of workers.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use kiln_proto::{
    ids::{ComponentId, Epoch, OplogIndex, WorkerId},
    v1::{CreateEntry, ErrorEntry, KeyValue, WorkerRecord, WorkerStatus, error_entry, oplog_entry::Entry},
};
use kiln_store::{AccessPath, Change, Error, Position, Shard, Stream, Tally, Variable, VariableKind};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use prost::Message;
use support::{encode, invocation, single};

const NAMES: u8 = 24;

/// Something that happens to one of the workers.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create { version: u64, group: u8 },
    Invoke,
    Begin,
    Fail,
    Delete,
}

fn step() -> impl Strategy<Value = (u8, bool, Step)> {
    let step = prop_oneof![
        3 => (0..3u64, 0..4u8).prop_map(|(version, group)| Step::Create { version, group }),
        2 => Just(Step::Invoke),
        2 => Just(Step::Begin),
        2 => Just(Step::Fail),
        1 => Just(Step::Delete),
    ];
    (0..NAMES, any::<bool>(), step)
}

fn component(is_second: bool) -> ComponentId {
    ComponentId(
        format!("00000000-0000-0000-0000-00000000000{}", 1 + u8::from(is_second))
            .parse()
            .expect("a UUID"),
    )
}

fn id(name: u8, is_second: bool) -> WorkerId {
    WorkerId {
        component: component(is_second),
        name: format!(
            "{}-{name:02}",
            if name.is_multiple_of(3) { "order" } else { "cart" }
        )
        .parse()
        .expect("a name"),
    }
}

/// What the shard should know: records as their own appends made them.
struct Model {
    shard: Shard,
    epoch: Epoch,
    workers: BTreeMap<WorkerId, WorkerRecord>,
}

impl Model {
    async fn take(&mut self, (name, is_second, step): (u8, bool, Step)) -> Result<()> {
        let worker = id(name, is_second);
        let known = self.workers.get(&worker).cloned();
        let entries = match (step, &known) {
            (Step::Create { version, group }, None) => vec![create(&worker, version, group)],
            (Step::Invoke, Some(_)) => invocation("k"),
            (Step::Begin, Some(_)) => invocation("k")[..2].to_vec(),
            (Step::Fail, Some(_)) => vec![failure()],
            (Step::Delete, Some(_)) => {
                self.shard.delete_worker(self.epoch, &worker).await?;
                self.workers.remove(&worker);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let first = OplogIndex(known.map_or(0, |record| record.oplog_index) + 1);
        self.shard.append(self.epoch, &worker, first, entries).await?;
        let record = self.shard.worker(&worker)?.expect("it was appended to");
        self.workers.insert(worker, record);
        Ok(())
    }

    /// Names of the workers that a judgement picks.
    fn pick(&self, is_wanted: impl Fn(&WorkerId, &WorkerRecord) -> bool) -> BTreeSet<WorkerId> {
        let wanted = self.workers.iter().filter(|(id, record)| is_wanted(id, record));
        wanted.map(|(id, _)| id.clone()).collect()
    }

    fn check(&self, page: usize) -> Result<()> {
        let (one, two) = (component(false), component(true));
        let check = |path: &AccessPath, expected: BTreeSet<WorkerId>| {
            let found = self.search(path, page)?;
            let distinct: BTreeSet<_> = found.iter().cloned().collect();
            ensure!(
                distinct.len() == found.len(),
                "{path:?} shows a worker twice: {found:?}"
            );
            ensure!(
                distinct == expected,
                "{path:?}: {distinct:?} instead of {expected:?}"
            );
            Ok(())
        };
        check(&AccessPath::All, self.pick(|_, _| true))?;
        for status in [WorkerStatus::Idle, WorkerStatus::Running, WorkerStatus::Failed] {
            let path = AccessPath::Numbers(vec![Stream::Status(one, status)]);
            check(
                &path,
                self.pick(|id, record| id.component == one && record.status() == status),
            )?;
        }
        let union = AccessPath::Numbers(vec![
            Stream::Status(two, WorkerStatus::Failed),
            Stream::Status(two, WorkerStatus::Running),
            Stream::Version(two, 1),
            Stream::Variable(two, Variable::new(VariableKind::Env, "group", "g2")),
        ]);
        let is_in_union = |record: &WorkerRecord| {
            matches!(record.status(), WorkerStatus::Failed | WorkerStatus::Running)
                || record.component_version == 1
                || group(record) == "g2"
        };
        check(
            &union,
            self.pick(|id, record| id.component == two && is_in_union(record)),
        )?;
        let components = vec![one, two];
        let created = AccessPath::Created {
            components: components.clone(),
            from_ns: 1,
            to_ns: Some(2),
        };
        check(&created, self.pick(|_, record| record.created_at_ns == 1))?;
        for (name, is_exact) in [("order", false), ("cart-01", true), ("x", false)] {
            let path = AccessPath::Names {
                components: components.clone(),
                name: name.into(),
                is_exact,
            };
            let is_named = |id: &WorkerId| {
                let found = id.name.as_str();
                if is_exact {
                    found == name
                } else {
                    found.starts_with(name)
                }
            };
            check(&path, self.pick(|id, _| is_named(id)))?;
        }
        self.check_counters()
    }

    fn check_counters(&self) -> Result<()> {
        let mut expected: BTreeMap<(ComponentId, i32, u64), u64> = BTreeMap::new();
        for (id, record) in &self.workers {
            *expected
                .entry((id.component, record.status, record.component_version))
                .or_default() += 1;
        }
        let tallies = self.shard.view(|view| view.tallies(None))?;
        let counted = tallies.into_iter().map(|tally| {
            let Tally {
                component,
                status,
                version,
                count,
            } = tally;
            ((component, status as i32, version), count)
        });
        ensure!(
            counted.collect::<BTreeMap<_, _>>() == expected,
            "the counters differ"
        );
        for is_second in [false, true] {
            let component = component(is_second);
            let covered = self
                .shard
                .view(|view| view.covered(component, VariableKind::Env, "Group"))?;
            let there = self.pick(|id, record| id.component == component && !record.indexed_env.is_empty());
            ensure!(
                covered == there.len() as u64,
                "{covered} workers have the variable indexed"
            );
        }
        Ok(())
    }

    /// Everything that a path shows, page by page.
    fn search(&self, path: &AccessPath, page: usize) -> Result<Vec<WorkerId>> {
        let mut found = Vec::new();
        let mut after: Option<Position> = None;
        loop {
            let before = found.len();
            after = self.shard.view(|view| {
                let mut last = None;
                view.search::<Error>(path, after.as_ref(), |hit| {
                    last = path.position(&hit);
                    let record = view.record(hit.number)?.expect("the record is there");
                    let record = WorkerRecord::decode(record).expect("it decodes");
                    let id = record.worker_id.as_ref().expect("it has an identity");
                    found.push(WorkerId::try_from(id).expect("a valid one"));
                    Ok(if found.len() - before < page {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    })
                })?;
                Ok::<_, Error>(last)
            })?;
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}

fn group(record: &WorkerRecord) -> &str {
    let pair = record.env.iter().find(|pair| pair.key == "GROUP");
    pair.map_or("", |pair| &pair.value)
}

/// Group 3 has no such variable, and version 0 declared none.
fn create(worker: &WorkerId, version: u64, group: u8) -> Bytes {
    let env = (group < 3).then(|| KeyValue {
        key: "GROUP".into(),
        value: format!("g{group}"),
    });
    encode(Entry::Create(CreateEntry {
        worker_id: Some(worker.into()),
        component_version: version,
        env: env.into_iter().collect(),
        indexed_env: (worker.component == component(true) || version > 0)
            .then(|| "Group".into())
            .into_iter()
            .collect(),
        ..Default::default()
    }))
}

fn failure() -> Bytes {
    encode(Entry::Error(ErrorEntry {
        kind: error_entry::Kind::InvalidRequest.into(),
        ..Default::default()
    }))
}

#[test]
fn searches_and_counters_agree_with_the_records() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut runner = TestRunner::new(Config {
        cases: 24,
        ..Config::default()
    });
    let lives = (prop::collection::vec(step(), 0..120), 1..9usize);
    runner.run(&lives, |(steps, page)| {
        runtime
            .block_on(live(steps, page))
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    })?;
    Ok(())
}

async fn live(steps: Vec<(u8, bool, Step)>, page: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let epoch = node.shard.open_epoch().await?;
    let mut model = Model {
        shard: node.shard.clone(),
        epoch,
        workers: BTreeMap::new(),
    };
    let mut follower = Follower::default();
    for step in steps.chunks(20) {
        for step in step {
            model.take(*step).await?;
        }
        model.check(page)?;
        follower.follow(&model.shard, page)?;
        ensure!(
            follower.workers == statuses(&model),
            "the feed tells of other workers"
        );
    }
    drop(model);
    node.stop().await;
    Ok(())
}

fn statuses(model: &Model) -> BTreeMap<WorkerId, i32> {
    let of = |(id, record): (&WorkerId, &WorkerRecord)| (id.clone(), record.status);
    model.workers.iter().map(of).collect()
}

/// Knows workers only from the feed of changes.
#[derive(Default)]
struct Follower {
    last: u64,
    workers: BTreeMap<WorkerId, i32>,
}

impl Follower {
    fn follow(&mut self, shard: &Shard, limit: usize) -> Result<()> {
        loop {
            let changes = shard.view(|view| view.changes(self.last, limit))?;
            ensure!(!changes.is_too_old, "nothing has been forgotten");
            if changes.changes.is_empty() {
                return Ok(());
            }
            for (number, change) in changes.changes {
                ensure!(number > self.last, "changes come in order");
                self.last = number;
                match change {
                    Change::Deleted(worker) => {
                        self.workers.remove(&worker);
                    }
                    Change::Changed { record, .. } => {
                        let record = WorkerRecord::decode(record)?;
                        let id = WorkerId::try_from(record.worker_id.as_ref().expect("an identity"))?;
                        self.workers.insert(id, record.status);
                    }
                }
            }
        }
    }
}
