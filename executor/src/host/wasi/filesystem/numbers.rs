use std::collections::HashMap;

use wasmtime_wasi::p2::bindings::filesystem::types::MetadataHashValue;

use super::quota::Inode;

/// What the guest gets to see in place of inode numbers: files are numbered in the order in which it asked for them, which
/// is the same in every replay.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: u64,
    of: HashMap<Inode, u64>,
}

impl Numbers {
    /// The number of a file that has a name.
    pub(super) fn number(&mut self, inode: Inode) -> MetadataHashValue {
        let last = &mut self.last;
        let number = *self.of.entry(inode).or_insert_with(|| {
            *last += 1;
            *last
        });
        hash(number)
    }

    /// The number of a file without a name: its inode may soon be another file's.
    pub(super) fn of_nameless(&self, inode: Inode) -> MetadataHashValue {
        hash(self.of.get(&inode).copied().unwrap_or(0))
    }

    /// The file has lost its last name.
    pub(super) fn forget(&mut self, inode: Inode) {
        self.of.remove(&inode);
    }
}

/// What stands in for the inode number of a symbolic link: its own cannot be asked for, the path can.
pub(super) fn of_link(path: &str) -> MetadataHashValue {
    // FNV-1a; the highest bit keeps it apart from the counted numbers.
    let mixed = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash(mixed | 1 << 63)
}

fn hash(number: u64) -> MetadataHashValue {
    MetadataHashValue {
        lower: number,
        // Any constant; all the difference is in the lower half.
        upper: 0x6b69_6c6e,
    }
}
