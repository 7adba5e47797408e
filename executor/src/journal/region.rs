use kiln_proto::{ids::OplogIndex, v1::RegionEntry};

/// Entries `start` to `end`, both inclusive, that count no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First skipped index.
    pub start: OplogIndex,
    /// Last skipped index.
    pub end: OplogIndex,
}

/// Regions in ascending order, overlapping and adjoining ones merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Regions(Vec<Region>);

impl Regions {
    /// Sorts and merges.
    #[must_use]
    pub fn new(mut regions: Vec<Region>) -> Self {
        regions.retain(|region| region.start <= region.end);
        regions.sort_by_key(|region| region.start);
        let mut merged: Vec<Region> = Vec::with_capacity(regions.len());
        for region in regions {
            match merged.last_mut() {
                Some(last) if region.start <= last.end.next() => last.end = last.end.max(region.end),
                _ => merged.push(region),
            }
        }
        Self(merged)
    }

    /// The end of the region that `index` lies in.
    #[must_use]
    pub fn end_of(&self, index: OplogIndex) -> Option<OplogIndex> {
        let after = self.0.partition_point(|region| region.start <= index);
        let region = self.0.get(after.checked_sub(1)?)?;
        (index <= region.end).then_some(region.end)
    }
}

impl From<&RegionEntry> for Region {
    fn from(entry: &RegionEntry) -> Self {
        Self {
            start: OplogIndex(entry.start),
            end: OplogIndex(entry.end),
        }
    }
}

impl<'a> FromIterator<&'a RegionEntry> for Regions {
    fn from_iter<I: IntoIterator<Item = &'a RegionEntry>>(entries: I) -> Self {
        Self::new(entries.into_iter().map(Region::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(list: &[(u64, u64)]) -> Regions {
        let region = |&(start, end): &(u64, u64)| Region {
            start: OplogIndex(start),
            end: OplogIndex(end),
        };
        Regions::new(list.iter().map(region).collect())
    }

    #[test]
    fn overlapping_and_adjoining_regions_merge() {
        assert_eq!(regions(&[(8, 9), (2, 4), (3, 6), (7, 7)]), regions(&[(2, 9)]));
        assert_eq!(regions(&[(5, 3)]), Regions::default());
    }

    #[test]
    fn says_where_the_region_of_an_index_ends() {
        let regions = regions(&[(2, 4), (8, 8)]);
        let ends: Vec<Option<u64>> = (1..=9)
            .map(|i| regions.end_of(OplogIndex(i)).map(|end| end.0))
            .collect();
        assert_eq!(
            ends,
            [None, Some(4), Some(4), Some(4), None, None, None, Some(8), None]
        );
    }
}
