//! Listing, counting and watching workers. Any node answers.

use std::time::{Duration, Instant};

use kiln_proto::{
    Error, ErrorCode,
    v1::{
        CountWorkersRequest, CountWorkersResponse, ListWorkersRequest, ListWorkersResponse,
        WatchWorkersRequest, WatchWorkersResponse,
    },
};
use tonic::Streaming;

use crate::Client;

/// Between two attempts to go on with a stream that broke.
const PAUSE: Duration = Duration::from_millis(250);

impl Client {
    /// One page of workers.
    ///
    /// # Errors
    /// `INVALID` for a filter or cursor that does not parse; `UNAVAILABLE` when shards are missing.
    pub async fn list_workers(&self, request: ListWorkersRequest) -> Result<ListWorkersResponse, Error> {
        self.call(request, |channel, request| async move {
            self.workers(channel).list_workers(request).await
        })
        .await
    }

    /// How many workers there are.
    ///
    /// # Errors
    /// As for [`list_workers`](Self::list_workers).
    pub async fn count_workers(&self, request: CountWorkersRequest) -> Result<CountWorkersResponse, Error> {
        self.call(request, |channel, request| async move {
            self.workers(channel).count_workers(request).await
        })
        .await
    }

    /// All workers, page by page. A stream that breaks goes on behind its last page at another node.
    #[must_use]
    pub fn stream_workers(&self, request: ListWorkersRequest) -> WorkerStream {
        WorkerStream {
            client: self.clone(),
            request,
            messages: None,
            stalled_since: None,
            is_over: false,
        }
    }

    /// Changes of workers from a cursor on, or from now. A watch that breaks goes on behind its last message.
    #[must_use]
    pub fn watch_workers(&self, request: WatchWorkersRequest) -> WorkerWatch {
        WorkerWatch {
            client: self.clone(),
            request,
            messages: None,
            stalled_since: None,
        }
    }
}

/// Pages of a list, see [`Client::stream_workers`].
#[derive(Debug)]
pub struct WorkerStream {
    client: Client,
    request: ListWorkersRequest,
    messages: Option<Streaming<ListWorkersResponse>>,
    stalled_since: Option<Instant>,
    is_over: bool,
}

impl WorkerStream {
    /// The next page; `None` after the last one.
    ///
    /// # Errors
    /// What the server says.
    pub async fn next(&mut self) -> Result<Option<ListWorkersResponse>, Error> {
        while !self.is_over {
            let error = match self.receive().await {
                Ok(Some(page)) => {
                    self.stalled_since = None;
                    self.request.cursor.clone_from(&page.cursor);
                    return Ok(Some(page));
                }
                Ok(None) => {
                    self.is_over = true;
                    break;
                }
                Err(error) => error,
            };
            self.messages = None;
            pause(&self.client, &mut self.stalled_since, error).await?;
        }
        Ok(None)
    }

    async fn receive(&mut self) -> Result<Option<ListWorkersResponse>, Error> {
        if self.messages.is_none() {
            let address = self.client.endpoint();
            let channel = self.client.channels().get(&address)?;
            let mut workers = self.client.workers(channel);
            let opened = workers.stream_workers(self.request.clone()).await?;
            self.client.set_answered(&address);
            self.messages = Some(opened.into_inner());
        }
        match &mut self.messages {
            Some(messages) => Ok(messages.message().await?),
            None => Ok(None),
        }
    }
}

/// Messages of a watch, see [`Client::watch_workers`].
#[derive(Debug)]
pub struct WorkerWatch {
    client: Client,
    request: WatchWorkersRequest,
    messages: Option<Streaming<WatchWorkersResponse>>,
    stalled_since: Option<Instant>,
}

impl WorkerWatch {
    /// The next message. The first one has no events: from its cursor on nothing is missed.
    ///
    /// # Errors
    /// What the server says.
    pub async fn next(&mut self) -> Result<WatchWorkersResponse, Error> {
        loop {
            match self.receive().await {
                Ok(message) => {
                    self.stalled_since = None;
                    self.request.cursor.clone_from(&message.cursor);
                    return Ok(message);
                }
                Err(error) => {
                    self.messages = None;
                    pause(&self.client, &mut self.stalled_since, error).await?;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<WatchWorkersResponse, Error> {
        if self.messages.is_none() {
            let address = self.client.endpoint();
            let channel = self.client.channels().get(&address)?;
            let mut workers = self.client.workers(channel);
            let opened = workers.watch_workers(self.request.clone()).await?;
            self.client.set_answered(&address);
            self.messages = Some(opened.into_inner());
        }
        let ended = || Error::unavailable("the watch has ended");
        let messages = self.messages.as_mut().ok_or_else(ended)?;
        messages.message().await?.ok_or_else(ended)
    }
}

/// Waits before another attempt at another endpoint, unless nothing has come for as long as a call may take.
async fn pause(client: &Client, stalled_since: &mut Option<Instant>, error: Error) -> Result<(), Error> {
    let may_help = error.is_retryable() || error.code == ErrorCode::DeadlineExceeded;
    let since = *stalled_since.get_or_insert_with(Instant::now);
    let patience = if client.was_answered() {
        client.options().deadline
    } else {
        client.options().first_contact
    };
    if !may_help || since.elapsed() >= patience {
        return Err(error);
    }
    client.rotate_endpoints();
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
