//! The public face of a node: gRPC and HTTP, both over the same [`Api`].

mod api;
pub(crate) mod grpc;
pub(crate) mod http;

use std::time::Duration;

pub(crate) use api::Api;

/// An upload that stands still for this long is given up.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);
