//! Rule 8: the owners of movable pages, their isolated pages, and the faults that the owners find in
//! their own state. Rule 4, as far as it concerns pages of owners: `nr_zspages`.

use super::census::Census;
use super::report::Report;
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;
use std::sync::Arc;

/// Checks the owners of movable pages.
pub(super) fn check<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    check_releases(machine, census, report);
    check_states(machine, report);
    check_zspages(machine, report);
}

/// Rule 4: `nr_zspages` of a node is the number of pages that the pools of zsmalloc have there.
fn check_zspages<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    // The pools are those whose memory reclaim compacts.
    let pools: Vec<OwnerId> = machine.shrinkers.lock().clone();
    let pages: Vec<Pfn> =
        pools.into_iter().filter_map(|id| machine.owners.movable(id)).flat_map(|pool| pool.held()).collect();
    for number in 0..machine.nodes.len() {
        let counted = machine.stats.on_node(number, NodeItem::Zspages);
        let here = pages.iter().filter(|&&pfn| machine.node_of(pfn) == number).count();
        if counted != here as i64 {
            report.machine(
                "a counter of pages is the number of such pages",
                format!("node {number}: nr_zspages is {counted}, but there are {here} such pages"),
            );
        }
    }
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

/// Rule 8: a page that is isolated from its owner has a token. If an owner has put its page without clearing
/// the flag `MOVABLE`, the last put calls `released`.
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
