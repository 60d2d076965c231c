//! The stores of each thread that other threads do not see yet.

use super::clock::Clock;
use super::journal::{Home, Stamp};
use super::record::Place;
use super::step::{FIRST_BUFFER, Threads};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// A store in a buffer.
#[derive(Debug)]
pub(super) struct Delayed {
    pub address: usize,
    pub stamp: *const Stamp,
    pub home: Home,
    pub value: u64,
    /// The clock that the store publishes.
    pub published: Clock,
    pub place: Place,
}

/// The buffers of all threads.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// True if stores are delayed.
    pub enabled: Cell<bool>,
    /// The threads whose buffers are not empty, a bit each.
    filled: Cell<Threads>,
    stores: [RefCell<VecDeque<Delayed>>; FIRST_BUFFER],
}

impl Buffers {
    /// Empties the buffers without storing.
    #[inline]
    pub fn clear(&self) {
        if self.filled.replace(0) != 0 {
            self.stores.iter().for_each(|stores| stores.borrow_mut().clear());
        }
    }

    fn note_filled(&self, thread: usize) {
        let bit = 1 << thread;
        let rest = self.filled.get() & !bit;
        self.filled.set(if self.stores[thread].borrow().is_empty() { rest } else { rest | bit });
    }

    /// Puts a store at the end of a thread's buffer.
    pub fn push(&self, thread: usize, store: Delayed) {
        self.stores[thread].borrow_mut().push_back(store);
        self.note_filled(thread);
    }

    /// Takes the oldest store out of a thread's buffer.
    pub fn pop(&self, thread: usize) -> Option<Delayed> {
        let store = self.stores.get(thread)?.borrow_mut().pop_front()?;
        self.note_filled(thread);
        Some(store)
    }

    /// Returns the value of the last store to a word in a thread's buffer.
    pub fn last(&self, thread: usize, address: usize) -> Option<u64> {
        let stores = self.stores.get(thread)?.borrow();
        stores.iter().rfind(|store| store.address == address).map(|store| store.value)
    }

    /// Takes the stores to a word out of all buffers.
    pub fn forget(&self, address: usize) {
        for (thread, stores) in self.stores.iter().enumerate() {
            stores.borrow_mut().retain(|store| store.address != address);
            self.note_filled(thread);
        }
    }

    /// Returns the threads whose buffers are not empty.
    pub fn filled(&self) -> Threads {
        self.filled.get()
    }

    /// Returns true if any buffer has a store.
    #[inline]
    pub fn any_filled(&self) -> bool {
        self.filled.get() != 0
    }
}
