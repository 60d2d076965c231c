//! Thread slots: small dense numbers of the threads that use machines. The number of a thread is
//! its index in per-thread tables.
//!
//! A process has [`MAX_THREADS`] slots. A thread takes a slot at its first use of a machine and
//! gives it back when the thread ends. Code that starts threads reserves their slots first
//! ([`ThreadSlot::reserve`]), and gets `None` if no slot is free. A thread that is started
//! elsewhere claims its own slot ([`claim_thread_slot`]). A thread that does neither stops with a
//! broken rule if no slot is free.

use super::broken::broken;
use super::limits::MAX_THREADS;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns the calling thread's slot, below [`MAX_THREADS`]. The slot is given back when the thread
/// ends.
///
/// # Panics
/// If more than [`MAX_THREADS`] threads use machines at once; see [`claim_thread_slot`].
#[inline]
pub fn thread_slot() -> usize {
    match KNOWN.get() {
        0 => first_slot(),
        known => known - 1,
    }
}

#[cold]
fn first_slot() -> usize {
    if !claim_thread_slot() {
        broken("threads", format_args!("more than {MAX_THREADS} threads use mmcore at once"));
    }
    KNOWN.get() - 1
}

/// Makes sure that the calling thread has a slot; returns false if all slots are taken. Callers
/// whose threads are started elsewhere use this function to report an error instead of a panic.
pub fn claim_thread_slot() -> bool {
    KNOWN.get() > 0 || ThreadSlot::reserve().is_some_and(ThreadSlot::adopt)
}

thread_local! {
    /// The slot + 1, or 0 while the thread has no slot. A plain variable, because every counted
    /// event reads it.
    static KNOWN: Cell<usize> = const { Cell::new(0) };
    /// Owns the slot, and gives it back when the thread ends.
    static MINE: Cell<Option<ThreadSlot>> = const { Cell::new(None) };
}

/// The slots in use, one bit each.
static SLOTS: [AtomicUsize; MAX_THREADS / usize::BITS as usize] =
    [const { AtomicUsize::new(0) }; MAX_THREADS / usize::BITS as usize];

/// A reserved slot for a thread that has not started yet; given back when dropped.
#[derive(Debug)]
pub struct ThreadSlot(usize);

impl ThreadSlot {
    /// Returns a free slot, or `None`.
    pub fn reserve() -> Option<ThreadSlot> {
        for (index, word) in SLOTS.iter().enumerate() {
            // Acquire pairs with the release in `drop`: the new holder of the slot sees all that the
            // former one wrote to slot-indexed tables. Relaxed for the load: the exchange checks the value.
            let mut bits = word.load(Ordering::Relaxed);
            while bits != usize::MAX {
                let free = (!bits).trailing_zeros();
                match word.compare_exchange_weak(bits, bits | 1 << free, Ordering::Acquire, Ordering::Relaxed)
                {
                    Ok(_) => return Some(ThreadSlot(index * usize::BITS as usize + free as usize)),
                    Err(now) => bits = now,
                }
            }
        }
        None
    }

    /// Gives the slot to the calling thread until it ends. If the thread has a slot already, the
    /// thread keeps it, and the reserved slot is given back. Returns false if the thread is ending
    /// and can own no slot.
    pub fn adopt(self) -> bool {
        if KNOWN.get() > 0 {
            return true;
        }
        let known = self.0 + 1;
        let adopted = MINE.try_with(|mine| mine.set(Some(self))).is_ok();
        if adopted {
            KNOWN.set(known);
        }
        adopted
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        if KNOWN.get() == self.0 + 1 {
            KNOWN.set(0);
        }
        let bit = 1 << (self.0 % usize::BITS as usize);
        // Release pairs with the acquire in `reserve`.
        SLOTS[self.0 / usize::BITS as usize].fetch_and(!bit, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_slot_is_its_threads_and_comes_back() {
        let slot = ThreadSlot::reserve().unwrap();
        let number = slot.0;
        let seen = std::thread::spawn(move || {
            assert!(slot.adopt());
            let mine = thread_slot();
            // A thread has one slot: a second slot goes back at once.
            assert!(ThreadSlot::reserve().unwrap().adopt());
            (mine, thread_slot())
        });
        assert_eq!(seen.join().unwrap(), (number, number));
    }
}
