use std::{path::PathBuf, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use kiln_proto::{
    ids::{GroupId, NodeId},
    v1::{
        IdentifyRequest, IdentifyResponse, RaftFrame, RaftMessage, SnapshotChunk, SnapshotHeader,
        SnapshotReply,
        raft_message::Kind,
        raft_service_server::{RaftService, RaftServiceServer},
        snapshot_chunk::Part,
    },
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{FRAME_MESSAGES_MAX, MESSAGE_BYTES_MAX, QUEUE_LENGTH, TO};
use crate::{
    raft::{
        Ports, codec,
        port::Port,
        snapshot::{self, Receiver},
        types::{SnapshotMeta, Vote},
    },
    store::Identity,
};

/// Messages of one stream that may be worked on at the same time.
const IN_FLIGHT_MAX: usize = 1024;

/// The receiving end of all links to this node.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) identity: Arc<Identity>,
    pub(crate) ports: Ports,
    /// Where snapshots are received.
    pub(crate) snapshots: PathBuf,
}

impl Service {
    pub(crate) fn into_server(self) -> RaftServiceServer<Self> {
        RaftServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// A port may have been taken over by another node since the caller learned the address.
    fn check_target<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let target = request
            .metadata()
            .get(TO)
            .and_then(|target| target.to_str().ok()?.parse().ok().map(NodeId));
        match target {
            Some(target) if target != self.identity.node => Err(Status::failed_precondition(format!(
                "this is node {}, not {target}",
                self.identity.node
            ))),
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl RaftService for Service {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<RaftFrame, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<RaftFrame>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        self.check_target(&request)?;
        let (replies, queued) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(serve(self.ports.clone(), request.into_inner(), replies));
        let frames = ReceiverStream::new(queued)
            .ready_chunks(FRAME_MESSAGES_MAX)
            .map(|messages| Ok(RaftFrame { messages }));
        Ok(Response::new(Box::pin(frames)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotReply>, Status> {
        self.check_target(&request)?;
        let mut chunks = request.into_inner();
        let header = match chunks.message().await?.and_then(|chunk| chunk.part) {
            Some(Part::Header(header)) => header,
            _ => return Err(Status::invalid_argument("a snapshot begins with its header")),
        };
        let (vote, meta) = decode_header(&header)?;
        let port = self.ports.get(GroupId(header.group)).ok_or_else(|| {
            Status::failed_precondition(format!("group {} does not run here", header.group))
        })?;

        let name = format!("{}-{:016x}", header.group, rand::random::<u64>());
        let mut receiver = Receiver::new(self.snapshots.join(name)).map_err(failed)?;
        loop {
            let chunk = match chunks.message().await?.and_then(|chunk| chunk.part) {
                Some(Part::Data(chunk)) => chunk,
                _ => return Err(Status::data_loss("a snapshot ended before its last chunk")),
            };
            if receiver.push(&chunk).map_err(failed)? {
                break;
            }
        }
        let folder = tokio::task::spawn_blocking(|| receiver.finish())
            .await
            .map_err(|_| Status::unavailable("the node is being stopped"))?
            .map_err(failed)?;
        let response = port
            .install(vote, meta, folder.clone())
            .await
            .map_err(Status::unavailable)?;
        if folder.exists() {
            // Refused, for example because of an old vote.
            snapshot::remove(&folder);
        }
        Ok(Response::new(SnapshotReply {
            body: codec::encode(&response).into(),
        }))
    }

    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        let cluster = self.identity.cluster();
        let asked = request.into_inner().cluster_id;
        if !asked.is_empty()
            && let Some(cluster) = &cluster
            && *cluster != asked
        {
            return Err(Status::failed_precondition(format!(
                "this node belongs to cluster {cluster}, not {asked}"
            )));
        }
        Ok(Response::new(IdentifyResponse {
            node_id: self.identity.node.0,
            cluster_id: cluster.unwrap_or_default(),
            version: kiln_proto::VERSION.to_owned(),
        }))
    }
}

fn decode_header(header: &SnapshotHeader) -> Result<(Vote, SnapshotMeta), Status> {
    let vote = codec::decode("a snapshot's vote", &header.vote).map_err(failed)?;
    let meta = codec::decode("a snapshot's meta", &header.meta).map_err(failed)?;
    Ok((vote, meta))
}

fn failed(error: crate::Error) -> Status {
    kiln_proto::Error::from(error).into()
}

/// Works on the messages of one stream until it ends. Each has a task of its own, since groups must not wait for each
/// other; a group's own order is kept by the sender, which has one append under way at a time.
async fn serve(ports: Ports, mut frames: Streaming<RaftFrame>, replies: mpsc::Sender<RaftMessage>) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    while let Ok(Some(frame)) = frames.message().await {
        for message in frame.messages {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let port = ports.get(GroupId(message.group));
            let replies = replies.clone();
            tokio::spawn(async move {
                let reply = answer(port, message).await;
                drop(slot);
                // The stream may be gone; the sender then asks again.
                let _ = replies.send(reply).await;
            });
        }
    }
}

async fn answer(port: Option<Arc<dyn Port>>, message: RaftMessage) -> RaftMessage {
    let (group, sequence) = (message.group, message.sequence);
    let result = match port {
        Some(port) => handle(&*port, message).await,
        None => Err(format!("group {group} does not run here")),
    };
    let (kind, body) = match result {
        Ok(body) => (Kind::Reply, body),
        Err(text) => (Kind::Refused, Bytes::from(text)),
    };
    RaftMessage {
        group,
        sequence,
        kind: kind.into(),
        body,
    }
}

async fn handle(port: &dyn Port, message: RaftMessage) -> Result<Bytes, String> {
    let text = |error: crate::Error| error.to_string();
    let body = match message.kind() {
        Kind::Append => codec::encode(
            &port
                .append(codec::decode_append(message.body).map_err(text)?)
                .await?,
        ),
        Kind::Vote => codec::encode(
            &port
                .vote(codec::decode("a vote request", &message.body).map_err(text)?)
                .await?,
        ),
        Kind::PreVote => codec::encode(
            &port
                .pre_vote(codec::decode("a vote request", &message.body).map_err(text)?)
                .await?,
        ),
        Kind::TransferLeader => {
            let request = codec::decode("a transfer request", &message.body).map_err(text)?;
            port.transfer_leader(request).await?;
            Vec::new()
        }
        kind => return Err(format!("a request cannot be of kind {kind:?}")),
    };
    Ok(body.into())
}
