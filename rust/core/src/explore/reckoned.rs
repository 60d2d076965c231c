//! Compares a machine's counters with what the reckoner has added up ([`crate::page::reckon`]).

use crate::audit::Finding;
use crate::machine::Machine;
use crate::page::reckon::{self, EVENTS, ITEMS, event, on_node};
use crate::release::Release;

/// The rule.
const RULE: &str = "a counter is the sum of its events";

/// The derived counters of a machine at the beginning of a schedule.
#[derive(Clone, Debug)]
pub(super) struct Baseline(Vec<i64>);

fn counters<R: Release>(machine: &Machine<R>) -> Vec<i64> {
    let events = EVENTS.iter().map(|&event| machine.stats().events(event));
    let items = |node| ITEMS.iter().map(move |&item| machine.stats().on_node(node, item));
    events.chain((0..machine.nodes().len()).flat_map(items)).collect()
}

impl Baseline {
    /// Reads the counters.
    pub fn of<R: Release>(machine: &Machine<R>) -> Baseline {
        Baseline(counters(machine))
    }

    /// Compares what was counted since with what the reckoner has added up since.
    pub fn check<R: Release>(&self, machine: &Machine<R>, findings: &mut Vec<Finding>) {
        if !reckon::is_open() {
            return;
        }
        let names = EVENTS.iter().map(|&of| (of.name().to_owned(), event(of)));
        let items = |node| {
            ITEMS
                .iter()
                .map(move |&item| (format!("{} of node {node}", item.name()), (on_node(node, item), 0)))
        };
        let reckoned = names.chain((0..machine.nodes().len()).flat_map(items));
        for ((name, (sum, more)), (now, before)) in reckoned.zip(counters(machine).iter().zip(&self.0)) {
            let counted = now - before;
            if !(sum..=sum + more).contains(&counted) {
                let detail = format!("{name} has counted {counted}, its events add up to {sum}");
                findings.push(Finding { rule: RULE, pfn: None, detail });
            }
        }
    }
}
