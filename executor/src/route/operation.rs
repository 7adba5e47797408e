use std::{future::Future, sync::Arc};

use kiln_proto::Error;
use tonic::{Response, Status, metadata::MetadataValue, transport::Channel};

use super::Patience;
use crate::shard::Owned;

/// Something that only the owner of a shard can do: done here, or passed on.
pub(crate) trait Operation: Send + Sync + 'static {
    /// What it answers.
    type Reply: Send + 'static;

    /// Does it on this node, which owns the shard.
    fn here(self: Arc<Self>, owned: Arc<Owned>) -> impl Future<Output = Result<Self::Reply, Error>> + Send;

    /// Asks another node to do it.
    fn there(&self, call: RemoteCall) -> impl Future<Output = Result<Response<Self::Reply>, Status>> + Send;
}

/// A call to another node.
pub(crate) struct RemoteCall {
    /// The connection to it.
    pub(crate) channel: Channel,
    pub(crate) patience: Patience,
    pub(crate) message_bytes_max: usize,
}

impl RemoteCall {
    /// Wraps a message with what is left of the deadline and one hop more.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(remaining) = self.patience.remaining() {
            request.set_timeout(remaining);
        }
        request
            .metadata_mut()
            .insert("kiln-hops", MetadataValue::from(self.patience.hops + 1));
        request
    }
}
