//! Allocates a range of frames, and gives it back.

use crate::alloc::pageblock::MigrateType;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::migrate::{Mode, Reason};
use crate::page::Pfn;
use crate::pressure::state::Reach;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated, stop_point};
use std::ops::Range;

/// The number of attempts to migrate a batch before the range counts as busy.
const TRIES: u32 = 5;

impl<R: Release> Machine<R> {
    /// Allocates the frames of a range, which lies in one node: their pages move away or are
    /// dropped. The frames then belong to the caller, each as a page of order 0 with one reference
    /// ([`Machine::free_contig_range`] gives all back).
    ///
    /// `EINVAL` for a range that is empty, does not lie in one node, or is not online; `EBUSY` if a
    /// page of it cannot move or does not move in time, or if another thread has isolated one of its
    /// pageblocks; `ENOMEM` if there is no frame to move a page to, or a huge page of a pool is in the
    /// range and cannot be replaced; `EINTR` if it was interrupted. After an error pages that have
    /// moved stay where they are.
    ///
    /// A call that isolated the pageblocks of the range leaves them movable, whatever their types were
    /// (`undo_isolate_page_range`). Kernels since 6.17 restore the types; mmcore does so under no
    /// profile.
    pub fn alloc_contig_range(&self, range: Range<Pfn>) -> Result<()> {
        // 1. The range lies in one node, is online, and every page of it can move.
        self.first_in_use(range.clone())?;
        if let Some(pfn) = (range.start.0..range.end.0).map(Pfn).find(|&pfn| !self.is_online(pfn)) {
            return Err(Error::at(Errno::EINVAL, pfn, Why::State("the frame is offline".into())));
        }
        if let Some(pfn) = self.first_unmovable(range.clone(), false) {
            let what = format!("the page cannot move: {}", self.frames[pfn].word());
            return Err(Error::at(Errno::EBUSY, pfn, Why::State(what)));
        }
        // 2. The pageblocks are isolated, so that no thread allocates a frame of the range meanwhile.
        let blocks = self.pageblocks_of(&range);
        self.isolate_pageblocks(blocks.clone())?;
        // 3. The pages move away. 4. The frames, free by then, are taken off the free lists.
        let node = self.node_of(range.start);
        let taken = match self.migrate_range(node, &range) {
            Err(error) if error.errno != Errno::EBUSY => Err(error),
            // After `EBUSY` the frames are tried all the same, because the page that did not move may have
            // been freed since.
            _ => self.take_free_frames(range.clone()),
        };
        // 5. The isolation ends, also after a failure. Otherwise nobody could allocate these frames again.
        let first = blocks.start.plus(1 << self.profile.pageblock_order);
        let end = if mutated(Mutation::UndoForgetsPageblock) { first } else { blocks.end };
        self.undo_isolate_pageblocks(blocks.start..end, MigrateType::Movable)?;
        if taken.is_ok() {
            self.stats.event(Event::CompactIsolated, i64::from(range.end.0 - range.start.0));
        }
        taken
    }

    /// Gives the frames of a contiguous allocation back: puts one reference on each
    /// (`free_contig_range`).
    pub fn free_contig_range(&self, range: Range<Pfn>) {
        for pfn in (range.start.0..range.end.0).map(Pfn) {
            stop_point();
            self.put(pfn);
        }
    }

    /// The whole pageblocks that hold a range of one node.
    fn pageblocks_of(&self, range: &Range<Pfn>) -> Range<Pfn> {
        let node = &self.nodes[self.node_of(range.start)];
        let size = 1u32 << self.profile.pageblock_order;
        let (first, end) = (range.start.0 - node.base.0, range.end.0 - node.base.0);
        let end = end.next_multiple_of(size).min(node.frames);
        node.base.plus(first / size * size)..node.base.plus(end)
    }

    /// Step 3: moves the pages of a range away, 32 at a time (`__alloc_contig_migrate_range`).
    fn migrate_range(&self, node: usize, range: &Range<Pfn>) -> Result<()> {
        self.lru_cache_disable();
        let result = self.migrate_clusters(node, range);
        self.lru_cache_enable();
        result
    }

    fn migrate_clusters(&self, node: usize, range: &Range<Pfn>) -> Result<()> {
        let mut target = |src: Pfn| self.alloc_target(node, self.frames[src].order(), Reach::Near).ok();
        let mut at = range.start;
        while at < range.end {
            stop_point();
            Error::unless_interrupted()?;
            self.replace_huge_pages(at..range.end)?;
            let mut list = self.isolate_cluster(&mut at, range.end);
            for _ in 0..TRIES {
                if list.is_empty() {
                    break;
                }
                self.reclaim_clean_pages(&mut list);
                let moved = self.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::ContigRange);
                if moved.errno.is_some() {
                    let left = list.first().copied();
                    self.putback_movable_pages(&mut list);
                    let (errno, what) = match moved.errno {
                        Some(Errno::EINTR) => (Errno::EINTR, Errno::EINTR.text()),
                        _ => (Errno::ENOMEM, "there is no frame to move the page to"),
                    };
                    return Err(Error { pfn: left, ..Error::new(errno, what) });
                }
            }
            if let Some(&left) = list.first() {
                let what = format!("the page did not move in {TRIES} tries: {}", self.frames[left].word());
                self.putback_movable_pages(&mut list);
                return Err(Error::at(Errno::EBUSY, left, Why::State(what)));
            }
        }
        Ok(())
    }
}
