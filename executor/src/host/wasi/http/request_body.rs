//! Requests' bodies. What the guest sees while it writes one must not depend on the network, or replay would differ: a body
//! is always read to its end, whether it is sent or not.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use wasmtime_wasi_http::{Error, WasiBody};

/// A body on its way. When the connection lets go of it early, the rest is read all the same.
struct Steady(Option<WasiBody>);

/// A body that is kept until it is known whether it has to be sent.
#[derive(Clone, Default)]
pub(super) struct Hold(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Bytes that are kept and have not been sent.
    bytes: AtomicUsize,
    has_room: Notify,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Holding,
    /// More was written than may be kept.
    Overflowed,
    /// It is being sent; the guest waits where it writes faster than that.
    Released,
}

impl Hold {
    /// Lets the body be sent. False when not all of it was kept.
    pub(super) fn release(&self) -> bool {
        let mut state = self.0.state.lock();
        if *state == State::Holding {
            *state = State::Released;
        }
        *state == State::Released
    }

    /// More is kept than may be. Says what becomes of that.
    fn overflow(&self) -> State {
        let mut state = self.0.state.lock();
        if *state == State::Holding {
            *state = State::Overflowed;
        }
        *state
    }

    fn sent(&self, length: usize) {
        self.0.bytes.fetch_sub(length, Ordering::AcqRel);
        self.0.has_room.notify_one();
    }
}

/// A body to be sent now.
pub(super) fn steady(body: WasiBody) -> WasiBody {
    if body.is_end_stream() {
        return body;
    }
    Steady(Some(body)).boxed_unsync()
}

/// Takes in what the guest writes and keeps it, up to a limit, in case that it has to be sent later.
pub(super) fn hold(body: WasiBody, bytes_max: usize) -> (WasiBody, Hold) {
    let hold = Hold::default();
    if body.is_end_stream() {
        return (body, hold);
    }
    // `bytes_max` is its bound.
    let (keep, kept) = mpsc::unbounded_channel();
    tokio::spawn(gather(body, keep, hold.clone(), bytes_max));
    let counted = hold.clone();
    let kept = UnboundedReceiverStream::new(kept).inspect(move |frame| counted.sent(length(frame)));
    (StreamBody::new(kept).boxed_unsync(), hold)
}

type FrameResult = Result<Frame<Bytes>, Error>;

async fn gather(mut body: WasiBody, keep: mpsc::UnboundedSender<FrameResult>, hold: Hold, bytes_max: usize) {
    let mut keep = Some(keep);
    while let Some(frame) = body.frame().await {
        let is_last = frame.is_err();
        hold.0.bytes.fetch_add(length(&frame), Ordering::AcqRel);
        if let Some(open) = &keep {
            // Nobody wants it any more: it is read all the same.
            let _ = open.send(frame);
            while hold.0.bytes.load(Ordering::Acquire) > bytes_max && !open.is_closed() {
                if hold.overflow() == State::Overflowed {
                    keep = None;
                    break;
                }
                tokio::select! {
                    () = hold.0.has_room.notified() => {}
                    () = open.closed() => {}
                }
            }
        }
        if is_last {
            break;
        }
    }
}

fn length(frame: &FrameResult) -> usize {
    let data = frame.as_ref().ok().and_then(Frame::data_ref);
    data.map_or(0, Bytes::len)
}

async fn drain(mut body: WasiBody) {
    while let Some(Ok(_)) = body.frame().await {}
}

impl Body for Steady {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // Without a runtime the node goes down, and the guest with it.
        if let (Some(body), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(drain(body));
        }
    }
}
