//! Sleeping, waking, and waiting for a word.

use super::context::{When, context};
use super::step::Kind;
use super::violation::rule;
use super::words::AtomicU64;
use std::sync::atomic::Ordering;

/// Erases a closure's lifetime, for the scheduler, which evaluates it while its owner waits.
fn erase<'a>(closure: *const (dyn Fn() -> bool + 'a)) -> *const (dyn Fn() -> bool + 'static) {
    // SAFETY: same layout; a raw pointer carries no promise about the lifetime. The code that
    // dereferences it proves that the closure still lives.
    unsafe { std::mem::transmute(closure) }
}

/// Sleeps on `word` until unparked, if `validate` still holds once the thread is queued. The
/// sleep takes two steps: falling asleep (`validate` and queueing are one step) and waking. The
/// thread never wakes up without an unpark.
#[track_caller]
pub fn park(word: &AtomicU64, validate: impl Fn() -> bool) {
    let Some(context) = context() else {
        if validate() {
            super::panics::broken(rule::DEADLOCK, format_args!("sleeps outside of a schedule"));
        }
        return;
    };
    let address = std::ptr::from_ref(word).addr();
    context.check_sleep();
    let is_step = context.step(Kind::Park, address);
    context.drain();
    context.values(0, 0);
    if !context.within(&validate) {
        return;
    }
    let me = context.current.get();
    let thread = context.thread();
    thread.woken.set(false);
    if is_step {
        context.sleepers.borrow_mut().push((address, me));
        thread.reason.set(Some(erase(&validate)));
    }
    // If no other thread can run, this step reports the violation.
    context.step_when(Kind::Wake, address, When::Woken(me));
    context.values(0, 0);
    thread.reason.set(None);
}

/// Wakes the thread that sleeps longest on `word`. `before_wake(unparked, more)` is part of the
/// step: `unparked` is true if there is such a thread, `more` if other threads sleep on.
#[track_caller]
pub fn unpark_one(word: &AtomicU64, before_wake: impl FnOnce(bool, bool)) {
    let Some(context) = context() else { return before_wake(false, false) };
    let address = std::ptr::from_ref(word).addr();
    context.step(Kind::Unpark, address);
    context.drain();
    context.values(0, 0);
    let mut sleepers = context.sleepers.borrow_mut();
    let first = sleepers.iter().position(|&(word, _)| word == address);
    let woken = first.map(|place| sleepers.remove(place).1);
    let more = sleepers.iter().any(|&(word, _)| word == address);
    drop(sleepers);
    context.within(|| before_wake(woken.is_some(), more));
    if let Some(sleeper) = woken {
        context.wakes(sleeper);
        context.threads[sleeper].woken.set(true);
    }
}

/// Wakes every sleeper on `word`; `before_wake` is part of the step.
#[track_caller]
pub fn unpark_all(word: &AtomicU64, before_wake: impl FnOnce()) {
    let Some(context) = context() else { return before_wake() };
    let address = std::ptr::from_ref(word).addr();
    context.step(Kind::Unpark, address);
    context.drain();
    context.values(0, 0);
    let mut sleepers = context.sleepers.borrow_mut();
    sleepers.retain(|&(word, sleeper)| {
        if word == address {
            context.wakes(sleeper);
            context.threads[sleeper].woken.set(true);
        }
        word != address
    });
    drop(sleepers);
    context.within(before_wake);
}

/// Returns the thread that sleeps longest on the word at this address, and has not been woken.
pub fn sleeper_on(address: usize) -> Option<usize> {
    let sleepers = context()?.sleepers.borrow();
    sleepers.iter().find(|&&(word, _)| word == address).map(|&(_, thread)| thread)
}

/// Waits until `cond(word)` holds and returns the value that satisfied it, loaded with Acquire. The
/// wait is one step, however long it takes.
#[track_caller]
pub fn spin_until(word: &AtomicU64, cond: impl Fn(u64) -> bool) -> u64 {
    let Some(context) = context() else {
        let value = word.load(Ordering::Acquire);
        if !cond(value) {
            super::panics::broken(rule::DEADLOCK, format_args!("waits outside of a schedule"));
        }
        return value;
    };
    let condition: *const (dyn Fn(u64) -> bool + '_) = &cond;
    // SAFETY: same layout; the scheduler evaluates the condition only while this call waits.
    let condition: *const (dyn Fn(u64) -> bool + 'static) = unsafe { std::mem::transmute(condition) };
    context.step_when(Kind::Wait, std::ptr::from_ref(word).addr(), When::Holds(word.word(), condition));
    // Relaxed: one OS thread runs all threads of a schedule.
    let value = word.word().load(Ordering::Relaxed);
    context.loaded(word.stamp(), Ordering::Acquire);
    context.values(value, value);
    value
}
