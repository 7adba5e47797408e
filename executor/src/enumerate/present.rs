//! Requests and answers of the public calls.

use std::{collections::HashMap, sync::Arc};

use kiln_proto::{
    Error,
    ids::{ComponentId, ComponentVersion, ShardId},
    v1,
};

use super::{
    Enumerator, Query,
    cursor::{Cursors, Mark},
    fan_out::Tallied,
    filter::Filter,
    query::Page,
    scan::PAGE_MAX,
    stream::Pages,
};
use crate::{route::Patience, worker::info::worker_info};

const PAGE_DEFAULT: usize = 50;

impl Enumerator {
    /// One page, in the order of shards and within each in its own order.
    ///
    /// # Errors
    /// `INVALID` for a filter or cursor that cannot be read; `UNAVAILABLE` when shards are missing.
    pub(crate) async fn list(
        &self,
        request: v1::ListWorkersRequest,
        patience: Patience,
    ) -> Result<v1::ListWorkersResponse, Error> {
        let (query, cursors, after) = self.read(&request).await?;
        let limit = match request.limit {
            0 => PAGE_DEFAULT,
            limit => (limit as usize).min(PAGE_MAX),
        };
        let page = self.page(&query, after.as_ref(), limit, patience).await?;
        let cursor = page.next.as_ref().map(|mark| cursors.mark(mark));
        self.response(page, cursor, request.explain, &mut Names::default())
            .await
    }

    /// One page of records for a guest, with the cursor of the next one; empty after the last.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub(crate) async fn records(
        &self,
        query: &Query,
        cursor: &str,
        limit: usize,
        patience: Patience,
    ) -> Result<(Vec<v1::WorkerRecord>, String), Error> {
        let cursors = self.cursors(query)?;
        let after = match cursor {
            "" => None,
            text => Some(cursors.read_mark(text)?),
        };
        let page = self
            .page(query, after.as_ref(), limit.min(PAGE_MAX), patience)
            .await?;
        let next = page.next.as_ref().map(|mark| cursors.mark(mark));
        let records = page.rows.into_iter().map(|row| row.record).collect();
        Ok((records, next.unwrap_or_default()))
    }

    /// All pages from a cursor on.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub(crate) async fn stream(
        self: &Arc<Self>,
        request: v1::ListWorkersRequest,
        patience: Patience,
    ) -> Result<Streamed, Error> {
        let (query, cursors, after) = self.read(&request).await?;
        Ok(Streamed {
            enumerator: self.clone(),
            pages: Pages::begin(self.clone(), query, after, request.limit as usize, patience)?,
            cursors,
            explain: request.explain,
            names: Names::default(),
        })
    }

    /// How many workers there are, in all, by status and by version.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub(crate) async fn count(
        &self,
        request: v1::CountWorkersRequest,
        patience: Patience,
    ) -> Result<v1::CountWorkersResponse, Error> {
        let component = self.component(&request.component).await?;
        let filter = parse(&request.filters)?;
        let mut query = Query::new(component, filter, request.precise)?;
        query.allow_partial = request.allow_partial;
        let Tallied { tallies, page } = self.tally(&query, patience).await?;
        let mut response = v1::CountWorkersResponse {
            count: tallies.values().sum(),
            missing_shards: page.missing,
            as_of_ns: page.as_of_ns,
            parts: parts(page.parts, request.explain),
            ..v1::CountWorkersResponse::default()
        };
        let by = |key: fn(&(i32, u64)) -> u64| {
            let mut sums = std::collections::BTreeMap::new();
            for (tally, count) in &tallies {
                *sums.entry(key(tally)).or_default() += count;
            }
            sums
        };
        let by_status = by(|(status, _)| u64::try_from(*status).unwrap_or_default());
        response.by_status = by_status
            .into_iter()
            .map(|(status, count)| v1::StatusCount {
                status: i32::try_from(status).unwrap_or_default(),
                count,
            })
            .collect();
        if component.is_some() {
            let by_version = by(|(_, version)| *version).into_iter();
            response.by_version = by_version
                .map(|(version, count)| v1::VersionCount { version, count })
                .collect();
        }
        Ok(response)
    }

    async fn read(&self, request: &v1::ListWorkersRequest) -> Result<(Query, Cursors, Option<Mark>), Error> {
        let filter = parse(&request.filters)?;
        let component = self.component(&request.component).await?;
        let mut query = Query::new(component, filter, request.precise)?;
        query.allow_partial = request.allow_partial;
        let cursors = self.cursors(&query)?;
        let after = match request.cursor.as_str() {
            "" => None,
            text => Some(cursors.read_mark(text)?),
        };
        Ok((query, cursors, after))
    }

    pub(super) async fn component(&self, name: &str) -> Result<Option<ComponentId>, Error> {
        match name {
            "" => Ok(None),
            name => self.registry.resolve(name).await.map(Some),
        }
    }

    async fn response(
        &self,
        page: Page,
        cursor: Option<String>,
        explain: bool,
        names: &mut Names,
    ) -> Result<v1::ListWorkersResponse, Error> {
        let mut workers = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            workers.push(self.info(row.record, row.shard, names).await?);
        }
        Ok(v1::ListWorkersResponse {
            workers,
            cursor: cursor.unwrap_or_default(),
            as_of_ns: page.as_of_ns,
            missing_shards: page.missing,
            parts: parts(page.parts, explain),
        })
    }

    pub(super) async fn info(
        &self,
        record: v1::WorkerRecord,
        shard: ShardId,
        names: &mut Names,
    ) -> Result<v1::WorkerInfo, Error> {
        let id = record.worker_id.as_ref().ok_or_else(super::local::corrupt)?;
        let id = ComponentId::from_slice(&id.component_id)?;
        let name = self.name(id, record.component_version.into(), names).await;
        worker_info(record, name, shard)
    }

    pub(super) async fn name(&self, id: ComponentId, version: ComponentVersion, names: &mut Names) -> String {
        if let Some(name) = names.0.get(&id) {
            return name.clone();
        }
        let name = self.registry.name_of(id, version).await;
        names.0.insert(id, name.clone());
        name
    }
}

/// Names of components that have been looked up for one caller.
#[derive(Default)]
pub(crate) struct Names(HashMap<ComponentId, String>);

/// A list that is sent page by page.
pub(crate) struct Streamed {
    enumerator: Arc<Enumerator>,
    pages: Pages,
    cursors: Cursors,
    explain: bool,
    names: Names,
}

impl Streamed {
    /// The next message; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<Result<v1::ListWorkersResponse, Error>> {
        let page = loop {
            match self.pages.next().await? {
                Ok(page) if page.rows.is_empty() && page.missing.is_empty() && !self.explain => {}
                Ok(page) => break page,
                Err(error) => return Some(Err(error)),
            }
        };
        let cursor = page.next.as_ref().map(|mark| self.cursors.mark(mark));
        let response = self
            .enumerator
            .response(page, cursor, self.explain, &mut self.names)
            .await;
        Some(response)
    }
}

pub(super) fn parse(filters: &[String]) -> Result<Filter, Error> {
    Filter::parse_all(filters).map_err(|error| Error::invalid(error.to_string()))
}

/// How old a part is concerns every caller; what was done for it only those who ask.
fn parts(parts: Vec<v1::ShardPart>, explain: bool) -> Vec<v1::ShardPart> {
    let brief = |part: v1::ShardPart| v1::ShardPart {
        shard: part.shard,
        as_of_ns: part.as_of_ns,
        node_id: part.node_id,
        ..v1::ShardPart::default()
    };
    match explain {
        true => parts,
        false => parts.into_iter().map(brief).collect(),
    }
}
