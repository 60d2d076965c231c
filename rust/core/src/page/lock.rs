//! The page lock: a bit of the page word, with sleepers hashed by the word's address
//! (lifecycle 4.1).

use super::{Flags, Page, Pfn, Word};
use crate::sync::{
    LockClass, Mutation, Ordering, acquired, broken, expect_held, mutated, park, park_patiently, released,
    unpark_all,
};

/// Attempts before a sleeper queues itself.
const SPINS: u32 = if cfg!(loom) { 1 } else { 5 };

impl Page {
    /// Takes the page lock if it is free.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn trylock(&self) -> bool {
        let taken = self.take_lock();
        if taken {
            acquired(LockClass::Page, self.lock_key(), true);
        }
        taken
    }

    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    fn take_lock(&self) -> bool {
        // Acquire pairs with the Release of `unlock`: what the former holder did to the page is
        // visible to the next.
        !Word(self.word.fetch_or(Flags::LOCKED.bits(), Ordering::Acquire)).has(Flags::LOCKED)
    }

    /// Takes the page lock, sleeping while somebody else has it. The caller holds a reference
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
        while !self.take_lock() {
            self.wait_unlocked(|| true);
        }
        acquired(LockClass::Page, self.lock_key(), false);
    }

    /// The same for who may run out of patience ([`patiently`](crate::sync::patiently)): false without the lock.
    pub fn lock_patiently(&self) -> bool {
        while !self.take_lock() {
            if !self.wait_unlocked_patiently(|| true) {
                return false;
            }
        }
        acquired(LockClass::Page, self.lock_key(), false);
        true
    }

    /// Sleeps, at most once, if the page is locked and `still` holds once queued; without wanting the
    /// lock and without a reference: the key is only an address (`migration_entry_wait`).
    ///
    /// The page may be freed and live another life meanwhile. Then the wake-up comes from its next
    /// unlock, or `still` said no: the record is always there to be looked at, and the caller looks
    /// again at what sent it here.
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn wait_unlocked(&self, still: impl Fn() -> bool) {
        park(&self.word, || self.sleeps(&still));
    }

    /// The same for who may run out of patience: false if so. The mark of a sleeper may stay behind then, until the
    /// unlock that is still to come.
    pub fn wait_unlocked_patiently(&self, still: impl Fn() -> bool) -> bool {
        park_patiently(&self.word, || self.sleeps(&still))
    }

    /// Marks a sleeper that is queued; false if there is nothing to wait for.
    fn sleeps(&self, still: impl Fn() -> bool) -> bool {
        if !still() {
            return false;
        }
        // Runs under the wait queue's lock, as does the clearing in `unlock`: a set bit here means
        // that the next unlock finds us. Relaxed: the queue's lock orders it.
        let old = Word(self.word.fetch_or(Flags::WAITERS.bits(), Ordering::Relaxed));
        if old.has(Flags::LOCKED) || mutated(Mutation::SleepWithoutLook) {
            return true;
        }
        if !old.has(Flags::WAITERS) {
            // Unlocked in between: nobody would come to clear the mark. Relaxed: as above.
            self.word.fetch_and(!Flags::WAITERS.bits(), Ordering::Relaxed);
        }
        false
    }

    /// Gives the page lock back and wakes a sleeper, if one is marked.
    #[inline]
    #[cfg_attr(feature = "explored", track_caller)]
    pub fn unlock(&self, pfn: Pfn) {
        released(LockClass::Page, self.lock_key());
        // Release pairs with the Acquire of `trylock`. One read-modify-write clears the lock and reads
        // the mark, so that no sleeper can slip between (lifecycle 4.1).
        let old = match mutated(Mutation::LockClearedPlainly) {
            true => {
                let old = self.word();
                self.word.store(old.without(Flags::LOCKED).0, Ordering::Release);
                old
            }
            false => Word(self.word.fetch_and(!Flags::LOCKED.bits(), Ordering::Release)),
        };
        if !old.has(Flags::LOCKED) {
            broken("unlock of an unlocked page", format_args!("page {pfn} ({old})"));
        }
        if old.has(Flags::WAITERS) && !mutated(Mutation::UnlockWithoutWaking) {
            self.wake();
        }
    }

    /// Wakes every sleeper and clears the mark. All, because some only wait for the lock to be free
    /// (`wait_unlocked`) and would not pass a single wake-up on. At once, because woken one by one, sleepers that
    /// find the lock taken again or a write still going on would queue behind the last one, and be woken for ever.
    #[cold]
    #[cfg_attr(feature = "explored", track_caller)]
    pub(crate) fn wake(&self) {
        unpark_all(&self.word, || {
            // Relaxed: under the queue's lock, as the setting is.
            self.word.fetch_and(!Flags::WAITERS.bits(), Ordering::Relaxed);
        });
    }

    /// The calling thread has the page lock: what functions that need it begin with.
    #[inline]
    pub(crate) fn expect_locked(&self) {
        expect_held(LockClass::Page, self.lock_key());
    }

    /// What the lock-order checks call this lock.
    #[inline]
    pub(crate) fn lock_key(&self) -> usize {
        std::ptr::from_ref(&self.word).addr()
    }
}
