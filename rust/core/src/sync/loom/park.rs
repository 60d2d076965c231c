//! Sleeping on a word. A single queue under a single mutex serves all words. `parking_lot` has many
//! queues, but gives the same guarantee: `validate` and `before_wake` run under the lock of the
//! word's queue.

use super::words::AtomicU64;
use ::loom::sync::{Condvar, Mutex};
use std::cell::RefCell;
use std::sync::Arc;

/// The queue of the threads that sleep on any word.
#[derive(Debug)]
struct Queue {
    sleepers: Mutex<Sleepers>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// The sleepers, as (word's address, ticket), longest first.
    asleep: Vec<(usize, u64)>,
    tickets: u64,
}

thread_local! {
    /// The queue of the execution that runs on this OS thread.
    static QUEUE: RefCell<Option<Arc<Queue>>> = const { RefCell::new(None) };
}

/// Empties the queue for a new execution.
pub(super) fn reset() {
    let queue = Queue { sleepers: Mutex::new(Sleepers::default()), woken: Condvar::new() };
    QUEUE.with(|slot| *slot.borrow_mut() = Some(Arc::new(queue)));
}

fn queue() -> Arc<Queue> {
    QUEUE.with(|slot| slot.borrow().clone()).expect("set at the beginning of each execution")
}

/// Sleeps on `word` until unparked, if `validate` still holds once the thread is queued. The thread
/// never wakes up without an unpark, so a lost wake-up becomes a deadlock, which loom reports.
pub fn park(word: &AtomicU64, validate: impl Fn() -> bool) {
    let queue = queue();
    let key = std::ptr::from_ref(word).addr();
    let mut sleepers = queue.sleepers.lock().expect("no panic under the queue's lock");
    if !validate() {
        drop(sleepers);
        // The caller reads the word again. Without the yield, loom could show the caller the same
        // old value for ever.
        return ::loom::thread::yield_now();
    }
    sleepers.tickets += 1;
    let me = (key, sleepers.tickets);
    sleepers.asleep.push(me);
    while sleepers.asleep.contains(&me) {
        sleepers = queue.woken.wait(sleepers).expect("no panic under the queue's lock");
    }
}

/// Wakes the thread that sleeps longest on `word`; `before_wake(unparked, more)` runs under the queue's lock.
pub fn unpark_one(word: &AtomicU64, before_wake: impl FnOnce(bool, bool)) {
    let queue = queue();
    let key = std::ptr::from_ref(word).addr();
    let mut sleepers = queue.sleepers.lock().expect("no panic under the queue's lock");
    let first = sleepers.asleep.iter().position(|&(word, _)| word == key);
    if let Some(first) = first {
        sleepers.asleep.remove(first);
    }
    let more = sleepers.asleep.iter().any(|&(word, _)| word == key);
    before_wake(first.is_some(), more);
    // All sleepers wake up and look for their tickets; the sleeper whose ticket was removed
    // returns.
    queue.woken.notify_all();
}

/// Wakes every sleeper on `word`; `before_wake` runs under the queue's lock.
pub fn unpark_all(word: &AtomicU64, before_wake: impl FnOnce()) {
    let queue = queue();
    let key = std::ptr::from_ref(word).addr();
    let mut sleepers = queue.sleepers.lock().expect("no panic under the queue's lock");
    sleepers.asleep.retain(|&(word, _)| word != key);
    before_wake();
    queue.woken.notify_all();
}
