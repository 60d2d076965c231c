//! Compaction against a model of the two scanners that is written from the facts of the recordings
//! (docs/recordings.md, "What holds on both kernels", and rules 26 to 28 of docs/kernel-differences.md)
//! and shares no code with the core.

use crate::common::{assert_clean, assert_clean_with, used};
use mmcore::alloc::MigrateType;
use mmcore::audit::{Handle, Ledger};
use mmcore::compact::{CompactPriority, CompactStatus};
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Advice, Area};
use mmcore::page::Pfn;
use mmcore::profile::Profile;
use mmcore::release::Split;
use mmcore::stat::Event;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The state of a frame before the run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Frame {
    Free,
    /// An anonymous page on the LRU.
    Page,
    /// The same, with one more reference than mappings.
    Pinned,
    /// A page of the kernel's own.
    Kernel,
    Unevictable,
}

/// The batch in which the migrate scanner takes pages.
const CLUSTER: usize = 32;

/// The model: what a run over a whole node does with a layout.
struct Model {
    frames: Vec<Frame>,
    movable: Vec<bool>,
    /// The frames of a pageblock.
    size: usize,
    /// Rules 26 to 28: the newer kernel hands out blocks, looks for as many frames as are lacking,
    /// and counts every frame that it passes over.
    newer: bool,
    allowed: bool,
    migrate: usize,
    free: usize,
    /// Free blocks by their first frame, with their sizes.
    blocks: BTreeMap<usize, usize>,
    /// Targets: single frames of the older kernel, or blocks by size of the newer one.
    pool: Vec<usize>,
    sized: BTreeMap<usize, VecDeque<usize>>,
    moves: Vec<(usize, usize)>,
    migrate_scanned: usize,
    free_scanned: usize,
    taken: usize,
}

impl Model {
    fn new(frames: &[Frame], movable: &[bool], size: usize, newer: bool, allowed: bool) -> Model {
        let mut blocks = BTreeMap::new();
        // A free block lies in pageblocks of one type.
        let free = |range: std::ops::Range<usize>| {
            range.end <= frames.len()
                && frames[range.clone()].iter().all(|&frame| frame == Frame::Free)
                && range.clone().all(|frame| movable[frame / size] == movable[range.start / size])
        };
        let mut at = 0;
        while at < frames.len() {
            let mut block = usize::from(frames[at] == Frame::Free);
            while block > 0 && block < 1024 && at % (2 * block) == 0 && free(at..at + 2 * block) {
                block *= 2;
            }
            if block > 0 {
                blocks.insert(at, block);
            }
            at += block.max(1);
        }
        Model {
            frames: frames.to_vec(),
            movable: movable.to_vec(),
            size,
            newer,
            allowed,
            migrate: 0,
            free: (frames.len() - 1) / size * size,
            blocks,
            pool: Vec::new(),
            sized: BTreeMap::new(),
            moves: Vec::new(),
            migrate_scanned: 0,
            free_scanned: 0,
            taken: 0,
        }
    }

    fn pooled(&self) -> usize {
        self.pool.len() + self.sized.iter().map(|(size, blocks)| size * blocks.len()).sum::<usize>()
    }

    fn scan_free(&mut self, wanted: usize) {
        let low = self.migrate / self.size * self.size + self.size;
        let mut block = self.free / self.size * self.size;
        let mut at = self.free;
        let mut stride = 1;
        let mut got = 0;
        while block >= low {
            let end = (block + self.size).min(self.frames.len());
            let whole = self.blocks.get(&block).is_some_and(|&size| size >= self.size);
            if !whole && self.movable[block / self.size] {
                let before = got;
                while at < end {
                    self.free_scanned += 1;
                    match self.blocks.get(&at).copied() {
                        Some(size) => {
                            self.blocks.remove(&at);
                            match self.newer {
                                true => self.sized.entry(size).or_default().push_back(at),
                                false => self.pool.extend(at..at + size),
                            }
                            self.free_scanned += size - 1;
                            self.taken += size;
                            got += size;
                            at += size;
                            if got >= wanted {
                                break;
                            }
                            at += stride - 1;
                        }
                        None => at += stride,
                    }
                }
                at = at.min(end);
                if got >= wanted {
                    self.free = if at == end { block - self.size } else { at };
                    return;
                }
                stride = if got > before { 1 } else { (2 * stride).min(CLUSTER) };
            }
            block -= self.size;
            at = block;
        }
        self.free = at;
    }

    fn target(&mut self, batch: usize, done: usize) -> Option<usize> {
        if self.pooled() == 0 {
            self.scan_free(if self.newer { batch - done } else { batch });
        }
        if !self.newer {
            return self.pool.pop();
        }
        let (&size, blocks) = self.sized.iter_mut().find(|(_, blocks)| !blocks.is_empty())?;
        let frame = blocks.pop_front()?;
        let mut half = size / 2;
        while half > 0 {
            self.sized.entry(half).or_default().push_front(frame + half);
            half /= 2;
        }
        Some(frame)
    }

    /// Returns whether the scanners met.
    fn run(&mut self) -> bool {
        let mut last = None;
        while self.migrate / self.size < self.free / self.size {
            let block = self.migrate / self.size;
            let end = (block + 1) * self.size;
            let mut batch = Vec::new();
            let mut at = self.migrate;
            while at < end {
                self.migrate_scanned += 1;
                if let Some(&size) = self.blocks.get(&at) {
                    self.migrate_scanned += if self.newer { size - 1 } else { 0 };
                    at += size;
                    continue;
                }
                let takes = match self.frames[at] {
                    Frame::Page => true,
                    Frame::Unevictable => self.allowed,
                    _ => false,
                };
                if takes {
                    batch.insert(0, at);
                }
                at += 1;
                if takes && batch.len() >= CLUSTER && last != Some(block) {
                    break;
                }
            }
            self.migrate = at.min(end);
            self.taken += batch.len();
            if batch.is_empty() {
                continue;
            }
            last = Some(block);
            for (done, &page) in batch.iter().enumerate() {
                let Some(target) = self.target(batch.len(), done) else {
                    if self.migrate / self.size < self.free / self.size {
                        return false;
                    }
                    break;
                };
                self.moves.push((page, target));
                self.frames.swap(page, target);
            }
        }
        true
    }
}

/// A machine whose node 0 has the layout `frames`, and what keeps it so.
struct Scene {
    machine: Machine<Split>,
    space: Arc<AddressSpace>,
    area: Arc<Area>,
    /// The frames of the kernel's own pages.
    kernel: Vec<Pfn>,
    pinned: Vec<Pfn>,
}

impl Scene {
    fn new(frames: &[Frame], movable: &[bool], order: u8, kernel: &str) -> Scene {
        let mut config = Config::new(1, frames.len() as u32);
        config.profile = Profile::preset(kernel).unwrap();
        config.profile.pageblock_order = order;
        let machine: Machine<Split> = Machine::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, frames.len() as u32).unwrap();
        // The region takes all of the node, and gives back what is to be free.
        let mut page_in = BTreeMap::new();
        for page in 0..area.pages() {
            machine.write_word(&area, page, 0, u64::from(page) + 1).unwrap();
            page_in.insert(machine.page_at(&area, page).unwrap(), page);
        }
        let (mut pinned, mut own) = (Vec::new(), Vec::new());
        for (frame, &what) in frames.iter().enumerate() {
            let pfn = Pfn(frame as u32);
            let page = page_in[&pfn];
            match what {
                Frame::Page => {}
                Frame::Pinned => {
                    machine.frames()[pfn].get(pfn);
                    pinned.push(pfn);
                }
                Frame::Unevictable => {
                    machine.mlock(&space, &area, page..page + 1).unwrap();
                }
                Frame::Free | Frame::Kernel => {
                    machine.madvise(&space, &area, page..page + 1, Advice::Dontneed).unwrap();
                    if what == Frame::Kernel {
                        own.push(pfn);
                    }
                }
            }
        }
        machine.lru_drain_all();
        machine.drain_pcp(0);
        for &pfn in &own {
            machine.take_free_frames(pfn..Pfn(pfn.0 + 1)).unwrap();
        }
        for (block, _) in movable.iter().enumerate().filter(|(_, movable)| !**movable) {
            machine.set_pageblock_type(Pfn((block << order) as u32), MigrateType::Unmovable).unwrap();
        }
        Scene { machine, space, area, kernel: own, pinned }
    }

    fn ledger(&self) -> Ledger {
        let ledger = Ledger::default();
        for &pfn in self.kernel.iter().chain(&self.pinned) {
            ledger.add(pfn, Handle::Ref);
        }
        ledger
    }

    /// Checks that each page that is still there has its content, and ends everything.
    fn check_and_end(self) {
        assert_clean_with(&self.machine, &self.ledger());
        for page in 0..self.area.pages() {
            if self.machine.page_at(&self.area, page).is_some() {
                assert_eq!(self.machine.read_word(&self.area, page, 0), Ok(u64::from(page) + 1));
            }
        }
        self.pinned.iter().chain(&self.kernel).for_each(|&pfn| self.machine.put(pfn));
        self.machine.exit(&self.space);
        assert_clean(&self.machine);
        assert_eq!(used(&self.machine), 0);
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        4 => Just(Frame::Free),
        5 => Just(Frame::Page),
        1 => prop_oneof![Just(Frame::Pinned), Just(Frame::Kernel), Just(Frame::Unevictable)],
    ]
}

/// A layout of single frames and of runs.
fn layout() -> impl Strategy<Value = Vec<Frame>> {
    prop::collection::vec((frame(), prop_oneof![Just(1usize), 1usize..8, 20usize..150]), 3..60)
        .prop_map(|runs| runs.into_iter().flat_map(|(frame, count)| vec![frame; count]).take(900).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// A run over a whole node makes exactly the model's moves, in its order, with its counts, and
    /// loses nothing.
    #[test]
    fn a_run_is_a_function_of_the_layout(
        frames in layout(),
        order in 3u8..8,
        types in prop::collection::vec(prop::bool::weighted(0.85), 400),
        kernel in prop::collection::vec(any::<usize>(), 1..9),
        newer in any::<bool>(),
        allowed in any::<bool>(),
    ) {
        // One page of the kernel's in each pageblock that is not free keeps it from becoming free
        // during the run: its frames would merge with those of other pageblocks, which the model
        // does not follow.
        let mut frames = frames;
        // A node's last free block is never taken for a target. Frame 0 stays free and is that block:
        // it lies where the free scanner never comes.
        frames[0] = Frame::Free;
        for (number, block) in frames.chunks_mut(1 << order).enumerate() {
            if block.iter().any(|&frame| frame != Frame::Free) {
                let first = usize::from(number == 0);
                let at = first + kernel[number % kernel.len()] % (block.len() - first).max(1);
                block[at.min(block.len() - 1)] = Frame::Kernel;
            }
        }
        frames[0] = Frame::Free;
        let blocks = frames.len().div_ceil(1 << order);
        let kernel = if newer { "6.12" } else { "6.1" };
        let scene = Scene::new(&frames, &types[..blocks], order, kernel);
        let mut model = Model::new(&frames, &types[..blocks], 1 << order, newer, allowed);
        let met = model.run();
        scene.machine.set_compact_unevictable_allowed(allowed);
        let run = scene.machine.compact(0, true).unwrap();
        let moves: Vec<_> = run.moves.iter().map(|&(src, dst)| (src.0 as usize, dst.0 as usize)).collect();
        prop_assert_eq!(moves, model.moves);
        let expected = if met { CompactStatus::Complete } else { CompactStatus::Contended };
        prop_assert_eq!(run.status, expected);
        match newer {
            true => prop_assert_eq!(run.migrate_scanned, model.migrate_scanned as u64),
            // Frames that the run has freed may have merged with a free block that is still to come,
            // which then counts as several.
            false => prop_assert!(run.migrate_scanned >= model.migrate_scanned as u64),
        }
        prop_assert_eq!(run.free_scanned, model.free_scanned as u64);
        prop_assert_eq!(run.isolated, model.taken as u64);
        prop_assert_eq!(scene.machine.stats().events(Event::CompactIsolated), model.taken as i64);
        prop_assert_eq!(run.migrated as usize, run.moves.len());
        scene.check_and_end();
    }
}

/// A machine of 32 pageblocks of 16 frames of which every second frame is free.
fn checkerboard() -> Scene {
    let frames: Vec<Frame> =
        (0..512).map(|frame| if frame % 2 == 0 { Frame::Free } else { Frame::Page }).collect();
    Scene::new(&frames, &[true; 32], 4, "6.12")
}

#[test]
fn a_direct_run_ends_at_the_first_block_of_its_order() {
    for priority in [CompactPriority::Async, CompactPriority::SyncLight, CompactPriority::SyncFull] {
        let scene = checkerboard();
        assert!(scene.machine.alloc_pages(0, 4).is_err());
        let run = scene.machine.compact_for(0, 4, priority, true).unwrap();
        assert_eq!(run.status, CompactStatus::Success, "{priority:?}");
        assert!(run.migrated < 64, "{priority:?}: {}", run.migrated);
        let pfn = scene.machine.alloc_pages(0, 4).unwrap();
        scene.machine.put(pfn);
        // A block is free now, so there is nothing to do.
        let run = scene.machine.compact_for(0, 4, priority, true).unwrap();
        assert_eq!((run.status, run.migrate_scanned), (CompactStatus::Success, 0));
        scene.check_and_end();
    }
}

#[test]
fn a_node_with_little_free_memory_is_not_compacted_for_a_block() {
    // A run needs more than twice the wanted block free, here 64 frames. The node has 40 (c30, c35).
    let frames: Vec<Frame> =
        (0..512).map(|frame| if frame % 13 == 0 { Frame::Free } else { Frame::Page }).collect();
    let scene = Scene::new(&frames, &[true; 32], 4, "6.12");
    let run = scene.machine.compact_for(0, 5, CompactPriority::SyncLight, true).unwrap();
    assert_eq!((run.status, run.migrate_scanned), (CompactStatus::Skipped, 0));
    scene.check_and_end();
}

#[test]
fn runs_that_fail_are_left_out_twice_as_often_each_time() {
    // A pinned page in each pageblock: no block of 16 frames can be made (c32).
    let frames: Vec<Frame> = (0..512)
        .map(|frame| match frame % 16 {
            0 => Frame::Pinned,
            at if at % 2 == 0 => Frame::Free,
            _ => Frame::Page,
        })
        .collect();
    let scene = Scene::new(&frames, &[true; 32], 4, "6.12");
    let mut statuses = Vec::new();
    for _ in 0..14 {
        let run = scene.machine.compact_for(0, 4, CompactPriority::SyncLight, false).unwrap();
        statuses.push(run.status == CompactStatus::Deferred);
    }
    // Runs 1, 3, 7 and 15: the limits are 2, 4 and 8.
    let ran: Vec<usize> = (0..14).filter(|&at| !statuses[at]).collect();
    assert_eq!(ran, [0, 2, 6]);
    // A run of the highest priority is never left out.
    let run = scene.machine.compact_for(0, 4, CompactPriority::SyncFull, false).unwrap();
    assert_eq!(run.status, CompactStatus::Complete);
    scene.check_and_end();
}

#[test]
fn a_proactive_run_lowers_the_score_and_stops() {
    let scene = checkerboard();
    assert_eq!(scene.machine.fragmentation_score(0), Ok(100));
    assert_eq!(scene.machine.fragmentation_index(0, 4), Ok(1000 - (1000 + 256 * 1000 / 16) / 256));
    assert!(scene.machine.set_compaction_proactiveness(101).is_err());
    scene.machine.set_compaction_proactiveness(0).unwrap();
    assert_eq!(scene.machine.compact_proactively(0), Ok(None));
    scene.machine.set_compaction_proactiveness(60).unwrap();
    let run = scene.machine.compact_proactively(0).unwrap().unwrap();
    let score = scene.machine.fragmentation_score(0).unwrap();
    assert!(run.status == CompactStatus::Success && (30..=40).contains(&score), "{run:?} {score}");
    assert_eq!(scene.machine.compact_proactively(0), Ok(None));
    let scanned = scene.machine.stats().events(Event::CompactDaemonMigrateScanned);
    assert_eq!(scanned, run.migrate_scanned as i64);
    scene.check_and_end();
}

#[test]
fn frames_that_were_never_used_do_not_count_as_blocks_that_do_not_exist() {
    let mut config = Config { backed: false, ..Config::new(1, 1536) };
    config.profile.pageblock_order = 9;
    let machine = Machine::<Split>::new(&config).unwrap();
    machine.set_pageblock_type(Pfn(512), MigrateType::Unmovable).unwrap();
    // Only the first pageblock is on the lists from now on, because the second has another type.
    let pfn = machine.alloc_pages(0, 0).unwrap();
    assert_eq!(machine.layout(0).unwrap().free_blocks[9..], [2, 0]);
    machine.set_pageblock_type(Pfn(512), MigrateType::Movable).unwrap();
    machine.drain_pcp(0);
    assert_eq!(machine.layout(0).unwrap().free_blocks, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0]);
    assert!(machine.fragmentation_index(0, 10).unwrap() >= 0);
    assert_eq!(machine.fragmentation_index(0, 9), Ok(-1000));
    let run = machine.compact_for(0, 10, CompactPriority::SyncFull, true).unwrap();
    assert_ne!(run.status, CompactStatus::Success);
    assert!(machine.alloc_pages(0, 10).is_err());
    machine.put(pfn);
}

#[test]
fn an_allocation_finds_frames_of_its_own_type_that_were_never_used() {
    let machine = Machine::<Split>::new(&Config { backed: false, ..Config::new(1, 512) }).unwrap();
    machine.set_pageblock_type(Pfn(0), MigrateType::Unmovable).unwrap();
    let pfn = machine.alloc_pages_of(0, 3, MigrateType::Unmovable).unwrap();
    machine.put(pfn);
    assert_clean(&machine);
}

#[test]
fn the_next_free_scan_begins_where_the_kernel_lets_it_begin() {
    // The last two pageblocks are full, so the run looks at each fourth frame of the third from the end. It
    // scans these three to their ends, and finds its last targets in the fourth.
    let frames: Vec<Frame> =
        (0..512).map(|frame| if frame < 480 && frame % 2 == 0 { Frame::Free } else { Frame::Page }).collect();
    for (kernel, free) in [("6.1", 464), ("6.12", 448)] {
        let scene = Scene::new(&frames, &[true; 32], 4, kernel);
        let run = scene.machine.compact_for(0, 2, CompactPriority::SyncLight, true).unwrap();
        assert_eq!(run.status, CompactStatus::Success);
        assert_eq!(scene.machine.compaction_state(0).unwrap().free, free, "{kernel}");
        scene.check_and_end();
    }
}

#[test]
fn a_block_with_a_page_that_does_not_move_is_left_or_finished() {
    for (kernel, finished) in [("6.1", false), ("6.12", true)] {
        let mut config = Config::new(1, 1024);
        config.profile = Profile::preset(kernel).unwrap();
        config.profile.pageblock_order = 6;
        let machine: Machine<Split> = Machine::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        let area = machine.mmap(&space, 1023).unwrap();
        let file = machine.file(mmcore::map::FileKind::Disk, 1).unwrap();
        // A page of a file that a further reference keeps from moving. The scanner does not see that.
        machine.file_read(&file, 0, &mut [0; 8], 0).unwrap();
        for page in 0..area.pages() {
            machine.write_word(&area, page, 0, 1).unwrap();
        }
        machine.lru_drain_all();
        let stays = file.cached_page(0).unwrap();
        machine.frames()[stays].get(stays);
        for page in 0..area.pages() {
            let frame = machine.page_at(&area, page).unwrap().0;
            // The first pageblock keeps 48 pages, more than a batch, and the others every second page.
            let freed = if frame < 64 { frame % 4 == 1 } else { frame.is_multiple_of(2) };
            if freed {
                machine.madvise(&space, &area, page..page + 1, Advice::Dontneed).unwrap();
            }
        }
        machine.drain_pcp(0);
        assert!(stays.0 < 32);
        let run = machine.compact_for(0, 6, CompactPriority::Async, true).unwrap();
        let rest = run.moves.iter().filter(|(from, _)| (48..64).contains(&from.0)).count();
        assert_eq!((rest > 0, run.migrated > 32), (finished, true), "{kernel}: {run:?}");
        machine.put(stays);
        machine.exit(&space);
        machine.drop_caches();
        assert_clean(&machine);
    }
}
