use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $shown:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $shown, self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }
    };
}

number!(
    /// A node of the cluster: random, made at the first start on an empty data folder, kept there, never 0. People see 16
    /// hexadecimal digits.
    NodeId(u64),
    "{:016x}"
);
number!(
    /// A shard: a fixed hash range of workers, counted from 0.
    ShardId(u32),
    "{}"
);
number!(
    /// A Raft group: 0 is the shard managers' own, shard `s` is group `s + 1`.
    GroupId(u32),
    "{}"
);
number!(
    /// The Raft term under which an owner opened a shard.
    Epoch(u64),
    "{}"
);
number!(
    /// A version of a component, counted from 0.
    ComponentVersion(u64),
    "{}"
);
number!(
    /// The place of an entry in a worker's oplog, counted from 1; 0 means "before the first".
    OplogIndex(u64),
    "{}"
);

impl GroupId {
    /// The shard managers' own group.
    pub const MANAGERS: Self = Self(0);

    /// The shard whose group this is, or `None` for the managers' group.
    #[must_use]
    pub fn shard(self) -> Option<ShardId> {
        self.0.checked_sub(1).map(ShardId)
    }
}

impl From<ShardId> for GroupId {
    fn from(shard: ShardId) -> Self {
        Self(shard.0 + 1)
    }
}

impl OplogIndex {
    /// Before the first entry.
    pub const NONE: Self = Self(0);
    /// The first entry, always a Create.
    pub const FIRST: Self = Self(1);

    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
