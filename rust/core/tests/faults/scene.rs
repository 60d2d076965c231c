//! A machine with pages of one kind, each with a word by which it is recognised.

use crate::common::used;
use mmcore::audit::Ledger;
use mmcore::error::{Errno, Error};
use mmcore::machine::{Config, Machine};
use mmcore::map::{AddressSpace, Advice, Area, File, FileKind, FileMap};
use mmcore::movable::{PagePool, PoolPage};
use mmcore::page::{Flags, Pfn};
use mmcore::release::Release;
use std::sync::Arc;

const WORD: usize = 1;
/// Pages of a scene; in the scene of a large page, its parts.
pub const PAGES: u32 = 4;
const ORDER: u8 = 2;

/// The kinds of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Private anonymous memory.
    Anon,
    /// Private anonymous memory that a child shares by copy on write.
    Shared,
    /// A file of a disk, clean and mapped shared.
    Disk,
    /// A file of a memory file system, mapped shared.
    Tmpfs,
    /// A disk's file, cached and not mapped.
    Cached,
    /// Anonymous memory, mapped and in the swap cache.
    SwapCache,
    /// Anonymous memory in the swap space.
    Swapped,
    /// One large page.
    Large,
    /// Pages of an owner outside of the LRU.
    Movable,
    /// Memory that was not accessed yet.
    Untouched,
}

pub struct Scene<R: Release> {
    pub of: Of,
    pub machine: Machine<R>,
    pub space: Arc<AddressSpace>,
    pub area: Arc<Area>,
    pub child: Option<Arc<AddressSpace>>,
    pub file: Option<Arc<File>>,
    pool: Option<(Arc<PagePool>, Vec<PoolPage>)>,
}

/// The state of a page that must not change if the page stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub pfn: Pfn,
    flags: Flags,
    count: u32,
    mapcount: u32,
}

pub fn value(index: u32) -> u64 {
    100 + u64::from(index)
}

impl<R: Release> Scene<R> {
    pub fn new(of: Of) -> Scene<R> {
        Scene::with(of, |_| {})
    }

    /// A scene on a machine with a changed configuration.
    pub fn with(of: Of, change: impl FnOnce(&mut Config)) -> Scene<R> {
        let mut config = Config::new(2, 64);
        config.profile.release = R::DESIGN;
        change(&mut config);
        let machine = Machine::<R>::new(&config).unwrap();
        let space = machine.address_space().unwrap();
        let kind = match of {
            Of::Disk | Of::Cached => Some(FileKind::Disk),
            Of::Tmpfs => Some(FileKind::Tmpfs),
            _ => None,
        };
        let file = kind.map(|kind| machine.file(kind, PAGES).unwrap());
        let area = match (&file, of) {
            (Some(file), _) => machine.mmap_file(&space, map(file, false), PAGES).unwrap(),
            (None, Of::Large) => machine.mmap_large(&space, PAGES, ORDER).unwrap(),
            _ => machine.mmap(&space, PAGES).unwrap(),
        };
        let mut scene = Scene { of, machine, space, area, child: None, file, pool: None };
        scene.fill();
        scene.machine.lru_drain_all();
        scene
    }

    fn fill(&mut self) {
        let (machine, area) = (&self.machine, &self.area);
        match self.of {
            Of::Movable => {
                let pool = PagePool::new(machine).unwrap();
                let pages: Vec<_> = (0..PAGES).map(|_| pool.add(machine, 0).unwrap()).collect();
                let words = pages.iter().zip(0..);
                words.for_each(|(&page, index)| pool.write(machine, page, WORD, value(index)).unwrap());
                self.pool = Some((pool, pages));
                return;
            }
            Of::Untouched => return,
            _ => (0..PAGES).for_each(|index| machine.write_word(area, index, WORD, value(index)).unwrap()),
        }
        machine.lru_drain_all();
        match self.of {
            Of::Shared => self.child = Some(machine.fork(&self.space).unwrap()),
            Of::Disk | Of::Cached => {
                let file = self.file.as_ref().unwrap();
                assert_eq!(machine.sync_file(file, 0..PAGES), Ok(PAGES));
                if self.of == Of::Cached {
                    machine.madvise(&self.space, area, 0..PAGES, Advice::Dontneed).unwrap();
                }
            }
            Of::Swapped | Of::SwapCache => {
                machine.swapon(64).unwrap();
                machine.madvise(&self.space, area, 0..PAGES, Advice::Pageout).unwrap();
                assert!((0..PAGES).all(|index| machine.page_at(area, index).is_none()), "all are out");
                if self.of == Of::SwapCache {
                    machine.madvise(&self.space, area, 0..PAGES, Advice::Willneed).unwrap();
                    machine.lru_drain_all();
                    (0..PAGES).for_each(|index| assert_eq!(self.read(index), Ok(value(index))));
                    let cached = |index| {
                        let pfn = machine.page_at(area, index).unwrap();
                        machine.page(pfn).unwrap().flags().contains(Flags::SWAPCACHE)
                    };
                    assert!((0..PAGES).all(cached), "all are in the swap cache");
                }
            }
            _ => {}
        }
    }

    /// The frames of the pages that have one, in order. A large page is listed by its head.
    pub fn pages(&self) -> Vec<Pfn> {
        let frame = |index: u32| match (&self.pool, &self.file) {
            (Some((pool, pages)), _) => Some(pool.pfn(pages[index as usize]).unwrap()),
            (None, Some(file)) => file.cached_page(index),
            (None, None) => self.machine.page_at(&self.area, index),
        };
        let mut pages: Vec<Pfn> =
            (0..PAGES).filter_map(frame).map(|pfn| self.machine.frames().head(pfn)).collect();
        pages.dedup();
        pages
    }

    pub fn see(&self) -> Vec<Seen> {
        self.machine.lru_drain_all();
        let see = |pfn| {
            let page = self.machine.page(pfn).unwrap();
            // `DIRTY` may have moved from an entry to its page, and `WAITERS` may be left of a
            // sleeper that has gone.
            let flags = page.flags().difference(Flags::DIRTY | Flags::WAITERS);
            let mapcount = self.machine.frames().folio_mapcount(self.machine.frames().folio(pfn));
            Seen { pfn, flags, count: page.count(), mapcount }
        };
        self.pages().into_iter().map(see).collect()
    }

    pub fn read(&self, index: u32) -> Result<u64, Error> {
        match &self.pool {
            Some((pool, pages)) => pool.read(&self.machine, pages[index as usize], WORD),
            None => self.machine.read_word(&self.area, index, WORD),
        }
    }

    /// Checks that every word has its value. With `lost` the access may fail instead, because the
    /// frame is bad.
    #[track_caller]
    pub fn check_content(&self, lost: bool, what: &str) {
        let mut areas = vec![Arc::clone(&self.area)];
        areas.extend(self.child.iter().filter_map(|child| Some(child.find(self.area.address(0))?.0)));
        for area in areas.iter().filter(|_| self.pool.is_none()) {
            for index in 0..PAGES {
                self.check_word(index, self.machine.read_word(area, index, WORD), lost, what);
            }
        }
        if self.pool.is_some() {
            (0..PAGES).for_each(|index| self.check_word(index, self.read(index), lost, what));
        }
    }

    #[track_caller]
    fn check_word(&self, index: u32, found: Result<u64, Error>, lost: bool, what: &str) {
        let right = if self.of == Of::Untouched { 0 } else { value(index) };
        match found {
            Ok(word) => assert_eq!(word, right, "page {index} {what}"),
            Err(error) => assert!(lost && error.errno == Errno::EHWPOISON, "page {index} {what}: {error}"),
        }
    }

    #[track_caller]
    pub fn check_audit(&self, what: &str) {
        let findings = self.machine.audit(&Ledger::default());
        assert!(
            findings.is_empty(),
            "{what}: {}",
            findings.iter().map(|f| format!("{f}\n")).collect::<String>()
        );
    }

    /// Ends all users of the pages and checks that no frame and no slot is lost.
    #[track_caller]
    pub fn end(self, what: &str) {
        let machine = &self.machine;
        machine.spaces().iter().for_each(|space| machine.exit(space));
        if let Some((pool, pages)) = &self.pool {
            pages.iter().for_each(|&page| pool.release(machine, page).unwrap());
            assert_eq!(pool.census().0, 0, "{what}");
        }
        machine.files().iter().for_each(|file| machine.remove_file(file));
        machine.lru_drain_all();
        for pfn in machine.poisoned_frames() {
            let unpoisoned = machine.unpoison_memory(pfn);
            assert!(unpoisoned.is_ok(), "{what}: page {pfn}: {unpoisoned:?}");
        }
        let swap = machine.swap_use();
        assert_eq!(swap.total, swap.free, "{what}: swap slots");
        machine.lru_drain_all();
        self.check_audit(what);
        assert_eq!(used(machine), 0, "{what}: frames");
    }
}

pub fn map(file: &Arc<File>, private: bool) -> FileMap {
    FileMap { file: Arc::clone(file), first: 0, private, random: false }
}
