use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use kiln_proto::{
    ids::{GroupId, NodeId},
    v1::{SnapshotChunk, SnapshotHeader, raft_message::Kind, snapshot_chunk::Part},
};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

use super::{TO, Transport, connection::Failure};
use crate::{
    Error,
    engine::StateDb,
    raft::{
        codec,
        snapshot::{self, SnapshotData},
        types::{Snapshot, Types, Vote},
    },
};

/// Shortest time that a request may take: a busy disk at the other end is no reason to send it again.
const REQUEST_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Snapshot chunks that may wait to be sent.
const CHUNKS_AHEAD: usize = 4;

/// The Raft library's view of the transport, for one group.
#[derive(Clone)]
pub(crate) struct Network {
    group: GroupId,
    transport: Arc<Transport>,
    state: Arc<StateDb>,
}

impl Network {
    pub(crate) fn new(group: GroupId, transport: Arc<Transport>, state: Arc<StateDb>) -> Self {
        Self {
            group,
            transport,
            state,
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Client {
        Client {
            network: self.clone(),
            target: NodeId(target),
        }
    }
}

/// One group's way to one node.
pub(crate) struct Client {
    network: Network,
    target: NodeId,
}

impl Client {
    async fn request(&self, kind: Kind, body: Bytes, option: &RPCOption) -> Result<Bytes, RPCError<Types>> {
        let timeout = option.hard_ttl().max(REQUEST_TIMEOUT_MIN);
        let link = self.network.transport.link(self.target);
        link.request(self.network.group, kind, body, timeout)
            .await
            .map_err(|failure| match failure {
                // Both call for a pause; a timeout for another attempt.
                Failure::Unreachable(_) | Failure::Refused(_) => {
                    RPCError::Unreachable(Unreachable::new(&failure))
                }
                Failure::Timeout => RPCError::Network(NetworkError::new(&failure)),
            })
    }

    async fn exchange<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: Kind,
        request: &Q,
        option: &RPCOption,
    ) -> Result<A, RPCError<Types>> {
        let reply = self.request(kind, codec::encode(request).into(), option).await?;
        codec::decode("a reply", &reply).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }

    async fn send_snapshot(&self, vote: Vote) -> Result<SnapshotResponse<Types>, Failure> {
        let unreachable = |error: &dyn std::error::Error| Failure::Unreachable(error.to_string());
        let mut client = self.network.transport.link(self.target).client().await?;
        let (chunks, queued) = mpsc::channel(CHUNKS_AHEAD);
        let (group, state) = (self.network.group, Arc::clone(&self.network.state));
        let export = tokio::task::spawn_blocking(move || export(&state, group, vote, &chunks));
        let mut request = Request::new(ReceiverStream::new(queued));
        request.metadata_mut().insert(TO, self.target.0.into());
        let sent = client.install_snapshot(request).await;
        // A broken call ends the export too; its own error, if it has one, says more.
        if let Ok(Err(error)) = export.await {
            tracing::warn!(%group, target = %self.target, %error, "a snapshot was not sent");
        }
        let reply = sent.map_err(|status| unreachable(&status))?.into_inner();
        codec::decode("a reply to a snapshot", &reply.body).map_err(|error| unreachable(&error))
    }
}

fn export(
    state: &StateDb,
    group: GroupId,
    vote: Vote,
    chunks: &mpsc::Sender<SnapshotChunk>,
) -> Result<(), Error> {
    let send = |part| {
        let chunk = SnapshotChunk { part: Some(part) };
        chunks
            .blocking_send(chunk)
            .map_err(|_| Error::Unavailable("the receiver has gone away".into()))
    };
    snapshot::export(
        state,
        group,
        |meta| {
            send(Part::Header(SnapshotHeader {
                group: group.0,
                vote: codec::encode(&vote).into(),
                meta: codec::encode(&meta).into(),
                files: 0,
            }))
        },
        |chunk| send(Part::Data(chunk)),
    )
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let reply = self
            .request(Kind::Append, codec::encode_append(&rpc), &option)
            .await?;
        codec::decode("a reply", &reply).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.exchange(Kind::Vote, &rpc, &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.exchange(Kind::PreVote, &rpc, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        _snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote) => {
                sent.map_err(|failure| StreamingError::Unreachable(Unreachable::new(&failure)))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.request(Kind::TransferLeader, codec::encode(&req).into(), &option)
            .await
            .map(|_| Ok(()))
    }

    fn backoff(&self) -> Option<Backoff> {
        // The link has a backoff of its own; this one only keeps the library from spinning.
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(50))))
    }
}
