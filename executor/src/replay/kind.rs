use kiln_proto::{
    ids::OplogIndex,
    v1::{FunctionType, function_type},
};

/// How a host call touches the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads something of this machine: time, randomness, environment.
    ReadLocal,
    /// Changes something that only this worker sees.
    WriteLocal,
    /// Reads something that others may change.
    ReadRemote,
    /// Changes something that others see.
    WriteRemote,
    /// One of several steps of one remote write; the index is of the entry that began it, `None` if this call does.
    WriteRemoteBatched(Option<OplogIndex>),
    /// One of several steps of a transaction; the index is of the entry that began it, `None` if this call does.
    WriteRemoteTransaction(Option<OplogIndex>),
}

impl Kind {
    /// True when a result must be committed before the guest goes on.
    #[must_use]
    pub fn is_remote_write(self) -> bool {
        matches!(
            self,
            Self::WriteRemote | Self::WriteRemoteBatched(_) | Self::WriteRemoteTransaction(_)
        )
    }
}

impl From<Kind> for FunctionType {
    fn from(kind: Kind) -> Self {
        use function_type::Kind as Wire;
        let (wire, begin_index) = match kind {
            Kind::ReadLocal => (Wire::ReadLocal, 0),
            Kind::WriteLocal => (Wire::WriteLocal, 0),
            Kind::ReadRemote => (Wire::ReadRemote, 0),
            Kind::WriteRemote => (Wire::WriteRemote, 0),
            Kind::WriteRemoteBatched(begin) => (Wire::WriteRemoteBatched, begin.map_or(0, |index| index.0)),
            Kind::WriteRemoteTransaction(begin) => {
                (Wire::WriteRemoteTransaction, begin.map_or(0, |index| index.0))
            }
        };
        Self {
            kind: wire.into(),
            begin_index,
        }
    }
}
