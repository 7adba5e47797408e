//! The public face of a node: gRPC and HTTP, both over the same [`Api`].

mod api;
pub(crate) mod grpc;
pub(crate) mod http;

pub(crate) use api::Api;
