/// The room that the memory of one guest takes on its node. Others share what there is.
#[async_trait::async_trait]
pub trait Room: Send + Sync {
    /// Sees to it that the guest may have `bytes` in all; false when there is no room for it now.
    async fn reserve(&self, bytes: u64) -> bool;

    /// The most that one guest can ever have on this node.
    fn bytes_max(&self) -> u64;
}

/// As much room as anybody wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unbounded;

#[async_trait::async_trait]
impl Room for Unbounded {
    async fn reserve(&self, _bytes: u64) -> bool {
        true
    }

    fn bytes_max(&self) -> u64 {
        u64::MAX
    }
}
