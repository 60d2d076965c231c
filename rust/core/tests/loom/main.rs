//! Weak-memory models: loom runs the core's own primitives in every way that the memory model
//! allows. `docs/weak-memory.md` tells which mistakes they find and which they cannot find.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p mmcore --test loom
//! ```
//!
//! | file | models |
//! |---|---|
//! | `count` | the reference count: publish, last put, freeze |
//! | `lock` | the page lock and its sleepers |
//! | `entry` | page-table entries: lock, publish |
//! | `tlb` | sections and flush |
//! | `batch` | per-CPU batches: hand-over, drain, disable |
//! | `release` | each release design: claim, put, unlock and put, freeze, movable pages |
//! | `migrate` | a migration against a user's access, and against a holder |
//! | `twins` | the same protocols with a mistake: each must fail |
//! | `orderings` | every ordering weakened in turn, to find those that are needed |

#![cfg(loom)]

mod batch;
mod count;
mod entry;
mod lock;
mod migrate;
mod orderings;
mod release;
mod tlb;
mod twins;

use mmcore::machine::{Config, Machine};
use mmcore::page::Pfn;
use mmcore::release::Release;
use mmcore::sync::loom::{Model, thread};
use std::sync::Arc;

/// The frame of the models with a single one.
const PFN: Pfn = Pfn(0);

/// All models.
fn models() -> Vec<Model> {
    [count::MODELS, lock::MODELS, entry::MODELS, tlb::MODELS, batch::MODELS, migrate::MODELS, release::MODELS]
        .concat()
}

/// Runs a model and fails if the model fails. Prints the number of executions; a small number shows
/// a model without a race.
#[track_caller]
#[allow(clippy::print_stdout, reason = "shown with --nocapture")]
fn holds(model: &Model) {
    let outcome = model.run();
    if let Some(failure) = outcome.failure {
        panic!("{} fails in execution {}: {failure}", model.name, outcome.executions);
    }
    println!("{}: {} executions", model.name, outcome.executions);
}

/// Starts a thread of the model on a clone of `shared`.
fn start<T: 'static>(shared: &Arc<T>, run: impl FnOnce(&T) + 'static) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

/// Waits for threads.
fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a thread that panics ends the model");
    }
}

/// A machine of one node and one CPU, so that the model's threads share as much as possible.
fn machine<R: Release>(frames: u32) -> Arc<Machine<R>> {
    let mut config = Config::new(1, frames);
    config.profile.release = R::DESIGN;
    config.cpus = 1;
    Arc::new(Machine::new(&config).expect("a small machine can be had"))
}

/// Fails with every finding if the machine is not clean.
#[track_caller]
fn assert_clean<R: Release>(machine: &Machine<R>) {
    let findings = machine.audit(&mmcore::audit::Ledger::default());
    assert!(findings.is_empty(), "{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>());
}

/// Frames in use.
fn used<R: Release>(machine: &Machine<R>) -> u32 {
    let (buddy, arrays) = machine.free_frames(0);
    machine.nodes()[0].frames - buddy - arrays
}

/// Declares models, their table, and a test for each. A number bounds the preemptions.
#[macro_export]
macro_rules! models {
    ($($(#[$doc:meta])+ $name:ident($preemptions:expr) $body:block)+) => {
        /// The models of this file.
        pub const MODELS: &[mmcore::sync::loom::Model] = &[$(mmcore::sync::loom::Model {
            name: stringify!($name), preemptions: $preemptions, program: $name,
        }),+];

        $($(#[$doc])+ fn $name() $body)+

        mod holds {
            $(#[test] fn $name() {
                let model = super::MODELS.iter().find(|model| model.name == stringify!($name));
                $crate::holds(model.expect("every model is in the table"));
            })+
        }
    };
}
