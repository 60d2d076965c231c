//! The migrate scanner: isolates pages that can move, from the node's start upwards
//! (`isolate_migratepages`).

use super::control::{CLUSTER, Control, Isolation};
use super::result::CompactEvent;
use crate::alloc::pageblock::MigrateType;
use crate::lru::model::Verb;
use crate::migrate::Mode;
use crate::page::{Flags, Folio, MAX_ORDER, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, broken, interrupted, mutated, stop_point};
use std::ops::Range;

/// The result of a scan of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// A free frame.
    Nothing,
    /// A page was isolated.
    Taken,
    /// The page cannot move, or not now.
    Stays,
    /// Another run scans the pageblock.
    Abandon,
}

/// The change that a scan makes to the skip hint of its pageblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    /// The scan began within the pageblock and leaves the hint alone.
    None,
    /// The hint is set at the end, if nothing was isolated.
    Unset,
    /// The scan has claimed the pageblock.
    Claimed,
}

/// A scan within a pageblock.
struct Scan {
    at: u32,
    scanned: u32,
    hint: Hint,
}

impl<R: Release> Control<'_, R> {
    /// Goes up from the place at which the last scan stopped to the first pageblock that is worth a scan,
    /// and scans this pageblock.
    pub(super) fn isolate_migratepages(&mut self) -> Isolation {
        let size = 1u32 << self.block_order;
        let mut low = self.migrate;
        let mut end = self.block_start(low) + size;
        // The scanner does not enter the free scanner's pageblock.
        while end <= self.free {
            stop_point();
            if interrupted() {
                return Isolation::Abort;
            }
            if self.is_offline(low) {
                low = end;
                self.migrate = end;
                end += size;
                continue;
            }
            let hint = {
                let zone = self.machine.nodes[self.node].zone.lock();
                zone.pageblocks().skips(low)
            };
            // The hint counts only if the scan begins at the pageblock's first frame. A scan that goes on
            // in the middle of a pageblock has passed the hint already.
            let skipped = low.is_multiple_of(size) && !self.ignore_skip_hint && hint;
            if !skipped && self.may_be_source(low) {
                if self.too_many_isolated() && (self.mode == Mode::Async || self.still_too_many_isolated()) {
                    return Isolation::Abort;
                }
                self.isolate_migratepages_block(low..end);
                break;
            }
            if !skipped {
                self.note_migrate_scanned(end);
            }
            low = end;
            self.migrate = end;
            end += size;
        }
        if self.list.is_empty() { Isolation::Nothing } else { Isolation::Pages }
    }

    /// Returns false for a pageblock that is one large page: moving it would free no larger block. For an
    /// asynchronous run of an allocation, also returns false for a pageblock that is not movable.
    fn may_be_source(&self, number: u32) -> bool {
        let zone = self.machine.nodes[self.node].zone.lock();
        let large = number < zone.frontier() && {
            let folio = self.machine.frames.folio(self.base.plus(number));
            folio.large && self.machine.frames[folio.head].order() >= self.block_order
        };
        let picky = self.mode == Mode::Async && self.direct;
        !large && (!picky || zone.pageblocks().kind_of(number) == MigrateType::Movable)
    }

    /// Isolates pages of a range within one pageblock, up to a cluster. The page with the highest
    /// number comes first on the list.
    fn isolate_migratepages_block(&mut self, range: Range<u32>) {
        let frontier = self.machine.nodes[self.node].zone.lock().frontier();
        let mut scan = Scan { at: range.start, scanned: 0, hint: Hint::None };
        if range.start == self.block_start(range.start) {
            scan.hint = Hint::Unset;
        }
        // An asynchronous run for an allocation wants one block of its order: once a page in it stays,
        // the other pages of that block are not worth a move.
        let picky = (self.mode == Mode::Async && self.direct).then_some(self.order).flatten();
        let block_end = |at: u32| picky.map_or(u32::MAX, |order| ((at >> order) + 1) << order);
        let mut wanted_end = block_end(range.start);
        let mut abandoned = false;
        while scan.at < range.end {
            if scan.at >= wanted_end {
                if self.batch > 0 {
                    break;
                }
                wanted_end = block_end(scan.at);
            }
            match self.scan_one(&mut scan, frontier) {
                Found::Nothing => {}
                Found::Taken => {
                    if self.batch >= CLUSTER && !self.finish_pageblock {
                        break;
                    }
                }
                Found::Stays if picky.is_some() => {
                    self.put_back_all();
                    scan.at = scan.at.max(wanted_end.min(range.end));
                    wanted_end = block_end(scan.at);
                }
                Found::Stays => {}
                Found::Abandon => {
                    scan.at = range.end;
                    abandoned = true;
                }
            }
        }
        let end = scan.at.min(range.end);
        if end == range.end && (self.batch == 0 || self.finish_pageblock) {
            if scan.hint == Hint::Unset && !abandoned {
                self.machine.nodes[self.node].zone.lock().set_skip(range.start);
            }
            self.note_migrate_scanned(end);
        }
        self.list.reverse();
        self.migrate_scanned += u64::from(scan.scanned);
        self.isolated += u64::from(self.batch);
        self.migrate = end;
        let (start, scanned, taken) = (range.start, scan.scanned, self.batch);
        self.tell(CompactEvent::IsolateMigratepages { start, end, scanned, taken });
    }

    /// Scans the free block or page that begins at a frame, and moves the scan behind it.
    fn scan_one(&mut self, scan: &mut Scan, frontier: u32) -> Found {
        let counts = self.machine.profile.compact_counts_frames;
        scan.scanned += 1;
        if let Some(order) = self.free_order(scan.at, frontier) {
            let more = (1u32 << order) - 1;
            scan.scanned += if counts { more } else { 0 };
            scan.at += more + 1;
            return Found::Nothing;
        }
        if scan.at >= frontier {
            // The middle of a free block that was never used.
            scan.at += 1;
            return Found::Nothing;
        }
        let at = scan.at;
        let size = self.large_page_at(at);
        scan.at += size;
        let found = match self.may_move_size(at, size) {
            true => self.isolate_at(at, size, scan),
            false => Found::Stays,
        };
        scan.scanned += if counts { size - 1 } else { 0 };
        found
    }

    /// Notes that the migrate scanner has reached the end of a pageblock: the next run begins behind
    /// it (`update_cached_migrate`).
    fn note_migrate_scanned(&self, end: u32) {
        let next = self.block_start(end) + (1 << self.block_order);
        let mut zone = self.machine.nodes[self.node].zone.lock();
        let positions = &mut zone.compaction_mut().migrate;
        positions[0] = positions[0].max(next);
        if self.mode != Mode::Async {
            positions[1] = positions[1].max(next);
        }
    }

    /// The order of the free block that begins at a frame, read without the zone lock. With a stale
    /// order the scanner may pass over pages that it could have taken, but it never leaves its range.
    fn free_order(&self, number: u32, frontier: u32) -> Option<u8> {
        if number >= frontier {
            let zone = self.machine.nodes[self.node].zone.lock();
            return zone.free_block_at(&self.machine.frames, number);
        }
        let page = &self.machine.frames[self.base.plus(number)];
        page.word().has(Flags::BUDDY).then(|| page.order().min(MAX_ORDER))
    }

    /// The number of frames of the large page that begins at a frame; 1 for any other frame.
    pub(super) fn large_page_at(&self, number: u32) -> u32 {
        let page = &self.machine.frames[self.base.plus(number)];
        match page.word().has(Flags::HEAD) {
            true => 1 << page.order().min(MAX_ORDER),
            false => 1,
        }
    }

    /// Returns true if the run moves pages of this many frames.
    fn may_move_size(&self, number: u32, size: u32) -> bool {
        if size == 1 {
            return !self.machine.frames[self.base.plus(number)].word().has(Flags::TAIL);
        }
        let wanted = self.order.map_or(u32::MAX, |order| 1 << order);
        self.machine.profile.compact_large && size < wanted && size < 1 << self.block_order
    }

    /// Isolates the page at a frame, if it can move and still has `size` frames.
    fn isolate_at(&mut self, number: u32, size: u32, scan: &mut Scan) -> Found {
        let machine = self.machine;
        let pfn = self.base.plus(number);
        let word = machine.frames[pfn].word();
        if !word.has(Flags::LRU) {
            // The owner of a movable page decides whether it can move. Other pages off the LRU cannot.
            let movable = word.has(Flags::MOVABLE) && !word.has(Flags::ISOLATED);
            if !movable || !machine.isolate_movable_page(pfn) {
                return Found::Stays;
            }
        } else {
            if !machine.frames[pfn].try_get() {
                return Found::Stays;
            }
            // The size was read without a reference. The page may have been freed since, and its frame
            // given to a larger page that this run must not move.
            let found = match self.large_page_at(number) == size {
                true => self.isolate_lru(pfn, number, scan),
                false => Found::Stays,
            };
            if found != Found::Taken {
                // No lock is held: this put may be the last one, and takes the lruvec lock.
                machine.put(pfn);
                return found;
            }
        }
        self.list.push(pfn);
        self.batch += 1 << machine.frames[pfn].order();
        Found::Taken
    }

    /// Isolates a page of the LRU, on which the caller holds a reference. The reference becomes that
    /// of the isolation.
    fn isolate_lru(&mut self, pfn: Pfn, number: u32, scan: &mut Scan) -> Found {
        let machine = self.machine;
        let page = &machine.frames[pfn];
        let word = page.word();
        let folio = Folio { head: pfn, large: word.has(Flags::HEAD) };
        // The migration of a page with references beside its mappings would fail. Pages in a cache are
        // not compared, because the cache has references, too.
        let anon = !word.any(Flags::FILE | Flags::SWAPCACHE);
        let mappings = machine.frames.folio_mapcount(folio);
        let compared = match mutated(Mutation::PinnedByPartMapcount) {
            true => page.mapcount(),
            false => mappings,
        };
        if anon && word.count() - 1 > compared {
            if cfg!(feature = "explored") && word.count() - 1 <= mappings {
                broken(
                    "only a page with other references than its mappings is taken for a pinned one",
                    format_args!("page {pfn} mapped {mappings} times ({word})"),
                );
            }
            return Found::Stays;
        }
        if !word.has(Flags::LRU) || (word.has(Flags::UNEVICTABLE) && !self.unevictable) {
            return Found::Stays;
        }
        if self.mode != Mode::Sync && word.has(Flags::WRITEBACK) {
            return Found::Stays;
        }
        // The kernel asks the file of an unevictable page whether the page can move at all, and that of a
        // dirty page whether the page can move without a write. It asks under the page lock, so a page whose
        // lock is held stays. The pages of every file of mmcore can move, so only the lock is tried here.
        let asked = machine.profile.compact_tries_unevictable && !anon && word.has(Flags::UNEVICTABLE);
        if asked || (self.mode != Mode::Sync && word.has(Flags::DIRTY)) {
            if !page.trylock() {
                return Found::Stays;
            }
            page.unlock(pfn);
        }
        // The first page that is taken from a pageblock claims the pageblock for this run by its hint.
        if scan.hint == Hint::Unset {
            scan.hint = Hint::Claimed;
            let mut zone = machine.nodes[self.node].zone.lock();
            if !self.ignore_skip_hint && zone.test_and_set_skip(number) && !self.finish_pageblock {
                return Found::Abandon;
            }
        }
        // The thread that clears `LRU` owns the page's place on its list.
        if !page.test_and_clear_lru() {
            return Found::Stays;
        }
        {
            let mut lruvec = machine.nodes[self.node].lruvec.lock();
            lruvec.remove(&machine.frames, pfn);
            lruvec.tell(&machine.frames, Verb::Removed, pfn);
        }
        machine.count_isolated(pfn, 1);
        Found::Taken
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::super::control::Request;
    use super::*;
    use crate::audit::Ledger;
    use crate::machine::{Config, Machine};
    use crate::release::Split;

    #[test]
    fn a_page_that_is_larger_than_the_scan_has_read_stays() {
        let machine = Machine::<Split>::new(&Config::new(1, 64)).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap_large(&space, 4, 2).unwrap();
        machine.fault(&area, 0, true).unwrap();
        machine.lru_drain_all();
        let head = machine.page_at(&area, 0).unwrap();
        assert_eq!(machine.frames[head].order(), 2);
        let mut control = Control::new(&machine, 0, Request::whole_node(false));
        let mut scan = Scan { at: head.0, scanned: 0, hint: Hint::None };
        // The scan read a single page here; then that page was freed, and the large page allocated.
        assert_eq!(control.isolate_at(head.0, 1, &mut scan), Found::Stays);
        assert!(control.list.is_empty() && control.batch == 0);
        assert_eq!(control.isolate_at(head.0, 4, &mut scan), Found::Taken);
        control.put_back_all();
        machine.exit(&space);
        machine.drain_pcp(0);
        assert!(machine.audit(&Ledger::default()).is_empty());
    }
}
