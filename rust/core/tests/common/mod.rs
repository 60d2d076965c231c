//! Helpers of the integration tests.

use mmcore::audit::Ledger;
use mmcore::machine::{Config, Machine};
use mmcore::release::Release;

/// A small backed machine of design `R`.
pub fn machine<R: Release>(nodes: usize, frames: u32) -> Machine<R> {
    let mut config = Config::new(nodes, frames);
    config.profile.release = R::DESIGN;
    Machine::new(&config).expect("a small machine can be had")
}

/// Fails with every finding if the machine is not clean.
#[track_caller]
pub fn assert_clean<R: Release>(machine: &Machine<R>) {
    assert_clean_with(machine, &Ledger::default());
}

/// The same check while the handles of `ledger` are held.
#[track_caller]
pub fn assert_clean_with<R: Release>(machine: &Machine<R>, ledger: &Ledger) {
    let findings = machine.audit(ledger);
    assert!(findings.is_empty(), "{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>());
}

/// Frames in use: neither in the buddy lists nor in a CPU's array.
pub fn used<R: Release>(machine: &Machine<R>) -> u32 {
    (0..machine.nodes().len())
        .map(|node| {
            let (buddy, arrays) = machine.free_frames(node);
            machine.nodes()[node].frames - buddy - arrays
        })
        .sum()
}

/// Makes a test of a generic function for every release design.
macro_rules! for_each_design {
    ($($name:ident),* $(,)?) => {
        mod putback { $(#[test] fn $name() { super::$name::<mmcore::release::Putback>() })* }
        mod split { $(#[test] fn $name() { super::$name::<mmcore::release::Split>() })* }
        mod hook { $(#[test] fn $name() { super::$name::<mmcore::release::Hook>() })* }
        mod hook_late { $(#[test] fn $name() { super::$name::<mmcore::release::HookLate>() })* }
        mod packed { $(#[test] fn $name() { super::$name::<mmcore::release::Packed>() })* }
        mod mine { $(#[test] fn $name() { super::$name::<mmcore::release::Mine>() })* }
    };
}
