//! Wire and record formats of Kiln.
//!
//! * [`v1`] – types and services generated from `proto/kiln/v1/*.proto`: one service or record family a file
//! * [`ids`] – one newtype for each id, index and epoch that crosses a function boundary
//! * [`convert`] – checked conversions between wire and domain types, and the text forms of values
//! * [`error`] – the few prescriptive errors that cross the wire
//! * [`hash`] – which shard a worker belongs to

pub mod convert;
pub mod error;
pub mod hash;
pub mod ids;

/// Types and services of `kiln.v1`, generated from the `.proto` files.
#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
pub mod v1 {
    tonic::include_proto!("kiln.v1");
}

pub use error::{Error, ErrorCode};

/// The encoded descriptors of `kiln.v1`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The version of this build, as nodes report it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
