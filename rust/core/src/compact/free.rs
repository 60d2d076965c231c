//! The free scanner: takes free frames out of the allocator, from the node's end downwards
//! (`isolate_freepages`), and gives them to migrations.

use super::control::{CLUSTER, Control};
use super::result::CompactEvent;
use crate::alloc::pageblock::MigrateType;
use crate::migrate::{Mode, NewPage, Outcome};
use crate::page::{Dropped, Flags, Pfn};
use crate::release::Release;
use crate::stat::Event;
use std::ops::Range;

/// The result of a free scan of a part of a pageblock.
struct Scan {
    /// The frame at which the scan ended.
    end: u32,
    scanned: u32,
    taken: u32,
}

impl<R: Release> Control<'_, R> {
    /// Goes down from the place at which the last scan stopped, until there are enough targets or the
    /// migrate scanner's pageblock is reached.
    pub(super) fn isolate_freepages(&mut self) {
        let size = 1 << self.block_order;
        let mut at = self.free;
        let mut block = self.block_start(at);
        let mut end = self.frames.min(block + size);
        // The scan ends above the pageblock of the migrate scanner. `low` is at least one pageblock, so
        // that no subtraction below underflows.
        let low = self.block_start(self.migrate) + size;
        let mut stride = if self.mode == Mode::Async { CLUSTER } else { 1 };
        let mut taken = Vec::new();
        while block >= low {
            if !self.is_offline(block)
                && let Some(scan) = self.isolate_freepages_block(block, at..end, stride, &mut taken)
            {
                at = scan.end;
                if at == end {
                    self.note_free_scanned(block);
                }
                if self.have(&taken) >= self.wanted() {
                    if at == end {
                        // The next search begins in the pageblock below.
                        at = block - size;
                    }
                    break;
                }
                if at < end {
                    // The scan ended early because the zone's watermark forbids taking more frames.
                    break;
                }
                // A pageblock without a free frame suggests that its neighbours are full, too, so the
                // scan then looks at fewer frames.
                stride = if scan.taken > 0 { 1 } else { CLUSTER.min(stride * 2) };
            }
            end = block;
            block -= size;
            at = block;
        }
        self.free = at;
        self.targets.add(self.machine.profile.compact_targets, taken);
    }

    /// The number of frames of the run's targets and of the blocks in `taken`.
    fn have(&self, taken: &[(Pfn, u8)]) -> u32 {
        self.targets.frames() + taken.iter().map(|&(_, order)| 1u32 << order).sum::<u32>()
    }

    /// The number of targets that the scanner is to find. Some kernels want one for each page of the
    /// batch, others one for each page of the batch that has no target yet.
    fn wanted(&self) -> u32 {
        match self.machine.profile.compact_refills_batch {
            true => self.batch,
            false => self.lacking,
        }
    }

    /// Scans a range of a pageblock, each `stride`-th frame, and takes the free blocks. `None` if the
    /// pageblock is not used for targets.
    fn isolate_freepages_block(
        &mut self,
        block: u32,
        range: Range<u32>,
        stride: u32,
        taken: &mut Vec<(Pfn, u8)>,
    ) -> Option<Scan> {
        let (have, wanted) = (self.have(taken), self.wanted());
        let machine = self.machine;
        let mut zone = machine.nodes[self.node].zone.lock();
        // Compaction wants to make free blocks of this size, so it must not break one up.
        if zone.free_block_at(&machine.frames, block).is_some_and(|order| order >= self.block_order) {
            return None;
        }
        // A page that can move would take room in a pageblock that is meant for pages that cannot.
        if !self.any_target && zone.pageblocks().kind_of(block) != MigrateType::Movable {
            return None;
        }
        if !self.ignore_skip_hint && zone.pageblocks().skips(block) {
            return None;
        }
        let mut scan = Scan { end: range.start, scanned: 0, taken: 0 };
        while scan.end < range.end {
            scan.scanned += 1;
            let Some(order) = zone.free_block_at(&machine.frames, scan.end) else {
                let size = match scan.end < zone.frontier() {
                    true => self.large_page_at(scan.end),
                    false => 1,
                };
                if machine.profile.compact_counts_frames {
                    scan.scanned += size - 1;
                }
                scan.end += size - 1 + stride;
                continue;
            };
            if !zone.isolate_free_block(&machine.frames, scan.end, order) {
                break;
            }
            let size = 1 << order;
            scan.scanned += size - 1;
            scan.taken += size;
            taken.push((self.base.plus(scan.end), order));
            if have + scan.taken >= wanted {
                scan.end += size;
                break;
            }
            scan.end += size - 1 + stride;
        }
        drop(zone);
        scan.end = scan.end.min(range.end);
        let Scan { end, scanned, taken } = scan;
        self.free_scanned += u64::from(scanned);
        self.isolated += u64::from(taken);
        self.tell(CompactEvent::IsolateFreepages { start: range.start, end, scanned, taken });
        Some(scan)
    }
}

/// The source of targets for the migrations of a run (`compaction_alloc`, `compaction_free`).
impl<R: Release> NewPage for Control<'_, R> {
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        let order = self.machine.frames[src].order();
        let mut scanned = false;
        loop {
            let Some(pfn) = self.targets.take(order) else {
                if std::mem::replace(&mut scanned, true) {
                    return None;
                }
                self.isolate_freepages();
                continue;
            };
            if self.hand_out(pfn, order) {
                self.lacking = self.lacking.saturating_sub(1 << order);
                return Some(pfn);
            }
            // A frame was poisoned while it waited, so the page still lacks a target.
            scanned = false;
        }
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn take_back(&mut self, dst: Pfn) {
        let page = &self.machine.frames[dst];
        let order = page.order();
        self.lacking += 1 << order;
        if order > 0 {
            // A large target goes back to the allocator, where its parts merge again.
            return self.machine.put(dst);
        }
        let Dropped::Last(word) = page.drop_refs(dst, 1) else {
            // Another thread holds a reference for a moment. Its put gives the frame to the
            // allocator.
            return;
        };
        if word.any(!Flags::WAITERS) {
            // The frame was poisoned meanwhile, so it cannot be a target and is freed like any page.
            return self.machine.free_last(dst, word);
        }
        self.machine.memory.retire(dst);
        self.machine.stats.event(Event::Pgfree, 1);
        self.targets.put_back(dst, 0);
    }

    fn wants_outcomes(&self) -> bool {
        self.trace.is_some()
    }

    fn ended(&mut self, src: Pfn, outcome: Outcome) {
        if let (Some(trace), Outcome::Moved(dst)) = (&mut self.trace, outcome) {
            trace.moves.push((src, dst));
        }
    }
}

impl<R: Release> Control<'_, R> {
    /// Gives a target its first reference. Returns false if a frame of it is poisoned: its good
    /// frames then go back to the allocator.
    fn hand_out(&mut self, pfn: Pfn, order: u8) -> bool {
        let frames = &self.machine.frames;
        let mut poisoned = false;
        for offset in 1..1u32 << order {
            let tail = &frames[pfn.plus(offset)];
            tail.set_owner(pfn.0, 0);
            poisoned |= tail.set(Flags::TAIL).has(Flags::HWPOISON);
        }
        if order > 0 {
            frames[pfn].set_extra(order, 0);
            frames[pfn].set(Flags::HEAD);
        }
        if !poisoned && frames[pfn].hand_out_good(pfn, Flags::empty()) {
            self.machine.stats.event(Event::Pgalloc, 1 << order);
            return true;
        }
        frames[pfn].clear(Flags::HEAD);
        let refused = self.machine.give_good(pfn, order);
        self.machine.stats.event(Event::Pgalloc, i64::from(refused));
        false
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::super::control::Request;
    use super::*;
    use crate::machine::{Config, Machine};
    use crate::release::Split;

    #[test]
    fn a_target_that_is_refused_leaves_the_page_without_a_target() {
        let mut config = Config::new(1, 256);
        config.profile.pageblock_order = 4;
        config.profile.failure_takes_free = false;
        let machine = Machine::<Split>::new(&config).unwrap();
        // Two pageblocks at the end have one free frame each, and the upper one is poisoned. The lower
        // frame has an even number: after a block without a good frame the scan skips odd frames.
        let used: Vec<Pfn> = (0..256).map(|_| machine.alloc_pages(0, 0).unwrap()).collect();
        for pfn in [Pfn(230), Pfn(245), Pfn(3)] {
            machine.put(pfn);
        }
        machine.drain_pcp(0);
        assert!(machine.memory_failure(Pfn(245), None).result.is_ok());
        let mut control = Control::new(&machine, 0, Request::whole_node(false));
        (control.batch, control.lacking) = (1, 1);
        assert_eq!(control.get_new_page(used[0]), Some(Pfn(230)));
        assert_eq!(control.lacking, 0);
        (control.batch, control.lacking) = (2, 2);
        assert_eq!(control.get_new_page(used[0]), None);
        assert_eq!(control.lacking, 2);
    }
}
