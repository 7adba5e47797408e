use kiln_proto::v1::PromiseId;

/// Why a host function makes the guest leave its instance without having failed. It travels as an error through the guest.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Leave {
    /// The guest waits for something that may take long.
    #[error("the guest waits")]
    Suspend(Wait),
    /// A part of the oplog was made void, and that is committed.
    #[error("the guest goes back in its oplog")]
    Jump,
}

/// What a suspended worker waits for: the first of these.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wait {
    /// Nanoseconds since the Unix epoch.
    pub until_ns: Option<u64>,
    /// Promises, any of them.
    pub promises: Vec<PromiseId>,
}
