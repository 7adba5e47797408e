use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use parking_lot::Mutex;
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::{Error, WasiBody, p2::bindings::http::types::ErrorCode};

use super::client::Connection;

/// The body of a response, which may arrive long after the response itself was given to the guest: while replaying there is
/// none, and the guest reads what is recorded.
#[derive(Clone, Default)]
pub(super) struct Slot {
    shared: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    /// What comes before the rest of the body.
    first: Option<Bytes>,
    body: Option<WasiBody>,
    connection: Option<Connection>,
    /// Fetches the body.
    fetch: Option<AbortOnDropJoinHandle<()>>,
    failure: Option<Failure>,
    waker: Option<Waker>,
}

/// A body that stands where the guest has to go on.
pub(super) struct Fetched {
    pub(super) first: Option<Bytes>,
    pub(super) body: WasiBody,
    pub(super) connection: Connection,
}

/// Why a body cannot be read to its end.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The transport failed.
    Transport(ErrorCode),
    /// The request was sent again, and this time the response was another one.
    Differs,
}

impl Slot {
    /// Puts the body in.
    pub(super) fn fill(&self, fetched: Fetched) {
        let mut content = self.shared.lock();
        content.first = fetched.first;
        content.body = Some(fetched.body);
        content.connection = Some(fetched.connection);
        content.wake();
    }

    /// Says that no body will come.
    pub(super) fn fail(&self, failure: Failure) {
        let mut content = self.shared.lock();
        content.failure = Some(failure);
        content.wake();
    }

    /// Keeps the task that will fill the slot.
    pub(super) fn fetch_by(&self, task: AbortOnDropJoinHandle<()>) {
        self.shared.lock().fetch = Some(task);
    }

    /// Closes the connection; whoever still reads sees the end.
    pub(super) fn close(&self) {
        let closed = {
            let mut content = self.shared.lock();
            let failure = content.failure.take();
            content.failure = failure.or(Some(Failure::Transport(ErrorCode::ConnectionTerminated)));
            content.wake();
            (
                content.body.take(),
                content.connection.take(),
                content.fetch.take(),
            )
        };
        drop(closed);
    }

    /// What the body failed with.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.shared.lock().failure.clone()
    }
}

impl Content {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What the guest's `incoming-body` reads from.
pub(super) struct LateBody(pub(super) Slot);

impl Body for LateBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut content = self.0.shared.lock();
        if let Some(failure) = &content.failure {
            return Poll::Ready(Some(Err(error(failure))));
        }
        if let Some(first) = content.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(body) = &mut content.body else {
            content.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let polled = Pin::new(body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Err(error))) => {
                let code = code(error);
                content.failure = Some(Failure::Transport(code.clone()));
                Poll::Ready(Some(Err(code.into())))
            }
            other => other,
        }
    }
}

fn error(failure: &Failure) -> Error {
    match failure {
        Failure::Transport(code) => code.clone().into(),
        Failure::Differs => Error::ConnectionTerminated,
    }
}

/// The bodies that we make report few kinds of errors.
pub(super) fn code(error: Error) -> ErrorCode {
    match error {
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}
