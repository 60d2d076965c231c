//! Store buffers: the memory of x86 (x86-TSO).
//!
//! Sewell, Sarkar, Owens, Zappa Nardelli, Myreen, "x86-TSO: a rigorous and usable programmer's model for
//! x86 multiprocessors", CACM 2010. A store that is weaker than SeqCst goes to the end of its thread's
//! buffer. The thread itself reads it from there; other threads see it only once it has left the buffer for
//! the memory, in the order of the stores. A read-modify-write, a SeqCst store or fence, a lock, sleeping and
//! waking first empty the buffer of their thread.
//!
//! The oldest store of a buffer leaves it in a step of its own, which the strategy chooses like a thread: the
//! buffer of thread `t` has the number `t` + [`FIRST_BUFFER`]. So a schedule has one number for each step
//! in this memory too, and an empty schedule leaves each store in its buffer for as long as it may stay.
//!
//! Plain data is not delayed: its accesses are ordered by locks, which empty the buffers, or are a data
//! race. A store to a word on the stack of its thread is not delayed either. No other thread knows the word
//! yet, and it may move before its store would leave the buffer.

use super::buffers::Delayed;
use super::context::{Context, Mode};
use super::journal::{Home, Stamp};
use super::record::Place;
use super::step::{FIRST_BUFFER, Kind, Step, View};
use std::panic::Location;
use std::sync::atomic::Ordering;

impl Context {
    /// Delays a store of the current thread, which has just executed as a step. Returns false if the store
    /// must go to the memory.
    #[inline]
    #[track_caller]
    pub(super) fn delays(
        &self,
        stamp: &Stamp,
        home: impl FnOnce() -> Home,
        address: usize,
        value: u64,
        order: Ordering,
    ) -> bool {
        self.buffers.enabled.get() && self.delay(Location::caller(), stamp, home(), address, value, order)
    }

    #[cold]
    fn delay(
        &self,
        place: Place,
        stamp: &Stamp,
        home: Home,
        address: usize,
        value: u64,
        order: Ordering,
    ) -> bool {
        if order == Ordering::SeqCst || self.mode.get() != Mode::Running {
            self.drain();
            return false;
        }
        let here = 0u8;
        if address.abs_diff(std::ptr::from_ref(&here).addr()) < super::fiber::STACK {
            return false;
        }
        let me = self.current.get();
        let published = self.publish(order);
        self.buffers.push(me, Delayed { address, stamp, home, value, published, place });
        true
    }

    /// Returns the value that the current thread has last stored at `address`, if the store is still in the
    /// thread's buffer.
    #[inline]
    pub(super) fn forwarded(&self, address: usize) -> Option<u64> {
        if !self.buffers.any_filled() {
            return None;
        }
        self.buffers.last(self.current.get(), address)
    }

    /// Empties the current thread's buffer, as part of the step that executes now.
    #[inline]
    pub(super) fn drain(&self) {
        if self.buffers.any_filled() {
            self.drain_of(self.current.get());
        }
    }

    #[cold]
    fn drain_of(&self, thread: usize) {
        while self.leave_buffer(thread).is_some() {}
    }

    /// Performs the oldest store of a buffer. Returns its address, the word before and after, and its line.
    fn leave_buffer(&self, thread: usize) -> Option<(usize, u64, u64, Place)> {
        let store = self.buffers.pop(thread)?;
        // SAFETY: the word lives, as `dropped` takes the stores to a dropped word out of the buffers. It has
        // not moved: words on a stack are not delayed, and a word that other threads may know stays at its
        // place.
        let stamp = unsafe { &*store.stamp };
        // SAFETY: as above.
        let before = unsafe { store.home.load() };
        self.entry(stamp, || (store.home, before)).clock.set(store.published);
        // SAFETY: as above.
        unsafe { store.home.store(store.value) };
        Some((store.address, before, store.value, store.place))
    }

    /// Chooses the thread that executes the next step, in a memory with buffers. Stores leave their buffers
    /// as the strategy chooses. `None` once the schedule has its verdict, or all threads and buffers are at
    /// their end.
    pub(super) fn decide_with_buffers(&self) -> Option<usize> {
        loop {
            let step = self.steps.get();
            let alive = self.alive.get();
            let threads = self.able();
            let filled = self.buffers.filled();
            let runnable = threads | filled << FIRST_BUFFER;
            if runnable == 0 {
                if alive != 0 {
                    self.judge(self.stuck());
                }
                return None;
            }
            if step >= self.limit.get() && !self.goes_on_fairly() {
                return None;
            }
            let current = self.log().last().map(|last| last.get().thread.into());
            let view = View { step, current, runnable, alive };
            // The last thread reads its own stores from its buffer, so they may stay there while it runs.
            let alone = alive.is_power_of_two() && threads == alive && filled & !alive == 0;
            let (chosen, until) = if alone {
                (alive.trailing_zeros() as usize, u32::MAX)
            } else if let Some(turn) = self.fair_choice(view) {
                turn
            } else {
                let strategy = self.strategy.get()?;
                // SAFETY: `Runtime::run` borrows the strategy exclusively for the schedule, and only `decide`
                // and this line use it; `choose` cannot call back into the context.
                let choice = unsafe { &mut *strategy }.choose(view);
                let until = if step >= self.recording.analyse_from.get() { step + 1 } else { choice.until };
                (view.fall_back(Some(choice.thread)), until)
            };
            self.recording.runnable(step, runnable, 0);
            if let Some(thread) = chosen.checked_sub(FIRST_BUFFER) {
                let Some((address, before, after, place)) = self.leave_buffer(thread) else { continue };
                self.append(Step { address, thread: chosen as u8, kind: Kind::Leave });
                self.values_at(before, after, place);
                continue;
            }
            let ran = (step > 0).then(|| self.current.get());
            if self.watching.get() && ran != Some(chosen) {
                self.look_between_turns(ran, chosen);
            }
            self.stop.set(until.clamp(step + 1, self.limit.get()));
            return Some(chosen);
        }
    }
}
