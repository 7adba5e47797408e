//! One call with all its attempts: whom to ask, what to make of the answer, when to give up.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use kiln_proto::{
    Error, ErrorCode,
    v1::{GetRoutesRequest, WorkerRef},
};
use tonic::{Code, Request, Response, Status, transport::Channel};

use crate::{
    Address, Client,
    retry::{Advice, Backoff, judge},
};

/// Redirects in a row that are followed without a pause; more mean that the nodes disagree for a moment.
const REDIRECTS_MAX: u32 = 2;
/// The routing map is fetched at most this often.
const ROUTES_AGE_MIN: Duration = Duration::from_millis(200);
/// A fetch of the routing map may take this long: it is only an optimisation.
const ROUTES_TIMEOUT: Duration = Duration::from_secs(1);

/// A call that failed for good.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// An earlier attempt may have reached the server, although its answer was lost.
    pub(crate) may_be_repeated: bool,
}

/// Where one call stands between its attempts.
struct Call {
    started: Instant,
    deadline: Duration,
    backoff: Backoff,
    /// Whom to ask next, without a pause.
    hint: Option<Address>,
    /// Hints followed in a row.
    redirects: u32,
    was_redirected: bool,
    may_be_repeated: bool,
    /// What the last attempt said.
    last: Option<Error>,
}

impl Call {
    fn new(deadline: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline,
            backoff: Backoff::until(started + deadline),
            hint: None,
            redirects: 0,
            was_redirected: false,
            may_be_repeated: false,
            last: None,
        }
    }

    /// Follows a hint, unless the nodes just send us in circles.
    fn redirect(&mut self, hint: Option<Address>, error: Error) {
        self.was_redirected = true;
        self.redirects += 1;
        self.last = Some(error);
        if self.redirects > REDIRECTS_MAX {
            self.redirects = 0;
        } else {
            self.hint = hint;
        }
    }

    /// What an earlier attempt was told says more than that the last one was too late.
    fn out_of_time(&self) -> Error {
        out_of_time(self.deadline, self.last.clone())
    }

    fn failed(&self, error: Error) -> Failure {
        Failure {
            error,
            may_be_repeated: self.may_be_repeated,
        }
    }
}

impl Client {
    /// Calls any endpoint until one answers.
    pub(crate) async fn call<Q, A, F, R>(&self, request: Q, rpc: F) -> Result<A, Error>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        self.call_within(self.options().deadline, request, rpc).await
    }

    /// As [`Client::call`], with a deadline of its own.
    pub(crate) async fn call_within<Q, A, F, R>(
        &self,
        deadline: Duration,
        request: Q,
        rpc: F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        self.attempt_all(None, deadline, request, rpc)
            .await
            .map_err(|failure| failure.error)
    }

    /// Calls the owner of a worker, or any endpoint while the owner is unknown or away.
    pub(crate) async fn call_owner<Q, A, F, R>(
        &self,
        worker: Option<&WorkerRef>,
        request: Q,
        rpc: F,
    ) -> Result<A, Failure>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        self.attempt_all(worker, self.options().deadline, request, rpc)
            .await
    }

    async fn attempt_all<Q, A, F, R>(
        &self,
        worker: Option<&WorkerRef>,
        deadline: Duration,
        request: Q,
        rpc: F,
    ) -> Result<A, Failure>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        let mut call = Call::new(deadline);
        loop {
            let Some(left) = call.backoff.remaining() else {
                return Err(call.failed(call.out_of_time()));
            };
            let address = match call.hint.take() {
                Some(address) => address,
                None => self.choose(worker).await,
            };
            match self.attempt(&address, request.clone(), left, &rpc).await {
                Ok(body) => {
                    if call.was_redirected {
                        // Or each call to this shard would take the detour.
                        self.refresh_routes(worker).await;
                    }
                    return Ok(body);
                }
                Err(status) => self.consider(&mut call, &address, status)?,
            }
            if call.hint.is_none() {
                call.backoff.pause().await;
                self.refresh_routes(worker).await;
            }
        }
    }

    /// Takes in what a failed attempt asks for.
    fn consider(&self, call: &mut Call, address: &Address, status: Status) -> Result<(), Failure> {
        tracing::debug!(%address, code = ?status.code(), message = status.message(), "an attempt failed");
        match judge(status) {
            Advice::GiveUp(error) if error.code == ErrorCode::DeadlineExceeded && call.last.is_some() => {
                return Err(call.failed(call.out_of_time()));
            }
            Advice::GiveUp(error) => return Err(call.failed(error)),
            Advice::Redirect(error) => {
                self.set_answered(address);
                call.redirect(self.follow(&error), error);
            }
            Advice::Again(error) => {
                self.set_answered(address);
                call.last = Some(error);
            }
            Advice::Unreachable(error) => {
                call.may_be_repeated = true;
                self.channels().mark_failed(address);
                self.rotate_endpoints();
                let message = format!("{address}: {}", error.message);
                let error = Error { message, ..error };
                if !self.was_answered() && call.started.elapsed() > self.options().first_contact {
                    return Err(call.failed(self.no_contact(error)));
                }
                call.last = Some(error);
            }
        }
        Ok(())
    }

    async fn attempt<Q, A, F, R>(
        &self,
        address: &Address,
        request: Q,
        timeout: Duration,
        rpc: &F,
    ) -> Result<A, Status>
    where
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        let channel = self.channels().get(address).map_err(Status::from)?;
        let mut request = Request::new(request);
        request.set_timeout(timeout);
        match tokio::time::timeout(timeout, rpc(channel, request)).await {
            Ok(Ok(response)) => {
                self.set_answered(address);
                Ok(response.into_inner())
            }
            // The transport and the server watch the deadline too, and may be first to notice.
            Ok(Err(status)) if is_timeout(&status) => Err(out_of_time(timeout, None).into()),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(out_of_time(timeout, None).into()),
        }
    }

    /// An address given by a hint, unless it cannot be reached from here.
    fn follow(&self, error: &Error) -> Option<Address> {
        let address: Address = error.owner.as_ref()?.address.parse().ok()?;
        (self.options().direct && !self.channels().is_avoided(&address)).then_some(address)
    }

    async fn choose(&self, worker: Option<&WorkerRef>) -> Address {
        let Some(worker) = worker.filter(|_| self.options().direct) else {
            return self.endpoint();
        };
        if self.routes().fetched_at().is_none() {
            self.fetch_routes(worker).await;
        } else if self.routes().component(&worker.component).is_none() {
            self.learn_component(&self.endpoint(), &worker.component).await;
        }
        self.routes()
            .owner(worker)
            .filter(|owner| !self.channels().is_avoided(owner))
            .unwrap_or_else(|| self.endpoint())
    }

    /// After a failure the map is likely out of date.
    async fn refresh_routes(&self, worker: Option<&WorkerRef>) {
        let is_fresh = self
            .routes()
            .fetched_at()
            .is_some_and(|at| at.elapsed() < ROUTES_AGE_MIN);
        if let Some(worker) = worker.filter(|_| self.options().direct && !is_fresh) {
            self.fetch_routes(worker).await;
        }
    }

    /// Learns the map and the worker's component from an endpoint; a failure leaves things as they are.
    async fn fetch_routes(&self, worker: &WorkerRef) {
        let endpoint = self.endpoint();
        let fetch = |channel, request| async move { self.clusters(channel).get_routes(request).await };
        match self
            .attempt(&endpoint, GetRoutesRequest {}, ROUTES_TIMEOUT, &fetch)
            .await
        {
            Ok(routes) => self.routes().learn(&routes),
            Err(status) => return tracing::debug!(%endpoint, message = status.message(), "no routes"),
        }
        if self.routes().component(&worker.component).is_none() {
            self.learn_component(&endpoint, &worker.component).await;
        }
    }

    async fn learn_component(&self, endpoint: &Address, name: &str) {
        let request = kiln_proto::v1::GetComponentRequest {
            component: name.to_owned(),
            version: None,
        };
        let fetch = |channel, request| async move { self.components(channel).get_component(request).await };
        if let Ok(response) = self.attempt(endpoint, request, ROUTES_TIMEOUT, &fetch).await {
            self.note_component(response.component.as_ref());
        }
    }

    fn no_contact(&self, error: Error) -> Error {
        let endpoints: Vec<&str> = self.options().endpoints.iter().map(Address::as_str).collect();
        Error {
            message: format!("cannot reach {}: {}", endpoints.join(", "), error.message),
            ..error
        }
        .with_hint(
            "is the server running? start one with `kiln up`, or name it with --endpoint or KILN_ENDPOINT",
        )
    }
}

/// What tonic makes of a deadline that passed on either side.
fn is_timeout(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == "Timeout expired"
}

fn out_of_time(deadline: Duration, last: Option<Error>) -> Error {
    let seconds = deadline.as_secs_f64();
    match last {
        Some(error) => Error {
            message: format!("no success within {seconds} s, lastly: {}", error.message),
            ..error
        },
        None => Error::deadline_exceeded(format!("no answer within {seconds:.1} s"))
            .with_hint("it may still complete: ask again with the same idempotency key"),
    }
}
