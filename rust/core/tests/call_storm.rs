//! 32 threads make calls of the core on one machine: no thread may stop, and at the end only the pool
//! and bad frames may be in use.
//!
//! `load_storm.rs` runs the operations of a load and verifies each word. Here the threads draw
//! their calls from nearly all that a script can make on pages, processes and files; calls of other
//! threads have often just made them impossible.

use crate::common::{assert_clean, machine, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::failure::Injection;
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, Advice, Area, File, FileKind, FileMap, PinKind, Policy};
use mmcore::migrate::{MbindFlags, Mode, MoveFlags, Reason};
use mmcore::movable::{PagePool, PoolPage};
use mmcore::page::{Flags, PAGE_SIZE, Pfn};
use mmcore::release::Release;
use mmcore::rng::Rng;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: u64 = 32;
const FRAMES: u32 = 1024;
const NODES: u32 = 2;
/// Numbers of spaces, areas of a space, files and handles of a thread that are kept; beyond them
/// the oldest is given up.
const SPACES: usize = 8;
const AREAS: usize = 6;
const FILES: usize = 6;
const HANDLES: usize = 4;
/// Number of movable pages.
const POOLED: u32 = 16;

struct Process {
    space: Arc<AddressSpace>,
    areas: Vec<Arc<Area>>,
}

struct World<'a, R: Release> {
    machine: &'a Machine<R>,
    ledger: Ledger,
    processes: Mutex<Vec<Process>>,
    files: Mutex<Vec<Arc<File>>>,
    pool: Arc<PagePool>,
    over: AtomicBool,
    calls: AtomicU64,
}

/// A thread, with its random generator and the handles that it holds.
struct Caller<'a, R: Release> {
    world: &'a World<'a, R>,
    rng: Rng,
    held: Vec<(Pfn, Handle)>,
}

impl<R: Release> Caller<'_, R> {
    fn run(&mut self) {
        let mut calls = 0;
        // Relaxed: a hint to end; no other data depends on it.
        while !self.world.over.load(Ordering::Relaxed) {
            self.call();
            calls += 1;
        }
        while let Some((pfn, handle)) = self.held.pop() {
            self.world.machine.let_go(&self.world.ledger, pfn, handle);
        }
        // Relaxed: the sum is read after the thread has been joined.
        self.world.calls.fetch_add(calls, Ordering::Relaxed);
    }

    fn frame(&mut self) -> Pfn {
        Pfn(self.rng.below(FRAMES * NODES))
    }

    fn node(&mut self) -> usize {
        self.rng.below(NODES) as usize
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.below(n) == 0
    }

    fn mode(&mut self) -> Mode {
        [Mode::Async, Mode::SyncLight, Mode::Sync][self.rng.below(3) as usize]
    }

    /// A random space, with one of its areas if it has any.
    fn place(&mut self) -> (Arc<AddressSpace>, Option<Arc<Area>>) {
        let processes = self.world.processes.lock();
        let process = &processes[self.rng.below(processes.len() as u32) as usize];
        let areas = process.areas.len() as u32;
        let area = (areas > 0).then(|| process.areas[self.rng.below(areas) as usize].clone());
        (process.space.clone(), area)
    }

    fn file(&mut self) -> Arc<File> {
        let files = self.world.files.lock();
        files[self.rng.below(files.len() as u32) as usize].clone()
    }

    /// Makes one random call. A refusal is no failure: the state that other threads leave makes
    /// most calls fail.
    fn call(&mut self) {
        match self.rng.below(16) {
            0..=5 => self.call_area(),
            6..=8 => self.call_frame(),
            9 | 10 => self.call_file(),
            11 | 12 => self.call_space(),
            13 => self.call_pool(),
            14 if self.one_in(4) => self.call_machine(),
            _ => self.let_go(),
        }
    }

    fn call_area(&mut self) {
        let machine = self.world.machine;
        let (space, Some(area)) = self.place() else { return };
        let first = self.rng.below(area.pages());
        let pages = first..first + 1 + self.rng.below(area.pages() - first);
        let (node, write) = (self.node(), self.one_in(2));
        match self.rng.below(14) {
            0 => drop(machine.read_word(&area, first, 3)),
            1 | 2 => drop(machine.write_word(&area, first, 3, self.rng.bits())),
            3 => drop(machine.write_bytes(&area, u64::from(first) * PAGE_SIZE as u64, &[7; PAGE_SIZE])),
            4 => drop(machine.fault(&area, first, write)),
            5 => drop(machine.mlock(&space, &area, pages)),
            6 => drop(machine.munlock(&space, &area, pages)),
            7 => {
                let names = Advice::NAMES;
                let (_, advice) = names[self.rng.below(names.len() as u32) as usize];
                drop(machine.madvise(&space, &area, pages, advice));
            }
            8 => {
                let flags = MbindFlags { move_own: write, move_all: self.one_in(2), strict: self.one_in(2) };
                let policy = if write { Policy::Bind(node) } else { Policy::Preferred(node) };
                drop(machine.mbind(&space, &area, pages, policy, flags));
            }
            9 | 10 => {
                let addresses: Vec<u64> = pages.map(|page| area.address(page)).collect();
                let nodes = vec![node as u32; addresses.len()];
                drop(machine.move_pages(&space, &addresses, &nodes, MoveFlags { all: write }));
                drop(machine.query_pages(&space, &addresses));
            }
            11 => drop(machine.numa_fault(&space, area.address(first), node)),
            12 => {
                let kind = if write { PinKind::Pin } else { PinKind::Get };
                let pinned = match self.one_in(2) {
                    true => machine.pin_longterm(&area, first, write).map(|pfn| (pfn, PinKind::Pin)),
                    false => machine.pin(&area, first, kind, write).map(|pfn| (pfn, kind)),
                };
                if let Ok((pfn, kind)) = pinned {
                    thread::yield_now();
                    machine.unpin(pfn, kind);
                }
            }
            _ if self.one_in(4) => drop(machine.munmap(&space, &area, pages)),
            _ => drop(machine.msync(&area, pages)),
        }
    }

    fn call_frame(&mut self) {
        let (machine, ledger) = (self.world.machine, &self.world.ledger);
        let (pfn, node, mode) = (self.frame(), self.node(), self.mode());
        match self.rng.below(12) {
            0 | 1 => {
                let order = self.rng.below(4) as u8;
                if let Ok(pfn) = machine.hold_new(ledger, node, order) {
                    self.held.push((pfn, Handle::Ref));
                }
            }
            2 if machine.hold(ledger, pfn).is_ok() => self.held.push((pfn, Handle::Ref)),
            3 if machine.hold_pin(ledger, pfn).is_ok() => self.held.push((pfn, Handle::Pin)),
            4 if machine.hold_lock(ledger, pfn) == Ok(true) => {
                // A thread that holds a page lock must not make a call that may wait.
                drop(machine.frame_bytes(pfn));
                machine.let_go(ledger, pfn, Handle::Lock);
            }
            5..=7 => {
                let Ok(handle) = machine.hold_isolated(ledger, pfn) else { return };
                match self.rng.below(4) {
                    0 => machine.let_go(ledger, pfn, handle),
                    1 => self.held.push((pfn, handle)),
                    _ => drop(machine.migrate_isolated(ledger, pfn, handle, node, mode, Reason::Compaction)),
                }
            }
            8 => drop(machine.split_huge_page(pfn)),
            9 => {
                drop(machine.page_states(&[pfn]));
                // Without a lock, whatever happens to the frame meanwhile.
                drop(machine.frame_bytes(pfn));
            }
            10 => {
                // The frame of a part leads to its large page.
                if let Some(isolated) = machine.isolate_for_reclaim(pfn) {
                    machine.reclaim_isolated(vec![isolated], self.one_in(2).then_some(node));
                }
            }
            11 if self.one_in(8) => match self.rng.below(3) {
                0 => drop(machine.soft_offline_page(pfn)),
                1 => drop(machine.memory_failure(pfn, None)),
                _ => drop(machine.strike(0.01, self.rng.bits(), Injection::SoftOffline)),
            },
            _ => self.unpoison(),
        }
    }

    fn unpoison(&mut self) {
        let poisoned = self.world.machine.poisoned_frames();
        if !poisoned.is_empty() {
            let which = self.rng.below(poisoned.len() as u32) as usize;
            drop(self.world.machine.unpoison_memory(poisoned[which]));
        }
    }

    fn call_file(&mut self) {
        let (machine, file, node) = (self.world.machine, self.file(), self.node());
        let pages = file.pages().max(1);
        let index = self.rng.below(pages);
        let offset = u64::from(index) * PAGE_SIZE as u64;
        match self.rng.below(10) {
            0 | 1 => drop(machine.file_read(&file, offset, &mut [0; 64], node)),
            2 | 3 => drop(machine.file_write(&file, offset, &[5; 64], node)),
            4 => drop(machine.sync_file(&file, 0..pages)),
            5 => {
                if let Ok(Some(write)) = machine.begin_writeback(&file, index) {
                    machine.end_writeback(&file, write);
                }
            }
            6 => drop(machine.evict_file(&file, 0..pages)),
            7 => drop(machine.truncate_file(&file, index)),
            8 => self.map_file(file),
            _ => self.renew_file(),
        }
    }

    fn map_file(&mut self, file: Arc<File>) {
        let (space, _) = self.place();
        let map = FileMap { file, first: 0, private: self.one_in(2), random: self.one_in(2) };
        if let Ok(area) = self.world.machine.mmap_file(&space, map, 4) {
            self.keep(&space, area);
        }
    }

    fn renew_file(&mut self) {
        let kind = [FileKind::Disk, FileKind::Tmpfs, FileKind::Shm][self.rng.below(3) as usize];
        let Ok(file) = self.world.machine.file(kind, 6) else { return };
        let old = {
            let mut files = self.world.files.lock();
            files.push(file);
            (files.len() > FILES).then(|| files.remove(0))
        };
        if let Some(old) = old {
            self.world.machine.remove_file(&old);
        }
    }

    /// Adds an area to the list of its space, and unmaps the oldest area if there are too many.
    fn keep(&self, space: &Arc<AddressSpace>, area: Arc<Area>) {
        let old = {
            let mut processes = self.world.processes.lock();
            let Some(process) = processes.iter_mut().find(|each| Arc::ptr_eq(&each.space, space)) else {
                return;
            };
            process.areas.push(area);
            (process.areas.len() > AREAS).then(|| process.areas.remove(0))
        };
        if let Some(old) = old {
            drop(self.world.machine.munmap(space, &old, 0..old.pages()));
        }
    }

    fn call_space(&mut self) {
        let machine = self.world.machine;
        let (space, area) = self.place();
        let node = self.node();
        match self.rng.below(8) {
            0 | 1 => {
                if let Ok(area) = machine.mmap(&space, 8) {
                    self.keep(&space, area);
                }
            }
            2 => {
                if let Ok(area) = machine.mmap_large(&space, 16, 2) {
                    self.keep(&space, area);
                }
            }
            3 => drop(machine.migrate_between(&space, node, 1 - node)),
            4 => machine.set_early_kill(&space, self.one_in(2)),
            5 => drop(area.map(|area| machine.prefer(&area, node))),
            6 => {
                let Ok(child) = machine.fork(&space) else { return };
                let areas = area.and_then(|area| child.find(area.address(0))).map(|(area, _)| area);
                self.replace(Process { space: child, areas: areas.into_iter().collect() });
            }
            _ => {
                if let Ok(space) = machine.address_space() {
                    self.replace(Process { space, areas: Vec::new() });
                }
            }
        }
    }

    /// Adds a process, and lets the oldest exit if there are too many.
    fn replace(&self, process: Process) {
        let old = {
            let mut processes = self.world.processes.lock();
            processes.push(process);
            (processes.len() > SPACES).then(|| processes.remove(0))
        };
        if let Some(old) = old {
            self.world.machine.exit(&old.space);
        }
    }

    fn call_pool(&mut self) {
        let (machine, pool) = (self.world.machine, &self.world.pool);
        let page = PoolPage(self.rng.below(POOLED));
        match self.rng.below(3) {
            0 => drop(pool.read(machine, page, 1)),
            1 => drop(pool.write(machine, page, 1, self.rng.bits())),
            _ => {
                if let Ok(page) = pool.add(machine, self.node()) {
                    drop(pool.release(machine, page));
                }
            }
        }
    }

    fn call_machine(&mut self) {
        let (machine, node) = (self.world.machine, self.node());
        match self.rng.below(9) {
            0 => machine.lru_drain_all(),
            1 => drop(machine.reclaim(node, 8)),
            2 => drop(machine.age_node(node)),
            3 => drop(machine.drop_caches()),
            4 => drop(machine.sync_all()),
            5 => drop(machine.vmstat(None)),
            6 => drop(machine.swapon(64)),
            7 => drop(machine.swapoff()),
            _ => drop(machine.bind_cpu(Some(self.rng.below(machine.cpu_count() as u32) as usize))),
        }
    }

    fn let_go(&mut self) {
        while self.held.len() > HANDLES {
            let (pfn, handle) = self.held.swap_remove(self.rng.below(HANDLES as u32) as usize);
            self.world.machine.let_go(&self.world.ledger, pfn, handle);
        }
    }
}

fn storm<R: Release>(time: Duration) -> u64 {
    let machine = machine::<R>(NODES as usize, FRAMES);
    let space = machine.address_space().unwrap();
    let pool = PagePool::new(&machine).unwrap();
    for _ in 0..POOLED {
        pool.add(&machine, 0).unwrap();
    }
    let world = World {
        processes: Mutex::new(vec![Process { space, areas: Vec::new() }]),
        files: Mutex::new(vec![machine.file(FileKind::Disk, 6).unwrap()]),
        ledger: Ledger::default(),
        machine: &machine,
        pool,
        over: AtomicBool::new(false),
        calls: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        let spawn = |index| {
            let mut caller = Caller { world: &world, rng: Rng::new(12, index), held: Vec::new() };
            scope.spawn(move || caller.run())
        };
        let callers: Vec<_> = (0..THREADS).map(spawn).collect();
        let start = Instant::now();
        while start.elapsed() < time {
            thread::sleep(Duration::from_millis(10));
        }
        world.over.store(true, Ordering::Relaxed);
        // Joined one by one: how a scope waits for its threads is in the standard library, where
        // ThreadSanitizer does not see it.
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    for space in machine.spaces() {
        machine.exit(&space);
    }
    for file in machine.files() {
        machine.remove_file(&file);
    }
    // A page that was locked when its last entry was dropped stays in the swap cache, as in the
    // kernel. `swapoff` removes it.
    if machine.swap_use().total > 0 {
        machine.swapoff().unwrap();
    }
    machine.lru_drain_all();
    assert!(world.ledger.handles().is_empty(), "{:?}", world.ledger.handles());
    assert_clean(&machine);
    let (pooled, _) = world.pool.census();
    let poisoned = machine.poisoned_frames();
    let held = |pfn: &Pfn| machine.page(*pfn).is_ok_and(|page| page.count() > 0);
    let words: Vec<_> = (0..FRAMES * NODES)
        .map(Pfn)
        .filter(held)
        .map(|pfn| (pfn, machine.page(pfn).unwrap().word()))
        .collect();
    // A movable page on a bad frame still belongs to its owner, and is counted in `pooled`.
    let owned = |pfn: &&Pfn| machine.page(**pfn).is_ok_and(|page| page.flags().contains(Flags::MOVABLE));
    let bad = poisoned.len() - poisoned.iter().filter(owned).count();
    assert_eq!(used(&machine) as usize, pooled + bad, "in use: {words:?}, poisoned: {poisoned:?}");
    world.calls.into_inner()
}

fn a_moment_is_clean<R: Release>() {
    assert!(storm::<R>(Duration::from_millis(200)) > 0);
}

for_each_design!(a_moment_is_clean);

/// Lasts `STORM_SECONDS` (60 by default); run by `make storm` and `make tsan`.
#[expect(clippy::print_stdout, reason = "a long run says what it has done")]
fn a_long_storm_of_calls_is_clean<R: Release>() {
    let seconds =
        std::env::var("STORM_SECONDS").map_or(60.0, |text| text.parse().expect("a number of seconds"));
    let calls = storm::<R>(Duration::from_secs_f64(seconds));
    println!(
        "{:?}: {seconds} s: {calls} calls by {THREADS} threads, audit clean, all frames back",
        R::DESIGN
    );
    assert!(calls > 0);
}

macro_rules! long {
    ($($module:ident $design:ident),*) => {
        $(mod $module {
            #[test]
            #[ignore = "takes a minute: make storm"]
            fn a_long_storm_of_calls_is_clean() {
                super::a_long_storm_of_calls_is_clean::<mmcore::release::$design>();
            }
        })*
    };
}

long!(
    long_putback Putback, long_split Split, long_hook Hook,
    long_hook_late HookLate, long_packed Packed, long_mine Mine
);
