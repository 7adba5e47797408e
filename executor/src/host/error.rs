use kiln_proto::ids::OplogIndex;

use super::Wait;
use crate::{host::value::ArgumentError, journal, replay::Divergence};

/// Why an instance could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The component's start-up code failed: trap, exit, interrupt …
    #[error("the component cannot be instantiated")]
    Guest(#[source] CallError),
    /// No room is left for another instance; unload one and try again.
    #[error("no room for another instance: {message}")]
    NoRoom {
        /// Which pool or limit is full.
        message: String,
    },
    /// The host could not prepare what the guest needs, such as its temporary folder.
    #[error("cannot prepare the worker's surroundings")]
    Surroundings(#[source] std::io::Error),
}

/// How a call ends when it gives no result. After anything but [`CallError::Arguments`] the instance is unusable.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The arguments do not fit the signature. Nothing ran, the instance is as before.
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    /// The guest trapped.
    #[error("{message}")]
    Trap {
        /// What kind of trap, and where, in words for the user.
        message: String,
        /// What decides whether a retry makes sense.
        kind: TrapKind,
        /// The last lines that the guest wrote to stderr.
        stderr: String,
        /// The entry from which a retry starts again; attempts are counted for each.
        retry_from: OplogIndex,
    },
    /// The guest called `exit`.
    #[error("the guest exited with code {code}")]
    Exit {
        /// Its exit code.
        code: i32,
        /// The last lines that the guest wrote to stderr.
        stderr: String,
    },
    /// [`Interrupter::interrupt`](super::Interrupter::interrupt) was called.
    #[error("interrupted")]
    Interrupted,
    /// The guest waits for something that may take long; unload it and load it again when that has come.
    #[error("suspended")]
    Suspend(Wait),
    /// A part of the oplog was made void; load the worker again, it goes on from before that part.
    #[error("jumped back in the oplog")]
    Jump,
    /// The node has no room now for the linear memory that the guest needs; unload it and load it again with more room.
    #[error("the node has no memory left now: the guest needs {bytes} bytes")]
    OutOfMemory {
        /// What it needs in all.
        bytes: u64,
    },
    /// The guest did something else than the oplog says.
    #[error(transparent)]
    Divergence(#[from] Box<Divergence>),
    /// The oplog could not be read or written.
    #[error("the worker's oplog failed")]
    Journal(#[from] journal::Error),
    /// The instance trapped, exited or was dropped in the middle of a call before.
    #[error("the instance failed earlier and cannot be called again")]
    Unusable,
}

/// What kind of trap it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrapKind {
    /// Anything that has no kind of its own: unreachable, division by zero, a failed host call …
    Other,
    /// The guest's call stack is exhausted. A retry would end the same way.
    StackOverflow,
    /// The guest asked for more memory than one worker may have. A retry would end the same way.
    ExceededMemoryLimit,
    /// The guest went beyond another limit: processor time, logs, resources. A retry would end the same way.
    LimitExceeded,
    /// The machine has no memory left for it now.
    OutOfMemory,
}
