use kiln_proto::{
    Error,
    ids::OplogIndex,
    v1::{FieldValue, OplogEntry, Value, value::Kind},
};

use prost::Message as _;

use super::{Reading, form};
use crate::{
    host::{
        Cluster, HostState,
        golem::shapes::{field, u64_field},
    },
    oplog_query::Query,
    replay::step::StepError,
};

/// Entries on a page.
const ENTRIES_MAX: usize = 100;
/// Encoded size of entries on a page, exceeded only by a single larger one: as nodes of a `wit-value` they are some hundred
/// times as large.
const BYTES_MAX: usize = 128 << 10;
/// Entries that are read at once while searching.
const CHUNK: usize = 256;

/// Entries of an oplog that a guest gets at once.
pub(super) struct Page {
    entries: Vec<(u64, Value)>,
    /// Where the next page starts; 0 after the last one.
    pub(super) next: u64,
    pub(super) end: Option<u64>,
}

impl Page {
    /// Of its own oplog only the indexes are recorded: the entries are there for ever, and a record that repeated them
    /// would be repeated itself by the next reading.
    pub(super) fn to_record_of_own(&self) -> Value {
        self.to_record(
            self.entries
                .iter()
                .map(|(index, _)| Value::from(*index))
                .collect(),
        )
    }

    pub(super) fn to_record_of_other(&self) -> Value {
        let entry = |(index, entry): &(u64, Value)| Value::tuple(vec![(*index).into(), entry.clone()]);
        self.to_record(self.entries.iter().map(entry).collect())
    }

    fn to_record(&self, entries: Value) -> Value {
        Value::record(vec![
            FieldValue::of("entries", entries),
            FieldValue::of("next", self.next),
            FieldValue::of("end", self.end.unwrap_or(0)),
        ])
    }

    /// The page that was recorded.
    pub(super) fn from_record(state: &HostState, record: &Value) -> wasmtime::Result<Self> {
        let Some(Kind::List(list)) = &field(record, &["entries"])?.kind else {
            wasmtime::bail!("a recorded page of an oplog has no entries");
        };
        let mut entries = Vec::with_capacity(list.values.len());
        for value in &list.values {
            entries.push(recorded_entry(state, value)?);
        }
        Ok(Self {
            entries,
            next: u64_field(record, "next")?,
            end: Some(u64_field(record, "end")?).filter(|end| *end != 0),
        })
    }

    /// `option<list<oplog-entry>>`, with indexes for a search.
    pub(super) fn into_answer(self, with_indexes: bool) -> Value {
        if self.entries.is_empty() {
            return Value::from(None::<Value>);
        }
        let entry = |(index, entry): (u64, Value)| match with_indexes {
            true => Value::tuple(vec![index.into(), entry]),
            false => entry,
        };
        Some(self.entries.into_iter().map(entry).collect::<Value>()).into()
    }
}

fn recorded_entry(state: &HostState, value: &Value) -> wasmtime::Result<(u64, Value)> {
    match &value.kind {
        Some(Kind::U64Value(index)) => {
            let page = state
                .journal
                .read(OplogIndex(*index), 1)
                .map_err(StepError::from)?;
            match page.first() {
                Some((found, entry)) if found.0 == *index => Ok((*index, form::entry(entry))),
                _ => wasmtime::bail!("entry {index} of the own oplog is missing"),
            }
        }
        Some(Kind::Tuple(pair)) => match pair.values.as_slice() {
            [
                Value {
                    kind: Some(Kind::U64Value(index)),
                },
                entry,
            ] => Ok((*index, entry.clone())),
            _ => wasmtime::bail!("a recorded entry of an oplog is malformed"),
        },
        _ => wasmtime::bail!("a recorded entry of an oplog is malformed"),
    }
}

/// The next page of the own oplog, with everything that has happened up to the first page.
pub(super) async fn of_own(state: &mut HostState, reading: &Reading) -> wasmtime::Result<Page> {
    let committed = state.journal.commit().await.map_err(StepError::from)?;
    let end = reading.end.unwrap_or(committed.0);
    let query = Query::parse(&reading.query)?;
    let mut taken = Taken::default();
    let mut next = reading.next;
    while next != 0 && next <= end && taken.has_room() {
        let chunk = state
            .journal
            .read(OplogIndex(next), CHUNK)
            .map_err(StepError::from)?;
        if chunk.is_empty() {
            break;
        }
        next = take_matches(&chunk, end, &query, &mut taken);
        tokio::task::yield_now().await;
    }
    Ok(Page {
        entries: taken.entries,
        next: if next > end { 0 } else { next },
        end: Some(end),
    })
}

/// A page that is being filled.
#[derive(Default)]
struct Taken {
    entries: Vec<(u64, Value)>,
    bytes: usize,
}

impl Taken {
    fn has_room(&self) -> bool {
        self.entries.len() < ENTRIES_MAX && self.bytes < BYTES_MAX
    }

    fn push(&mut self, index: u64, entry: &OplogEntry) {
        self.bytes += entry.encoded_len();
        self.entries.push((index, form::entry(entry)));
    }
}

/// Takes what matches until the page is full; returns the index to go on from.
fn take_matches(chunk: &[(OplogIndex, OplogEntry)], end: u64, query: &Query, taken: &mut Taken) -> u64 {
    let mut next = end + 1;
    for (index, entry) in chunk {
        next = index.0;
        if !taken.has_room() || index.0 > end {
            return next;
        }
        if query.matches(entry) {
            taken.push(index.0, entry);
        }
        next = index.0 + 1;
    }
    next
}

/// The next page of another worker's oplog. One that does not exist has no entries.
pub(super) async fn of_other(cluster: &dyn Cluster, reading: &Reading) -> Result<Page, Error> {
    let mut page = Page {
        entries: Vec::new(),
        next: reading.next,
        end: None,
    };
    while page.next != 0 && page.entries.is_empty() {
        let found = cluster
            .oplog(&reading.worker, OplogIndex(page.next), &reading.query)
            .await?;
        let found = found.unwrap_or_default();
        page.next = found.next;
        let mut taken = Taken::default();
        for indexed in &found.entries {
            if !taken.has_room() {
                page.next = indexed.index;
                break;
            }
            if let Some(entry) = &indexed.entry {
                taken.push(indexed.index, entry);
            }
        }
        page.entries = taken.entries;
    }
    Ok(page)
}
