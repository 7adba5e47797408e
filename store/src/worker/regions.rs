use kiln_proto::v1::RegionEntry;

/// True when the index lies in one of the regions, whose ends are inclusive.
#[must_use]
pub fn contains(regions: &[RegionEntry], index: u64) -> bool {
    regions
        .iter()
        .any(|region| (region.start..=region.end).contains(&index))
}
