//! The journal: the value of each object before the schedule first touched it.
//!
//! A world is built once and then run thousands of times. So undoing a schedule must cost as much
//! as the schedule wrote, and not as much as the world is large. Each object carries a *stamp*: the
//! epoch (one number per schedule, never used twice in a process) and the place of its entry. An
//! object whose stamp is of another epoch is untouched. The entry holds the old value and the race
//! detector's data.
//!
//! Objects may be created and dropped within a schedule: a dropped object invalidates its entry,
//! and the stamp moves with an object that moves. But an object that outlives the schedule must
//! *not* move while it runs; safe Rust cannot move such an object, because the world is borrowed
//! while the schedule runs.

use super::clock::Clock;
use super::digest::Digest;
use std::cell::{Cell, UnsafeCell};
// Relaxed, in this whole file: one OS thread runs all threads of an exploration.
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The most entries of one schedule. Untouched entries cost only address space.
const CAPACITY: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 18;

/// The epoch and the place of an entry; zero for an object that was never touched.
#[derive(Debug, Default)]
pub(super) struct Stamp(AtomicU64);

impl Stamp {
    pub const fn new() -> Self {
        Stamp(AtomicU64::new(0))
    }

    /// Returns the place, if the stamp is of `epoch`.
    #[inline]
    pub fn place(&self, epoch: u64) -> Option<usize> {
        // Relaxed: one OS thread uses a world. The type is atomic only because the core shares its
        // objects between threads, which needs `Sync`.
        let bits = self.0.load(Relaxed);
        (bits >> PLACE_BITS == epoch).then_some(bits as usize & (CAPACITY - 1))
    }

    /// Makes the object untouched again.
    pub fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    #[inline]
    fn set(&self, epoch: u64, place: usize) {
        self.0.store(epoch << PLACE_BITS | place as u64, Relaxed);
    }
}

/// The place to which an old value is written back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Home {
    /// No place: the object was dropped.
    Gone,
    /// A word.
    U64(*const AtomicU64),
    /// Half a word.
    U32(*const AtomicU32),
    /// A statistic.
    I64(*const AtomicI64),
}

impl Home {
    /// Reads the value.
    ///
    /// # Safety
    /// The object lives at this place.
    pub unsafe fn load(self) -> u64 {
        match self {
            Home::Gone => 0,
            // SAFETY: promised by the caller.
            Home::U64(word) => unsafe { &*word }.load(Relaxed),
            // SAFETY: as above.
            Home::U32(word) => unsafe { &*word }.load(Relaxed).into(),
            // SAFETY: as above.
            Home::I64(word) => unsafe { &*word }.load(Relaxed) as u64,
        }
    }

    /// Writes the value.
    ///
    /// # Safety
    /// The object lives at this place.
    pub unsafe fn store(self, value: u64) {
        match self {
            Home::Gone => {}
            // SAFETY: promised by the caller.
            Home::U64(word) => unsafe { &*word }.store(value, Relaxed),
            // SAFETY: as above.
            Home::U32(word) => unsafe { &*word }.store(value as u32, Relaxed),
            // SAFETY: as above.
            Home::I64(word) => unsafe { &*word }.store(value as i64, Relaxed),
        }
    }
}

/// The entry of an object that the schedule has touched.
#[derive(Debug)]
pub(super) struct Entry {
    home: Cell<Home>,
    old: Cell<u64>,
    /// For an atomic word or a lock: the clock that the last release published. For plain data: the
    /// time of the last read of each thread.
    pub clock: Cell<Clock>,
    /// For plain data: the thread of the last write; `when` is the time of the write, 0 if no
    /// thread has written.
    pub writer: Cell<u32>,
    pub when: Cell<u32>,
}

/// A lock whose contents were changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contents {
    lock: *const (),
    restore: unsafe fn(*const ()),
    digest_into: unsafe fn(*const (), &mut Digest) -> bool,
}

/// The old values of one schedule.
#[derive(Debug)]
pub(super) struct Journal {
    base: *mut Entry,
    len: Cell<usize>,
    epoch: Cell<u64>,
    epochs_left: Cell<u64>,
    contents: UnsafeCell<Vec<Contents>>,
}

/// Epochs are handed out in blocks, so that no two journals use the same epoch.
static NEXT_EPOCH: AtomicU64 = AtomicU64::new(1);
const EPOCH_BLOCK: u64 = 1 << 16;

impl Journal {
    pub fn new() -> Self {
        let mut entries = std::mem::ManuallyDrop::new(Vec::<Entry>::with_capacity(CAPACITY));
        Journal {
            base: entries.as_mut_ptr(),
            len: Cell::new(0),
            epoch: Cell::new(0),
            epochs_left: Cell::new(0),
            contents: UnsafeCell::default(),
        }
    }

    /// Opens the next epoch, which makes all stamps old.
    pub fn begin(&self) {
        if self.epochs_left.get() == 0 {
            // Relaxed: the counter must hand out each number only once, and orders no other access.
            self.epoch.set(NEXT_EPOCH.fetch_add(EPOCH_BLOCK, Relaxed));
            self.epochs_left.set(EPOCH_BLOCK - 1);
        } else {
            self.epoch.set(self.epoch.get() + 1);
            self.epochs_left.set(self.epochs_left.get() - 1);
        }
        self.len.set(0);
    }

    /// Returns the entry of a touched object.
    #[inline]
    pub fn find(&self, stamp: &Stamp) -> Option<&Entry> {
        let place = stamp.place(self.epoch.get())?;
        debug_assert!(place < self.len.get());
        Some(self.entry(place))
    }

    /// Returns the entry at `place`, which `open` has made.
    #[inline]
    fn entry(&self, place: usize) -> &Entry {
        // SAFETY: places are below the capacity, as stamps and `len` come from `open`.
        let entry = unsafe { self.base.add(place) };
        // SAFETY: `open` initialised it; entries are changed only through their cells, and never
        // move.
        unsafe { &*entry }
    }

    /// Returns the entry of an object that is about to change. The first touch makes the entry.
    /// `None` if the journal is full.
    #[inline]
    pub fn touch(&self, stamp: &Stamp, old: impl FnOnce() -> (Home, u64)) -> Option<&Entry> {
        match self.find(stamp) {
            Some(entry) => Some(entry),
            None => self.open(stamp, old()),
        }
    }

    fn open(&self, stamp: &Stamp, (home, old): (Home, u64)) -> Option<&Entry> {
        let place = self.len.get();
        if place == CAPACITY {
            return None;
        }
        let entry = Entry {
            home: Cell::new(home),
            old: Cell::new(old),
            clock: Cell::new(Clock::ZERO),
            writer: Cell::new(0),
            when: Cell::new(0),
        };
        // SAFETY: below the capacity that `new` allocated.
        let slot = unsafe { self.base.add(place) };
        // SAFETY: no reference to a place at or beyond `len` exists, and `Entry` has nothing to
        // drop.
        unsafe { slot.write(entry) };
        let entry = self.entry(place);
        self.len.set(place + 1);
        stamp.set(self.epoch.get(), place);
        Some(entry)
    }

    /// Marks an object as dropped: its old value must not be written to its former place.
    #[inline]
    pub fn forget(&self, stamp: &Stamp) {
        if let Some(entry) = self.find(stamp) {
            entry.home.set(Home::Gone);
        }
    }

    /// Records a lock whose contents are about to change for the first time in this epoch.
    ///
    /// # Safety
    /// Until the journal is undone or `forget_contents(lock)` is called, this OS thread may call
    /// `restore(lock)` and `digest_into(lock)` while the contents are not borrowed. `digest_into`
    /// returns whether the contents could be digested, and uses no journal.
    pub unsafe fn keep_contents(
        &self,
        lock: *const (),
        restore: unsafe fn(*const ()),
        digest_into: unsafe fn(*const (), &mut Digest) -> bool,
    ) {
        // SAFETY: one OS thread, and no reference into the vector outlives a statement.
        unsafe { &mut *self.contents.get() }.push(Contents { lock, restore, digest_into });
    }

    /// Removes the record of a lock that is dropped.
    pub fn forget_contents(&self, lock: *const ()) {
        // SAFETY: as in `keep_contents`.
        unsafe { &mut *self.contents.get() }.retain(|contents| contents.lock != lock);
    }

    /// Returns true if the contents of any lock changed.
    #[inline]
    pub fn has_contents(&self) -> bool {
        // SAFETY: as in `keep_contents`.
        !unsafe { &*self.contents.get() }.is_empty()
    }

    /// Restores the next lock's contents, newest first; returns false if none is left. Dropping the
    /// changed contents may touch more objects and even take locks. So one call restores one lock,
    /// and all calls come before [`Journal::undo_words`].
    pub fn undo_contents(&self) -> bool {
        // SAFETY: as in `keep_contents`; the borrow ends before user code runs.
        let popped = unsafe { &mut *self.contents.get() }.pop();
        if let Some(Contents { lock, restore, .. }) = popped {
            // SAFETY: promised by the caller of `keep_contents`; no schedule runs, so the contents
            // are not borrowed (a guard on an abandoned stack is never used again).
            unsafe { restore(lock) };
        }
        popped.is_some()
    }

    /// Adds every value that the schedule changed to the digest. Returns false if one cannot be
    /// digested.
    pub fn digest_into(&self, digest: &mut Digest) -> bool {
        // SAFETY: as in `keep_contents`; `digest_into` of a lock uses no journal.
        for contents in unsafe { &*self.contents.get() } {
            // SAFETY: promised by the caller of `keep_contents`; no schedule runs, so the contents
            // are not borrowed.
            if !unsafe { (contents.digest_into)(contents.lock, digest) } {
                return false;
            }
        }
        for place in 0..self.len.get() {
            let entry = self.entry(place);
            let home = entry.home.get();
            let address = match home {
                Home::Gone => continue,
                Home::U64(word) => word.addr(),
                Home::U32(word) => word.addr(),
                Home::I64(word) => word.addr(),
            };
            // SAFETY: the pointers are valid for the reason that `undo_words` gives.
            let now = unsafe { home.load() };
            if now != entry.old.get() {
                digest.add(address as u64, now);
            }
        }
        true
    }

    /// Restores every word. No destructor of the world's objects runs.
    pub fn undo_words(&self) {
        for place in 0..self.len.get() {
            let entry = self.entry(place);
            // SAFETY: the pointers were made from borrows at the first touch. If the object was dropped since
            // then, its entry is `Gone`. Otherwise it has not moved (see the module's comment).
            unsafe { entry.home.get().store(entry.old.get()) };
        }
        self.len.set(0);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // SAFETY: pointer and capacity are those of the vector leaked in `new`; the entries need
        // no drop.
        drop(unsafe { Vec::from_raw_parts(self.base, 0, CAPACITY) });
    }
}
