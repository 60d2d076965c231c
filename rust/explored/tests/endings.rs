//! An end state that passed the check once is not checked again. These tests show that no verdict
//! changes: the same schedules of the same programs, sound or defective, have the same results as
//! with each end state checked.

use mmcore_explored::explore::{
    Checks, Digest, Explorer, Options, ProgramWorld, Rng, Run, Schedule, Violation, World,
};
use mmcore_explored::program::{Defaults, MachineSpec, parse};
use mmcore_explored::release::{Packed, Release, Split};
use mmcore_explored::sync::{Mutation, with_mutation};

/// A world whose end states have no digest, so that each is checked.
struct Always<W>(W);

impl<W: World> World for Always<W> {
    fn threads(&self) -> usize {
        self.0.threads()
    }
    fn begin(&self) {
        self.0.begin();
    }
    fn run(&self, thread: usize) {
        self.0.run(thread);
    }
    fn check(&self) -> Result<(), Violation> {
        self.0.check()
    }
    fn digest_into(&self, _digest: &mut Digest) -> bool {
        false
    }
    fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }
    fn check_as(&mut self, checks: Checks) {
        self.0.check_as(checks);
    }
    fn judge(&self, fingerprint: u64) -> Result<(), Violation> {
        self.0.judge(fingerprint)
    }
}

fn world<R: Release>(text: &str) -> ProgramWorld {
    let program = parse(&format!("machine release={}\n{text}", R::DESIGN)).unwrap();
    let (config, cpus) = program.configured(&MachineSpec::default(), &Defaults::EXPLORE).unwrap();
    ProgramWorld::new(&program, &config, &cpus).unwrap().with_fingerprints()
}

/// The results of random schedules of two threads, and how many of them ended and were checked.
fn judged<W: World>(world: W, seed: u64) -> (Vec<Run>, (u64, u64)) {
    let mut explorer =
        Explorer::with_options(world, Options { max_steps: 2_000, checks: Checks::All, ..Options::DEFAULT });
    let schedules = if cfg!(debug_assertions) { 60 } else { 300 };
    let runs = (0..schedules).map(|index| {
        let mut rng = Rng::new(seed, index);
        let mut threads = Vec::new();
        while threads.len() < 300 {
            let thread = rng.below(2) as u8;
            threads.extend(std::iter::repeat_n(thread, 1 + rng.below(24) as usize));
        }
        explorer.replay(&Schedule::new(threads))
    });
    let runs = runs.collect();
    (runs, explorer.checked())
}

/// Pairs of threads that race on mapped, movable, allocated, large, reclaimed and written pages, look at
/// pages without locks, or meet faults.
const PROGRAMS: [&str; 19] = [
    "map r0 anon 1\nwrite r0\ndrain\nthread A\n  get r0\n  put r0\nthread B\n  isolate r0\n  putback r0",
    "map r0 anon 2\nwrite r0\nthread A\n  move r0:0-1 node=1\nthread B\n  write r0:1\n  read r0\nfinally\n  read r0",
    "map r0 anon 1\nwrite r0\ndrain\nthread A\n  isolate r0\n  migrate r0 node=1\nthread B\n  unmap r0",
    "map r0 anon 1\nwrite r0\nthread A\n  fork c0\n  cwrite c0 r0\nthread B\n  write r0\n  pin g0 r0 longterm\n  unpin g0",
    "map r0 anon 1\nwrite r0\ndrain\nthread A\n  fork c0\n  exit c0\nthread B\n  isolate r0\n  migrate r0 node=1",
    "movable m0 2\nthread A\n  isolate m0:0-1\n  migrate m0:0-1 node=1\nthread B\n  release m0:1",
    "movable m0 1\nthread A\n  try_get m0\n  put m0\nthread B\n  release m0\n  movable m1 1",
    "allocate p0\nlru_add p0\nthread A\n  isolate p0\n  putback p0\n  drain\nthread B\n  free p0",
    "map r0 anon 2 order=1\nwrite r0\ndrain\nthread A\n  split r0:0\nthread B\n  get r0:1\n  put r0:1\n  unmap r0:1",
    "swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nthread A\n  madv r0 pageout\n  read r0\nthread B\n  reclaim 1\n  write r0",
    "inflate 1\nthread A\n  isolate b0:0\n  migrate b0:0 node=1\nthread B\n  deflate 1",
    "machine pages=8\nzs_open 2\nzs_put 0 size=24\nthread A\n  isolate z0:0\n  migrate z0:0 node=1\nthread B\n  zs_del 0",
    "allocate p0\nthread A\n  freeze p0 refs=1\n  unfreeze p0 refs=1\nthread B\n  try_get p0\n  lock p0",
    "map r0 anon 1\nwrite r0\nthread A\n  trylock r0\n  unlock r0\n  move r0 node=1\nthread B\n  get r0\n  query r0",
    "map r0 file 1\nwrite r0\nthread A\n  begin_writeback r0\n  end_writeback r0\nthread B\n  sync\n  truncate r0 0",
    "map r0 file 1\nthread A\n  fread r0\nthread B\n  look cache r0\n  look cache r0",
    "map r0 anon 1\nthread A\n  write r0\nthread B\n  look entry r0\n  look entry r0",
    "map r0 anon 2\nwrite r0\ndrain\nthread A\n  fail copy_failure times=2\n  move r0:0 node=1\nthread B\n  fail no_memory\n  move r0:1 node=1",
    "map r0 file 1\nwrite r0\nthread A\n  fail driver_error\n  msync r0\n  msync r0\nthread B\n  read r0",
];

/// Compares on an OS thread of its own, as a schedule may have to abandon an unwinding stack.
/// Returns how many schedules ended, how many end states were checked, and how many schedules broke
/// a rule; zeroes if the defect breaks the set-up already.
fn compared<R: Release>(text: &'static str, mutation: Option<Mutation>) -> (u64, u64, usize) {
    let compare = move || {
        with_mutation(mutation, || {
            if std::panic::catch_unwind(|| drop(world::<R>(text))).is_err() {
                return (0, 0, 0);
            }
            let (some, (ended, checked)) = judged(world::<R>(text), 1);
            let (all, (_, every)) = judged(Always(world::<R>(text)), 1);
            assert_eq!(some, all, "{mutation:?}\n{text}");
            assert_eq!(every, ended);
            (ended, checked, all.iter().filter(|run| run.outcome.is_err()).count())
        })
    };
    std::thread::spawn(compare).join().unwrap_or_else(|_| panic!("{mutation:?}\n{text}"))
}

#[test]
fn a_state_that_passed_once_would_pass_again() {
    let (mut ended, mut checked) = (0, 0);
    for text in PROGRAMS {
        for (e, c, broken) in [compared::<Split>(text, None), compared::<Packed>(text, None)] {
            assert_eq!(broken, 0, "{text}");
            (ended, checked) = (ended + e, checked + c);
        }
    }
    // If nothing were remembered, both runs would be the same and the comparison empty.
    assert!(checked * 3 < ended * 2, "{checked} of {ended} ends were checked");
}

#[test]
fn no_defect_hides_behind_a_state_that_passed() {
    let mut found = 0;
    for &mutation in Mutation::ALL {
        found += usize::from(PROGRAMS.iter().any(|text| compared::<Split>(text, Some(mutation)).2 > 0));
    }
    assert!(found * 3 > Mutation::ALL.len(), "these programs find only {found} defects");
}
