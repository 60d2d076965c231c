//! zsmalloc and zram under the explorer: stores, loads, frees, compactions and migrations of each page of a
//! zspage race, with today's locks and with those of 4.8. No schedule breaks a rule, and the three bugs
//! of its history are found.

use crate::audited;
use crate::texts::{exhausted, limit, race};
use mmcore_explored::explore::{Exhaustive, Explorer, Options, Violation, World};
use mmcore_explored::machine::{Config, Machine};
use mmcore_explored::page::Pfn;
use mmcore_explored::profile::Profile;
use mmcore_explored::release::Split;
use mmcore_explored::sync::Mutation;
use mmcore_explored::zsmalloc::{Handle, ZsPool};
use std::sync::Arc;

/// One zspage of three pages with room for two objects, one of which is stored.
const SETUP: &str = "zs_open 2\nzs_put 0 size=24\n";
const END: &str = "audit\n  zs_check 0-1\n  zs_free_empty\n  zs_close\n  audit";
const TODAY: &str = "machine pages=8\n";
const CLASS: &str = "machine pages=8 zs_locking=class zspage_groups=quarters\n";
const TRY: &str = "machine pages=8 zspage_writer_waits=false\n";

const THREADS: [&str; 11] = [
    "zs_put 1 size=24",
    "zs_put 0 size=24",
    "zs_check 0-1",
    "zs_del 0",
    "zs_compact",
    "zs_free_empty",
    "isolate z0:0\n  putback z0:0",
    "isolate z0:0\n  migrate z0:0 node=1",
    "isolate z0:1\n  migrate z0:1 node=1",
    "isolate z0:2\n  migrate z0:2 node=1",
    "zs_close",
];

/// The most schedules of a pair.
const USUAL: u64 = 400;

fn pairs_hold(machine: &str) {
    let mut all = 0;
    for (number, one) in THREADS.iter().enumerate() {
        for other in &THREADS[number..] {
            let text = format!("{machine}{SETUP}thread A\n  {one}\nthread B\n  {other}\nfinally\n  {END}\n");
            let report = exhausted(&text, None, limit(USUAL));
            if let Some(found) = race(&report) {
                panic!("{text}\n{found}");
            }
            all += report.schedules;
        }
    }
    assert!(all > 1000);
}

#[test]
fn pairs_hold_with_the_locks_of_today() {
    pairs_hold(TODAY);
}

#[test]
fn pairs_hold_with_the_locks_of_4_8() {
    pairs_hold(CLASS);
}

#[test]
fn pairs_hold_where_a_migration_gives_up_on_a_zspage_in_use() {
    pairs_hold(TRY);
}

fn found(mutation: Mutation, text: &str) {
    assert_eq!(race(&exhausted(text, None, limit(USUAL))), None);
    let report = exhausted(text, Some(mutation), u64::MAX);
    assert!(race(&report).is_some(), "{} is not found", mutation.name());
}

#[test]
fn an_empty_zspage_that_a_migration_forgets_is_found() {
    let threads = "thread A\n  isolate z0:0\n  migrate z0:0 node=1\nthread B\n  zs_del 0\n";
    found(Mutation::EmptyZspageForgotten, &format!("{CLASS}{SETUP}{threads}"));
}

#[test]
fn a_chain_that_is_locked_by_old_links_is_found() {
    let threads = "thread A\n  isolate z0:1\n  migrate z0:1 node=1\nthread B\n  zs_del 0\n";
    found(Mutation::ChainLockedByOldLinks, &format!("{TODAY}{SETUP}{threads}"));
}

#[test]
fn a_wake_up_that_the_end_of_a_pool_misses_is_found() {
    let threads = "isolate z0:0\nthread A\n  putback z0:0\nthread B\n  zs_close\n";
    found(Mutation::ClosingReadEarly, &format!("{CLASS}{SETUP}{threads}"));
}

#[test]
fn pages_are_swapped_to_a_device_and_back() {
    let setup = "machine pages=8\nmap r0 anon 1\nwrite r0\ndrain\nswapon 1 zram\n";
    for threads in [
        "thread A\n  madv r0 pageout\nthread B\n  write r0\n",
        "thread A\n  madv r0 pageout\n  read r0\nthread B\n  zs_compact\n",
        "thread A\n  madv r0 pageout\nthread B\n  unmap r0\n",
    ] {
        let text = format!("{setup}{threads}finally\n  audit\n");
        let report = exhausted(&text, None, limit(USUAL));
        if let Some(found) = race(&report) {
            panic!("{text}\n{found}");
        }
    }
}

#[test]
fn a_device_is_reset_or_becomes_the_swap_space() {
    let setup = "machine pages=8\nzs_open 2\nmap r0 anon 1\nwrite r0\ndrain\n";
    let threads = "thread A\n  zs_close\nthread B\n  swapon 1 zram\n  madv r0 pageout\n  read r0\n";
    let text = format!("{setup}{threads}finally\n  audit\n");
    let report = exhausted(&text, None, 20 * limit(USUAL));
    if let Some(found) = race(&report) {
        panic!("{text}\n{found}");
    }
}

#[test]
fn a_pool_is_closed_after_another_thread_has_freed_its_last_zspage() {
    let setup = "isolate z0:0\nzs_del 0\nputback z0:0\n";
    let threads = "thread A\n  zs_free_empty\nthread B\n  zs_close\n";
    let text = format!("{CLASS}{SETUP}{setup}{threads}finally\n  {END}\n");
    let report = exhausted(&text, None, 20 * limit(USUAL));
    if let Some(found) = race(&report) {
        panic!("{text}\n{found}");
    }
}

/// One thread uses the only object of a pool, and the others end it.
struct Use {
    machine: Machine<Split>,
    pool: Arc<ZsPool>,
    handle: Handle,
    roles: &'static [fn(&Use)],
}

const CONTENT: [u64; 3] = [5, 6, 7];

impl Use {
    fn new(kernel: &str, roles: &'static [fn(&Use)]) -> Use {
        let mut config = Config { cpus: 1, ..Config::new(1, 4) };
        config.profile = Profile::preset(kernel).unwrap();
        let machine = Machine::new(&config).unwrap();
        let pool = ZsPool::new(&machine).unwrap();
        let handle = pool.alloc(&machine, 24, 0).unwrap();
        pool.map(&machine, handle).unwrap().store(machine.memory(), &CONTENT);
        Use { machine, pool, handle, roles }
    }

    /// Maps the object. If it is still there, its content must stay until the mapping ends.
    fn load(&self) {
        let Ok(mapping) = self.pool.map(&self.machine, self.handle) else { return };
        let mut words = [0; 3];
        mapping.load(self.machine.memory(), &mut words);
        assert_eq!(words, CONTENT, "the mapped object's frames have another user");
    }

    /// Frees the object, and writes to all frames that are free then.
    fn free(&self) {
        self.pool.free(&self.machine, self.handle).unwrap();
        self.reuse();
    }

    /// Copies the object. A copy has the object's content, whatever is stored in its place meanwhile.
    fn get(&self) {
        let Ok(bytes) = self.pool.get(&self.machine, self.handle) else { return };
        let content: Vec<u8> = CONTENT.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(bytes, content, "another object was copied");
    }

    /// Frees the object, and stores a shorter one, which gets the number and the place of the first.
    fn replace(&self) {
        self.pool.free(&self.machine, self.handle).unwrap();
        if let Ok(other) = self.pool.put(&self.machine, &[9; 17], 0) {
            self.pool.free(&self.machine, other).unwrap();
        }
    }

    /// Frees the zspages that wait to be freed, and writes to all free frames.
    fn free_empty(&self) {
        self.pool.free_empty(&self.machine);
        self.reuse();
    }

    fn reuse(&self) {
        let taken: Vec<Pfn> = std::iter::from_fn(|| self.machine.alloc_pages(0, 0).ok()).collect();
        for &pfn in &taken {
            self.machine.memory().store(pfn, 0, 9);
            self.machine.memory().store(pfn, 1, 9);
        }
        taken.into_iter().for_each(|pfn| self.machine.put(pfn));
    }
}

impl World for Use {
    fn threads(&self) -> usize {
        self.roles.len()
    }

    fn run(&self, thread: usize) {
        self.roles[thread](self);
    }

    fn check(&self) -> Result<(), Violation> {
        self.pool.free_empty(&self.machine);
        audited(&self.machine)
    }
}

/// Searches the schedules of a world, which must break no rule.
#[track_caller]
fn holds_in_all(kernel: &str, world: impl Fn() -> Use) {
    let options = Options { max_steps: 20_000, ..Options::default() };
    let search = Exhaustive { limit: limit(20_000), ..Exhaustive::default() };
    let report = search.search(&mut Explorer::with_options(world(), options));
    if let Some(found) = report.counterexample {
        let trace = Explorer::with_options(world(), options).trace(&found.schedule);
        panic!("{kernel}: {}\n{trace}", found.violation);
    }
}

#[test]
fn the_frames_of_a_mapped_object_have_no_other_user() {
    const TWO: &[fn(&Use)] = &[Use::load, Use::free];
    const THREE: &[fn(&Use)] = &[Use::load, Use::free, Use::free_empty];
    for kernel in ["4.8", "6.1", "6.12"] {
        for roles in [TWO, THREE] {
            let world = || Use::new(kernel, roles);
            holds_in_all(kernel, world);
        }
    }
}

#[test]
fn a_copy_of_an_object_is_whole_although_another_one_takes_its_place() {
    for kernel in ["4.8", "6.1", "6.12"] {
        let world = || {
            let world = Use::new(kernel, &[Use::get, Use::replace]);
            // A second object keeps the zspage, and so the place of the first.
            world.pool.alloc(&world.machine, 24, 0).unwrap();
            world
        };
        holds_in_all(kernel, world);
    }
}

/// One thread stores an object, another one tries to close the pool, which has an object.
struct Refused {
    machine: Machine<Split>,
    pool: Arc<ZsPool>,
}

impl World for Refused {
    fn threads(&self) -> usize {
        2
    }

    fn run(&self, thread: usize) {
        match thread {
            0 => assert!(self.pool.close(&self.machine).is_err(), "the pool has an object"),
            _ => assert!(self.pool.alloc(&self.machine, 24, 0).is_ok(), "the pool is in use"),
        }
    }
}

#[test]
fn a_close_that_is_refused_refuses_no_object() {
    let machine = Machine::new(&Config { cpus: 1, ..Config::new(1, 8) }).unwrap();
    let pool = ZsPool::new(&machine).unwrap();
    // The class of the smallest objects is the last one that a close looks at.
    pool.alloc(&machine, 8, 0).unwrap();
    let options = Options { max_steps: 20_000, ..Options::default() };
    let mut explorer = Explorer::with_options(Refused { machine, pool }, options);
    let report = Exhaustive { limit: limit(20_000), ..Exhaustive::default() }.search(&mut explorer);
    assert!(report.counterexample.is_none(), "{report:?}");
}

/// Kernels whose close waits for isolated pages, and one whose close does not.
#[test]
fn a_close_does_not_wait_for_a_thread_that_has_ended() {
    for kernel in ["4.5", "4.8", "6.1"] {
        let program = format!(
            "machine kernel={kernel} nodes=1 pages=8\nzs_open 1\nzs_put 0 size=24\n\
             thread A\n  isolate z0:0\nthread B\n  zs_close"
        );
        let found = exhausted(&program, None, limit(20_000)).counterexample;
        assert_eq!(found, None, "{kernel}");
        let own = format!(
            "machine kernel={kernel} nodes=1 pages=8\nzs_open 1\nzs_put 0 size=24\n\
             thread A\n  isolate z0:0\n  zs_close\n  putback z0:0"
        );
        assert_eq!(exhausted(&own, None, limit(20_000)).counterexample, None, "{kernel}");
    }
}
