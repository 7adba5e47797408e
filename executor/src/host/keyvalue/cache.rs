//! The cache: one bucket of each application that no guest can open, with values that may expire.
//!
//! A call is made and recorded at once; its future is ready, and gives its result once.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::{
    bindings::wasi::keyvalue::cache::{
        GetOrSetEntry, Host, HostFutureExistsResult, HostFutureGetOrSetResult, HostFutureGetResult,
        HostFutureResult, HostVacancy,
    },
    calls::NewValue,
    error::Outcome,
    types::{IncomingValue, OutgoingValue},
};
use crate::{
    host::{HostState, payload::NOTHING, payload::u64_of, payload::u64_value, spool::Spool},
    storage::CACHE_BUCKET,
};

/// The result of a call, until the guest has taken it.
pub struct Ready<T> {
    outcome: Option<Result<T, String>>,
}

#[async_trait::async_trait]
impl<T: Send + 'static> Pollable for Ready<T> {
    async fn ready(&mut self) {}
}

pub type FutureGet = Ready<Option<Bytes>>;
pub type FutureExists = Ready<bool>;
pub type FutureDone = Ready<()>;

/// The result of a get-or-set.
pub struct FutureGetOrSet {
    key: String,
    found: Ready<Option<Bytes>>,
}

#[async_trait::async_trait]
impl Pollable for FutureGetOrSet {
    async fn ready(&mut self) {}
}

/// A key without a value.
pub struct Vacancy {
    key: String,
}

/// The key of a value that is stored when it is complete.
pub struct Fill {
    key: String,
    expires_at_ns: u64,
}

impl Host for HostState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Resource<FutureGet>> {
        let outcome = self
            .get_value("golem keyvalue::cache::get", CACHE_BUCKET.to_owned(), key)
            .await?;
        Ok(self.table.push(Ready::of(outcome))?)
    }

    async fn exists(&mut self, key: String) -> wasmtime::Result<Resource<FutureExists>> {
        let outcome = self
            .has_value("golem keyvalue::cache::exists", CACHE_BUCKET.to_owned(), key)
            .await?;
        Ok(self.table.push(Ready::of(outcome))?)
    }

    async fn set(
        &mut self,
        key: String,
        value: Resource<OutgoingValue>,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Resource<FutureDone>> {
        let expires_at_ns = self.expiry(ttl_ms)?;
        let outcome = match self.written(&value)? {
            Ok(spool) => {
                let fill = Fill { key, expires_at_ns };
                self.fill_vacancy(fill, &spool).await?
            }
            Err(text) => Err(text),
        };
        Ok(self.table.push(Ready::of(outcome))?)
    }

    async fn get_or_set(&mut self, key: String) -> wasmtime::Result<Resource<FutureGetOrSet>> {
        let bucket = CACHE_BUCKET.to_owned();
        let outcome = self
            .get_value("golem keyvalue::cache::get_or_set", bucket, key.clone())
            .await?;
        let found = Ready::of(outcome);
        Ok(self.table.push(FutureGetOrSet { key, found })?)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Resource<FutureDone>> {
        let bucket = CACHE_BUCKET.to_owned();
        let outcome = self
            .delete_values("golem keyvalue::cache::delete", bucket, vec![key])
            .await?;
        Ok(self.table.push(Ready::of(outcome))?)
    }
}

impl<T> Ready<T> {
    fn of(outcome: Result<T, String>) -> Self {
        Self {
            outcome: Some(outcome),
        }
    }
}

impl HostFutureGetResult for HostState {
    async fn future_get_result_get(
        &mut self,
        future: Resource<FutureGet>,
    ) -> wasmtime::Result<Option<Outcome<Option<Resource<IncomingValue>>>>> {
        Ok(match self.table.get_mut(&future)?.outcome.take() {
            Some(Ok(found)) => Some(Ok(found.map(|bytes| self.new_incoming(bytes)).transpose()?)),
            Some(Err(text)) => Some(self.key_outcome(Err(text))?),
            None => None,
        })
    }

    async fn listen_to_future_get_result(
        &mut self,
        future: Resource<FutureGet>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, future)
    }

    async fn drop(&mut self, future: Resource<FutureGet>) -> wasmtime::Result<()> {
        self.table.delete(future)?;
        Ok(())
    }
}

impl HostFutureExistsResult for HostState {
    async fn future_exists_result_get(
        &mut self,
        future: Resource<FutureExists>,
    ) -> wasmtime::Result<Option<Outcome<bool>>> {
        let outcome = self.table.get_mut(&future)?.outcome.take();
        outcome.map(|outcome| self.key_outcome(outcome)).transpose()
    }

    async fn listen_to_future_exists_result(
        &mut self,
        future: Resource<FutureExists>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, future)
    }

    async fn drop(&mut self, future: Resource<FutureExists>) -> wasmtime::Result<()> {
        self.table.delete(future)?;
        Ok(())
    }
}

impl HostFutureResult for HostState {
    async fn future_result_get(
        &mut self,
        future: Resource<FutureDone>,
    ) -> wasmtime::Result<Option<Outcome<()>>> {
        let outcome = self.table.get_mut(&future)?.outcome.take();
        outcome.map(|outcome| self.key_outcome(outcome)).transpose()
    }

    async fn listen_to_future_result(
        &mut self,
        future: Resource<FutureDone>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, future)
    }

    async fn drop(&mut self, future: Resource<FutureDone>) -> wasmtime::Result<()> {
        self.table.delete(future)?;
        Ok(())
    }
}

impl HostFutureGetOrSetResult for HostState {
    async fn future_get_or_set_result_get(
        &mut self,
        future: Resource<FutureGetOrSet>,
    ) -> wasmtime::Result<Option<Outcome<GetOrSetEntry>>> {
        let future = self.table.get_mut(&future)?;
        let key = future.key.clone();
        Ok(match future.found.outcome.take() {
            Some(Ok(Some(bytes))) => Some(Ok(GetOrSetEntry::Occupied(self.new_incoming(bytes)?))),
            Some(Ok(None)) => Some(Ok(GetOrSetEntry::Vacant(self.table.push(Vacancy { key })?))),
            Some(Err(text)) => Some(self.key_outcome(Err(text))?),
            None => None,
        })
    }

    async fn listen_to_future_get_or_set_result(
        &mut self,
        future: Resource<FutureGetOrSet>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, future)
    }

    async fn drop(&mut self, future: Resource<FutureGetOrSet>) -> wasmtime::Result<()> {
        self.table.delete(future)?;
        Ok(())
    }
}

impl HostVacancy for HostState {
    async fn vacancy_fill(
        &mut self,
        vacancy: Resource<Vacancy>,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Resource<OutgoingValue>> {
        let key = self.table.get(&vacancy)?.key.clone();
        let expires_at_ns = self.expiry(ttl_ms)?;
        self.new_outgoing(Some(Fill { key, expires_at_ns }))
    }

    async fn drop(&mut self, vacancy: Resource<Vacancy>) -> wasmtime::Result<()> {
        self.table.delete(vacancy)?;
        Ok(())
    }
}

impl HostState {
    pub(super) async fn fill_vacancy(
        &mut self,
        fill: Fill,
        spool: &Spool,
    ) -> wasmtime::Result<Result<(), String>> {
        let value = NewValue {
            key: fill.key,
            spool: spool.clone(),
            expires_at_ns: fill.expires_at_ns,
        };
        self.set_values("golem keyvalue::cache::set", CACHE_BUCKET.to_owned(), vec![value])
            .await
    }

    /// When a value expires. The time is recorded, so that a replay asks for the same.
    fn expiry(&mut self, ttl_ms: Option<u32>) -> wasmtime::Result<u64> {
        let Some(ttl_ms) = ttl_ms else { return Ok(0) };
        let now = self.read_local("golem keyvalue::cache::now", NOTHING, |state| {
            u64_value(u64::try_from(state.outside.wall_clock().as_nanos()).unwrap_or(u64::MAX))
        })?;
        Ok(u64_of(&now).saturating_add(u64::from(ttl_ms) * 1_000_000))
    }
}
