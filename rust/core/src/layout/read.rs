//! Reads the letters of a node.

use super::kind::Kind;
use crate::error::{Errno, Error, Result};
use crate::hotplug::BlockState;
use crate::machine::Machine;
use crate::memory::room;
use crate::page::{Flags, MAX_ORDER, Pfn};
use crate::release::Release;
use std::collections::HashSet;

/// The layout of a node: the kind of each frame, as a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The letter of each frame, in the order of the frames.
    pub letters: Vec<u8>,
    /// The owner of each movable page, by the number of its slot; 0 for all other frames.
    pub owners: Vec<u32>,
    /// Free blocks by order (`/proc/buddyinfo`).
    pub free_blocks: [u32; MAX_ORDER as usize + 1],
    /// The letter of each pageblock's migratetype.
    pub types: Vec<u8>,
    /// log2 of the frames of a pageblock.
    pub pageblock_order: u8,
}

/// Pages that wait in a batch for their first place on a list.
type Waiting = HashSet<Pfn>;

impl<R: Release> Machine<R> {
    /// The layout of a node. Free frames are read at one moment, all others one after the other: at
    /// rest this is a snapshot.
    ///
    /// `EINVAL` if there is no such node; `ENOMEM` if the host has no memory for the letters; `EINTR` if the
    /// call was interrupted.
    pub fn layout(&self, node: usize) -> Result<Layout> {
        let Some(found) = self.nodes.get(node) else {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        };
        let frames = found.frames as usize;
        let mut letters = room("the letters of a node", frames)?;
        let mut owners = room("the owners of a node's pages", frames)?;
        owners.resize(frames, 0);
        let mut free_blocks = [0; MAX_ORDER as usize + 1];
        // Frames that are not found free below keep the letter 0 until their record is read.
        letters.resize(frames, 0);
        let mut types = room("the pageblocks of a node", frames.div_ceil(2))?;
        let (frontier, pageblock_order) = {
            let zone = found.zone.lock();
            for (head, order, _) in zone.blocks(&self.frames) {
                let first = (head.0 - found.base.0) as usize;
                letters[first..first + (1 << order)].fill(Kind::Free.letter());
                free_blocks[usize::from(order)] += 1;
            }
            for (order, _) in zone.blocks_ahead() {
                free_blocks[usize::from(order)] += 1;
            }
            let blocks = zone.pageblocks();
            types.extend((0..blocks.len()).map(|n| blocks.kind_of(n << blocks.order()).letter() as u8));
            (zone.frontier(), blocks.order())
        };
        // Frames that were never used are free, but their blocks are on no list yet.
        letters[frontier as usize..].fill(Kind::Free.letter());
        let mut waiting = Waiting::new();
        for cpu in &self.cpus {
            for &pfn in cpu.pcp[node].lock().frames() {
                letters[(pfn.0 - found.base.0) as usize] = Kind::PerCpu.letter();
            }
            let batches = cpu.batches.lock();
            waiting.extend(batches.added().iter().copied().chain(batches.locked_new()));
        }
        for (block, state) in (0..).zip(found.blocks.states()) {
            let offline = (state == BlockState::Offline).then(|| found.blocks.range(block)).flatten();
            if let Some(range) = offline {
                letters[range.start as usize..range.end as usize].fill(Kind::Absent.letter());
            }
        }
        for number in 0..frontier {
            Error::unless_interrupted()?;
            let letter = &mut letters[number as usize];
            if *letter == 0 {
                let pfn = found.base.plus(number);
                let kind = self.kind_of(pfn, &waiting);
                *letter = kind.letter();
                if self.frames[pfn].word().has(Flags::MOVABLE) {
                    owners[number as usize] = self.frames[pfn].owner();
                }
            } else if *letter != Kind::Absent.letter()
                && self.frames[found.base.plus(number)].word().has(Flags::HWPOISON)
            {
                *letter = Kind::Poisoned.letter();
            }
        }
        Ok(Layout { letters, owners, free_blocks, types, pageblock_order })
    }

    /// The kind of a frame that is not free. The order of the questions is that of the program that
    /// reads `/proc/kpageflags` for the recordings.
    fn kind_of(&self, pfn: Pfn, waiting: &Waiting) -> Kind {
        if self.frames[pfn].word().has(Flags::HWPOISON) {
            return Kind::Poisoned;
        }
        // A part of a large page has most of its state in the head's record.
        let head = self.frames.head(pfn);
        let page = &self.frames[head];
        let word = page.word();
        let isolated = |listed| match (word.has(Flags::LRU), waiting.contains(&head)) {
            (true, _) => listed,
            (false, true) if word.has(Flags::ANON) => Kind::AnonBatched,
            (false, true) => Kind::FileBatched,
            (false, false) => Kind::Isolated,
        };
        if word.has(Flags::ISOLATED) {
            Kind::Isolated
        } else if word.has(Flags::MOVABLE) {
            self.driver(head).map_or(Kind::Movable, |ops| ops.kind())
        } else if word.has(Flags::ANON | Flags::SWAPCACHE) {
            if word.has(Flags::WRITEBACK) { Kind::Writeback } else { Kind::SwapCache }
        } else if word.has(Flags::ANON) {
            let mappings = self.frames.folio_mapcount(self.frames.folio(head));
            if word.has(Flags::LRU) && word.count() != mappings {
                Kind::AnonPinned
            } else if word.has(Flags::UNEVICTABLE) {
                // The flag outweighs the batch in which the page may wait.
                match isolated(Kind::AnonUnevictable) {
                    Kind::AnonBatched => Kind::AnonUnevictable,
                    kind => kind,
                }
            } else {
                isolated(Kind::Anon)
            }
        } else if word.has(Flags::FILE) || word.has(Flags::SWAPCACHE) || word.has(Flags::LRU) {
            if word.has(Flags::WRITEBACK) {
                isolated(Kind::Writeback)
            } else if word.has(Flags::UNEVICTABLE) {
                isolated(Kind::FileUnevictable)
            } else if word.has(Flags::SWAPBACKED) {
                isolated(Kind::Shmem)
            } else {
                isolated(if word.has(Flags::DIRTY) { Kind::FileDirty } else { Kind::FileClean })
            }
        } else {
            let holder_kind = u8::try_from(page.private()).ok().and_then(Kind::from_letter);
            match holder_kind {
                Some(kind) if kind.is_told_by_holder() => kind,
                _ => Kind::Kernel,
            }
        }
    }
}
