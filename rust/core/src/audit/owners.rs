//! Rule 8: the owners of movable pages, their isolated pages, and the faults that the owners find in
//! their own state.

use super::census::Census;
use super::report::Report;
use crate::machine::Machine;
use crate::owner::Owner;
use crate::page::Flags;
use crate::release::Release;
use std::sync::Arc;

/// Checks the owners of movable pages.
pub(super) fn check<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    check_releases(machine, census, report);
    check_states(machine, report);
}

/// Returns the number of a node's movable pages that are isolated from their owners.
pub(super) fn isolated<R: Release>(machine: &Machine<R>, node: usize) -> i64 {
    let node = &machine.nodes[node];
    let used = node.zone.lock().frontier();
    let isolated = |offset: &u32| machine.frames[node.base.plus(*offset)].word().has(Flags::ISOLATED);
    (0..used).filter(isolated).count() as i64
}

/// Rule 8: reports the faults that the owners of movable pages find in their own state.
fn check_states<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    let mut drivers = Vec::new();
    machine.owners.for_each(|_, owner| {
        if let Owner::Movable(ops) = owner {
            drivers.push(Arc::clone(ops));
        }
    });
    // The checks run without the locks of the owners' slots, because an owner takes locks of its own.
    for ops in drivers {
        ops.check(machine, &mut |rule, pfn, what| match pfn {
            Some(pfn) => report.page(rule, pfn, what),
            None => report.machine(rule, what),
        });
    }
}

/// Rule 8: a page that its owner has isolated has a token, and `released` is called for a page that its owner
/// put with the mark.
fn check_releases<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    machine.owners.for_each(|_, owner| {
        let Owner::Movable(ops) = owner else { return };
        for pfn in ops.isolated().into_iter().filter(|pfn| !census.seen(*pfn).isolated) {
            report.page(
                "a page isolated from its owner has a token",
                pfn,
                machine.frames[pfn].word().to_string(),
            );
        }
        for pfn in ops.unreleased() {
            let word = machine.frames[pfn].word();
            if word.count() == 0 || !word.has(Flags::MOVABLE) {
                let what = format!("the owner was not told of the page's release ({word})");
                report.page("released is called once", pfn, what);
            }
        }
    });
}
