//! On programs drawn at random, the reduced exhaustive search reaches the same end states and
//! violations as plain enumeration, within each bound.

use crate::small;
use mmcore_explored::explore::{Coverage, Exhaustive, Explorer, Options, Rng, Violation, World, rule};
use mmcore_explored::sync::{
    AtomicU64, Lock, LockClass, Ordering::*, PlainU64, RwLock, park, spin_until, unpark_all, unpark_one,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// One operation of a random program; registers are per thread.
#[derive(Clone, Copy, Debug)]
enum Op {
    Load(usize),
    Store(usize, u64),
    Add(usize),
    /// Compares with the register, adds one.
    Cas(usize),
    /// Adds two, if the register is even.
    If(usize),
    Locked(usize),
    Both,
    TryLocked(usize),
    Read,
    Write(usize),
    Wait(usize),
    Park(usize),
    Wake(usize),
    WakeAll(usize),
    Publish(usize),
    Peek(usize),
    Check(usize),
    Fence,
}

struct Random {
    threads: Vec<Vec<Op>>,
    words: [AtomicU64; 2],
    locks: [Lock<u64>; 2],
    shared: RwLock<u64>,
    plain: [PlainU64; 2],
    registers: [PlainU64; 4],
}

impl Random {
    fn new(seed: u64) -> Random {
        let mut rng = Rng::new(seed, 0);
        let threads = 2 + rng.below(2) as usize;
        // Each program prefers a few kinds of operation, so that its threads conflict often.
        let menu: Vec<u32> = (0..3).map(|_| rng.below(18)).collect();
        let mut op = || {
            let which = rng.below(2) as usize;
            match menu[rng.below(3) as usize] {
                0 => Op::Load(which),
                1 => Op::Store(which, rng.below(3).into()),
                2 => Op::Add(which),
                3 => Op::Cas(which),
                4 => Op::If(which),
                5 => Op::Locked(which),
                6 => Op::Both,
                7 => Op::TryLocked(which),
                8 => Op::Read,
                9 => Op::Write(which),
                10 => Op::Wait(which),
                11 => Op::Park(which),
                12 => Op::Wake(which),
                13 => Op::WakeAll(which),
                14 => Op::Publish(which),
                15 => Op::Peek(which),
                16 => Op::Check(which),
                _ => Op::Fence,
            }
        };
        let length = if threads == 2 { 4 } else { 3 };
        let threads = (0..threads).map(|_| (0..length).map(|_| op()).collect()).collect();
        let lock = |_| Lock::new(LockClass::Leaf, 0);
        Random {
            threads,
            words: Default::default(),
            locks: std::array::from_fn(lock),
            shared: RwLock::new(LockClass::Leaf, 0),
            plain: Default::default(),
            registers: Default::default(),
        }
    }

    fn execute(&self, op: Op, register: &mut u64) {
        match op {
            Op::Load(w) => *register = *register * 8 + self.words[w].load(Acquire),
            Op::Store(w, value) => self.words[w].store(value, Release),
            Op::Add(w) => *register = *register * 8 + self.words[w].fetch_add(1, AcqRel),
            Op::Cas(w) => {
                let seen = *register & 7;
                if let Err(now) = self.words[w].compare_exchange(seen, seen + 1, AcqRel, Acquire) {
                    *register = now;
                }
            }
            Op::If(w) => {
                if *register & 1 == 0 {
                    self.words[w].fetch_add(2, AcqRel);
                }
            }
            Op::Locked(l) => {
                let mut guard = self.locks[l].lock();
                *guard = *guard * 3 + *register % 3 + 1;
                *register = *guard;
            }
            Op::Both => {
                let mut first = self.locks[0].lock();
                let second = self.locks[1].try_lock();
                *first = *first * 3 + 1 + u64::from(second.is_some());
            }
            Op::TryLocked(l) => match self.locks[l].try_lock() {
                Some(mut guard) => *guard += 1,
                None => *register += 1,
            },
            Op::Read => *register = *register * 8 + *self.shared.read(),
            Op::Write(w) => *self.shared.write() += w as u64 + 1,
            Op::Wait(w) => *register = *register * 8 + spin_until(&self.words[w], |value| value != 0),
            Op::Park(w) => park(&self.words[w], || self.words[w].load(Relaxed) == 0),
            Op::Wake(w) => {
                self.words[w].fetch_or(4, AcqRel);
                unpark_one(&self.words[w], |woken, more| *register += u64::from(woken) + u64::from(more));
            }
            Op::WakeAll(w) => unpark_all(&self.words[w], || {}),
            Op::Publish(w) => {
                if self.words[w].load(Acquire) & 1 == 0 {
                    self.plain[w].set(*register + 1);
                    self.words[w].fetch_or(1, Release);
                }
            }
            Op::Peek(w) => *register = *register * 8 + self.plain[w].peek(),
            Op::Check(w) => {
                if self.words[w].load(Relaxed) == 3 {
                    mmcore_explored::sync::broken("three", format_args!("word {w}"));
                }
            }
            Op::Fence => mmcore_explored::sync::fence(SeqCst),
        }
    }
}

impl World for Random {
    fn threads(&self) -> usize {
        self.threads.len()
    }

    fn run(&self, thread: usize) {
        let mut register = 0;
        for &op in &self.threads[thread] {
            self.execute(op, &mut register);
        }
        self.registers[thread].set(register);
    }

    fn fingerprint(&self) -> u64 {
        let words = self.words.iter().map(|word| word.load(Relaxed));
        let locks = self.locks.iter().map(|lock| *lock.lock());
        let plain = self.plain.iter().chain(&self.registers).map(PlainU64::get);
        words
            .chain(locks)
            .chain([*self.shared.read()])
            .chain(plain)
            .fold(0, |hash: u64, value| (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23))
    }
}

type Outcomes = BTreeSet<Result<u64, &'static str>>;

/// All outcomes within a bound, the number of schedules, and the coverage.
fn outcomes<W: World>(world: W, preemptions: Option<u32>, reduce: bool) -> (Outcomes, u64, Coverage) {
    let search = Exhaustive { preemptions, reduce, limit: 8_000 };
    let mut explorer = Explorer::with_options(world, Options { max_steps: 500, ..Options::default() });
    let mut outcomes = BTreeSet::new();
    let report = search.visit(&mut explorer, |seen, _| {
        outcomes.insert(
            seen.run.outcome.as_ref().map(|state| *state).map_err(|violation: &Violation| violation.rule),
        );
        ControlFlow::Continue(())
    });
    (outcomes, report.schedules, report.coverage)
}

#[test]
fn reduction_reaches_what_enumeration_reaches() {
    let programs = if cfg!(debug_assertions) { 400 } else { 3_000 };
    let (mut compared, mut plain, mut reduced, mut rules) = (0, 0, 0, BTreeSet::new());
    for seed in 0..programs {
        for bound in [Some(0), Some(1), Some(2), None] {
            let all = outcomes(Random::new(seed), bound, false);
            if !all.2.is_exhaustive() {
                continue;
            }
            let some = outcomes(Random::new(seed), bound, true);
            assert!(some.2.is_exhaustive());
            assert_eq!(all.0, some.0, "program {seed}, bound {bound:?}: {:?}", Random::new(seed).threads);
            compared += 1;
            plain += all.1;
            reduced += some.1;
            rules.extend(all.0.into_iter().filter_map(Result::err));
        }
    }
    // The comparison is void if too few programs completed it.
    assert!(compared > programs * 3, "{compared} comparisons");
    assert!(reduced * 2 < plain, "{reduced} of {plain} schedules");
    for rule in [rule::DEADLOCK, rule::DATA_RACE, "three"] {
        assert!(rules.contains(rule), "no program breaks '{rule}': {rules:?}");
    }
}

#[test]
fn reduction_reaches_what_enumeration_reaches_in_small_worlds() {
    fn compare<W: World>(build: impl Fn() -> W) {
        for bound in [Some(0), Some(1), Some(2)] {
            let all = outcomes(build(), bound, false);
            let some = outcomes(build(), bound, true);
            assert!(all.2.is_exhaustive() && some.2.is_exhaustive());
            assert_eq!(all.0, some.0);
            assert!(some.1 <= all.1);
        }
    }
    compare(small::lost_update);
    compare(small::sound_counter);
    compare(small::deadlock);
    compare(small::wrong_order);
    compare(|| small::sleeper(false));
    compare(|| small::sleeper(true));
    compare(|| small::publish(Relaxed));
    compare(small::missing_unlock);
    compare(|| small::get_put(2, 2));
}
