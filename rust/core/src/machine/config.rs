//! The configuration of a machine, and the limits of its size.

use crate::error::{Errno, Error, Result};
use crate::hotplug::blocks::BLOCK_FRAMES;
use crate::memory::copy::CopyKind;
use crate::profile::Profile;

/// The largest number of nodes.
pub const MAX_NODES: usize = 8;
/// The largest number of CPUs.
pub const MAX_CPUS: usize = 64;
/// The largest number of frames. Frame numbers and list links can name as many.
pub const MAX_FRAMES: u64 = 1 << 28;

/// The size of a node and, for reports, its latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The number of frames.
    pub frames: u32,
    /// The modelled access time in nanoseconds. All nodes are memory of this host and equally fast,
    /// so reports multiply the number of accesses to a node by this time.
    pub latency_ns: u32,
}

/// The configuration of a machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The nodes, fastest first.
    pub nodes: Vec<NodeConfig>,
    /// The number of per-CPU contexts.
    pub cpus: usize,
    /// True for frames with bytes, false for page records only.
    pub backed: bool,
    /// The way to copy pages; `None` for the fastest one that the processor has.
    pub copy: Option<CopyKind>,
    /// The numbers of the nodes that are only for movable pages (online_movable). A lasting pin
    /// moves its page off such a node.
    pub movable: Vec<usize>,
    /// The numbers of the nodes whose memory blocks all begin offline, as a plugged memory module
    /// does. Every other node begins with all blocks online.
    pub offline: Vec<usize>,
    /// The frames of a memory block, the unit of onlining and offlining.
    pub block: u32,
    /// The profile: which kernel the machine behaves like.
    pub profile: Profile,
    /// The number of owner slots to reserve (for the reverse maps of address spaces, files, and
    /// drivers).
    pub owners: usize,
    /// True for memory pressure: watermarks, and allocations that reclaim and compact instead of
    /// failing at once ([`crate::pressure`]).
    pub pressure: bool,
    /// True to record the protocol's calls from the beginning ([`crate::calls`]).
    pub calls: bool,
}

impl Config {
    /// Makes a configuration of equal nodes with `frames` frames each, backed, with two CPUs and
    /// the default profile.
    pub fn new(nodes: usize, frames: u32) -> Config {
        Config {
            nodes: vec![NodeConfig { frames, latency_ns: NodeConfig::LATENCY_NS }; nodes],
            cpus: 2,
            backed: true,
            copy: None,
            movable: Vec::new(),
            offline: Vec::new(),
            block: BLOCK_FRAMES,
            profile: Profile::default(),
            owners: 1 << 16,
            pressure: false,
            calls: false,
        }
    }

    /// Checks the memory blocks: `EINVAL` if they are not whole pageblocks, if a node that begins offline
    /// does not exist or has no whole number of blocks, or if all nodes begin offline.
    pub(super) fn check_blocks(&self) -> Result<()> {
        let invalid = |why: String| Err(Error::new(Errno::EINVAL, why));
        let pageblock = 1u32 << self.profile.pageblock_order;
        if self.block == 0 || !self.block.is_multiple_of(pageblock) {
            return invalid(format!(
                "a memory block of {} frames is not a whole number of pageblocks of {pageblock}",
                self.block
            ));
        }
        if let Some(node) = self.offline.iter().find(|&&node| node >= self.nodes.len()) {
            return invalid(format!("node {node} cannot begin offline: it does not exist"));
        }
        let partial = |node: &&usize| !self.nodes[**node].frames.is_multiple_of(self.block);
        if let Some(node) = self.offline.iter().find(partial) {
            let (frames, block) = (self.nodes[*node].frames, self.block);
            return invalid(format!(
                "node {node} cannot begin offline: its {frames} frames are not whole memory blocks of {block}"
            ));
        }
        if (0..self.nodes.len()).all(|node| self.offline.contains(&node)) {
            return invalid("not all nodes can begin offline: allocations need memory that is online".into());
        }
        Ok(())
    }
}
