//! The life of a Linux memory page, as a library.
//!
//! A page frame is allocated, filled by a fault, put on a list of recently used pages, isolated, moved to
//! another node, reclaimed or found broken, and freed. Linux does these things on many CPUs at once, and a
//! page's reference count, its flags and the entries that map it must agree at each step. This crate holds
//! the rules of that life without a kernel around them, so that a design can be tried in seconds.
//!
//! # One source, three uses
//!
//! - *Scripted*: [`program`] runs the lines of a text, one operation after another or in threads.
//! - *Raced*: the module `load` runs workloads on real threads with real memory and measures them.
//! - *Proved*: each atomic operation is a step of a scheduler, and the module `explore` searches the
//!   schedules for one that breaks a rule.
//!
//! The source is compiled as three crates, each with other types behind [`sync`]. `mmcore` scripts and races.
//! `mmcore-explored` proves; the module `explore` exists in it alone. `mmcore-counted` runs the loads and
//! counts their atomic operations and locks.
//!
//! # A page moves
//!
//! The verbs are methods of [`machine::Machine`], named after the kernel's functions where there are such.
//! The type of a machine names its release design ([`release`]), which decides how a migration ends.
//!
//! ```
//! use mmcore::audit::Ledger;
//! use mmcore::machine::{Config, Machine};
//! use mmcore::migrate::{Mode, Reason};
//! use mmcore::release::Split;
//!
//! // Two nodes of 64 page frames.
//! let machine = Machine::<Split>::new(&Config::new(2, 64))?;
//! let space = machine.address_space()?;
//! let area = machine.mmap(&space, 1)?;
//!
//! // The first write faults: a frame is allocated, zeroed, mapped, and queued in this CPU's batch.
//! machine.write_word(&area, 0, 0, 42)?;
//! let frame = machine.page_at(&area, 0).expect("the fault has mapped a frame");
//! assert_eq!(machine.node_of(frame), 0);
//!
//! // A page that waits in a batch is on no list yet, and cannot be isolated. The drain puts it there.
//! machine.lru_drain_all();
//! machine.isolate(frame)?;
//! let mut list = vec![frame];
//! let mut on_node_1 = |_source| machine.alloc_pages(1, 0).ok();
//! let migrated = machine.migrate_pages(&mut list, &mut on_node_1, Mode::Sync, Reason::Syscall);
//! assert_eq!((migrated.succeeded, migrated.failed), (1, 0));
//!
//! // The content is on the other node, behind the same address, and no count is left over.
//! let frame = machine.page_at(&area, 0).expect("the migration has mapped the new frame");
//! assert_eq!(machine.node_of(frame), 1);
//! assert_eq!(machine.read_word(&area, 0, 0)?, 42);
//! assert!(machine.audit(&Ledger::default()).is_empty());
//! # Ok::<(), mmcore::error::Error>(())
//! ```
//!
//! # A program
//!
//! The same migration as a text. The module [`program`] lists the operations; `docs/programs.md` describes
//! the language.
//!
//! ```
//! use mmcore::program::run::{Go, RunOptions, run};
//! use mmcore::program::{MachineSpec, parse};
//!
//! let program = parse("map r0 anon 1\nwrite r0\nmove r0 node=1\naudit")?;
//! let report = run(&program, &MachineSpec::default(), &RunOptions::default(), &mut || Go::On)?;
//! assert!(report.is_clean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to read on
//!
//! - `docs/design.md`: the rooms of this crate, which may import which, and the promises of the machine.
//! - `docs/lifecycle.md`: the kernel's rules, in the sections that comments here cite ("lifecycle 6.3").
//! - [`page`]: the word that holds a page's flags and its count. Each protocol is built on its transitions.
//! - [`migrate`]: the steps of a migration, in order, with their reasons.
//! - [`audit`]: the rules that hold whenever a machine is at rest.

#![deny(unsafe_code)]

pub mod alloc;
pub mod audit;
pub mod balloon;
pub mod calls;
pub mod compact;
pub mod contig;
pub mod error;
#[cfg(feature = "explored")]
pub mod explore;
pub mod failure;
pub mod handle;
pub mod hotplug;
pub mod inject;
pub mod layout;
// Loads need real threads, which neither the explorer nor the weak-memory models have. These builds leave the
// loads out, because each release design would cost one more compilation of them.
#[cfg(not(any(loom, feature = "explored")))]
pub mod load;
pub mod lru;
pub mod machine;
pub mod map;
#[allow(unsafe_code, reason = "reserves memory and copies pages; every block carries its proof")]
pub mod memory;
pub mod migrate;
pub mod movable;
pub mod mutation;
pub mod owner;
pub mod page;
pub mod pressure;
pub mod profile;
// The counting build runs loads alone, so it needs no programs.
#[cfg(not(feature = "counted"))]
pub mod program;
pub mod release;
pub mod rng;
pub mod stat;
pub mod states;
pub mod sync;
pub mod vmstat;
pub mod zram;
pub mod zsmalloc;
