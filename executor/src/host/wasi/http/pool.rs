//! Connections that wait for another request to the same place.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::time::timeout;
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::WasiBody;

use crate::host::{HttpOptions, egress::EgressPolicy};

/// How long the end of the exchange before may still take when a connection is wanted again.
const SETTLE_MAX: Duration = Duration::from_millis(50);

/// Where a connection leads. Applications do not share any: what one does to a connection is no affair of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) application: Arc<str>,
    pub(super) is_secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

/// An open connection.
pub(super) struct Line {
    pub(super) sender: SendRequest<WasiBody>,
    /// The other end.
    pub(super) address: SocketAddr,
    /// A request has gone over it before.
    pub(super) is_used: bool,
    /// Moves the bytes.
    pub(super) _task: AbortOnDropJoinHandle<()>,
}

/// Those that nobody uses, the one that has waited longest first.
pub(super) struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    idle_max: usize,
    idle_timeout: Duration,
}

struct Idle {
    place: Place,
    line: Line,
    since: Instant,
}

impl Pool {
    pub(super) fn new(options: &HttpOptions) -> Self {
        Self {
            idle: Mutex::default(),
            idle_max: options.idle_connections_max,
            idle_timeout: options.idle_timeout,
        }
    }

    /// Keeps a connection whose exchange has ended. What still holds bytes of that, or is broken, shows when it is taken.
    pub(super) fn put(&self, place: Place, mut line: Line) {
        if line.sender.is_closed() {
            return;
        }
        line.is_used = true;
        let mut idle = self.idle.lock();
        self.remove_old(&mut idle);
        idle.push_back(Idle {
            place,
            line,
            since: Instant::now(),
        });
        if idle.len() > self.idle_max {
            idle.pop_front();
        }
    }

    /// A connection over which a request can go now. Where it leads is judged again: the policy may have come to know more.
    pub(super) async fn take(&self, place: &Place, policy: &EgressPolicy) -> Option<Line> {
        while let Some(mut line) = self.newest(place) {
            let is_ready = matches!(timeout(SETTLE_MAX, line.sender.ready()).await, Ok(Ok(())));
            if is_ready && policy.check_address(line.address).is_ok() {
                return Some(line);
            }
        }
        None
    }

    fn newest(&self, place: &Place) -> Option<Line> {
        let mut idle = self.idle.lock();
        self.remove_old(&mut idle);
        let found = idle.iter().rposition(|idle| idle.place == *place)?;
        idle.remove(found).map(|idle| idle.line)
    }

    /// Also done on the way: there are never more than `idle_max`.
    fn remove_old(&self, idle: &mut VecDeque<Idle>) {
        while idle
            .front()
            .is_some_and(|oldest| oldest.since.elapsed() > self.idle_timeout)
        {
            idle.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
