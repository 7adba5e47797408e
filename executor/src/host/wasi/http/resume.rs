//! Requests that an earlier life of the worker has begun. What is recorded of a response is given from there; only what is
//! not is asked for again, under the same key.

use http_body_util::BodyExt;
use hyper::Request;
use kiln_proto::ids::OplogIndex;
use wasmtime::component::Resource;
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::{
    Error,
    p2::{bindings::http::types::ErrorCode, types::HostFutureIncomingResponse},
};

use super::{
    client::{Arrived, Outgoing},
    exchange::{Exchange, ExchangeId},
    late_body::{Failure, Fetched, code},
    prefix::Prefix,
};
use crate::{
    host::{HostState, leave::Leave},
    replay::step::StepError,
};

impl HostState {
    /// Once nothing is left to replay, sends what was begun and has no recorded answer.
    pub(in crate::host) async fn resume_requests(&mut self) -> wasmtime::Result<()> {
        if self.http.exchanges.is_empty() || !self.journal.is_live() {
            return Ok(());
        }
        let waits = |exchange: &Exchange| exchange.unsent.is_some() && !exchange.is_answered;
        let waiting: Vec<ExchangeId> = self
            .http
            .exchanges
            .iter()
            .filter(|(_, exchange)| waits(exchange))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.resume_request(id).await?;
        }
        Ok(())
    }

    /// As [`HostState::resume_requests`], and for what the guest is about to wait for also the rest of recorded responses.
    pub(in crate::host) async fn resume_polled(
        &mut self,
        pollables: impl Iterator<Item = u32>,
    ) -> wasmtime::Result<()> {
        self.resume_requests().await?;
        let polled: Vec<ExchangeId> = pollables
            .filter_map(|pollable| self.http.polled(pollable))
            .collect();
        for id in polled {
            self.resume_body(id)?;
        }
        Ok(())
    }

    /// The guest wants more of a response than is recorded: fetches it again, and finds the place where it stands.
    pub(super) fn resume_body(&mut self, id: ExchangeId) -> wasmtime::Result<()> {
        let Some(exchange) = self.http.exchanges.get_mut(&id) else {
            return Ok(());
        };
        let Some(status) = exchange.status else {
            return Ok(());
        };
        let Some(unsent) = exchange.unsent.take() else {
            return Ok(());
        };
        exchange.check_repeatable()?;
        let slot = exchange.slot.clone();
        let prefix = std::mem::take(&mut exchange.prefix);
        if !unsent.hold.release() {
            slot.fail(Failure::Differs);
            return Ok(());
        }
        let (client, account) = (self.http.client.clone(), self.http.account.clone());
        let outgoing = Outgoing {
            request: Request::from_parts(unsent.head, unsent.body),
            options: exchange.options,
            is_repeatable: exchange.is_repeatable,
        };
        let target = slot.clone();
        let fetch = async move {
            let fetched = match client.send(outgoing, account).await {
                Ok(arrived) => skip_to(arrived, status, prefix).await,
                Err(code) => Err(Failure::Transport(code)),
            };
            match fetched {
                Ok(fetched) => target.fill(fetched),
                Err(failure) => target.fail(failure),
            }
        };
        slot.fetch_by(spawn(fetch));
        Ok(())
    }

    async fn resume_request(&mut self, id: ExchangeId) -> wasmtime::Result<()> {
        let Some(exchange) = self.http.exchanges.get(&id) else {
            return Ok(());
        };
        exchange.check_repeatable()?;
        let begin = exchange.begin;
        let overflowed = exchange
            .unsent
            .as_ref()
            .is_some_and(|unsent| !unsent.hold.release());
        if overflowed {
            self.go_back_to(begin).await
        } else {
            self.send_request(id)
        }
    }

    /// Sends a request of which no answer is recorded.
    pub(super) fn send_request(&mut self, id: ExchangeId) -> wasmtime::Result<()> {
        let Some(exchange) = self.http.exchanges.get_mut(&id) else {
            return Ok(());
        };
        let Some(unsent) = exchange.unsent.take() else {
            return Ok(());
        };
        let answer = exchange.arrived.clone();
        let (client, account) = (self.http.client.clone(), self.http.account.clone());
        let outgoing = Outgoing {
            request: Request::from_parts(unsent.head, unsent.body),
            options: exchange.options,
            is_repeatable: exchange.is_repeatable,
        };
        let send = async move {
            let arrived = client.send(outgoing, account).await;
            *answer.lock() = Some(arrived);
            // The answer lies in the exchange; this only says that it is there.
            Err(Error::InternalError(None))
        };
        let future: Resource<HostFutureIncomingResponse> = Resource::new_borrow(exchange.future);
        *self.table.get_mut(&future)? = HostFutureIncomingResponse::Pending(spawn(send));
        Ok(())
    }

    /// True when the guest could go back to where an exchange began without doing something to others a second time.
    pub(super) fn can_go_back_to(&self, begin: OplogIndex) -> bool {
        self.control.last_write <= begin
    }

    /// Makes everything since the beginning of an exchange void. The guest runs again from there.
    pub(super) async fn go_back_to(&mut self, begin: OplogIndex) -> wasmtime::Result<()> {
        if !self.can_go_back_to(begin) {
            return Err(StepError::NotRepeatable.into());
        }
        self.journal.jump(begin.next());
        self.journal.commit().await.map_err(StepError::from)?;
        Err(Leave::Jump.into())
    }
}

/// Passes over what the guest has read. The same key should give the same response; one that is not is of no use.
async fn skip_to(arrived: Arrived, status: u16, prefix: Prefix) -> Result<Fetched, Failure> {
    let Arrived { response, connection } = arrived;
    if response.status().as_u16() != status {
        return Err(Failure::Differs);
    }
    let mut body = response.into_body();
    let mut check = prefix.check();
    let mut first = None;
    while !check.is_complete() {
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(Failure::Transport(code(error))),
            None => return Err(Failure::Differs),
        };
        let bytes = frame.into_data().map_err(|_| Failure::Differs)?;
        let rest = check.take(bytes).map_err(|_| Failure::Differs)?;
        first = (!rest.is_empty()).then_some(rest);
    }
    Ok(Fetched {
        first,
        body,
        connection,
    })
}

/// What the guest hears when a response cannot be taken up again.
pub(super) const LOST: ErrorCode = ErrorCode::ConnectionTerminated;
