use kiln_proto::ids::{OplogIndex, WorkerId};

/// Why the oplog could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The shard refused the entries, or could not say whether it took them.
    #[error("cannot append to the oplog of {worker} from index {first}")]
    Append {
        /// Whose oplog.
        worker: WorkerId,
        /// Index of the first entry.
        first: OplogIndex,
        /// What the shard said.
        #[source]
        source: Box<kiln_proto::Error>,
    },
    /// A recorded page could not be read.
    #[error("cannot read the oplog of {worker} from index {from}")]
    Read {
        /// Whose oplog.
        worker: WorkerId,
        /// Where the page begins.
        from: OplogIndex,
        /// What the shard said.
        #[source]
        source: Box<kiln_proto::Error>,
    },
    /// What is stored is no contiguous sequence of decodable entries.
    #[error("the oplog of {worker} is corrupt at index {index}: {what}")]
    Corrupt {
        /// Whose oplog.
        worker: WorkerId,
        /// Where it is damaged.
        index: OplogIndex,
        /// How.
        what: String,
    },
    /// An earlier commit failed, so it is unknown where the oplog ends. The worker has to be loaded again.
    #[error("an earlier commit of this worker's oplog failed; it has to be loaded again")]
    Broken,
}

impl Error {
    /// The error of the shard below, if there is one.
    #[must_use]
    pub fn shard_error(&self) -> Option<&kiln_proto::Error> {
        match self {
            Self::Append { source, .. } | Self::Read { source, .. } => Some(source),
            Self::Corrupt { .. } | Self::Broken => None,
        }
    }
}
