//! The journal: what each object was before the schedule first touched it.
//!
//! A world is built once and then run thousands of times, so putting it back must cost what the
//! schedule wrote, not what the world is. Each object carries a *stamp*: the epoch (one number a
//! schedule, never used twice in a process) and the place of its entry. An object whose stamp is
//! of another epoch is untouched. The entry holds the old value and the race detector's notes.
//!
//! Objects may be born and dropped within a schedule: a dropped object takes its entry out, and
//! the stamp travels with an object that moves. What may *not* be done is to move an object that
//! outlives the schedule; nothing in safe Rust can, for a world is borrowed while it runs.

use super::clock::Clock;
use super::digest::Digest;
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Entries of one schedule. Untouched entries cost address space only.
const CAPACITY: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 18;

/// Epoch and place of an entry; zero is "never touched".
#[derive(Debug, Default)]
pub(super) struct Stamp(AtomicU64);

impl Stamp {
    pub const fn new() -> Self {
        Stamp(AtomicU64::new(0))
    }

    /// The place, if the stamp is of `epoch`.
    #[inline]
    pub fn place(&self, epoch: u64) -> Option<usize> {
        // Relaxed: a world is used by one OS thread; the type is atomic only so that the objects
        // can be shared, as the core's types require.
        let bits = self.0.load(Relaxed);
        (bits >> PLACE_BITS == epoch).then_some(bits as usize & (CAPACITY - 1))
    }

    /// Untouched again.
    pub fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    #[inline]
    fn set(&self, epoch: u64, place: usize) {
        self.0.store(epoch << PLACE_BITS | place as u64, Relaxed);
    }
}

/// Where an old value goes back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Home {
    /// Nowhere: the object was dropped.
    Gone,
    /// A word.
    U64(*const AtomicU64),
    /// Half a word.
    U32(*const AtomicU32),
    /// A statistic.
    I64(*const AtomicI64),
}

/// One touched object.
#[derive(Debug)]
pub(super) struct Entry {
    home: Cell<Home>,
    old: Cell<u64>,
    /// An atomic or lock: what its last release published. Plain data: who has read it when.
    pub clock: Cell<Clock>,
    /// Plain data: the thread that wrote last, and when; `when == 0` is "nobody yet".
    pub writer: Cell<u32>,
    pub when: Cell<u32>,
}

/// A lock's contents, touched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contents {
    lock: *const (),
    restore: unsafe fn(*const ()),
    tell: unsafe fn(*const (), &mut Digest) -> bool,
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

/// Epochs are dealt out in blocks, so that stamps of different journals never meet.
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

    /// Opens the next epoch. All stamps become old.
    pub fn begin(&self) {
        if self.epochs_left.get() == 0 {
            // Relaxed: uniqueness is all that is asked.
            self.epoch.set(NEXT_EPOCH.fetch_add(EPOCH_BLOCK, Relaxed));
            self.epochs_left.set(EPOCH_BLOCK - 1);
        } else {
            self.epoch.set(self.epoch.get() + 1);
            self.epochs_left.set(self.epochs_left.get() - 1);
        }
        self.len.set(0);
    }

    /// The entry of a touched object.
    #[inline]
    pub fn find(&self, stamp: &Stamp) -> Option<&Entry> {
        let place = stamp.place(self.epoch.get())?;
        debug_assert!(place < self.len.get());
        Some(self.entry(place))
    }

    /// An entry that `open` has made.
    #[inline]
    fn entry(&self, place: usize) -> &Entry {
        // SAFETY: places are below the capacity, as stamps and `len` come from `open`.
        let entry = unsafe { self.base.add(place) };
        // SAFETY: initialised by `open`; entries are changed through their cells only, and never
        // move.
        unsafe { &*entry }
    }

    /// The entry of an object about to be changed, made at the first touch; `None` if the journal
    /// is full.
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

    /// An object goes away: its old value must not be written to where it was.
    #[inline]
    pub fn forget(&self, stamp: &Stamp) {
        if let Some(entry) = self.find(stamp) {
            entry.home.set(Home::Gone);
        }
    }

    /// A lock's contents are about to be changed for the first time in this epoch.
    ///
    /// # Safety
    /// Until the journal is undone or `forget_contents(lock)` is called, `restore(lock)` and
    /// `tell(lock)` may be called, by this OS thread, while nobody borrows the contents. `tell` says
    /// whether the contents could be told, and touches no journal.
    pub unsafe fn keep_contents(
        &self,
        lock: *const (),
        restore: unsafe fn(*const ()),
        tell: unsafe fn(*const (), &mut Digest) -> bool,
    ) {
        // SAFETY: one OS thread, and no reference into the vector outlives a statement.
        unsafe { &mut *self.contents.get() }.push(Contents { lock, restore, tell });
    }

    /// A lock goes away.
    pub fn forget_contents(&self, lock: *const ()) {
        // SAFETY: as in `keep_contents`.
        unsafe { &mut *self.contents.get() }.retain(|contents| contents.lock != lock);
    }

    /// Did any lock's contents change?
    #[inline]
    pub fn has_contents(&self) -> bool {
        // SAFETY: as in `keep_contents`.
        !unsafe { &*self.contents.get() }.is_empty()
    }

    /// Puts the next lock's contents back, newest first. Their drop code may run and touch more
    /// objects, even lock; hence one at a time, and before [`Journal::undo_words`].
    pub fn undo_contents(&self) -> bool {
        // SAFETY: as in `keep_contents`; the borrow ends before user code runs.
        let popped = unsafe { &mut *self.contents.get() }.pop();
        if let Some(Contents { lock, restore, .. }) = popped {
            // SAFETY: promised by the caller of `keep_contents`; no schedule is running, so nobody
            // borrows the contents (a guard on an abandoned stack is never used again).
            unsafe { restore(lock) };
        }
        popped.is_some()
    }

    /// Tells everything that is not as it was when the schedule began; false if that cannot be told.
    pub fn tell(&self, digest: &mut Digest) -> bool {
        // SAFETY: as in `keep_contents`; `tell` does not come back here.
        for contents in unsafe { &*self.contents.get() } {
            // SAFETY: promised by the caller of `keep_contents`; no schedule is running, so nobody
            // borrows the contents.
            if !unsafe { (contents.tell)(contents.lock, digest) } {
                return false;
            }
        }
        for place in 0..self.len.get() {
            let entry = self.entry(place);
            // As in `undo_words`.
            let (address, now) = match entry.home.get() {
                Home::Gone => continue,
                // SAFETY: as in `undo_words`.
                Home::U64(word) => (word.addr(), unsafe { &*word }.load(Relaxed)),
                // SAFETY: as in `undo_words`.
                Home::U32(word) => (word.addr(), unsafe { &*word }.load(Relaxed).into()),
                // SAFETY: as in `undo_words`.
                Home::I64(word) => (word.addr(), unsafe { &*word }.load(Relaxed) as u64),
            };
            if now != entry.old.get() {
                digest.tell(address as u64, now);
            }
        }
        true
    }

    /// Puts every word back. No code of the world runs.
    pub fn undo_words(&self) {
        for place in 0..self.len.get() {
            let entry = self.entry(place);
            let old = entry.old.get();
            // The pointers were made from borrows at the first touch. Since then the object has
            // not been dropped, or its entry would say `Gone`, and has not moved, as the module
            // says. Relaxed: one OS thread.
            match entry.home.get() {
                Home::Gone => {}
                // SAFETY: as said above the match.
                Home::U64(word) => unsafe { &*word }.store(old, Relaxed),
                // SAFETY: as said above the match.
                Home::U32(word) => unsafe { &*word }.store(old as u32, Relaxed),
                // SAFETY: as said above the match.
                Home::I64(word) => unsafe { &*word }.store(old as i64, Relaxed),
            }
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
