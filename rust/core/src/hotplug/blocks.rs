//! The memory blocks of a node. Each is put online and taken offline as a whole.

use crate::sync::{AtomicU32, Lock, LockClass, Ordering};
use std::collections::BTreeMap;
use std::ops::Range;

/// The number of frames of a memory block if the configuration gives none: 128 MiB, as on x86-64.
pub const BLOCK_FRAMES: u32 = 1 << 15;

/// The zone to which a memory block belongs while it is online. The zone decides which pages the block may
/// hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZoneKind {
    /// Any page, also pages of the kernel itself. One page of the kernel keeps the block from going
    /// offline.
    Kernel,
    /// Pages that can move, and no lasting pins.
    Movable,
}

impl ZoneKind {
    /// The names that calls and reports use.
    pub const NAMES: &'static [(&'static str, ZoneKind)] =
        &[("kernel", ZoneKind::Kernel), ("movable", ZoneKind::Movable)];

    /// The zone's name in /proc/zoneinfo.
    pub const fn name(self) -> &'static str {
        match self {
            ZoneKind::Kernel => "Normal",
            ZoneKind::Movable => "Movable",
        }
    }
}

/// The state of a memory block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockState {
    /// The allocator does not have the block's frames, and no page is in them.
    Offline,
    /// The block is in use, in this zone.
    Online(ZoneKind),
}

impl BlockState {
    /// The state's name in /sys/devices/system/memory.
    pub const fn name(self) -> &'static str {
        match self {
            BlockState::Offline => "offline",
            BlockState::Online(_) => "online",
        }
    }

    const fn code(self) -> u32 {
        match self {
            BlockState::Online(ZoneKind::Kernel) => 0,
            BlockState::Online(ZoneKind::Movable) => 1,
            BlockState::Offline => 2,
        }
    }

    const fn of(code: u32) -> BlockState {
        match code {
            0 => BlockState::Online(ZoneKind::Kernel),
            1 => BlockState::Online(ZoneKind::Movable),
            _ => BlockState::Offline,
        }
    }
}

/// The states of a node's memory blocks. A state changes under the zone lock of the node, together
/// with the free lists; it is read without any lock.
///
/// Frames that fill no whole block, such as all frames of a node that is smaller than a block, keep
/// the state that they began with.
#[derive(Debug)]
pub struct Blocks {
    frames: u32,
    size: u32,
    /// The state of the frames that fill no whole block, if there are any.
    rest: Option<BlockState>,
    states: Box<[AtomicU32]>,
}

impl Blocks {
    /// The blocks of `size` frames of a node of `frames` frames, all in one state.
    pub fn new(frames: u32, size: u32, state: BlockState) -> Blocks {
        let states = (0..frames / size).map(|_| AtomicU32::new(state.code())).collect();
        Blocks { frames, size, rest: (!frames.is_multiple_of(size)).then_some(state), states }
    }

    /// The name of the word at `address`, for traces. `None` for any other address.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let block = self.states.iter().position(|word| std::ptr::from_ref(word).addr() == address)?;
        Some(format!("state of memory block {block}"))
    }

    /// The number of blocks.
    pub fn count(&self) -> u32 {
        self.states.len() as u32
    }

    /// The number of frames of a block.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The frames of a block, by their numbers within the node; `None` if the node has no such
    /// block.
    pub fn range(&self, block: u32) -> Option<Range<u32>> {
        (block < self.count()).then(|| block * self.size..(block + 1) * self.size)
    }

    /// The state of a block; `None` if the node has no such block.
    pub fn state(&self, block: u32) -> Option<BlockState> {
        // Acquire pairs with the Release of `set`: a thread that finds a block online finds its
        // frames as onlining left them.
        self.states.get(block as usize).map(|state| BlockState::of(state.load(Ordering::Acquire)))
    }

    /// The state of the block that holds a frame, by the frame's number within the node.
    pub fn state_at(&self, number: u32) -> BlockState {
        self.state(number / self.size).or(self.rest).unwrap_or(BlockState::Offline)
    }

    /// True if the block that holds a frame is offline, by the frame's number within the node.
    pub fn is_offline(&self, number: u32) -> bool {
        self.state_at(number) == BlockState::Offline
    }

    /// Changes the state of a block. The caller holds the zone lock.
    pub(crate) fn set(&self, block: u32, state: BlockState) {
        // Release pairs with the Acquire of `state`.
        self.states[block as usize].store(state.code(), Ordering::Release);
    }

    /// The states of all blocks, in their order.
    pub fn states(&self) -> impl DoubleEndedIterator<Item = BlockState> + '_ {
        (0..self.count()).filter_map(|block| self.state(block))
    }

    /// The number of frames that are online.
    pub fn online(&self) -> u32 {
        let blocks = self.states().filter(|&state| state != BlockState::Offline).count() as u32;
        let rest = self.rest.is_some_and(|rest| rest != BlockState::Offline);
        blocks * self.size + if rest { self.frames - self.count() * self.size } else { 0 }
    }

    /// Returns true if some frames fill no whole block. A machine is not built with such frames offline,
    /// so they are online for good.
    pub fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    /// Returns true if some block is in a state, or the frames that fill no whole block are.
    pub fn any(&self, state: BlockState) -> bool {
        (self.rest.is_some_and(|rest| rest == state)) || self.states().any(|found| found == state)
    }

    /// The first and the last online block of a zone, between which the zone spans the node
    /// (`zone_intersects`).
    pub fn span(&self, zone: ZoneKind) -> Option<(u32, u32)> {
        let online = |block: &u32| self.state(*block) == Some(BlockState::Online(zone));
        Some(((0..self.count()).find(online)?, (0..self.count()).rev().find(online)?))
    }
}

/// The state of offlining and onlining that the machine keeps.
#[derive(Debug)]
pub(crate) struct Hotplug {
    /// Held by the one thread that changes a block (`device_hotplug_lock`). Inside is the number of poisoned
    /// frames of each offline block that has some, by node and block (`memory_block::nr_hwpoison`).
    pub serial: Lock<BTreeMap<(usize, u32), u32>>,
}

impl Hotplug {
    pub(crate) fn new() -> Hotplug {
        Hotplug { serial: Lock::plain(LockClass::Hotplug, BTreeMap::new()) }
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    #[test]
    fn frames_beyond_the_last_whole_block_keep_their_state() {
        let blocks = Blocks::new(20, 8, BlockState::Offline);
        assert_eq!((blocks.count(), blocks.range(1), blocks.range(2)), (2, Some(8..16), None));
        blocks.set(1, BlockState::Online(ZoneKind::Movable));
        assert_eq!(blocks.state_at(15), BlockState::Online(ZoneKind::Movable));
        assert_eq!((blocks.state_at(16), blocks.state(2)), (BlockState::Offline, None));
        assert_eq!((blocks.span(ZoneKind::Movable), blocks.span(ZoneKind::Kernel)), (Some((1, 1)), None));
        assert_eq!(Blocks::new(7, 8, BlockState::Offline).count(), 0);
    }
}
