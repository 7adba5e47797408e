use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming as Wire, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, p2::bindings::http::types::ErrorCode};

use super::trouble;

/// A response's body from the wire, which may not pause for too long.
pub(super) struct Incoming {
    wire: Wire,
    pause_max: Duration,
    until: Pin<Box<Sleep>>,
    /// The deadline counts while somebody waits, not while the guest takes its time.
    waits: bool,
}

impl Incoming {
    pub(super) fn new(wire: Wire, pause_max: Duration) -> Self {
        Self {
            wire,
            pause_max,
            until: Box::pin(sleep_until(Instant::now())),
            waits: false,
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waits {
            self.waits = true;
            let far = || Instant::now() + Duration::from_secs(86_400 * 365);
            let until = Instant::now().checked_add(self.pause_max).unwrap_or_else(far);
            self.until.as_mut().reset(until);
        }
        self.until.as_mut().poll(cx)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.wire).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.waits = false;
                Poll::Ready(frame.map(|frame| frame.map_err(|error| trouble::of_hyper(&error).into())))
            }
            Poll::Pending => self
                .poll_deadline(cx)
                .map(|()| Some(Err(ErrorCode::ConnectionReadTimeout.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.wire.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.wire.size_hint()
    }
}
