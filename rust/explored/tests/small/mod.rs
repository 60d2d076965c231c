//! Small worlds, each with one known property.

use mmcore_explored::explore::{Violation, World};
use mmcore_explored::sync::{AtomicU64, Lock, LockClass, Ordering::*, PlainU64};

type Thread<S> = Box<dyn Fn(&S)>;

/// A state, the action of each thread, and the check of the end state.
pub struct Small<S> {
    pub state: S,
    pub threads: Vec<Thread<S>>,
    pub check: fn(&S) -> Result<(), Violation>,
    pub fingerprint: fn(&S) -> u64,
    pub buffers_stores: bool,
}

impl<S> Small<S> {
    pub fn new(state: S) -> Self {
        Small { state, threads: Vec::new(), check: |_| Ok(()), fingerprint: |_| 0, buffers_stores: false }
    }

    pub fn thread(mut self, body: impl Fn(&S) + 'static) -> Self {
        self.threads.push(Box::new(body));
        self
    }

    /// Delays stores as x86 does.
    pub fn tso(mut self) -> Self {
        self.buffers_stores = true;
        self
    }

    pub fn check(mut self, check: fn(&S) -> Result<(), Violation>) -> Self {
        self.check = check;
        self
    }

    pub fn fingerprint(mut self, fingerprint: fn(&S) -> u64) -> Self {
        self.fingerprint = fingerprint;
        self
    }
}

impl<S> World for Small<S> {
    fn threads(&self) -> usize {
        self.threads.len()
    }
    fn buffers_stores(&self) -> bool {
        self.buffers_stores
    }
    fn run(&self, thread: usize) {
        self.threads[thread](&self.state)
    }
    fn check(&self) -> Result<(), Violation> {
        (self.check)(&self.state)
    }
    fn fingerprint(&self) -> u64 {
        (self.fingerprint)(&self.state)
    }
}

/// Reads, adds one, writes.
fn increment_badly(counter: &AtomicU64) {
    let value = counter.load(Relaxed);
    counter.store(value + 1, Relaxed);
}

/// Two threads add one, not atomically.
pub fn lost_update() -> Small<AtomicU64> {
    Small::new(AtomicU64::new(0))
        .thread(increment_badly)
        .thread(increment_badly)
        .check(|counter| match counter.load(Relaxed) {
            2 => Ok(()),
            value => Err(Violation::new("lost update", format!("counter is {value}"))),
        })
        .fingerprint(|counter| counter.load(Relaxed))
}

/// Two threads add one, atomically, and also count under a lock.
pub fn sound_counter() -> Small<(AtomicU64, Lock<Vec<u64>>)> {
    let body = |(counter, log): &(AtomicU64, Lock<Vec<u64>>)| {
        let old = counter.fetch_add(1, Relaxed);
        log.lock().push(old);
    };
    Small::new((AtomicU64::new(0), Lock::new(LockClass::Leaf, Vec::new())))
        .thread(body)
        .thread(body)
        .check(|(counter, log)| {
            let log = log.lock();
            match (counter.load(Relaxed), log.len(), log.iter().sum::<u64>()) {
                (2, 2, 1) => Ok(()),
                other => Err(Violation::new("count", format!("{other:?}"))),
            }
        })
        .fingerprint(|(_, log)| log.lock()[0])
}

/// A and B take two locks in opposite orders. The second lock of each is a bit in a word, which the
/// check of the lock order does not see.
pub fn deadlock() -> Small<(AtomicU64, AtomicU64)> {
    use mmcore_explored::sync::spin_until;
    fn lock(word: &AtomicU64) {
        while word.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
            spin_until(word, |value| value == 0);
        }
    }
    Small::new((AtomicU64::new(0), AtomicU64::new(0)))
        .thread(|(a, b)| {
            lock(a);
            lock(b);
            b.store(0, Release);
            a.store(0, Release);
        })
        .thread(|(a, b)| {
            lock(b);
            lock(a);
            a.store(0, Release);
            b.store(0, Release);
        })
}

/// The same with locks of `sync`: out of order, whether or not the schedule deadlocks.
pub fn wrong_order() -> Small<(Lock<u64>, Lock<u64>)> {
    Small::new((Lock::new(LockClass::Lruvec, 0), Lock::new(LockClass::Zone, 0)))
        .thread(|(lru, zone)| {
            let _lru = lru.lock();
            let _zone = zone.lock();
        })
        .thread(|(lru, zone)| {
            let _zone = zone.lock();
            let _lru = lru.lock();
        })
}

/// A sleeper that checks its flag before it queues, and a waker. With `recheck` it also checks once
/// queued.
pub fn sleeper(recheck: bool) -> Small<AtomicU64> {
    use mmcore_explored::sync::{park, unpark_all};
    Small::new(AtomicU64::new(0))
        .thread(move |flag| {
            while flag.load(Acquire) == 0 {
                // Without the second check the flag may have been set in between, and the wake-up
                // is lost.
                let asked = std::cell::Cell::new(false);
                park(flag, || {
                    let first = !asked.replace(true);
                    (first && !recheck) || flag.load(Relaxed) == 0
                });
            }
        })
        .thread(|flag| {
            flag.store(1, Release);
            unpark_all(flag, || {});
        })
}

/// One thread writes plain data and raises a flag, the other waits for the flag and reads.
pub fn publish(order: mmcore_explored::sync::Ordering) -> Small<(PlainU64, AtomicU64)> {
    Small::new((PlainU64::new(0), AtomicU64::new(0)))
        .thread(move |(data, flag)| {
            data.set(7);
            flag.store(1, order);
        })
        .thread(|(data, flag)| {
            if flag.load(Acquire) == 1 {
                assert_eq!(data.get(), 7);
            }
        })
}

/// A lock that is never released (the guard is forgotten).
pub fn missing_unlock() -> Small<Lock<u64>> {
    Small::new(Lock::new(LockClass::Leaf, 0))
        .thread(|lock| {
            let mut guard = lock.lock();
            *guard += 1;
            std::mem::forget(guard);
        })
        .thread(|lock| *lock.lock() += 1)
}

/// Waits for a word by loading it again and again, for ever.
pub fn livelock() -> Small<AtomicU64> {
    Small::new(AtomicU64::new(0)).thread(|word| while word.load(Relaxed) == 0 {}).thread(|word| {
        word.fetch_add(0, Relaxed);
    })
}

/// `threads` threads that each get and put one word's reference `rounds` times.
pub fn get_put(threads: usize, rounds: usize) -> Small<AtomicU64> {
    let mut world = Small::new(AtomicU64::new(1)).check(|count| match count.load(Relaxed) {
        1 => Ok(()),
        count => Err(Violation::new("count", format!("{count} references are left"))),
    });
    for _ in 0..threads {
        world = world.thread(move |count| {
            for _ in 0..rounds {
                let mut seen = count.load(Relaxed);
                while let Err(now) = count.compare_exchange_weak(seen, seen + 1, Acquire, Relaxed) {
                    seen = now;
                }
                count.fetch_sub(1, Release);
            }
        });
    }
    world
}
