//! Searching a shard: which rows are looked at, in which order.

use std::ops::ControlFlow;

use bytes::Bytes;
use kiln_proto::{
    ids::{ComponentId, WorkerId},
    v1::WorkerStatus,
};

use super::{
    index,
    keys::{self, WorkerNumber},
    merge::Merge,
    record,
    variable::Variable,
    view::View,
};
use crate::{Error, Table, engine::after_prefix};

/// Which rows of a shard are looked at. Each shows every worker at most once, in the order of its [`Position`]s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessPath {
    /// All worker records, in the order of numbers.
    All,
    /// Index rows of any of these, merged in the order of numbers.
    Numbers(Vec<Stream>),
    /// Workers of these components created at or after `from_ns` and before `to_ns`, in the order of component and creation.
    Created {
        /// Sorted.
        components: Vec<ComponentId>,
        /// First nanosecond.
        from_ns: u64,
        /// One nanosecond after the last; `None` without an end.
        to_ns: Option<u64>,
    },
    /// Workers of these components whose names begin so, or are this one, in the order of component and name.
    Names {
        /// Sorted.
        components: Vec<ComponentId>,
        /// The beginning, or the name.
        name: String,
        /// The whole name.
        is_exact: bool,
    },
}

/// Index rows of one value, in the order of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// Workers in a status.
    Status(ComponentId, WorkerStatus),
    /// Workers of a version.
    Version(ComponentId, u64),
    /// Workers that have a variable with a value. Long values may bring others along.
    Variable(ComponentId, Variable),
    /// These workers, sorted.
    Workers(Vec<WorkerNumber>),
}

/// A worker's place in the order of an [`AccessPath`]. It never changes, so a search that ended there can go on later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// By number.
    Number(WorkerNumber),
    /// By component, time of creation, and number.
    Created(ComponentId, u64, WorkerNumber),
    /// By component and name.
    Name(WorkerId),
}

/// A worker as the looked at row shows it: what the row does not say is `None`.
#[derive(Debug)]
pub struct Hit<'a> {
    /// Its number.
    pub number: WorkerNumber,
    /// Its component.
    pub component: Option<ComponentId>,
    /// Its name.
    pub name: Option<&'a str>,
    /// Its status.
    pub status: Option<WorkerStatus>,
    /// Its version.
    pub version: Option<u64>,
    /// When it was created.
    pub created_at_ns: Option<u64>,
    /// Its encoded record, where the row is that.
    pub record: Option<Bytes>,
}

impl<'a> Hit<'a> {
    pub(super) fn of(number: WorkerNumber) -> Self {
        Self {
            number,
            component: None,
            name: None,
            status: None,
            version: None,
            created_at_ns: None,
            record: None,
        }
    }

    fn named(self, name: &'a str) -> Self {
        Self {
            name: Some(name),
            ..self
        }
    }
}

impl AccessPath {
    /// Where a search that has come to this hit goes on.
    #[must_use]
    pub fn position(&self, hit: &Hit<'_>) -> Option<Position> {
        match self {
            Self::All | Self::Numbers(_) => Some(Position::Number(hit.number)),
            Self::Created { .. } => Some(Position::Created(hit.component?, hit.created_at_ns?, hit.number)),
            Self::Names { .. } => Some(Position::Name(WorkerId {
                component: hit.component?,
                name: hit.name?.parse().ok()?,
            })),
        }
    }
}

impl View<'_> {
    /// Shows what a path leads to, behind a position, until the visitor breaks off.
    ///
    /// # Errors
    /// `Corrupt`, when the engine cannot read, or what the visitor says; `Invalid` for a position of another order.
    pub fn search<E: From<Error>>(
        &self,
        path: &AccessPath,
        after: Option<&Position>,
        mut visitor: impl FnMut(Hit<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let is_over = match (path, after) {
            (AccessPath::All, None) => self.all(WorkerNumber(0), &mut visitor),
            (AccessPath::All, Some(Position::Number(number))) => self.all(number.next(), &mut visitor),
            (AccessPath::Numbers(streams), None) => self.merge(streams, WorkerNumber(0), &mut visitor),
            (AccessPath::Numbers(streams), Some(Position::Number(number))) => {
                self.merge(streams, number.next(), &mut visitor)
            }
            (
                AccessPath::Created {
                    components,
                    from_ns,
                    to_ns,
                },
                None | Some(Position::Created(..)),
            ) => self.created(components, *from_ns, *to_ns, after, &mut visitor),
            (
                AccessPath::Names {
                    components,
                    name,
                    is_exact,
                },
                None | Some(Position::Name(_)),
            ) => self.names(components, name, *is_exact, after, &mut visitor),
            (_, Some(_)) => {
                return Err(Error::Invalid("the search cannot go on in another order".into()).into());
            }
        };
        is_over.map(|_| ())
    }

    /// Number of rows that a path begins with, as far as `limit`.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub fn probe(&self, path: &AccessPath, limit: u64) -> Result<u64, Error> {
        let mut rows = 0;
        self.search(path, None, |_| {
            rows += 1;
            Ok::<_, Error>(if rows < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        Ok(rows)
    }

    fn all<E: From<Error>>(
        &self,
        from: WorkerNumber,
        visitor: &mut impl FnMut(Hit<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let mut rows = self.moment.rows(Table::Worker, &keys::worker(from), &[]);
        while let Some((key, value)) = rows.item() {
            let number = keys::number_at(key, 0).map(WorkerNumber).ok_or_else(malformed)?;
            let mut hit = Hit::of(number);
            hit.record = Some(record::message(
                "a worker record",
                &Bytes::copy_from_slice(value),
            )?);
            if visitor(hit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            rows.next();
        }
        rows.status()?;
        Ok(ControlFlow::Continue(()))
    }

    fn merge<E: From<Error>>(
        &self,
        streams: &[Stream],
        from: WorkerNumber,
        visitor: &mut impl FnMut(Hit<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let mut merge = Merge::open(&self.moment, streams, from)?;
        while let Some(hit) = merge.next()? {
            if visitor(hit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn created<E: From<Error>>(
        &self,
        components: &[ComponentId],
        from_ns: u64,
        to_ns: Option<u64>,
        after: Option<&Position>,
        visitor: &mut impl FnMut(Hit<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        for component in components {
            let prefix = index::creation_prefix(*component);
            let at = |ns: u64| [prefix.clone(), ns.to_be_bytes().to_vec()].concat();
            let from = match after {
                Some(Position::Created(of, ..)) if component < of => continue,
                Some(Position::Created(of, ns, number)) if component == of => {
                    index::with_number(at(*ns), number.next())
                }
                _ => at(from_ns),
            };
            let mut rows = self.moment.rows(
                Table::Index,
                &from,
                &to_ns.map_or_else(|| after_prefix(&prefix), at),
            );
            while let Some((key, value)) = rows.item() {
                let created = keys::number_at(key, prefix.len()).ok_or_else(malformed)?;
                let number = keys::number_at(key, prefix.len() + 8).ok_or_else(malformed)?;
                let hit = Hit {
                    component: Some(*component),
                    version: keys::number_at(value, 0),
                    created_at_ns: Some(created),
                    ..Hit::of(WorkerNumber(number))
                };
                if visitor(hit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                rows.next();
            }
            rows.status()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn names<E: From<Error>>(
        &self,
        components: &[ComponentId],
        name: &str,
        is_exact: bool,
        after: Option<&Position>,
        visitor: &mut impl FnMut(Hit<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, E> {
        for component in components {
            let prefix = [component.as_bytes(), name.as_bytes()].concat();
            // No name contains a zero byte, so this is the smallest key after a worker's.
            let behind = |mut key: Vec<u8>| {
                key.push(0);
                key
            };
            let from = match after {
                Some(Position::Name(last)) if *component < last.component => continue,
                Some(Position::Name(last)) if *component == last.component => behind(keys::by_name(last)),
                _ => prefix.clone(),
            };
            let to = if is_exact {
                behind(prefix)
            } else {
                after_prefix(&prefix)
            };
            if to <= from && !to.is_empty() {
                continue;
            }
            let mut rows = self.moment.rows(Table::ByName, &from, &to);
            while let Some((key, value)) = rows.item() {
                let name = key
                    .get(16..)
                    .and_then(|name| std::str::from_utf8(name).ok())
                    .ok_or_else(malformed)?;
                let number = keys::number_at(value, 0)
                    .map(WorkerNumber)
                    .ok_or_else(malformed)?;
                let hit = Hit {
                    component: Some(*component),
                    ..Hit::of(number)
                };
                if visitor(hit.named(name))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                rows.next();
            }
            rows.status()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn malformed() -> Error {
    Error::Corrupt("an index row of a worker is malformed".into())
}
