//! The few prescriptive errors that cross the wire.

use prost::Message;
use tonic::{Code, Status, metadata::MetadataValue};

pub use crate::v1::ErrorCode;
use crate::v1::{ErrorDetail, OwnerHint};

/// Binary trailer that carries an [`ErrorDetail`] beside the gRPC status.
pub const TRAILER: &str = "kiln-error-bin";

/// What went wrong and what the caller should do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller should do.
    pub code: ErrorCode,
    /// What failed, with its subject.
    pub message: String,
    /// What the caller can do next; may be empty.
    pub hint: String,
    /// For `NOT_OWNER`: who leads the shard, as far as known.
    pub owner: Option<OwnerHint>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(message: impl Into<String>) -> Self {
            Self::new(ErrorCode::$code, message)
        })*
    };
}

impl Error {
    /// An error without a hint.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: String::new(),
            owner: None,
        }
    }

    constructors! {
        /// Retry later with the same idempotency key.
        unavailable => Unavailable,
        /// Fix the request.
        invalid => Invalid,
        /// The subject does not exist.
        not_found => NotFound,
        /// The subject exists already.
        already_exists => AlreadyExists,
        /// A configured limit was met.
        limit_exceeded => LimitExceeded,
        /// Stored data does not check out.
        corrupt => Corrupt,
        /// A bug in Kiln.
        internal => Internal,
        /// The guest failed.
        worker_failed => WorkerFailed,
        /// The invocation was interrupted.
        interrupted => Interrupted,
        /// The request does not fit the present state.
        conflict => Conflict,
        /// The caller's epoch is over.
        fenced => Fenced,
        /// The deadline passed before an answer was known.
        deadline_exceeded => DeadlineExceeded,
    }

    /// Another node leads the shard; `owner` says which, if known.
    #[must_use]
    pub fn not_owner(owner: OwnerHint) -> Self {
        let mut error = Self::new(
            ErrorCode::NotOwner,
            format!("shard {} is led by another node", owner.shard),
        );
        error.owner = Some(owner);
        error
    }

    /// Adds what the caller can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// True when the same request may succeed later or elsewhere, without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::Unavailable | ErrorCode::NotOwner | ErrorCode::Fenced
        )
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let status_code = match error.code {
            ErrorCode::Unavailable | ErrorCode::NotOwner => Code::Unavailable,
            ErrorCode::Fenced | ErrorCode::Interrupted => Code::Aborted,
            ErrorCode::Invalid => Code::InvalidArgument,
            ErrorCode::NotFound => Code::NotFound,
            ErrorCode::AlreadyExists => Code::AlreadyExists,
            ErrorCode::LimitExceeded => Code::ResourceExhausted,
            ErrorCode::Corrupt => Code::DataLoss,
            ErrorCode::WorkerFailed | ErrorCode::Conflict => Code::FailedPrecondition,
            ErrorCode::DeadlineExceeded => Code::DeadlineExceeded,
            ErrorCode::Internal | ErrorCode::Unspecified => Code::Internal,
        };
        let mut status = Self::new(status_code, error.message.clone());
        let detail = ErrorDetail {
            code: error.code.into(),
            message: error.message,
            hint: error.hint,
            owner: error.owner,
        };
        status
            .metadata_mut()
            .insert_bin(TRAILER, MetadataValue::from_bytes(&detail.encode_to_vec()));
        status
    }
}

impl From<Status> for Error {
    /// Reads the detail; a status without one (a broken connection, a proxy) is judged by its gRPC code.
    fn from(status: Status) -> Self {
        if let Some(detail) = detail_of(&status) {
            return Self {
                code: detail.code(),
                message: detail.message,
                hint: detail.hint,
                owner: detail.owner,
            };
        }
        let code = match status.code() {
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted => ErrorCode::Unavailable,
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => ErrorCode::Invalid,
            Code::NotFound => ErrorCode::NotFound,
            Code::AlreadyExists => ErrorCode::AlreadyExists,
            Code::ResourceExhausted => ErrorCode::LimitExceeded,
            Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
            Code::FailedPrecondition => ErrorCode::Conflict,
            Code::DataLoss => ErrorCode::Corrupt,
            _ => ErrorCode::Internal,
        };
        Self::new(code, status.message())
    }
}

fn detail_of(status: &Status) -> Option<ErrorDetail> {
    let bytes = status.metadata().get_bin(TRAILER)?.to_bytes().ok()?;
    ErrorDetail::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_wire() {
        let owner = OwnerHint {
            shard: 3,
            node_id: 9,
            address: "127.0.0.1:1".into(),
        };
        let sent = Error::not_owner(owner.clone()).with_hint("ask it");
        let received = Error::from(Status::from(sent.clone()));
        assert_eq!(received.code, sent.code);
        assert_eq!(received.message, sent.message);
        assert_eq!(received.hint, "ask it");
        assert_eq!(received.owner, Some(owner));
    }

    #[test]
    fn a_bare_transport_status_asks_for_a_retry() {
        assert!(Error::from(Status::unavailable("connection refused")).is_retryable());
    }
}
