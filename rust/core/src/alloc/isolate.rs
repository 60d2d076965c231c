//! The types of pageblocks, and the isolation of a range of them (`mm/page_isolation.c`). A contiguous
//! allocation and an offlining begin with such an isolation.
//!
//! # The steps of an isolation
//!
//! 1. Under the zone lock the pageblocks become isolated, and their free blocks move to lists from which
//!    nothing is handed out.
//! 2. The CPUs' arrays are told to take frames of movable pageblocks only, and are flushed. A frame that was
//!    freed between the two steps lies in an array, and the flush brings it to the isolated lists. A frame
//!    that is freed later goes there at once.
//!
//! In the other order an array could be refilled with frames of the pageblocks after its flush, and
//! would hand them out although they are isolated.

use super::pageblock::MigrateType;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::room;
use crate::page::{Flags, Pfn, TAKEN_OFF_BUDDY, reckon};
use crate::release::Release;
use crate::stat::Event;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// The migratetype of the pageblock that holds a frame (`get_pageblock_migratetype`). `EINVAL`
    /// for a frame that the machine does not have.
    pub fn pageblock_type(&self, pfn: Pfn) -> Result<MigrateType> {
        self.page(pfn)?;
        Ok(self.pageblock_of(self.node_of(pfn), pfn))
    }

    /// The migratetype of the pageblock that holds a frame of this node.
    pub(crate) fn pageblock_of(&self, node: usize, pfn: Pfn) -> MigrateType {
        let zone = self.nodes[node].zone.lock();
        zone.pageblocks().kind_of(zone.number(pfn))
    }

    /// The migratetypes of a node's pageblocks, from its first frame on. `EINVAL` for a node that
    /// does not exist; `ENOMEM` if the host has no memory for the list.
    pub fn pageblock_types(&self, node: usize) -> Result<Vec<MigrateType>> {
        let found =
            self.nodes.get(node).ok_or_else(|| Error::new(Errno::EINVAL, format!("no node {node}")))?;
        let zone = found.zone.lock();
        let blocks = zone.pageblocks();
        let mut types = room("types of pageblocks", blocks.len() as usize)?;
        types.extend((0..blocks.len()).map(|block| blocks.kind_of(block << blocks.order())));
        Ok(types)
    }

    /// Sets the migratetype of the pageblock that holds a frame; its free blocks go to the lists of
    /// that type (`set_pageblock_migratetype`, `move_freepages_block`). Returns the type before.
    ///
    /// `EINVAL` for a frame that the machine does not have.
    pub fn set_pageblock_type(&self, pfn: Pfn, kind: MigrateType) -> Result<MigrateType> {
        self.page(pfn)?;
        let node = self.node_of(pfn);
        let before = {
            let mut zone = self.nodes[node].zone.lock();
            let number = zone.number(pfn);
            let before = zone.pageblocks().kind_of(number);
            zone.set_kind(&self.frames, number, kind);
            before
        };
        self.refresh_arrays(node);
        if kind != MigrateType::Movable {
            self.drain_pcp(node);
        }
        Ok(before)
    }

    /// Tells the CPUs' arrays of a node whether they must look at the pageblock of a freed frame.
    pub(crate) fn refresh_arrays(&self, node: usize) {
        for cpu in &self.cpus {
            let mut pcp = cpu.pcp[node].lock();
            let typed = self.nodes[node].zone.lock().pageblocks().typed() > 0;
            pcp.take_movable_only(typed);
        }
    }

    /// Isolates the pageblocks of a range of frames (`start_isolate_page_range`): their free frames
    /// are not handed out any more, and frames that are freed join them. Nothing else changes for
    /// the pages in use. Each isolation is ended by [`Machine::undo_isolate_pageblocks`].
    ///
    /// The range is one of whole pageblocks of one node: `EINVAL` otherwise. `EBUSY`, with nothing
    /// changed, if one of the pageblocks is isolated already.
    pub fn isolate_pageblocks(&self, range: Range<Pfn>) -> Result<()> {
        let (node, numbers) = self.whole_pageblocks(&range)?;
        {
            let mut zone = self.nodes[node].zone.lock();
            let step = 1usize << zone.pageblocks().order();
            if let Some(taken) = numbers
                .clone()
                .step_by(step)
                .find(|&number| zone.pageblocks().kind_of(number) == MigrateType::Isolated)
            {
                let pfn = self.nodes[node].base.plus(taken);
                return Err(Error::new(
                    Errno::EBUSY,
                    format!("the pageblock of page {pfn} is isolated already"),
                ));
            }
            for number in numbers.step_by(step) {
                zone.set_kind(&self.frames, number, MigrateType::Isolated);
            }
        }
        self.refresh_arrays(node);
        self.drain_pcp(node);
        Ok(())
    }

    /// Ends an isolation (`undo_isolate_page_range`): the pageblocks of the range that are isolated
    /// get the migratetype `kind`, and their free frames can be handed out again. `EINVAL` for a
    /// range that is not one of whole pageblocks of one node.
    pub fn undo_isolate_pageblocks(&self, range: Range<Pfn>, kind: MigrateType) -> Result<()> {
        let (node, numbers) = self.whole_pageblocks(&range)?;
        {
            let mut zone = self.nodes[node].zone.lock();
            let step = 1usize << zone.pageblocks().order();
            for number in numbers.step_by(step) {
                if zone.pageblocks().kind_of(number) == MigrateType::Isolated {
                    zone.set_kind(&self.frames, number, kind);
                }
            }
        }
        self.refresh_arrays(node);
        Ok(())
    }

    /// The node of a range of whole pageblocks, and the range by the frames' numbers within it.
    fn whole_pageblocks(&self, range: &Range<Pfn>) -> Result<(usize, Range<u32>)> {
        let (node, numbers) = self.within_node(range)?;
        let block = 1 << self.profile.pageblock_order;
        let whole = |number: u32| number.is_multiple_of(block) || number == self.nodes[node].frames;
        if !whole(numbers.start) || !whole(numbers.end) {
            return Err(Error::new(
                Errno::EINVAL,
                format!(
                    "frames {} to {} are not whole pageblocks of {block} frames: give the borders of pageblocks",
                    range.start, range.end
                ),
            ));
        }
        Ok((node, numbers))
    }

    /// The node of a range of frames, and the range by the frames' numbers within it.
    fn within_node(&self, range: &Range<Pfn>) -> Result<(usize, Range<u32>)> {
        if range.start >= range.end || range.end.0 > self.frames.len() {
            let what = format!("frames {} to {} are no range of this machine", range.start, range.end);
            return Err(Error::new(Errno::EINVAL, what));
        }
        let node = self.node_of(range.start);
        let base = self.nodes[node].base.0;
        if range.end.0 > base + self.nodes[node].frames {
            let what = format!("frames {} to {} lie on several nodes", range.start, range.end);
            return Err(Error::new(Errno::EINVAL, what));
        }
        Ok((node, range.start.0 - base..range.end.0 - base))
    }

    /// The first frame of a range that is in no free block of the buddy lists and not taken out as a
    /// bad frame, or `None` if there is none (`test_pages_isolated`). `EINVAL` for a range that does
    /// not lie in one node.
    pub fn first_in_use(&self, range: Range<Pfn>) -> Result<Option<Pfn>> {
        let (node, numbers) = self.within_node(&range)?;
        let zone = self.nodes[node].zone.lock();
        let mut at = numbers.start;
        while let Some(used) = zone.first_in_use(&self.frames, at..numbers.end) {
            let pfn = self.nodes[node].base.plus(used);
            let page = &self.frames[pfn];
            let bad = page.word().has(Flags::HWPOISON)
                && (page.private() == TAKEN_OFF_BUDDY || page.word().count() == 0);
            if !bad {
                return Ok(Some(pfn));
            }
            at = used + 1;
        }
        Ok(None)
    }

    /// Takes a range of free frames out of the allocator. The frames then belong to the caller: each
    /// is a page of order 0 with one reference. [`Machine::put`] gives a frame back.
    ///
    /// `EBUSY`, with nothing changed, if one of the frames is not on the buddy lists (it is in use or
    /// in a CPU's array; see [`Machine::drain_pcp`]) or is poisoned; the error names it. `EINVAL` for
    /// a range that does not lie in one node.
    pub fn take_free_frames(&self, range: Range<Pfn>) -> Result<()> {
        self.take_frames(range, true)
    }

    /// Like [`Machine::take_free_frames`]. Without `isolated`, frames of isolated pageblocks count as in
    /// use.
    pub(crate) fn take_frames(&self, range: Range<Pfn>, isolated: bool) -> Result<()> {
        let (node, numbers) = self.within_node(&range)?;
        let base = self.nodes[node].base;
        {
            let mut zone = self.nodes[node].zone.lock();
            let blocks = zone.pageblocks();
            let bad = |number: &u32| {
                self.frames[base.plus(*number)].word().has(Flags::HWPOISON)
                    || (!isolated && blocks.kind_of(*number) == MigrateType::Isolated)
            };
            let refused = match numbers.clone().find(bad) {
                Some(bad) => Some(bad),
                None => zone.take_range(&self.frames, numbers.clone()).err(),
            };
            if let Some(refused) = refused {
                let pfn = base.plus(refused);
                let what = format!("page {pfn} is not free: {}", self.frames[pfn].word());
                return Err(Error { pfn: Some(pfn), ..Error::new(Errno::EBUSY, what) });
            }
        }
        for (done, pfn) in numbers.map(|number| base.plus(number)).enumerate() {
            if self.frames[pfn].hand_out(pfn, Flags::empty()).is_none() {
                // The frame was poisoned after it had left the lists. It is refused, and the others
                // go back. It has left the allocator, so it counts as allocated, and as freed again
                // if it is unpoisoned.
                self.stats.event(Event::Pgalloc, 1);
                for other in (range.start.0..range.end.0).map(Pfn).filter(|&other| other != pfn) {
                    match other.0 < range.start.0 + done as u32 {
                        true => self.put(other),
                        false => self.nodes[node].zone.lock().give(&self.frames, other, 0),
                    }
                }
                let what = format!("page {pfn} is poisoned");
                return Err(Error { pfn: Some(pfn), ..Error::new(Errno::EBUSY, what) });
            }
            self.stats.allocated(node, 1);
            reckon::served(node, node);
        }
        Ok(())
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;
    use crate::audit::Ledger;
    use crate::machine::Config;
    use crate::release::Split;

    const BLOCK: u32 = 16;

    fn machine() -> Machine<Split> {
        let mut config = Config { backed: false, ..Config::new(2, 4 * BLOCK) };
        config.profile.pageblock_order = 4;
        Machine::new(&config).unwrap()
    }

    fn block(number: u32) -> Range<Pfn> {
        Pfn(number * BLOCK)..Pfn((number + 1) * BLOCK)
    }

    #[test]
    fn frames_of_an_isolated_pageblock_are_neither_free_nor_handed_out() {
        let machine = machine();
        let used: Vec<Pfn> = (0..4 * BLOCK).map(|_| machine.alloc_pages(0, 0).unwrap()).collect();
        let inside = |pfn: &Pfn| block(2).contains(pfn);
        for pfn in used.iter().copied().filter(|pfn| pfn.0 % 2 == 0 || !inside(pfn)) {
            machine.put(pfn);
        }
        machine.isolate_pageblocks(block(2)).unwrap();
        assert_eq!(machine.pageblock_type(Pfn(2 * BLOCK)), Ok(MigrateType::Isolated));
        assert_eq!(machine.free_frames(0), (3 * BLOCK, 0));
        assert_eq!(machine.first_in_use(block(2)), Ok(Some(Pfn(2 * BLOCK + 1))));
        // A frame that is freed goes past the arrays, to the isolated lists.
        for pfn in used.iter().copied().filter(|pfn| pfn.0 % 2 == 1 && inside(pfn)) {
            machine.put(pfn);
        }
        assert_eq!((machine.free_frames(0), machine.first_in_use(block(2))), ((3 * BLOCK, 0), Ok(None)));
        let taken: Vec<Pfn> = std::iter::from_fn(|| machine.alloc_pages(0, 0).ok()).collect();
        assert!(taken.len() == 3 * BLOCK as usize && !taken.iter().any(inside));
        taken.into_iter().for_each(|pfn| machine.put(pfn));
        let findings = machine.audit(&Ledger::default());
        assert!(findings.iter().all(|finding| finding.rule == "no pageblock stays isolated"));
        assert_eq!(findings.len(), 1);
        machine.undo_isolate_pageblocks(block(2), MigrateType::Movable).unwrap();
        assert_eq!(machine.free_frames(0).0 + machine.free_frames(0).1, 4 * BLOCK);
        assert!(machine.audit(&Ledger::default()).is_empty());
    }

    #[test]
    fn an_isolation_is_refused_with_nothing_changed() {
        let machine = machine();
        machine.isolate_pageblocks(block(1)).unwrap();
        let errno = |range: Range<u32>| {
            machine.isolate_pageblocks(Pfn(range.start)..Pfn(range.end)).unwrap_err().errno
        };
        assert_eq!(errno(0..3 * BLOCK), Errno::EBUSY);
        for wrong in [0..0, 1..BLOCK, 0..BLOCK + 1, 3 * BLOCK..5 * BLOCK, 0..1000] {
            assert_eq!(errno(wrong), Errno::EINVAL);
        }
        let types = machine.pageblock_types(0).unwrap();
        assert_eq!(types.iter().filter(|&&kind| kind == MigrateType::Movable).count(), 3);
        assert_eq!(machine.free_frames(0), (3 * BLOCK, 0));
    }

    #[test]
    fn free_frames_are_taken_all_or_none() {
        let machine = machine();
        let pfn = machine.alloc_pages(0, 0).unwrap();
        machine.drain_pcp(0);
        let busy = machine.take_free_frames(Pfn(0)..Pfn(BLOCK)).unwrap_err();
        assert_eq!((busy.errno, busy.pfn), (Errno::EBUSY, Some(pfn)));
        assert_eq!(machine.free_frames(0), (4 * BLOCK - 1, 0));
        machine.take_free_frames(Pfn(7)..Pfn(3 * BLOCK + 3)).unwrap();
        assert!((7..3 * BLOCK + 3).all(|pfn| machine.page(Pfn(pfn)).unwrap().count() == 1));
        (7..3 * BLOCK + 3).for_each(|pfn| machine.put(Pfn(pfn)));
        machine.put(pfn);
        machine.drain_pcp(0);
        assert_eq!(machine.free_frames(0), (4 * BLOCK, 0));
        assert!(machine.audit(&Ledger::default()).is_empty());
    }

    #[test]
    fn unmovable_pages_gather_in_a_pageblock_of_their_own() {
        let machine = machine();
        let users: Vec<Pfn> = (0..2 * BLOCK).map(|_| machine.alloc_pages(0, 0).unwrap()).collect();
        let own: Vec<Pfn> =
            (0..8).map(|_| machine.alloc_pages_of(0, 0, MigrateType::Unmovable).unwrap()).collect();
        for &pfn in &own {
            assert_eq!(machine.pageblock_type(pfn), Ok(MigrateType::Unmovable));
        }
        // The freed frames of that pageblock lie in no array, from which a movable page could get them.
        own.into_iter().for_each(|pfn| machine.put(pfn));
        assert_eq!(machine.free_frames(0), (2 * BLOCK, 0));
        users.into_iter().for_each(|pfn| machine.put(pfn));
        assert!(machine.audit(&Ledger::default()).is_empty());
        assert_eq!(machine.alloc_pages_of(0, 0, MigrateType::Isolated).unwrap_err().errno, Errno::EINVAL);
    }
}
