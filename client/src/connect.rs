//! Following a worker.

use std::time::Instant;

use futures::Stream;
use kiln_proto::{
    Error,
    error::TRAILER,
    v1::{ConnectWorkerRequest, IndexedOplogEntry, WorkerRef},
};
use tonic::Streaming;

use crate::{
    Client,
    retry::{Advice, Backoff, judge},
};

/// Where a stream of events stands.
struct Following {
    client: Client,
    worker: WorkerRef,
    /// First index wanted next; unknown before the first event.
    next: Option<u64>,
    stream: Option<Streaming<IndexedOplogEntry>>,
    backoff: Option<Backoff>,
}

impl Client {
    /// Follows what a worker writes and runs: each event once, in the order of the oplog. A stream that breaks is taken up
    /// again behind the last event, until the deadline of a call has passed without one.
    pub fn connect_worker(
        &self,
        worker: WorkerRef,
        from: Option<u64>,
    ) -> impl Stream<Item = Result<IndexedOplogEntry, Error>> + use<> {
        let following = Following {
            client: self.clone(),
            worker,
            next: from,
            stream: None,
            backoff: None,
        };
        futures::stream::unfold(Some(following), |following| async move {
            let mut following = following?;
            match following.event().await {
                Ok(event) => Some((Ok(event), Some(following))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl Following {
    async fn event(&mut self) -> Result<IndexedOplogEntry, Error> {
        loop {
            let status = match self.attempt().await {
                Ok(Some(event)) => {
                    self.next = Some(event.index + 1);
                    self.backoff = None;
                    return Ok(event);
                }
                Ok(None) => tonic::Status::unavailable("the stream has ended"),
                Err(status) => status,
            };
            self.stream = None;
            // What the transport says of a stream that broke is no answer.
            let was_answered = status.metadata().get_bin(TRAILER).is_some();
            let error = match judge(status) {
                Advice::GiveUp(error) if was_answered => return Err(error),
                Advice::GiveUp(error) => {
                    self.client.rotate_endpoints();
                    error
                }
                Advice::Redirect(error) | Advice::Again(error) => error,
                Advice::Unreachable(error) => {
                    self.client.rotate_endpoints();
                    error
                }
            };
            let deadline = self.client.options().deadline;
            let backoff = self
                .backoff
                .get_or_insert_with(|| Backoff::until(Instant::now() + deadline));
            if backoff.remaining().is_none() {
                return Err(error);
            }
            backoff.pause().await;
        }
    }

    async fn attempt(&mut self) -> Result<Option<IndexedOplogEntry>, tonic::Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let request = ConnectWorkerRequest {
                    worker: Some(self.worker.clone()),
                    from: self.next,
                };
                let channel = self.client.channels().get(&self.client.endpoint())?;
                let opened = self.client.workers(channel).connect_worker(request).await?;
                self.stream.insert(opened.into_inner())
            }
        };
        stream.message().await
    }
}
