//! A pool: its size classes, its handles, and its counters.

use super::books::Books;
use super::chain::Chain;
use super::class::{Classes, SizeClass};
use super::handle::Handles;
use super::table::Growing;
use crate::owner::id::OwnerId;
use crate::page::Pfn;
use crate::profile::{FullnessGroups, Profile, ZsLocking};
use crate::sync::{AtomicU64, Lock, LockClass, Ordering, RwLock};
use crossbeam_utils::CachePadded;

/// A pool of objects that are smaller than a page.
#[derive(Debug)]
pub struct ZsPool {
    /// The slot of the pool with its generation: two pools that had the slot one after the other differ.
    pub(crate) id: OwnerId,
    pub(super) locking: ZsLocking,
    pub(super) groups: FullnessGroups,
    /// True if a migration or a compaction waits until no thread uses an object of the zspage.
    pub(super) writer_waits: bool,
    pub(super) classes: Classes,
    pub(super) rooms: Box<[CachePadded<ClassRoom>]>,
    pub(super) handles: Handles,
    /// The lock of the places of all objects, if the profile's locking is `pool`. A thread holds it shared to
    /// look a place up, and exclusively to move objects or pages.
    pub(super) migrate: RwLock<()>,
    pub(super) counts: Counts,
}

/// A size class with its zspages.
#[derive(Debug)]
pub(super) struct ClassRoom {
    pub class: SizeClass,
    /// The class lock.
    pub books: Lock<Books>,
    pub chains: Growing<Chain>,
}

/// The counters of a pool.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Pages of all zspages.
    pub pages: AtomicU64,
    /// Pages that compactions have freed.
    pub compacted: AtomicU64,
    /// Not 0 while a thread compacts.
    pub compacting: AtomicU64,
    /// Not 0 while an empty zspage waits for [`ZsPool::free_empty`](super::ZsPool::free_empty).
    pub work: AtomicU64,
    /// Isolated pages, where the profile's locking counts them. The thread that closes the pool
    /// sleeps on it.
    pub isolated: AtomicU64,
    /// The progress of the closing of the pool: see [`ZsPool::close`](super::ZsPool::close).
    pub closing: AtomicU64,
}

/// The name of a zspage of a pool: the position of its class, and its number in the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZspageId {
    pub class: u8,
    pub number: u32,
}

impl ZspageId {
    const NUMBER_BITS: u32 = 24;

    /// The value that a page's record keeps in `index`.
    pub fn raw(self) -> u32 {
        u32::from(self.class) << Self::NUMBER_BITS | self.number
    }

    pub fn from_raw(raw: u32) -> ZspageId {
        ZspageId { class: (raw >> Self::NUMBER_BITS) as u8, number: raw & ((1 << Self::NUMBER_BITS) - 1) }
    }
}

/// The use of a pool, in pages and objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZsStats {
    /// Pages of all zspages (`zs_get_total_pages`).
    pub pages: u64,
    /// Pages that compactions have freed so far.
    pub compacted: u64,
    /// Objects in use.
    pub objects: u64,
}

/// The number of zspages of one class with the same number of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZspageCount {
    /// The number of the class: it holds objects of 32 + 16·`class` bytes.
    pub class: u16,
    /// Objects in use.
    pub objects: u16,
    /// Pages of each zspage.
    pub pages: u8,
    /// The number of such zspages.
    pub count: u32,
}

impl ZsPool {
    pub(super) fn with_id(id: OwnerId, profile: &Profile) -> ZsPool {
        let classes = Classes::of(profile);
        let room = |class: &SizeClass| {
            CachePadded::new(ClassRoom {
                class: *class,
                books: Lock::plain(LockClass::Driver, Books::new(class, profile.zspage_groups)),
                chains: Growing::new("the zspages of a pool"),
            })
        };
        ZsPool {
            id,
            locking: profile.zs_locking,
            groups: profile.zspage_groups,
            writer_waits: profile.zspage_writer_waits,
            rooms: classes.all().iter().map(room).collect(),
            classes,
            handles: Handles::new(),
            migrate: RwLock::new(LockClass::ZsPool, ()),
            counts: Counts::default(),
        }
    }

    /// The size classes.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The pages of all zspages.
    pub fn pages(&self) -> u64 {
        // Relaxed: a count, which orders nothing.
        self.counts.pages.load(Ordering::Relaxed)
    }

    /// The use of the pool.
    pub fn stats(&self) -> ZsStats {
        let objects = |room: &CachePadded<ClassRoom>| {
            room.books.lock().zspages().map(|(_, used)| u64::from(used)).sum::<u64>()
        };
        ZsStats {
            pages: self.pages(),
            // Relaxed: as in `pages`.
            compacted: self.counts.compacted.load(Ordering::Relaxed),
            objects: self.rooms.iter().map(objects).sum(),
        }
    }

    /// The zspages, by class, number of objects, and pages.
    pub fn zspages(&self) -> Vec<ZspageCount> {
        let mut all = std::collections::BTreeMap::new();
        for room in &self.rooms {
            let class = room.class;
            for (_, objects) in room.books.lock().zspages() {
                *all.entry((class.index, objects, class.pages)).or_insert(0) += 1;
            }
        }
        let count = |((class, objects, pages), count)| ZspageCount { class, objects, pages, count };
        all.into_iter().map(count).collect()
    }

    /// The pages of the zspages that a compaction could free (`zs_shrinker_count`).
    pub(super) fn compactable_pages(&self) -> u64 {
        let pages =
            |room: &CachePadded<ClassRoom>| room.books.lock().compactable() * u64::from(room.class.pages);
        self.rooms.iter().map(pages).sum()
    }

    /// True if a zspage waits to be freed by a thread that may sleep.
    pub fn has_work(&self) -> bool {
        // Acquire pairs with the Release in `schedule`.
        self.counts.work.load(Ordering::Acquire) != 0
    }

    pub(super) fn schedule(&self) {
        // Release: the thread that finds the mark finds the empty zspage on its list.
        self.counts.work.store(1, Ordering::Release);
    }

    pub(super) fn room(&self, zspage: ZspageId) -> Option<(&ClassRoom, &Chain)> {
        let room = self.rooms.get(usize::from(zspage.class))?;
        Some((room, room.chains.get(zspage.number as usize)?))
    }

    /// The pages of all zspages at this moment, except zspages that a thread is making or freeing. The
    /// classes of the largest objects come first.
    pub fn all_pages(&self) -> Vec<Pfn> {
        let mut pages = Vec::new();
        for room in &self.rooms {
            let books = room.books.lock();
            let chains = books.linked().map(|number| room.chain(number));
            pages.extend(chains.flat_map(|chain| chain.pages(&room.class)));
        }
        pages
    }

    /// One of the pool's pages at this moment, by its position in [`ZsPool::all_pages`].
    pub fn page(&self, index: usize) -> Option<Pfn> {
        self.all_pages().get(index).copied()
    }

    /// Names the pool's own word at `address` for traces.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let Counts { pages, compacted, compacting, work, isolated, closing } = &self.counts;
        let own = [
            (pages, "pages of zspages"),
            (compacted, "pages freed by compactions"),
            (compacting, "whether a thread compacts the pool"),
            (work, "whether empty zspages wait to be freed"),
            (isolated, "isolated pages of the pool"),
            (closing, "whether the pool is being closed"),
        ];
        let own = own.iter().find(|(word, _)| std::ptr::from_ref(*word).addr() == address);
        let chain = || {
            self.rooms.iter().find_map(|room| {
                let books = room.books.lock();
                books.zspages().find_map(|(number, _)| {
                    let field = room.chains.get(number as usize)?.field_at(address)?;
                    Some(format!("zspage {number} of class {}: {field}", room.class.index))
                })
            })
        };
        own.map(|(_, name)| (*name).to_owned()).or_else(|| self.handles.field_at(address)).or_else(chain)
    }
}
