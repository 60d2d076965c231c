//! One run of compaction: its loop, its end, its counters (`compact_zone`).

use super::result::{CompactEvent, CompactStatus, Compacted};
use super::suitable::is_compaction_suitable;
use super::targets::Targets;
use crate::alloc::pageblock::MigrateType;
use crate::error::{Errno, Error, Result};
use crate::lru::LruList;
use crate::machine::Machine;
use crate::memory::more_room;
use crate::migrate::{Mode, Reason};
use crate::page::Pfn;
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{interrupted, wait_briefly};

/// Base pages that are isolated before they migrate (`COMPACT_CLUSTER_MAX`).
pub(crate) const CLUSTER: u32 = 32;

/// The request that a run serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// The order of the block that is wanted; `None` to compact the whole node.
    pub order: Option<u8>,
    pub mode: Mode,
    /// True if the scanners begin at the borders of the node.
    pub whole_zone: bool,
    pub ignore_skip_hint: bool,
    /// True if an allocation waits for the run.
    pub direct: bool,
    /// True if targets may come from any pageblock.
    pub any_target: bool,
    /// The score to which the run lowers the node's fragmentation; `None` for other runs.
    pub until_score: Option<u32>,
    /// True if the run catches the block that it makes.
    pub captures: bool,
    /// True if moves and scans are listed.
    pub trace: bool,
}

impl Request {
    /// The request of a write to the node's `compact` file.
    pub fn whole_node(trace: bool) -> Request {
        Request {
            order: None,
            mode: Mode::Sync,
            whole_zone: true,
            ignore_skip_hint: true,
            direct: false,
            any_target: false,
            until_score: None,
            captures: false,
            trace,
        }
    }
}

/// The result of a search for pages to migrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// The run ends now.
    Abort,
    /// No page was isolated; the run goes on.
    Nothing,
    /// Pages wait for their migration.
    Pages,
}

/// The lists that a result has if asked for.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub moves: Vec<(Pfn, Pfn)>,
    pub events: Vec<CompactEvent>,
    /// Set if the host had no memory for the lists, which ends the run.
    lost: Option<Error>,
}

impl Trace {
    /// Makes room for the moves of a batch, before the first page of it moves: a move that could not be
    /// listed would be missing in the result. Returns false if the host has no memory.
    fn make_room(&mut self, pages: usize) -> bool {
        if let Err(error) = more_room(&mut self.moves, "the moves of a compaction", pages) {
            self.lost = Some(error);
        }
        self.lost.is_none()
    }
}

/// A run in progress (`struct compact_control`). Frames are numbers within the node.
pub(super) struct Control<'a, R: Release> {
    pub machine: &'a Machine<R>,
    pub node: usize,
    /// The node's first frame, and the number of its frames.
    pub base: Pfn,
    pub frames: u32,
    pub block_order: u8,
    pub order: Option<u8>,
    pub mode: Mode,
    whole_zone: bool,
    pub ignore_skip_hint: bool,
    pub direct: bool,
    until_score: Option<u32>,
    /// True if pages of the unevictable list are taken.
    pub unevictable: bool,
    /// True if targets may come from any pageblock.
    pub any_target: bool,
    /// The frame at which the migrate scanner is.
    pub migrate: u32,
    /// The frame at which the free scanner is.
    pub free: u32,
    /// True if the migrate scanner takes all pages of its pageblock at once, because it has been
    /// there before, or because a page there could not move.
    pub finish_pageblock: bool,
    /// The isolated pages, in the order in which they migrate.
    pub list: Vec<Pfn>,
    /// Base pages of the batch.
    pub batch: u32,
    /// Base pages of the batch that have no target yet.
    pub lacking: u32,
    pub targets: Targets,
    /// The CPU whose slot catches the block that the run makes.
    slot: Option<usize>,
    migrated: u32,
    pub migrate_scanned: u64,
    pub free_scanned: u64,
    pub isolated: u64,
    pub trace: Option<Trace>,
}

impl<'a, R: Release> Control<'a, R> {
    pub fn new(machine: &'a Machine<R>, node: usize, request: Request) -> Control<'a, R> {
        let Request { order, mode, whole_zone, ignore_skip_hint, direct, any_target, until_score, .. } =
            request;
        let slot = request.order.filter(|_| request.captures).and_then(|order| {
            let cpu = machine.cpu();
            let offered = machine.cpus[cpu].capture.offer(node, order);
            if offered {
                machine.nodes[node].zone.lock().count_captures(1);
            }
            offered.then_some(cpu)
        });
        let found = &machine.nodes[node];
        let mut control = Control {
            machine,
            node,
            base: found.base,
            frames: found.frames,
            block_order: machine.profile.pageblock_order,
            order,
            mode,
            whole_zone,
            ignore_skip_hint,
            direct,
            until_score,
            unevictable: machine.compact_settings.unevictable_allowed(),
            any_target,
            migrate: 0,
            free: 0,
            finish_pageblock: false,
            list: Vec::new(),
            batch: 0,
            lacking: 0,
            targets: Targets::default(),
            slot,
            migrated: 0,
            migrate_scanned: 0,
            free_scanned: 0,
            isolated: 0,
            trace: request.trace.then(Trace::default),
        };
        control.free = control.block_start(found.frames - 1);
        control
    }

    /// The first frame of the pageblock that holds a frame.
    #[inline]
    pub fn block_start(&self, number: u32) -> u32 {
        number >> self.block_order << self.block_order
    }

    /// Adds an event to the trace, if there is one.
    pub fn tell(&mut self, event: CompactEvent) {
        let Some(trace) = &mut self.trace else { return };
        match more_room(&mut trace.events, "the scans of a compaction", 1) {
            Ok(()) => trace.events.push(event),
            Err(error) => trace.lost = Some(error),
        }
    }

    /// Runs until the scanners meet, or the run stops early.
    ///
    /// `ENOMEM` of the host if it has no memory for the lists of the result. The pages that have moved by
    /// then stay where they are.
    pub fn run(self) -> Result<Compacted> {
        self.run_and_capture().0
    }

    /// Runs like [`Control::run`], and also returns the block that the run has caught. The block is off the
    /// lists, and its count is zero.
    pub fn run_and_capture(mut self) -> (Result<Compacted>, Option<Pfn>) {
        let free_blocks =
            |control: &Self| i64::from(control.machine.nodes[control.node].zone.lock().free_pageblocks());
        let before = free_blocks(&self);
        let status = match self.not_worth_a_start() {
            Some(status) => status,
            None => {
                self.place_scanners();
                self.machine.lru_drain_local();
                let status = self.rounds();
                self.release_targets();
                status
            }
        };
        let block = self.slot.and_then(|cpu| {
            let block = self.machine.cpus[cpu].capture.take_away();
            self.machine.nodes[self.node].zone.lock().count_captures(-1);
            block
        });
        let status = if block.is_some() { CompactStatus::Success } else { status };
        let stats = &self.machine.stats;
        stats.event(Event::CompactMigrateScanned, self.migrate_scanned as i64);
        stats.event(Event::CompactFreeScanned, self.free_scanned as i64);
        stats.event(Event::CompactIsolated, self.isolated as i64);
        let blocks_gained = free_blocks(&self) - before;
        let Trace { moves, events, lost } = self.trace.unwrap_or_default();
        if let Some(error) = lost {
            return (Err(error), block);
        }
        let run = Compacted {
            status,
            migrated: self.migrated,
            migrate_scanned: self.migrate_scanned,
            free_scanned: self.free_scanned,
            isolated: self.isolated,
            blocks_gained,
            moves,
            events,
        };
        (Ok(run), block)
    }

    /// Puts the scanners where the last run stopped, or for a whole node at its borders.
    fn place_scanners(&mut self) {
        let mut zone = self.machine.nodes[self.node].zone.lock();
        let restarting = self.order.is_some_and(|order| zone.compaction().is_restarting(order));
        if restarting {
            zone.reset_skip_hints();
        }
        if self.whole_zone {
            return;
        }
        let compaction = zone.compaction();
        self.migrate = compaction.migrate[usize::from(self.mode != Mode::Async)];
        self.free = compaction.free;
        if compaction.cleared && self.migrate == 0 {
            self.whole_zone = true;
        }
    }

    fn rounds(&mut self) -> CompactStatus {
        // The pageblock from which pages migrated last; `None` if it needs no drain any more.
        let mut last_migrated = None;
        // Until an asynchronous run finds a pageblock with pages to migrate, it also moves the start of
        // the other runs: they would find nothing there, either.
        let mut moves_both_starts = self.mode == Mode::Async && {
            let zone = self.machine.nodes[self.node].zone.lock();
            let [asynchronous, other] = zone.compaction().migrate;
            asynchronous == other
        };
        // The loop ends: each round moves one of the scanners, or the next round finishes the
        // pageblock.
        loop {
            if let Some(status) = self.finished() {
                return status;
            }
            if interrupted() || self.trace.as_ref().is_some_and(|trace| trace.lost.is_some()) {
                return CompactStatus::Contended;
            }
            // A pageblock that is entered again is finished in one go, so that it is not scanned
            // over and over for pages that cannot move.
            self.finish_pageblock = last_migrated == Some(self.block_start(self.migrate));
            loop {
                match self.isolate_migratepages() {
                    Isolation::Abort => {
                        self.put_back_all();
                        return CompactStatus::Contended;
                    }
                    Isolation::Nothing => {
                        if moves_both_starts {
                            let mut zone = self.machine.nodes[self.node].zone.lock();
                            let start = zone.compaction().migrate[0];
                            zone.compaction_mut().migrate[1] = start;
                        }
                        break;
                    }
                    Isolation::Pages => {
                        moves_both_starts = false;
                        last_migrated = Some(self.block_start(self.migrate - 1));
                    }
                }
                let (failed, errno) = self.migrate_batch();
                if errno == Some(Errno::ENOMEM) && !self.scanners_met() {
                    return CompactStatus::Contended;
                }
                if failed && !self.machine.profile.compact_finishes_failed {
                    self.leave_failed_block(&mut last_migrated);
                    break;
                }
                // Where a page could not move, the rest of the pageblock is scanned at once, and the
                // pageblock gets its hint; otherwise the next run would meet the same page again.
                let rest = failed
                    && self.migrate != self.block_start(self.migrate)
                    && !self.ignore_skip_hint
                    && !self.finish_pageblock
                    && self.mode != Mode::Sync;
                if !rest {
                    break;
                }
                self.finish_pageblock = true;
                if self.order == Some(self.block_order) {
                    // The pageblock will not become free, so a drain would be for nothing.
                    last_migrated = None;
                }
            }
            self.drain_behind(&mut last_migrated);
            if self.slot.is_some_and(|cpu| self.machine.cpus[cpu].capture.is_filled()) {
                return CompactStatus::Success;
            }
        }
    }

    /// Moves an asynchronous run for an allocation behind the block of the wanted order in which a page could
    /// not move: the block will not become free.
    fn leave_failed_block(&mut self, last_migrated: &mut Option<u32>) {
        if let Some(order) = self.order.filter(|_| self.direct && self.mode == Mode::Async) {
            self.migrate = self.migrate.next_multiple_of(1 << order).min(self.frames);
            *last_migrated = None;
        }
    }

    /// Drains this CPU's batches and the node's arrays once the migrate scanner has left a block of the
    /// wanted order. Frames of the block that the run has freed lie there, and could not merge otherwise.
    fn drain_behind(&self, last_migrated: &mut Option<u32>) {
        let (Some(order), Some(last)) = (self.order, *last_migrated) else { return };
        if order > 0 && last < self.migrate >> order << order {
            self.machine.lru_drain_local();
            self.machine.drain_pcp(self.node);
            *last_migrated = None;
        }
    }

    /// The status with which the run ends now; `None` if it goes on (`compact_finished`).
    fn finished(&mut self) -> Option<CompactStatus> {
        let scanners_met = self.scanners_met();
        let mut zone = self.machine.nodes[self.node].zone.lock();
        if scanners_met {
            let frames = self.frames;
            zone.compaction_mut().reset_positions(frames, self.block_order);
            if self.direct {
                zone.compaction_mut().flush = true;
            }
            return Some(match self.whole_zone {
                true => CompactStatus::Complete,
                false => CompactStatus::PartialSkipped,
            });
        }
        if let Some(score) = self.until_score
            && zone.fragmentation_score(self.machine.profile.pageblock_order) <= score
        {
            return Some(CompactStatus::Success);
        }
        // A pageblock is always finished, so that later allocations need no pageblock of another type.
        if let Some(order) = self.order
            && self.migrate == self.block_start(self.migrate)
            && zone.would_serve(order, MigrateType::Movable)
        {
            return Some(CompactStatus::Success);
        }
        None
    }

    /// The status of a run that need not start; `None` if it should (`compaction_suit_allocation_order`). A
    /// run for a block need not start if an allocation would find such a block above the lowest
    /// watermark, if too little memory is free, or for a large block if the free memory is little fragmented.
    pub fn not_worth_a_start(&self) -> Option<CompactStatus> {
        let order = self.order?;
        let zone = self.machine.nodes[self.node].zone.lock();
        match zone.has_block(order, MigrateType::Movable) {
            true => Some(CompactStatus::Success),
            false => (!is_compaction_suitable(&zone, order)).then_some(CompactStatus::Skipped),
        }
    }

    /// Puts every isolated page back.
    pub fn put_back_all(&mut self) {
        if !self.list.is_empty() {
            let mut list = std::mem::take(&mut self.list);
            self.machine.putback_movable_pages(&mut list);
            self.list = list;
        }
        self.batch = 0;
    }

    /// Migrates the isolated pages, and puts those back that did not move. Returns whether there were
    /// such pages, and the errno that ended the migration early.
    fn migrate_batch(&mut self) -> (bool, Option<Errno>) {
        if !self.trace.as_mut().is_none_or(|trace| trace.make_room(self.batch as usize)) {
            self.put_back_all();
            return (false, None);
        }
        let mut list = std::mem::take(&mut self.list);
        let pages = self.batch;
        self.lacking = pages;
        let machine = self.machine;
        let mode = self.mode;
        let result = machine.migrate_pages(&mut list, self, mode, Reason::Compaction);
        self.migrated += result.succeeded;
        self.tell(CompactEvent::Migratepages {
            migrated: result.succeeded,
            failed: pages.saturating_sub(result.succeeded),
        });
        let failed = !list.is_empty();
        if failed {
            machine.putback_movable_pages(&mut list);
        }
        // The buffer is used again for the next batch.
        self.list = list;
        self.batch = 0;
        self.lacking = 0;
        (failed, result.errno)
    }

    /// Returns true if a pageblock is in an offline memory block, so that no scanner enters it
    /// (`pageblock_pfn_to_page`).
    pub fn is_offline(&self, number: u32) -> bool {
        self.machine.nodes[self.node].blocks.is_offline(number)
    }

    /// Returns true if the free scanner has reached the migrate scanner's pageblock
    /// (`compact_scanners_met`).
    pub fn scanners_met(&self) -> bool {
        self.free >> self.block_order <= self.migrate >> self.block_order
    }

    /// Gives the targets that are left to the allocator. The free scanner of the next run begins no lower
    /// than the highest of them, so that it finds them again.
    fn release_targets(&mut self) {
        let mut zone = self.machine.nodes[self.node].zone.lock();
        let mut highest = None;
        for (pfn, order) in self.targets.drain() {
            zone.give(&self.machine.frames, pfn, order);
            highest = highest.max(Some(zone.number(pfn)));
        }
        if let Some(highest) = highest {
            let start = highest >> self.block_order << self.block_order;
            let compaction = zone.compaction_mut();
            compaction.free = compaction.free.max(start);
        }
    }

    /// Returns true if so many of the node's pages are isolated that the run should not isolate
    /// more: reclaim would find too few pages on the lists (`too_many_isolated`).
    pub fn too_many_isolated(&self) -> bool {
        let stats = &self.machine.stats;
        let isolated = stats.on_node(self.node, NodeItem::IsolatedAnon)
            + stats.on_node(self.node, NodeItem::IsolatedFile);
        if isolated <= 0 {
            return false;
        }
        let lruvec = self.machine.nodes[self.node].lruvec.lock();
        let evictable = LruList::ALL.into_iter().filter(|&list| list != LruList::Unevictable);
        let listed: u32 = evictable.map(|list| lruvec.pages(list)).sum();
        isolated > i64::from(listed / u32::from(self.machine.profile.compact_isolated_share))
    }

    /// Waits up to 100 ms until fewer pages are isolated. Returns true if too many are isolated even
    /// then. The wait has a bound because the threads that hold them may wait for this run. The kernel
    /// waits until a signal kills the thread.
    pub fn still_too_many_isolated(&self) -> bool {
        (0..5).all(|_| wait_briefly(&|| !self.too_many_isolated()))
    }

    /// Notes that the free scanner has reached the end of a pageblock: the pageblock is not worth
    /// another scan (`update_pageblock_skip`).
    pub fn note_free_scanned(&mut self, block: u32) {
        let mut zone = self.machine.nodes[self.node].zone.lock();
        zone.set_skip(block);
        let next = match self.machine.profile.compact_free_below {
            true => block.saturating_sub(1 << self.block_order),
            false => block,
        };
        let compaction = zone.compaction_mut();
        compaction.free = compaction.free.min(next);
    }
}
