//! The page lock: a bit of the page word. Its sleepers wait in a queue that is found by the address
//! of the word (lifecycle 4.1).

use super::lives::{self, Life};
use super::pfn::Pfn;
use super::record::Page;
use super::word::{Flags, Word};
use crate::sync::{
    LockClass, Mutation, Ordering, acquired, broken, expect_held, mutated, park, park_patiently, released,
    unpark_all,
};

/// The attempts to take the lock before a thread queues itself as a sleeper.
const SPINS: u32 = if cfg!(loom) { 1 } else { 5 };

/// A guard that releases the page lock when it is dropped, for functions with several ways out.
#[must_use]
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    page: &'a Page,
    pfn: Pfn,
}

impl Locked<'_> {
    /// Drops the guard and keeps the lock. Another function releases it with [`Page::unlock`].
    #[inline]
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        // A panic here means a broken rule or a stop. No thread uses the machine afterwards, so the
        // lock is not released.
        if !std::thread::panicking() {
            self.page.unlock(self.pfn);
        }
    }
}

impl Page {
    /// Takes the page lock if it is free, and returns a guard.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn try_locked(&self, pfn: Pfn) -> Option<Locked<'_>> {
        self.trylock().then(|| Locked { page: self, pfn })
    }

    /// Takes the page lock as [`Page::lock`] does, and returns a guard.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn locked(&self, pfn: Pfn) -> Locked<'_> {
        self.lock();
        Locked { page: self, pfn }
    }

    /// Takes the page lock if it is free.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn trylock(&self) -> bool {
        let taken = match mutated(Mutation::TrylockGivesUp) {
            true => self.take_lock_at_once(),
            false => self.take_lock(),
        };
        if taken {
            acquired(LockClass::Page, self.lock_key(), true);
        }
        taken
    }

    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    fn take_lock(&self) -> bool {
        // Acquire pairs with the Release of `unlock`: the next holder sees the changes that the
        // former holder made to the page.
        !Word(self.word.fetch_or(Flags::LOCKED.bits(), Ordering::Acquire)).has(Flags::LOCKED)
    }

    /// Takes the page lock if it is free and no other bit of the word changes meanwhile: the defect.
    #[cfg_attr(feature = "explored", track_caller)]
    fn take_lock_at_once(&self) -> bool {
        // Relaxed: the exchange checks the value.
        let old = Word(self.word.load(Ordering::Relaxed));
        // Acquire: as in `take_lock`. Relaxed on failure: the lock was not taken.
        let exchange = || {
            let new = old.with(Flags::LOCKED);
            self.word.compare_exchange(old.0, new.0, Ordering::Acquire, Ordering::Relaxed)
        };
        !old.has(Flags::LOCKED) && exchange().is_ok()
    }

    /// Takes the page lock, and sleeps while another thread holds it. The caller holds a reference
    /// and no lock under which sleeping is forbidden.
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn lock(&self) {
        for _ in 0..SPINS {
            if self.take_lock() {
                acquired(LockClass::Page, self.lock_key(), false);
                return;
            }
            std::hint::spin_loop();
        }
        let life = lives::life_of(self);
        while !self.take_lock() {
            self.wait_unlocked(|| true);
        }
        lives::check_wait(self, life);
        acquired(LockClass::Page, self.lock_key(), false);
    }

    /// Takes the page lock as [`Page::lock`] does, until the deadline of the calling thread
    /// ([`patiently`](crate::sync::patiently)). Returns false, without the lock, when the deadline
    /// has passed.
    pub fn lock_patiently(&self) -> bool {
        let life = lives::life_of(self);
        while !self.take_lock() {
            if !self.wait_unlocked_patiently(|| true) {
                return false;
            }
        }
        lives::check_wait(self, life);
        acquired(LockClass::Page, self.lock_key(), false);
        true
    }

    /// Sleeps once until a wake-up, if the page is locked and `still` is true after the thread has
    /// queued itself. The caller does not get the lock and needs no reference, because the queue is
    /// found by an address alone (`migration_entry_wait`).
    ///
    /// The page may be freed during the sleep, and its frame used for another page. Then the next
    /// unlock of the other page wakes the sleeper. If the reason for the wait ended before the sleep,
    /// `still` has returned false. The record can be read in either case, and the caller checks again
    /// the entry that made it wait.
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn wait_unlocked(&self, still: impl Fn() -> bool) {
        park(&self.word, || self.sleeps(&still));
    }

    /// Sleeps as [`Page::wait_unlocked`] does, until the deadline of the calling thread. Returns
    /// false when the deadline has passed. `WAITERS` may then stay set until the next unlock.
    pub fn wait_unlocked_patiently(&self, still: impl Fn() -> bool) -> bool {
        park_patiently(&self.word, || self.sleeps(&still))
    }

    /// Sets `WAITERS` for a thread that has queued itself. Returns false if the thread must not
    /// sleep.
    fn sleeps(&self, still: impl Fn() -> bool) -> bool {
        if !still() {
            return false;
        }
        // This runs under the lock of the wait queue, and so does the clearing of the mark in
        // `wake`. An unlock that comes after the mark is set therefore finds the sleeper in the
        // queue. Relaxed: the queue's lock orders the two.
        let old = Word(self.word.fetch_or(Flags::WAITERS.bits(), Ordering::Relaxed));
        if old.has(Flags::LOCKED) || mutated(Mutation::SleepWithoutLook) {
            return true;
        }
        if !old.has(Flags::WAITERS) {
            // The page was unlocked before the mark was set, and no unlock may ever follow that
            // clears the mark. So this thread clears it. Relaxed: as above.
            self.word.fetch_and(!Flags::WAITERS.bits(), Ordering::Relaxed);
        }
        false
    }

    /// Releases the page lock, and wakes the sleepers if `WAITERS` is set.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn unlock(&self, pfn: Pfn) {
        released(LockClass::Page, self.lock_key());
        let life = lives::life_of(self);
        // Release pairs with the Acquire of `take_lock`. One read-modify-write clears the lock and
        // reads the mark. In two steps, a thread could set the mark after it was read and before
        // the lock was cleared, and would sleep without a wake-up (lifecycle 4.1).
        let old = match mutated(Mutation::LockClearedPlainly) {
            true => {
                let old = self.word();
                self.word.store(old.without(Flags::LOCKED).0, Ordering::Release);
                old
            }
            // Release: as above. The holder of the lock knows that the bit is set. To subtract it takes one
            // instruction; to clear it and to read the word takes a loop.
            false => Word(self.word.fetch_sub(Flags::LOCKED.bits(), Ordering::Release)),
        };
        if !old.has(Flags::LOCKED) {
            // Relaxed: the broken rule below stops the run, and no access depends on the repaired word.
            self.word.fetch_add(Flags::LOCKED.bits(), Ordering::Relaxed);
            broken("unlock of an unlocked page", format_args!("page {pfn} ({old})"));
        }
        if old.has(Flags::WAITERS) && !mutated(Mutation::UnlockWithoutWaking) {
            self.wake(life);
        }
    }

    /// Wakes all sleepers at once and clears the mark. A single wake-up would be lost on a thread
    /// that only waits for the lock to be free (`wait_unlocked`), because such a thread does not
    /// pass it on. Sleepers are not woken one by one, either: a sleeper that finds the lock taken
    /// again, or a write still under way, queues behind the last one, so the waking would never
    /// end.
    ///
    /// `life` is the life of the page in which the calling thread changed it.
    #[cold]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn wake(&self, life: Life) {
        unpark_all(&self.word, || {
            lives::check_wake_up(self, life);
            // Relaxed: the queue's lock orders this with the setting of the mark.
            self.word.fetch_and(!Flags::WAITERS.bits(), Ordering::Relaxed);
        });
    }

    /// Checks that the calling thread holds the page lock. Functions that need the lock begin with
    /// this check.
    #[inline]
    pub(crate) fn expect_locked(&self) {
        expect_held(LockClass::Page, self.lock_key());
    }

    /// The key of this lock in the checks of the lock order.
    #[inline]
    pub(crate) fn lock_key(&self) -> usize {
        std::ptr::from_ref(&self.word).addr()
    }
}
