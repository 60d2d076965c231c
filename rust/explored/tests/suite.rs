//! The integration tests of the explored core, as one program (`rust/core/tests/suite.rs` says why).

mod address_space;
mod answers;
mod endings;
mod equal;
mod files;
mod large;
mod mutations;
mod outcomes;
mod pairs;
mod pins;
mod pressure;
mod programs;
mod progress;
mod results;
mod serial;
mod shrinking;
mod small;
mod swap;
mod texts;
mod tso;
mod verdicts;
mod windows;
mod zsmalloc;

use mmcore_explored::audit::Ledger;
use mmcore_explored::explore::Violation;
use mmcore_explored::machine::Machine;
use mmcore_explored::release::Split;

/// The first finding of an audit of a machine at rest, of which no caller holds a reference.
fn audited(machine: &Machine<Split>) -> Result<(), Violation> {
    match machine.audit(&Ledger::default()).first() {
        Some(finding) => Err(Violation::new(finding.rule, finding.to_string())),
        None => Ok(()),
    }
}
