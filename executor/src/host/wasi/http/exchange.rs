use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hyper::http::request::Parts;
use kiln_proto::{ids::OplogIndex, v1::Value};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{
    RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks, p2::bindings::http::types::ErrorCode,
};

use crate::{
    host::{durable::BegunExchange, egress::EgressPolicy},
    replay::step::StepError,
};

use super::{
    client::{Arrived, Client},
    late_body::Slot,
    prefix::Prefix,
    request_body::Hold,
};

/// One request and its response, from `handle` until the guest holds nothing of it any more.
pub(super) struct Exchange {
    /// The entry that begins it.
    pub(super) begin: OplogIndex,
    /// False when it was begun where nothing is recorded.
    pub(super) is_recorded: bool,
    /// False when the guest had said, as it began, that it must not be sent a second time.
    pub(super) is_repeatable: bool,
    /// What the oplog says about the request.
    pub(super) description: Value,
    pub(super) options: RequestOptions,
    /// Present while the request has not been sent in this life of the worker.
    pub(super) unsent: Option<Unsent>,
    /// The guest's `future-incoming-response`.
    pub(super) future: u32,
    /// What came back and the guest has not yet fetched.
    pub(super) arrived: Answer,
    /// The guest has fetched its answer.
    pub(super) is_answered: bool,
    /// The status of the response that it fetched.
    pub(super) status: Option<u16>,
    /// The guest has fetched the trailers.
    pub(super) has_trailers: bool,
    /// What the guest has read of the body in earlier lives.
    pub(super) prefix: Prefix,
    pub(super) slot: Slot,
    /// Resources of it that the guest holds.
    parts: u32,
}

/// A request that may yet have to be sent.
pub(super) struct Unsent {
    pub(super) head: Parts,
    pub(super) body: WasiBody,
    pub(super) hold: Hold,
}

pub(super) type Answer = Arc<Mutex<Option<Result<Arrived, ErrorCode>>>>;

/// Kinds of resources of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Future,
    Response,
    Body,
    Stream,
    Trailers,
}

/// Numbers the exchanges of an instance in the order in which they began.
pub(super) type ExchangeId = u64;

/// What a guest does by HTTP.
pub(crate) struct Http {
    pub(in crate::host) ctx: WasiHttpCtx,
    pub(in crate::host) hooks: Hooks,
    pub(super) client: Arc<Client>,
    pub(super) account: Account,
    pub(super) exchanges: BTreeMap<ExchangeId, Exchange>,
    next: ExchangeId,
    /// By resource.
    parts: HashMap<u32, (ExchangeId, Part)>,
    /// Which exchange a pollable waits for.
    pollables: HashMap<u32, ExchangeId>,
}

/// On whose behalf requests are sent.
#[derive(Clone)]
pub(super) struct Account {
    /// Bounds the requests of the worker in flight.
    pub(super) turns: Arc<Semaphore>,
    pub(super) application: Arc<str>,
}

/// How wasmtime buffers what guests write.
pub(crate) struct Hooks;

impl WasiHttpHooks for Hooks {
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        16
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }
}

impl Http {
    pub(in crate::host) fn new(client: Arc<Client>, application: &str) -> Self {
        let limits = &client.network.http;
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(limits.header_bytes_max);
        let turns = limits.requests_per_worker_max.min(Semaphore::MAX_PERMITS);
        Self {
            ctx,
            hooks: Hooks,
            account: Account {
                turns: Arc::new(Semaphore::new(turns)),
                application: application.into(),
            },
            client,
            exchanges: BTreeMap::new(),
            next: 0,
            parts: HashMap::new(),
            pollables: HashMap::new(),
        }
    }

    pub(in crate::host) fn egress(&self) -> &EgressPolicy {
        &self.client.network.egress
    }

    pub(super) fn add(&mut self, exchange: Exchange) -> ExchangeId {
        let id = self.next;
        self.next += 1;
        self.exchanges.insert(id, exchange);
        id
    }

    /// The guest holds one more resource of the exchange.
    pub(super) fn hold(&mut self, id: ExchangeId, resource: u32, part: Part) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.parts += 1;
            self.parts.insert(resource, (id, part));
        }
    }

    /// One resource has become another, which may have taken over its number.
    pub(super) fn turn(&mut self, old: u32, new: u32, part: Part) {
        if let Some((id, _)) = self.parts.remove(&old) {
            self.parts.insert(new, (id, part));
        }
    }

    /// The exchange that a resource belongs to.
    pub(super) fn exchange_of(&self, resource: u32) -> Option<ExchangeId> {
        self.parts.get(&resource).map(|(id, _)| *id)
    }

    /// The guest has dropped a resource. Returns the exchange when it was the last one.
    pub(super) fn release(&mut self, resource: u32) -> Option<ExchangeId> {
        let (id, _) = self.parts.remove(&resource)?;
        let exchange = self.exchanges.get_mut(&id)?;
        exchange.parts -= 1;
        (exchange.parts == 0).then_some(id)
    }

    /// Takes all exchanges that are still open, in order, and the resources that belong to them.
    pub(super) fn take_all(&mut self) -> (Vec<Exchange>, Vec<(u32, Part)>) {
        self.pollables.clear();
        let parts = self
            .parts
            .drain()
            .map(|(resource, (_, part))| (resource, part))
            .collect();
        (std::mem::take(&mut self.exchanges).into_values().collect(), parts)
    }

    pub(super) fn note_pollable(&mut self, pollable: u32, id: ExchangeId) {
        self.pollables.insert(pollable, id);
    }

    pub(in crate::host) fn forget_pollable(&mut self, pollable: u32) {
        self.pollables.remove(&pollable);
    }

    /// True when the pollable waits for the network.
    pub(in crate::host) fn is_pollable(&self, pollable: u32) -> bool {
        self.pollables.contains_key(&pollable)
    }

    pub(super) fn polled(&self, pollable: u32) -> Option<ExchangeId> {
        self.pollables.get(&pollable).copied()
    }
}

impl Exchange {
    pub(super) fn new(begun: &BegunExchange, description: Value, options: RequestOptions) -> Self {
        Self {
            begin: begun.index,
            is_recorded: begun.is_recorded,
            is_repeatable: begun.is_repeatable,
            description,
            options,
            unsent: None,
            future: 0,
            arrived: Answer::default(),
            is_answered: false,
            status: None,
            has_trailers: false,
            prefix: Prefix::default(),
            slot: Slot::default(),
            parts: 0,
        }
    }

    /// Whether it may be sent although an earlier life of the worker has sent it.
    pub(super) fn check_repeatable(&self) -> Result<(), StepError> {
        if self.is_repeatable {
            Ok(())
        } else {
            Err(StepError::NotRepeatable)
        }
    }
}

impl Drop for Http {
    /// The instance goes: tasks that fetch bodies would keep each other alive.
    fn drop(&mut self) {
        for exchange in self.exchanges.values() {
            exchange.slot.close();
        }
    }
}
