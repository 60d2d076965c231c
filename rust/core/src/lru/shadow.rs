//! The shadow of an evicted page: a record in the cache slot in which the page was.

/// The record that an eviction leaves in the slot where the page was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shadow {
    /// The node's age at the eviction. Under `mglru`: the sequence number of the page's generation.
    pub age: u32,
    /// The node on which the page was.
    pub node: u8,
    /// The page had been active before.
    pub workingset: bool,
    /// The page's tier under `mglru`, else 0.
    pub tier: u8,
}
