//! The pageblocks of a node: the unit by which the allocator groups pages by mobility, and which
//! compaction and offlining handle as a whole.

use crate::error::Result;
use crate::memory::filled;

/// The mobility of the pages for which a pageblock is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MigrateType {
    /// Pages that can move: user memory, movable pages of drivers. Every pageblock begins like this.
    Movable,
    /// Pages that cannot move: the kernel's own.
    Unmovable,
    /// Pages that cannot move, but can be freed: caches of the kernel.
    Reclaimable,
    /// Free pages kept for allocations that must not wait.
    HighAtomic,
    /// Free pages that the allocator does not hand out: a contiguous allocation or an offlining is
    /// emptying the pageblock.
    Isolated,
}

impl MigrateType {
    /// All types, in the order of their numbers here.
    pub const ALL: [MigrateType; 5] = [
        MigrateType::Movable,
        MigrateType::Unmovable,
        MigrateType::Reclaimable,
        MigrateType::HighAtomic,
        MigrateType::Isolated,
    ];

    /// The names that programs and reports use.
    pub const NAMES: &'static [(&'static str, MigrateType)] = &[
        ("movable", MigrateType::Movable),
        ("unmovable", MigrateType::Unmovable),
        ("reclaimable", MigrateType::Reclaimable),
        ("high_atomic", MigrateType::HighAtomic),
        ("isolated", MigrateType::Isolated),
    ];

    /// The type's name.
    pub fn name(self) -> &'static str {
        MigrateType::NAMES[self as usize].0
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<MigrateType> {
        MigrateType::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind)
    }

    /// The type's letter in recordings of layouts.
    pub const fn letter(self) -> char {
        match self {
            MigrateType::Movable => 'M',
            MigrateType::Unmovable => 'U',
            MigrateType::Reclaimable => 'E',
            MigrateType::HighAtomic => 'H',
            MigrateType::Isolated => 'I',
        }
    }

    /// The types from which an allocation of this type takes a block if its own type has none
    /// (`fallbacks`), the preferred one first.
    pub(super) const fn fallbacks(self) -> &'static [MigrateType] {
        match self {
            MigrateType::Movable => &[MigrateType::Reclaimable, MigrateType::Unmovable],
            MigrateType::Unmovable => &[MigrateType::Reclaimable, MigrateType::Movable],
            MigrateType::Reclaimable => &[MigrateType::Unmovable, MigrateType::Movable],
            MigrateType::HighAtomic | MigrateType::Isolated => &[],
        }
    }

    /// True if a free block may merge with one of another such type across a border of pageblocks
    /// (`migratetype_is_mergeable`).
    pub(super) const fn merges(self) -> bool {
        !matches!(self, MigrateType::HighAtomic | MigrateType::Isolated)
    }
}

/// The type and the skip hint of each pageblock of a node, one byte a pageblock, protected by the
/// zone lock. Zero is a movable pageblock without a hint, so that the table of a large node takes
/// up memory of the host only where a pageblock differs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageBlocks {
    order: u8,
    blocks: Vec<u8>,
    /// The number of pageblocks that are not movable.
    typed: u32,
}

impl PageBlocks {
    const TYPE: u8 = 0b111;
    const SKIP: u8 = 0b1000;

    /// The pageblocks of 2^`order` frames of a node of `frames` frames, all movable. The last one
    /// may be smaller.
    pub fn new(frames: u32, order: u8) -> Result<PageBlocks> {
        let count = frames.div_ceil(1 << order) as usize;
        Ok(PageBlocks { order, blocks: filled("the pageblocks of a node", count, 0)?, typed: 0 })
    }

    /// log2 of the frames of a pageblock.
    #[inline]
    pub fn order(&self) -> u8 {
        self.order
    }

    /// The number of pageblocks.
    pub fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// True if there is no pageblock.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The number of pageblocks that are not movable.
    pub fn typed(&self) -> u32 {
        self.typed
    }

    /// The type of the pageblock that holds a frame, by the frame's number within its node.
    #[inline]
    pub fn kind_of(&self, frame: u32) -> MigrateType {
        match self.blocks[(frame >> self.order) as usize] & Self::TYPE {
            0 => MigrateType::Movable,
            1 => MigrateType::Unmovable,
            2 => MigrateType::Reclaimable,
            3 => MigrateType::HighAtomic,
            _ => MigrateType::Isolated,
        }
    }

    /// Sets the type of the pageblock that holds a frame.
    pub fn set_kind(&mut self, frame: u32, kind: MigrateType) {
        let byte = &mut self.blocks[(frame >> self.order) as usize];
        self.typed -= u32::from(*byte & Self::TYPE != 0);
        *byte = *byte & !Self::TYPE | kind as u8;
        self.typed += u32::from(kind != MigrateType::Movable);
    }

    /// True if compaction has marked the pageblock that holds a frame as not worth a scan.
    pub fn skips(&self, frame: u32) -> bool {
        self.blocks[(frame >> self.order) as usize] & Self::SKIP != 0
    }

    /// Clears all skip hints.
    pub fn clear_skips(&mut self) {
        self.blocks.iter_mut().for_each(|byte| *byte &= !Self::SKIP);
    }

    /// Sets the skip hint of the pageblock that holds a frame.
    pub fn set_skip(&mut self, frame: u32) {
        self.blocks[(frame >> self.order) as usize] |= Self::SKIP;
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    #[test]
    fn a_pageblock_keeps_its_type_apart_from_its_skip_hint() {
        let mut blocks = PageBlocks::new(20, 3).unwrap();
        assert_eq!(blocks.len(), 3);
        blocks.set_skip(9);
        for kind in MigrateType::ALL {
            blocks.set_kind(15, kind);
            assert_eq!((blocks.kind_of(8), blocks.skips(14)), (kind, true));
            assert_eq!(blocks.typed(), u32::from(kind != MigrateType::Movable));
            assert_eq!(MigrateType::from_name(kind.name()), Some(kind));
        }
        blocks.clear_skips();
        assert_eq!((blocks.kind_of(8), blocks.skips(8)), (MigrateType::Isolated, false));
        assert_eq!((blocks.kind_of(16), blocks.kind_of(7)), (MigrateType::Movable, MigrateType::Movable));
    }
}
