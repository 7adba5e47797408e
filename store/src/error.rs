use std::io;

use kiln_proto::{
    ErrorCode,
    ids::{Epoch, GroupId, NodeId, OplogIndex},
};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another replica leads the group; ask that one.
    #[error("this replica does not lead the group")]
    NotLeader {
        /// The leader, as far as this replica knows.
        leader: Option<NodeId>,
    },
    /// Nothing can be decided now; the same request may succeed later. Whether it took effect may be unknown.
    #[error("{0}")]
    Unavailable(String),
    /// A newer owner has opened the shard.
    #[error("the shard has been opened under epoch {current}")]
    Fenced {
        /// The epoch that holds now.
        current: Epoch,
    },
    /// The entries do not follow the worker's last one.
    #[error("the entries do not follow the worker's last entry, which is {last}")]
    IndexMismatch {
        /// The worker's last index; 0 if it does not exist.
        last: OplogIndex,
    },
    /// The subject does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The request does not fit the present state.
    #[error("{0}")]
    Conflict(String),
    /// The group runs already in this process.
    #[error("group {0} runs already")]
    Running(GroupId),
    /// Stored data does not check out. Nothing is guessed: the group or the node stops.
    #[error("{0}")]
    Corrupt(String),
    /// The storage engine failed.
    #[error("the storage engine failed to {operation}")]
    Engine {
        /// What was attempted.
        operation: &'static str,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file operation failed.
    #[error("cannot {operation}")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The group or the node is being stopped.
    #[error("the group has been stopped")]
    Stopped,
}

impl Error {
    pub(crate) fn engine(operation: &'static str) -> impl FnOnce(rocksdb::Error) -> Self {
        move |source| Self::Engine {
            operation,
            source: Box::new(source),
        }
    }

    pub(crate) fn io(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }
}

impl Error {
    /// The same refusal for another caller whose operation shared its fate.
    pub(crate) fn for_another(&self) -> Self {
        match self {
            Self::NotLeader { leader } => Self::NotLeader { leader: *leader },
            Self::Stopped => Self::Stopped,
            Self::Invalid(why) => Self::Invalid(why.clone()),
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<Error> for io::Error {
    /// For the Raft library, which knows only I/O errors and stops the group on any of them.
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl From<Error> for kiln_proto::Error {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NotLeader { .. } => ErrorCode::NotOwner,
            Error::Unavailable(_) | Error::Stopped => ErrorCode::Unavailable,
            Error::Fenced { .. } | Error::IndexMismatch { .. } => ErrorCode::Fenced,
            Error::NotFound(_) => ErrorCode::NotFound,
            Error::Invalid(_) => ErrorCode::Invalid,
            Error::Conflict(_) | Error::Running(_) => ErrorCode::Conflict,
            Error::Corrupt(_) => ErrorCode::Corrupt,
            Error::Engine { .. } | Error::Io { .. } => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
