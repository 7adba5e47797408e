//! One shard on this node: its rows, its counters, and what runs without being recorded yet.

use std::{collections::BTreeMap, ops::ControlFlow, time::Instant};

use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{ComponentId, WorkerId},
    v1::{WorkerRecord, WorkerStatus},
};
use kiln_store::{AccessPath, Hit, Stream, Tally, VariableKind, View, WorkerNumber};
use prost::Message as _;

use super::{
    filter::{Filter, Known},
    plan::{PROBE_ROWS_MAX, Statistics},
};

/// What is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) component: Option<ComponentId>,
    pub(crate) filter: Filter,
}

/// A shard's state at one moment, and workers whose actors run although their records do not say so.
pub(super) struct Local<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) wanted: &'a Wanted,
    tallies: Vec<Tally>,
    running: BTreeMap<WorkerNumber, Running>,
    pub(super) began_at: Instant,
}

/// A worker that runs, as it is recorded and as it is.
pub(super) struct Running {
    pub(super) recorded: WorkerRecord,
    pub(super) now: WorkerRecord,
}

/// What of a record most filters ask for. The rest is passed over unread.
#[derive(Clone, PartialEq, prost::Message)]
struct Brief {
    #[prost(message, optional, tag = "1")]
    worker_id: Option<BriefId>,
    #[prost(enumeration = "WorkerStatus", tag = "2")]
    status: i32,
    #[prost(uint64, tag = "3")]
    component_version: u64,
    #[prost(fixed64, tag = "4")]
    created_at_ns: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BriefId {
    #[prost(bytes = "bytes", tag = "1")]
    component_id: Bytes,
    #[prost(string, tag = "2")]
    name: String,
}

impl<'a> Local<'a> {
    pub(super) fn new(view: &'a View<'a>, wanted: &'a Wanted, running: &[WorkerId]) -> Result<Self, Error> {
        let mut overlaid = BTreeMap::new();
        for id in running {
            let Some((number, recorded)) = view.worker(id)? else {
                continue;
            };
            // A run without effects is recorded when it ends.
            if matches!(
                recorded.status(),
                WorkerStatus::Idle | WorkerStatus::WorkerInterrupted
            ) {
                let mut now = recorded.clone();
                now.set_status(WorkerStatus::Running);
                overlaid.insert(number, Running { recorded, now });
            }
        }
        Ok(Self {
            view,
            wanted,
            tallies: view.tallies(None)?,
            running: overlaid,
            began_at: Instant::now(),
        })
    }

    /// The running workers whose records say otherwise.
    pub(super) fn running(&self) -> impl Iterator<Item = &Running> {
        self.running.values()
    }

    /// Lets a path lead to running workers too, whatever is recorded of them.
    pub(super) fn with_running(&self, path: AccessPath) -> AccessPath {
        match path {
            AccessPath::Numbers(mut streams) if !self.running.is_empty() => {
                streams.push(Stream::Workers(self.running.keys().copied().collect()));
                AccessPath::Numbers(streams)
            }
            path => path,
        }
    }

    /// The worker's record if it is wanted.
    pub(super) fn pick(&self, hit: &mut Hit<'_>) -> Result<Option<Bytes>, Error> {
        if let Some(running) = self.running.get(&hit.number) {
            let is_wanted = self.is_wanted(&running.now);
            return Ok(is_wanted.then(|| running.now.encode_to_vec().into()));
        }
        let verdict = self.judge(hit)?;
        if verdict == Some(false) {
            return Ok(None);
        }
        let record = match hit.record.take() {
            Some(record) => Some(record),
            None => self.view.record(hit.number)?,
        };
        let Some(record) = record else { return Ok(None) };
        match verdict {
            Some(_) => Ok(Some(record)),
            None => {
                let whole = decode(record.clone())?;
                Ok(self.is_wanted(&whole).then_some(record))
            }
        }
    }

    /// The status and version under which a worker is recorded, if it is wanted so.
    pub(super) fn tally(&self, hit: &mut Hit<'_>) -> Result<Option<(WorkerStatus, u64)>, Error> {
        match (self.judge(hit)?, hit.status, hit.version) {
            (Some(false), ..) => return Ok(None),
            (Some(true), Some(status), Some(version)) => return Ok(Some((status, version))),
            _ => {}
        }
        let record = match hit.record.take() {
            Some(record) => Some(record),
            None => self.view.record(hit.number)?,
        };
        let Some(record) = record else { return Ok(None) };
        let record = decode(record)?;
        let is_wanted = self.is_wanted(&record);
        Ok(is_wanted.then_some((record.status(), record.component_version)))
    }

    pub(super) fn is_wanted(&self, record: &WorkerRecord) -> bool {
        let is_component = self.wanted.component.is_none_or(|component| {
            record
                .worker_id
                .as_ref()
                .is_some_and(|id| id.component_id.as_ref() == component.as_bytes())
        });
        is_component && self.wanted.filter.matches(record)
    }

    /// Judges by the row that was met, and reads no other.
    fn judge(&self, hit: &mut Hit<'_>) -> Result<Option<bool>, Error> {
        let filter = &self.wanted.filter;
        if let Some(record) = &hit.record {
            if self.is_everything_wanted() {
                return Ok(Some(true));
            }
            let brief = Brief::decode(record.clone()).map_err(|_| corrupt())?;
            let id = brief.worker_id.as_ref().ok_or_else(corrupt)?;
            if self
                .wanted
                .component
                .is_some_and(|component| id.component_id.as_ref() != component.as_bytes())
            {
                return Ok(Some(false));
            }
            hit.status = Some(brief.status());
            hit.version = Some(brief.component_version);
            return Ok(filter.judge(&Known {
                name: Some(&id.name),
                status: hit.status,
                version: hit.version,
                created_at_ns: Some(brief.created_at_ns),
                variables: None,
            }));
        }
        // Rows of an index belong to the components that were asked for.
        Ok(filter.judge(&Known {
            name: hit.name,
            status: hit.status,
            version: hit.version,
            created_at_ns: hit.created_at_ns,
            variables: None,
        }))
    }

    /// No record has to be looked into: there is no filter, and no worker of another component.
    fn is_everything_wanted(&self) -> bool {
        let is_wanted = |tally: &Tally| {
            self.wanted
                .component
                .is_none_or(|wanted| wanted == tally.component)
        };
        self.wanted.filter.judge(&Known::default()) == Some(true) && self.tallies.iter().all(is_wanted)
    }
}

impl Statistics for Local<'_> {
    fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    fn covered(&self, component: ComponentId, kind: VariableKind, key: &str) -> Result<u64, Error> {
        Ok(self.view.covered(component, kind, key)?)
    }

    fn rows(&self, path: &AccessPath) -> Result<u64, Error> {
        Ok(self.view.probe(path, PROBE_ROWS_MAX)?)
    }
}

pub(super) fn decode(record: Bytes) -> Result<WorkerRecord, Error> {
    WorkerRecord::decode(record).map_err(|_| corrupt())
}

pub(super) fn corrupt() -> Error {
    Error::corrupt("a worker record cannot be read")
}

/// Goes on, or ends.
pub(super) fn until(is_enough: bool) -> ControlFlow<()> {
    if is_enough {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}
