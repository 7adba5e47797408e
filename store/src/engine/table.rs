/// A kind of replicated data: a column family of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Small facts of a group: epoch, counters.
    Meta,
    /// Oplog chunks.
    Oplog,
    /// Worker records.
    Worker,
    /// Worker numbers by component and name.
    ByName,
    /// Secondary indexes.
    Index,
    /// What is known of idempotency keys.
    Idem,
    /// Promises.
    Promise,
    /// Timers.
    Timer,
    /// Key-value buckets.
    Kv,
    /// Blobs.
    Blob,
    /// The control plane's state.
    Control,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Meta,
        Self::Oplog,
        Self::Worker,
        Self::ByName,
        Self::Index,
        Self::Idem,
        Self::Promise,
        Self::Timer,
        Self::Kv,
        Self::Blob,
        Self::Control,
    ];

    /// The column family's name: part of the storage format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Oplog => "oplog",
            Self::Worker => "worker",
            Self::ByName => "by_name",
            Self::Index => "index",
            Self::Idem => "idem",
            Self::Promise => "promise",
            Self::Timer => "timer",
            Self::Kv => "kv",
            Self::Blob => "blob",
            Self::Control => "control",
        }
    }

    /// The table with this column family, if there is one.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}
