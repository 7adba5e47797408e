use super::{
    index,
    keys::{self, WorkerNumber},
    search::{Hit, Stream},
};
use crate::{
    Error, Table,
    engine::{Moment, Rows, after_prefix},
};

/// Several streams of index rows as one, in the order of numbers. A worker that is in several of them comes once.
pub(super) struct Merge<'a> {
    heads: Vec<Head<'a>>,
    /// The heads at this number have been shown.
    shown: Option<WorkerNumber>,
}

struct Head<'a> {
    stream: &'a Stream,
    rows: Source<'a>,
    /// `None` at the end.
    number: Option<WorkerNumber>,
}

enum Source<'a> {
    Rows { rows: Rows<'a>, number_at: usize },
    Workers(&'a [WorkerNumber]),
}

impl<'a> Merge<'a> {
    pub(super) fn open(
        moment: &'a Moment<'_>,
        streams: &'a [Stream],
        from: WorkerNumber,
    ) -> Result<Self, Error> {
        let heads = streams
            .iter()
            .map(|stream| Head::open(moment, stream, from))
            .collect::<Result<_, _>>()?;
        Ok(Self { heads, shown: None })
    }

    /// The next worker.
    pub(super) fn next(&mut self) -> Result<Option<Hit<'_>>, Error> {
        if let Some(shown) = self.shown {
            for head in &mut self.heads {
                if head.number == Some(shown) {
                    head.advance()?;
                }
            }
        }
        // There are few streams: looking at all of them costs less than keeping them in order.
        let least = self
            .heads
            .iter()
            .filter(|head| head.number.is_some())
            .min_by_key(|head| head.number);
        self.shown = least.and_then(|head| head.number);
        Ok(least.and_then(Head::hit))
    }
}

impl<'a> Head<'a> {
    fn open(moment: &'a Moment<'_>, stream: &'a Stream, from: WorkerNumber) -> Result<Self, Error> {
        let prefix = match stream {
            Stream::Status(component, status) => index::status_prefix(*component, *status),
            Stream::Version(component, version) => index::version_prefix(*component, *version),
            Stream::Variable(component, variable) => index::variable_prefix(*component, variable),
            Stream::Workers(numbers) => {
                let rest = &numbers[numbers.partition_point(|number| *number < from)..];
                return Self::read(stream, Source::Workers(rest));
            }
        };
        let number_at = prefix.len();
        let end = after_prefix(&prefix);
        let rows = moment.rows(Table::Index, &index::with_number(prefix, from), &end);
        Self::read(stream, Source::Rows { rows, number_at })
    }

    fn read(stream: &'a Stream, rows: Source<'a>) -> Result<Self, Error> {
        let number = rows.number()?;
        Ok(Self { stream, rows, number })
    }

    fn advance(&mut self) -> Result<(), Error> {
        match &mut self.rows {
            Source::Rows { rows, .. } => rows.next(),
            Source::Workers(numbers) => *numbers = numbers.get(1..).unwrap_or_default(),
        }
        self.number = self.rows.number()?;
        Ok(())
    }

    fn hit(&self) -> Option<Hit<'_>> {
        let mut hit = Hit::of(self.number?);
        let Source::Rows { rows, .. } = &self.rows else {
            return Some(hit);
        };
        let (_, value) = rows.item()?;
        match self.stream {
            Stream::Status(component, status) => {
                hit.component = Some(*component);
                hit.status = Some(*status);
                hit.version = keys::number_at(value, 0);
                hit.created_at_ns = keys::number_at(value, 8);
            }
            Stream::Version(component, version) => {
                hit.component = Some(*component);
                hit.version = Some(*version);
                hit.created_at_ns = keys::number_at(value, 0);
            }
            Stream::Variable(component, _) => hit.component = Some(*component),
            Stream::Workers(_) => {}
        }
        Some(hit)
    }
}

impl Source<'_> {
    fn number(&self) -> Result<Option<WorkerNumber>, Error> {
        let (rows, number_at) = match self {
            Self::Rows { rows, number_at } => (rows, *number_at),
            Self::Workers(numbers) => return Ok(numbers.first().copied()),
        };
        let Some((key, _)) = rows.item() else {
            return rows.status().map(|()| None);
        };
        keys::number_at(key, number_at)
            .map(|number| Some(WorkerNumber(number)))
            .ok_or_else(|| Error::Corrupt("an index row of a worker is malformed".into()))
    }
}
