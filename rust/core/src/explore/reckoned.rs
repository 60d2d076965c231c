//! Compares a machine's counters with those of the reckoner ([`crate::page::reckon`]).

use crate::audit::Finding;
use crate::machine::Machine;
use crate::page::PAGE_SIZE;
use crate::page::reckon::{self, EVENTS, ITEMS, event, on_node};
use crate::profile::AnonReuse;
use crate::release::Release;
use crate::stat::Event;

/// The rule.
const RULE: &str = "a counter is the sum of its events";

/// The KiB of a page.
const KIB: i64 = (PAGE_SIZE / 1024) as i64;

/// The expected count of an event: its sum and `more`, exactly.
fn sum_of(of: Event, more: i64) -> (i64, i64) {
    (event(of).0 + more, 0)
}

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

    /// Compares the counts of the schedule with those of the reckoner.
    pub fn check<R: Release>(&self, machine: &Machine<R>, findings: &mut Vec<Finding>) {
        if !reckon::is_open() {
            return;
        }
        let profile = machine.profile();
        let expected = |of| match of {
            // Kernels that count blocks count the reads and writes of a swap space too.
            Event::Pgpgin if profile.swap_counts_blocks => sum_of(of, KIB * event(Event::Pswpin).0),
            Event::Pgpgout if profile.swap_counts_blocks => sum_of(of, KIB * event(Event::Pswpout).0),
            // Kernels that look at mappings alone do not count this event.
            Event::Pgreuse if profile.anon_reuse == AnonReuse::Mapcount => (0, 0),
            _ => event(of),
        };
        let names = EVENTS.iter().map(|&of| (of.name().to_owned(), expected(of)));
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
