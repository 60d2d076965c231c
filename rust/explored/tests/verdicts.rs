//! Schedules that end on a violation print nothing, and leave the world as it was.

use crate::small;
use crate::small::Small;
use mmcore_explored::explore::{
    Exhaustive, Explorer, Method, Options, Sampling, Schedule, Violation, World, explore, on_host, rule,
};
use mmcore_explored::sync::{
    AtomicU32, AtomicU64, Lock, LockClass, Ordering::*, PlainU32, PlainU64, RwLock, Stat, acquired, broken,
    fence, park, released, spin_until, thread_slot, unpark_one,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The rules that any schedule of a world breaks.
fn rules<W: World>(world: W) -> Vec<&'static str> {
    let mut explorer = Explorer::new(world);
    let mut rules = Vec::new();
    let search = Exhaustive { preemptions: None, reduce: false, limit: 20_000 };
    let report = search.visit(&mut explorer, |seen, _| {
        if let Err(violation) = &seen.run.outcome
            && !rules.contains(&violation.rule)
        {
            rules.push(violation.rule);
        }
        std::ops::ControlFlow::Continue(())
    });
    assert!(report.coverage.is_exhaustive());
    rules
}

/// The outcome of the schedule that switches only when the current thread waits or ends.
fn plain_run<W: World>(world: W) -> Result<u64, Violation> {
    Explorer::new(world).replay(&Schedule::default()).outcome
}

/// Counts its drops, and executes steps in its destructor.
struct Dropped<'a>(&'a AtomicU64, Rc<Cell<u32>>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn a_panic_is_a_result_and_destructors_run() {
    let drops = Rc::new(Cell::new(0));
    let (mine, theirs) = (drops.clone(), drops.clone());
    let world = Small::new(AtomicU64::new(0))
        .thread(move |word| {
            let _guard = Dropped(word, mine.clone());
            word.load(Relaxed);
            panic!("number {}", 7);
        })
        .thread(move |word| {
            let _guard = Dropped(word, theirs.clone());
            spin_until(word, |value| value == 99);
        });
    let mut explorer = Explorer::new(world);
    for round in 1..=100 {
        let violation = explorer.replay(&Schedule::default()).outcome.expect_err("a panic");
        assert_eq!(violation.rule, rule::PANIC);
        assert!(violation.detail.starts_with("number 7 (") && violation.detail.contains("verdicts.rs"));
        assert_eq!(drops.get(), 2 * round);
        assert_eq!(explorer.world().state.load(Relaxed), 0);
    }
}

#[test]
fn a_caught_panic_is_no_violation() {
    let world = Small::new(AtomicU64::new(0))
        .thread(|word| {
            let caught = std::panic::catch_unwind(|| {
                let _guard = Dropped(word, Rc::default());
                word.fetch_add(1, Relaxed);
                panic!("caught");
            });
            assert!(caught.is_err());
            word.fetch_add(1, Relaxed);
        })
        .thread(|word| {
            word.fetch_add(1, Relaxed);
        })
        .check(|word| match word.load(Relaxed) {
            4 => Ok(()),
            sum => Err(Violation::new("sum", sum.to_string())),
        });
    assert_eq!(rules(world), [""; 0]);
}

/// Breaks a rule when dropped.
struct Fussy;

impl Drop for Fussy {
    fn drop(&mut self) {
        broken("fussy", format_args!("dropped"));
    }
}

#[test]
fn the_first_violation_counts_and_a_second_one_while_unwinding_is_survived() {
    let world = Small::new(Lock::new(LockClass::Leaf, 0))
        .thread(|lock| {
            let _first = Fussy;
            let _held = lock.lock();
            broken("first", format_args!("of several"));
        })
        .thread(|lock| {
            let _first = Fussy;
            *lock.lock() += 1;
        });
    let mut explorer = Explorer::new(world);
    for _ in 0..20 {
        let violation = explorer.replay(&Schedule::default()).outcome.expect_err("a violation");
        assert_eq!(violation, Violation::new("first", "of several"));
    }
    // A violation in a destructor outside of unwinding counts like any other. A panic with a second
    // violation while it unwinds is reported as the panic.
    let world = Small::new(AtomicU64::new(0)).thread(|_| drop(Fussy));
    assert_eq!(plain_run(world).map_err(|violation| violation.rule), Err("fussy"));
    // On a thread of its own, because an abandoned unwinding leaves its OS thread panicking.
    let run = || {
        std::thread::spawn(|| {
            plain_run(Small::new(AtomicU64::new(0)).thread(|_| {
                let _fussy = Fussy;
                panic!("first");
            }))
        })
    };
    assert_eq!(run().join().expect("a result").map_err(|violation| violation.rule), Err(rule::PANIC));
}

#[test]
fn checks_may_fail_in_every_way() {
    let world = || Small::new(AtomicU64::new(5)).thread(|word| word.store(6, Relaxed));
    let failing = world().check(|_| Err(Violation::new("check", "no")));
    assert_eq!(plain_run(failing), Err(Violation::new("check", "no")));
    let panicking = world().check(|word| panic!("{}", word.load(Relaxed)));
    assert_eq!(plain_run(panicking).map_err(|violation| violation.rule), Err(rule::PANIC));
    let breaking = world().check(|word| broken("rule", format_args!("{}", word.load(Relaxed))));
    assert_eq!(plain_run(breaking), Err(Violation::new("rule", "6")));
}

#[test]
fn every_change_is_undone() {
    struct State {
        atomics: (AtomicU64, AtomicU32),
        plain: (PlainU64, PlainU32),
        stat: Stat,
        list: Lock<Vec<Arc<AtomicU64>>>,
        map: RwLock<std::collections::BTreeMap<u64, String>>,
        copy: Lock<(u64, u64)>,
    }
    let state = State {
        atomics: (AtomicU64::new(1), AtomicU32::new(2)),
        plain: (PlainU64::new(3), PlainU32::new(4)),
        stat: Stat::new(),
        list: Lock::new(LockClass::Leaf, vec![Arc::new(AtomicU64::new(5))]),
        map: RwLock::new(LockClass::Leaf, [(6, "six".into())].into()),
        copy: Lock::new(LockClass::Leaf, (7, 8)),
    };
    state.stat.add(9);
    let body = |state: &State| {
        state.atomics.0.fetch_add(1, Relaxed);
        state.atomics.1.store(9, Relaxed);
        let local = AtomicU64::new(0);
        local.store(1, Relaxed);
        let moved = Arc::new(local);
        moved.fetch_add(1, Relaxed);
        {
            let mut list = state.list.lock();
            state.plain.0.set(state.plain.0.get() + 1);
            state.plain.1.set(0);
            list[0].fetch_or(8, Relaxed);
            list.push(moved.clone());
            list.push(Arc::default());
            list.swap(0, 1);
        }
        state.stat.add(-3);
        state.map.write().insert(thread_slot() as u64, "more".into());
        state.map.write().remove(&6);
        *state.copy.lock() = (0, 0);
    };
    let describe = |state: &State| {
        let list: Vec<u64> = state.list.lock().iter().map(|word| word.load(Relaxed)).collect();
        let words = (state.atomics.0.load(Relaxed), state.atomics.1.load(Relaxed));
        let plain = (state.plain.0.get(), state.plain.1.get());
        let map = state.map.read().clone();
        let copy = *state.copy.lock();
        format!("{words:?} {plain:?} {} {list:?} {map:?} {copy:?}", state.stat.get())
    };
    let before = describe(&state);
    let mut explorer = Explorer::new(Small::new(state).thread(body).thread(body));
    for seed in 0..200 {
        let search = Exhaustive { limit: seed % 7 + 1, ..Exhaustive::default() };
        assert_eq!(search.search(&mut explorer).counterexample, None);
        assert_eq!(describe(&explorer.world().state), before);
    }
    // Changed between explorations: the next schedules start from this value.
    explorer.world().state.copy.lock().0 = 70;
    explorer.world().state.map.write().insert(60, "sixty".into());
    let before = describe(&explorer.world().state);
    Exhaustive { limit: 50, ..Exhaustive::default() }.search(&mut explorer);
    assert_eq!(describe(&explorer.world().state), before);
}

#[test]
fn a_destructor_that_runs_during_the_undo_may_still_act() {
    /// Decrements a counter behind a lock when it is dropped.
    #[derive(Clone)]
    struct Member(Arc<(AtomicU64, Lock<u64>)>);
    impl Drop for Member {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Relaxed);
            *self.0.1.lock() += 1;
        }
    }
    let shared = Arc::new((AtomicU64::new(10), Lock::new(LockClass::Leaf, 0)));
    let members: Lock<Vec<Arc<Member>>> = Lock::new(LockClass::Driver, Vec::new());
    type Shared = (Arc<(AtomicU64, Lock<u64>)>, Lock<Vec<Arc<Member>>>);
    let body = |(shared, members): &Shared| {
        shared.0.fetch_add(1, Relaxed);
        members.lock().push(Arc::new(Member(shared.clone())));
        *shared.1.lock() += 100;
    };
    let mut explorer = Explorer::new(Small::new((shared, members)).thread(body).thread(body));
    for _ in 0..100 {
        assert_eq!(explorer.replay(&Schedule::default()).outcome, Ok(0));
        let (shared, members) = &explorer.world().state;
        assert_eq!((shared.0.load(Relaxed), *shared.1.lock(), members.lock().len()), (10, 0, 0));
    }
}

#[test]
fn callbacks_run_on_the_hosts_stack() {
    let place = |_: ()| {
        let local = 0u8;
        std::hint::black_box(&raw const local).addr()
    };
    let host = place(());
    // A thread's stack has 2 MiB, and this test runs near its top; coroutines' stacks lie
    // elsewhere.
    let near = move |address: usize| address.abs_diff(host) < 512 << 10;
    let world = Small::new((AtomicU64::new(0), Lock::new(LockClass::Leaf, 0)))
        .thread(move |(word, lock)| {
            for _ in 0..2 {
                word.fetch_add(1, Relaxed);
                assert!(!near(place(())));
                let seen = on_host(|| {
                    assert!(near(place(())));
                    *lock.lock() += 1;
                    word.fetch_add(1, Relaxed) + 1
                });
                assert!(seen >= 2);
            }
        })
        .thread(move |(word, _)| {
            on_host(|| assert!(near(place(()))));
            word.fetch_add(1, Relaxed);
            on_host(|| assert!(near(place(()))));
        })
        .check(|(word, lock)| match (word.load(Relaxed), *lock.lock()) {
            (5, 2) => Ok(()),
            other => Err(Violation::new("sum", format!("{other:?}"))),
        });
    assert_eq!(rules(world), [""; 0]);
}

#[test]
fn callbacks_must_not_wait_and_may_panic() {
    let world = Small::new(Lock::new(LockClass::Leaf, 0))
        .thread(|lock| on_host(|| *lock.lock() += 1))
        .thread(|lock| {
            let _held = lock.lock();
        });
    // Thread 0 takes no step, so it runs before the lock is ever taken.
    assert_eq!(rules(world), [""; 0]);
    let world = Small::new((Lock::new(LockClass::Leaf, 0), AtomicU64::new(0)))
        .thread(|(lock, word)| {
            word.load(Relaxed);
            on_host(|| *lock.lock() += 1);
        })
        .thread(|(lock, word)| {
            let _held = lock.lock();
            word.load(Relaxed);
        });
    assert_eq!(rules(world), [rule::HOST_BLOCKED]);
    let world = Small::new(AtomicU64::new(0))
        .thread(|word| {
            word.load(Relaxed);
            on_host(|| panic!("in a callback"));
        })
        .thread(|word| {
            spin_until(word, |value| value == 1);
        });
    let violation = plain_run(world).expect_err("a panic");
    assert_eq!(violation.rule, rule::PANIC);
    assert!(violation.detail.starts_with("in a callback"));
}

#[test]
fn the_race_detector_knows_how_much_each_thread_has_learnt() {
    type State = (PlainU64, AtomicU64, AtomicU64);
    let state = || (PlainU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let pair = |write: fn(&State), read: fn(&State)| rules(Small::new(state()).thread(write).thread(read));
    let race = vec![rule::DATA_RACE];
    let none: Vec<&str> = Vec::new();
    // Two unordered accesses race; a read without protection (`peek`) does not.
    assert_eq!(pair(|s| s.0.set(1), |s| s.0.set(2)), race);
    assert_eq!(pair(|s| s.0.set(1), |s| assert!(s.0.get() < 2)), race);
    assert_eq!(pair(|s| s.0.set(1), |s| assert!(s.0.peek() < 2)), none);
    // A relaxed flag between two fences.
    assert_eq!(
        pair(
            |s| {
                s.0.set(1);
                fence(Release);
                s.1.store(1, Relaxed);
            },
            |s| {
                if s.1.load(Relaxed) == 1 {
                    fence(Acquire);
                    s.0.set(2);
                }
            },
        ),
        none
    );
    // A fence on one side is not enough.
    assert_eq!(
        pair(
            |s| {
                s.0.set(1);
                s.1.store(1, Relaxed);
            },
            |s| {
                if s.1.load(Relaxed) == 1 {
                    fence(SeqCst);
                    s.0.set(2);
                }
            },
        ),
        race
    );
    // Sequential consistency alone orders the flags, and passes on no clock.
    assert_eq!(
        pair(
            |s| {
                s.0.set(1);
                fence(SeqCst);
                s.1.load(Relaxed);
            },
            |s| {
                fence(SeqCst);
                s.0.set(2);
            },
        ),
        race
    );
    // A relaxed read-modify-write passes a release on; a relaxed store ends it.
    let carried = |third: fn(&State)| {
        rules(
            Small::new(state())
                .thread(|s| {
                    s.0.set(1);
                    s.1.store(1, Release);
                })
                .thread(third)
                .thread(|s| {
                    if s.1.load(Acquire) == 2 {
                        s.0.set(2);
                    }
                }),
        )
    };
    assert_eq!(carried(|s| _ = s.1.compare_exchange(1, 2, Relaxed, Relaxed)), none);
    assert_eq!(
        carried(|s| {
            if s.1.load(Relaxed) == 1 {
                s.1.store(2, Relaxed);
            }
        }),
        race
    );
    // A release does not cover an access after it.
    assert_eq!(
        pair(
            |s| {
                s.1.store(1, Release);
                s.0.set(1);
            },
            |s| {
                if s.1.load(Acquire) == 1 {
                    s.0.set(2);
                }
            },
        ),
        race
    );
}

#[test]
fn locks_and_wakeups_pass_knowledge_on() {
    let world = Small::new((PlainU64::new(0), Lock::new(LockClass::Leaf, ())))
        .thread(|(data, lock)| {
            let _held = lock.lock();
            data.set(data.get() + 1);
        })
        .thread(|(data, lock)| {
            if let Some(_held) = lock.try_lock() {
                data.set(data.get() + 1);
            }
        });
    assert_eq!(rules(world), [""; 0]);
    let world = Small::new((PlainU64::new(0), AtomicU64::new(0)))
        .thread(|(data, word)| {
            park(word, || word.load(Relaxed) == 0);
            if word.load(Relaxed) == 2 {
                data.set(1);
            }
        })
        .thread(|(data, word)| {
            data.set(2);
            unpark_one(word, |woken, _| word.store(if woken { 2 } else { 1 }, Relaxed));
        });
    assert_eq!(rules(world), [""; 0]);
}

#[test]
fn readers_share_and_writers_do_not() {
    let world = Small::new((RwLock::new(LockClass::Rmap, 0u64), AtomicU64::new(0)));
    let reader = |(lock, inside): &(RwLock<u64>, AtomicU64)| {
        let value = lock.read();
        inside.fetch_add(1, Relaxed);
        assert!(*value == 0 || *value == 1);
        inside.fetch_sub(1, Relaxed);
    };
    let world = world.thread(reader).thread(reader).thread(|(lock, inside)| {
        let mut value = lock.write();
        assert_eq!(inside.load(Relaxed), 0);
        *value += 1;
    });
    let report = Exhaustive { preemptions: None, ..Exhaustive::default() }.search(&mut Explorer::new(world));
    assert_eq!(report.counterexample, None);
    assert!(report.coverage.is_exhaustive());
}

#[test]
fn bit_locks_take_part_in_the_lock_order() {
    let one = |body: fn(&(AtomicU64, Lock<u64>))| {
        let world = Small::new((AtomicU64::new(0), Lock::new(LockClass::Lruvec, 0))).thread(body);
        plain_run(world).map_err(|violation| violation.rule)
    };
    assert_eq!(
        one(|_| [false, true].iter().for_each(|&t| acquired(LockClass::Page, usize::from(t), t))),
        Ok(0)
    );
    assert_eq!(
        one(|_| [1, 2].iter().for_each(|&k| acquired(LockClass::Page, k, false))),
        Err(rule::LOCK_ORDER)
    );
    assert_eq!(
        one(|(_, lru)| {
            let _lru = lru.lock();
            acquired(LockClass::Page, 1, false);
        }),
        Err(rule::LOCK_ORDER)
    );
    assert_eq!(
        one(|(_, lru)| {
            let _lru = lru.lock();
            acquired(LockClass::Page, 1, true);
            released(LockClass::Page, 1);
        }),
        Ok(0)
    );
    assert_eq!(
        one(|(word, lru)| {
            let _lru = lru.lock();
            park(word, || false);
        }),
        Err(rule::SLEEP)
    );
    assert_eq!(
        one(|(word, _)| {
            acquired(LockClass::Page, 1, false);
            park(word, || false);
            released(LockClass::Page, 1);
            acquired(LockClass::Mmap, 0, false);
        }),
        Ok(0)
    );
}

#[test]
fn a_weak_exchange_fails_only_when_asked_to() {
    let world = || {
        Small::new(AtomicU64::new(0))
            .thread(|word| {
                for value in 0..3 {
                    if word.compare_exchange_weak(value, value + 1, Relaxed, Relaxed).is_err() {
                        word.store(100 + value, Relaxed);
                        return;
                    }
                }
            })
            .fingerprint(|word| word.load(Relaxed))
    };
    for (which, result) in [(0, 3), (1, 100), (2, 101), (3, 102), (4, 3)] {
        let options = Options { spurious_failure: which, ..Options::default() };
        let run = Explorer::with_options(world(), options).replay(&Schedule::default());
        assert_eq!(run.outcome, Ok(result));
    }
}

#[test]
fn outside_of_a_schedule_operations_act_at_once() {
    let word = AtomicU64::new(1);
    assert_eq!(word.fetch_add(1, SeqCst), 1);
    assert_eq!(spin_until(&word, |value| value == 2), 2);
    park(&word, || false);
    unpark_one(&word, |woken, more| assert!(!woken && !more));
    assert_eq!(thread_slot(), 0);
    let lock = Lock::new(LockClass::Leaf, 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| *lock.lock() += 1));
        }
    });
    assert_eq!(*lock.lock(), 4000);
    assert!(std::panic::catch_unwind(|| park(&AtomicU64::new(0), || true)).is_err());
}

#[test]
fn every_strategy_runs_eight_threads() {
    for method in [Method::Walk { stay: 0 }, Method::Pct { depth: 4 }, Method::Portfolio] {
        let sampling = Sampling { method, schedules: 2_000, seed: 5 };
        let build = || small::get_put(8, 2);
        let report = explore(build, &sampling, Options::default(), 2, &AtomicBool::new(false));
        assert_eq!((report.counterexample, report.schedules), (None, 2_000));
    }
}
