use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use kiln_proto::{
    ids::{GroupId, NodeId},
    v1::{RaftFrame, RaftMessage, raft_message::Kind, raft_service_client::RaftServiceClient},
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Streaming,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::{FRAME_MESSAGES_MAX, FROM, MESSAGE_BYTES_MAX, QUEUE_LENGTH, TO};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a request got no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody can be reached there now.
    #[error("{0}")]
    Unreachable(String),
    /// The node answered, but does not serve the group.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer came in time.
    #[error("no answer in time")]
    Timeout,
}

type Pending = Mutex<Option<HashMap<u64, oneshot::Sender<Result<Bytes, Failure>>>>>;

/// One live stream to a node.
pub(super) struct Connection {
    address: Arc<str>,
    channel: Channel,
    queue: mpsc::Sender<RaftMessage>,
    /// Requests without an answer; `None` once the stream has ended.
    pending: Arc<Pending>,
    sequence: AtomicU64,
}

impl Connection {
    pub(super) async fn open(from: NodeId, to: NodeId, address: Arc<str>) -> Result<Self, Failure> {
        let unreachable = |error: &dyn std::error::Error| Failure::Unreachable(describe(error));
        let uri = if address.contains("://") {
            address.to_string()
        } else {
            format!("http://{address}")
        };
        let channel = Endpoint::from_shared(uri)
            .map_err(|error| unreachable(&error))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20)
            .connect()
            .await
            .map_err(|error| unreachable(&error))?;

        let (queue, messages) = mpsc::channel(QUEUE_LENGTH);
        // What has gathered while a frame was being written leaves with the next one.
        let frames = ReceiverStream::new(messages)
            .ready_chunks(FRAME_MESSAGES_MAX)
            .map(|messages| RaftFrame { messages });
        let mut request = Request::new(frames);
        request.metadata_mut().insert(FROM, MetadataValue::from(from.0));
        request.metadata_mut().insert(TO, MetadataValue::from(to.0));
        let mut client = client(channel.clone());
        let replies = tokio::time::timeout(CONNECT_TIMEOUT, client.exchange(request))
            .await
            .map_err(|_| Failure::Timeout)?
            .map_err(|status| Failure::Unreachable(status.message().to_owned()))?
            .into_inner();
        let pending: Arc<Pending> = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(take_replies(replies, Arc::clone(&pending)));
        Ok(Self {
            address,
            channel,
            queue,
            pending,
            sequence: AtomicU64::new(1),
        })
    }

    pub(super) fn is_usable(&self, address: &str) -> bool {
        *self.address == *address && self.pending.lock().is_some()
    }

    /// A client for calls beside the stream.
    pub(super) fn client(&self) -> RaftServiceClient<Channel> {
        client(self.channel.clone())
    }

    pub(super) async fn request(
        &self,
        group: GroupId,
        kind: Kind,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Failure> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        match self.pending.lock().as_mut() {
            Some(pending) => pending.insert(sequence, answer),
            None => return Err(closed()),
        };
        let message = RaftMessage {
            group: group.0,
            sequence,
            kind: kind.into(),
            body,
        };
        let exchange = async {
            self.queue.send(message).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        let result = tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or(Err(Failure::Timeout));
        if result.is_err()
            && let Some(pending) = self.pending.lock().as_mut()
        {
            pending.remove(&sequence);
        }
        result
    }
}

fn client(channel: Channel) -> RaftServiceClient<Channel> {
    RaftServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

fn closed() -> Failure {
    Failure::Unreachable("the stream has ended".into())
}

/// The whole chain of causes: transport errors say little at the top.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn take_replies(mut replies: Streaming<RaftFrame>, pending: Arc<Pending>) {
    while let Ok(Some(frame)) = replies.message().await {
        let mut pending = pending.lock();
        let Some(pending) = pending.as_mut() else { return };
        for reply in frame.messages {
            let Some(answer) = pending.remove(&reply.sequence) else {
                continue;
            };
            let result = match reply.kind() {
                Kind::Reply => Ok(reply.body),
                _ => Err(Failure::Refused(
                    String::from_utf8_lossy(&reply.body).into_owned(),
                )),
            };
            // The requester may have given up.
            let _ = answer.send(result);
        }
    }
    // Dropping the senders tells all who wait.
    pending.lock().take();
}
