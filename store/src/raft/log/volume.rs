use std::collections::VecDeque;

use parking_lot::Mutex;

/// Entries are counted in segments of this size.
const SEGMENT_BYTES: u64 = 1 << 20;

/// How many bytes a group's log holds, so that large entries are not kept by number alone.
///
/// Entries from before the start of the process are not counted: they are few after an orderly stop, and purged by
/// number otherwise.
#[derive(Default)]
pub(crate) struct Volume {
    segments: Mutex<VecDeque<Segment>>,
}

struct Segment {
    last: u64,
    bytes: u64,
}

impl Volume {
    pub(super) fn add(&self, last: u64, bytes: u64) {
        let mut segments = self.segments.lock();
        match segments.back_mut() {
            Some(segment) if segment.bytes < SEGMENT_BYTES => {
                segment.last = last;
                segment.bytes += bytes;
            }
            _ => segments.push_back(Segment { last, bytes }),
        }
    }

    /// Entries up to `index` have been purged.
    pub(super) fn purge(&self, index: u64) {
        let mut segments = self.segments.lock();
        while segments.front().is_some_and(|segment| segment.last <= index) {
            segments.pop_front();
        }
    }

    /// The index up to which entries have to go for the rest to fit into `bytes_max`; `None` if they fit.
    pub(crate) fn excess(&self, bytes_max: u64) -> Option<u64> {
        let segments = self.segments.lock();
        let mut bytes = 0;
        segments.iter().rev().find_map(|segment| {
            bytes += segment.bytes;
            (bytes > bytes_max).then_some(segment.last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_segments_are_in_excess() {
        let volume = Volume::default();
        for index in 1..=10 {
            volume.add(index, SEGMENT_BYTES);
        }
        assert_eq!(volume.excess(10 * SEGMENT_BYTES), None);
        assert_eq!(volume.excess(4 * SEGMENT_BYTES), Some(6));
        volume.purge(6);
        assert_eq!(volume.excess(4 * SEGMENT_BYTES), None);
        assert_eq!(volume.excess(0), Some(10));
    }

    #[test]
    fn small_entries_share_a_segment() {
        let volume = Volume::default();
        for index in 1..=2048 {
            volume.add(index, 1024);
        }
        assert_eq!(volume.segments.lock().len(), 2);
        assert_eq!(volume.excess(SEGMENT_BYTES), Some(1024));
    }
}
