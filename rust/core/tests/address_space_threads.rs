//! Address spaces on real threads: writers and readers while others fork, unmap, pin and migrate.
//!
//! Every word encodes its place and the step of its writer, so that a lost, torn or stray write
//! shows. Each writer has one word of each page and writes its pages in turn. A fork's snapshot can
//! therefore be checked: a child that has a writer's step must have all earlier steps of this
//! writer. Pinned pages are the exception, because fork copies them at some moment while their
//! writers go on.

use crate::common::{assert_clean, machine, used};
use mmcore::error::Errno;
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, Area, PinKind};
use mmcore::migrate::{Mode, Reason};
use mmcore::page::PAGE_SIZE;
use mmcore::release::Release;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PAGES: u32 = 24;
const WRITERS: usize = 2;
/// The word of each page that the pinning thread writes to check its pins.
const PIN_WORD: usize = 100;
/// Bytes of each page that are written in one TLB section. The block is long, so that a fork often
/// comes in the middle of it.
const BLOCK: std::ops::Range<u64> = 1024..4096;
/// One page in this many is pinned at times.
const PINNED: u32 = 4;
const TIME: Duration = Duration::from_millis(400);

/// Encodes place and step as one word.
fn encode(writer: usize, page: u32, step: u64) -> u64 {
    (writer as u64) << 56 | u64::from(page) << 40 | step
}

/// Checks the place in a word and returns its step; 0 if the word was never written.
#[track_caller]
fn decode(writer: usize, page: u32, value: u64) -> u64 {
    let step = value & ((1 << 40) - 1);
    if value != 0 {
        assert_eq!(value, encode(writer, page, step), "{value:#x} is not of writer {writer}, page {page}");
    }
    step
}

/// The page of a writer's step; steps begin at 1.
fn page_of(step: u64) -> u32 {
    (step % u64::from(PAGES)) as u32
}

struct World<'a, R: Release> {
    machine: &'a Machine<R>,
    space: Arc<AddressSpace>,
    area: Arc<Area>,
    over: AtomicBool,
    /// The area that is mapped and unmapped again and again.
    passing: Mutex<Option<Arc<Area>>>,
}

impl<R: Release> World<'_, R> {
    fn running(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Writes the writer's word of each page in turn, and checks that it still holds the write of
    /// one round ago.
    fn write(&self, writer: usize) {
        let round = u64::from(PAGES);
        for step in (1..).take_while(|_| self.running()) {
            let page = page_of(step);
            let before = self.machine.read_word(&self.area, page, writer).unwrap();
            assert_eq!(decode(writer, page, before), step.saturating_sub(round), "a write was lost");
            self.machine.write_word(&self.area, page, writer, encode(writer, page, step)).unwrap();
        }
    }

    /// Stores whole blocks, so that a fork meets threads in the middle of an access.
    fn fill(&self) {
        for n in (1u64..).take_while(|_| self.running()) {
            let block = [n as u8; (BLOCK.end - BLOCK.start) as usize];
            let page = n % u64::from(PAGES);
            self.machine.write_bytes(&self.area, page * PAGE_SIZE as u64 + BLOCK.start, &block).unwrap();
        }
    }

    /// Reads all words and checks that no step ever decreases.
    fn read(&self) {
        let mut seen = vec![0; PAGES as usize * WRITERS];
        while self.running() {
            for page in 0..PAGES {
                for writer in 0..WRITERS {
                    let value = self.machine.read_word(&self.area, page, writer).unwrap();
                    let step = decode(writer, page, value);
                    let last = &mut seen[page as usize * WRITERS + writer];
                    assert!(*last <= step, "page {page} of writer {writer} went from {last} to {step}");
                    *last = step;
                }
            }
        }
    }

    /// Checks that a child is a snapshot without missing steps, that later writes of the parent do
    /// not reach it, and that its writes do not reach the parent.
    fn fork(&self) {
        let step = |area: &Area, page, writer| {
            decode(writer, page, self.machine.read_word(area, page, writer).unwrap())
        };
        while self.running() {
            let before: [Vec<u64>; WRITERS] =
                std::array::from_fn(|writer| (0..PAGES).map(|page| step(&self.area, page, writer)).collect());
            let child = self.machine.fork(&self.space).unwrap();
            let (area, _) = child.find(self.area.address(0)).unwrap();
            let blocks: Vec<_> = (0..PAGES).map(|page| self.block(&area, page)).collect();
            for (writer, before) in before.iter().enumerate() {
                let steps: Vec<u64> = (0..PAGES).map(|page| step(&area, page, writer)).collect();
                let newest = steps.iter().copied().max().unwrap();
                for step in newest.saturating_sub(u64::from(PAGES) - 1).max(1)..=newest {
                    let page = page_of(step);
                    let seen = steps[page as usize];
                    if page.is_multiple_of(PINNED) {
                        assert!(before[page as usize] <= seen, "the child misses a step before the fork");
                    } else {
                        assert_eq!(seen, step, "the child sees step {newest} without {step}");
                    }
                    self.machine.write_word(&area, page, writer, u64::MAX).unwrap();
                }
            }
            for page in 0..PAGES {
                assert!(
                    self.block(&area, page) == blocks[page as usize],
                    "a write of the parent reached the child"
                );
            }
            self.machine.exit(&child);
        }
    }

    fn block(&self, area: &Area, page: u32) -> Vec<u8> {
        let mut block = vec![0; (BLOCK.end - BLOCK.start) as usize];
        let offset = u64::from(page) * PAGE_SIZE as u64 + BLOCK.start;
        self.machine.read_bytes(area, offset, &mut block).unwrap();
        block
    }

    /// Maps and unmaps a second area of the same space, in parts. Its pages are filled with their
    /// address.
    fn map_and_unmap(&self) {
        let machine = self.machine;
        while self.running() {
            let area = machine.mmap(&self.space, 40).unwrap();
            *self.passing.lock().unwrap() = Some(Arc::clone(&area));
            for page in 0..40 {
                let full = area.address(page).to_le_bytes().repeat(PAGE_SIZE / 8);
                machine.write_bytes(&area, u64::from(page) * PAGE_SIZE as u64, &full).unwrap();
            }
            machine.munmap(&self.space, &area, 3..38).unwrap();
            for page in 0..40 {
                match machine.read_word(&area, page, 0) {
                    Ok(value) => assert!(!(3..38).contains(&page) && value == area.address(page)),
                    Err(error) => assert!((3..38).contains(&page) && error.errno == Errno::EFAULT),
                }
            }
            machine.munmap(&self.space, &area, 0..40).unwrap();
        }
    }

    /// Reads the area that another thread unmaps: each read gives the page's own content or an
    /// error, but never the content of another page.
    fn read_what_goes(&self) {
        let mut bytes = vec![0; PAGE_SIZE];
        while self.running() {
            let Some(area) = self.passing.lock().unwrap().clone() else { continue };
            for page in 0..area.pages() {
                match self.machine.read_bytes(&area, u64::from(page) * PAGE_SIZE as u64, &mut bytes) {
                    Ok(()) => {
                        for word in
                            bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()))
                        {
                            assert!(word == 0 || word == area.address(page), "{word:#x} is of another page");
                        }
                    }
                    Err(error) => assert_eq!(error.errno, Errno::EFAULT),
                }
            }
        }
    }

    /// Checks that a write through the mapping reaches the pinned frame, although forks go on.
    fn pin(&self) {
        let machine = self.machine;
        for n in (1..).take_while(|_| self.running()) {
            let page = (n * 7 % u64::from(PAGES / PINNED)) as u32 * PINNED;
            let pfn = machine.pin(&self.area, page, PinKind::Pin, true).unwrap();
            for value in [2 * n, 2 * n + 1] {
                machine.write_word(&self.area, page, PIN_WORD, value).unwrap();
                assert_eq!(
                    machine.memory().load(pfn, PIN_WORD),
                    value,
                    "the pinned page is not the mapped one"
                );
            }
            machine.unpin(pfn, PinKind::Pin);
        }
    }

    /// Moves pages back and forth.
    fn migrate(&self) {
        let machine = self.machine;
        for n in (0u32..).take_while(|_| self.running()) {
            machine.lru_drain_all();
            let mut list = Vec::new();
            for page in (n..n + 4).map(|page| page % PAGES) {
                let Some(pfn) = machine.get_page_at(&self.area, page) else { continue };
                if machine.isolate(pfn).is_ok() {
                    list.push(pfn);
                }
                machine.put(pfn);
            }
            let node = (n / PAGES) as usize % 2;
            let target = &mut |_| machine.alloc_pages(node, 0).ok();
            machine.migrate_pages(&mut list, target, Mode::Sync, Reason::Syscall);
            list.into_iter().for_each(|pfn| machine.putback(pfn));
        }
    }

    fn race(&self, roles: &[&(dyn Fn() + Sync)]) {
        thread::scope(|scope| {
            let threads: Vec<_> = roles
                .iter()
                .map(|role| {
                    scope.spawn(|| {
                        // The guard tells the others to end when this thread ends, also by a panic.
                        let stop = Stop(&self.over);
                        role();
                        drop(stop);
                    })
                })
                .collect();
            let end = Instant::now() + TIME;
            while self.running() && Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
            self.over.store(true, Ordering::Relaxed);
            for thread in threads {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn race<R: Release>(migrators: usize) {
    let machine = machine::<R>(2, 2048);
    let space = machine.address_space().unwrap();
    let area = machine.mmap(&space, PAGES).unwrap();
    let world =
        World { machine: &machine, space, area, over: AtomicBool::new(false), passing: Mutex::new(None) };
    let (writer_0, writer_1) = (|| world.write(0), || world.write(1));
    let (read, fork) = (|| world.read(), || world.fork());
    let (unmap, read_unmapped) = (|| world.map_and_unmap(), || world.read_what_goes());
    let (fill, pin, migrate) = (|| world.fill(), || world.pin(), || world.migrate());
    let mut roles: Vec<&(dyn Fn() + Sync)> =
        vec![&writer_0, &writer_1, &read, &fork, &unmap, &read_unmapped, &fill, &pin];
    roles.extend(std::iter::repeat_n(&migrate as &(dyn Fn() + Sync), migrators));
    world.race(&roles);

    assert_clean(&machine);
    machine.exit(&world.space);
    machine.lru_drain_all();
    assert_clean(&machine);
    assert_eq!(used(&machine), 0);
}

fn contents_and_counts_survive_forks_unmaps_and_pins<R: Release>() {
    race::<R>(0);
}

fn contents_and_counts_survive_migrations_too<R: Release>() {
    race::<R>(2);
}

macro_rules! under {
    ($($design:ident as $name:ident),*) => {$(
        mod $name {
            use mmcore::release::$design;

            #[test]
            fn contents_and_counts_survive_forks_unmaps_and_pins() {
                super::contents_and_counts_survive_forks_unmaps_and_pins::<$design>();
            }

            #[test]
            fn contents_and_counts_survive_migrations_too() {
                super::contents_and_counts_survive_migrations_too::<$design>();
            }
        }
    )*};
}

under!(Split as split, HookLate as hook_late, Packed as packed);
