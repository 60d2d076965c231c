//! 1., 4. The free frames: what a block is, what a CPU's array holds, how many there are; and that nobody keeps
//! arrays or batches switched off.

use super::rules::Report;
use crate::machine::Machine;
use crate::release::Release;
use crate::sync::Ordering;

/// Judges the allocator of every node.
pub(super) fn check<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    for (number, node) in machine.nodes.iter().enumerate() {
        let zone = node.zone.lock();
        let mut frames = 0;
        for (block, order) in zone.blocks(&machine.frames) {
            frames += 1u32 << order;
            if let Some(why) = zone.misplaced(&machine.frames, block, order) {
                report.page("a free block is whole", block, format!("order {order}: {why}"));
            }
        }
        if frames != zone.listed() {
            let what = format!("node {number}: {} are counted, {frames} are on its lists", zone.listed());
            report.machine("nr_free_pages is the number of free frames", what);
        }
        drop(zone);
        for (cpu, arrays) in machine.cpus.iter().enumerate() {
            let pcp = arrays.pcp[number].lock();
            if let Some(&stray) = pcp.frames().iter().find(|&&pfn| machine.node_of(pfn) != number) {
                report.page(
                    "a free frame is its node's",
                    stray,
                    format!("in CPU {cpu}'s array of node {number}"),
                );
            }
            if pcp.is_disabled() {
                let what = format!("CPU {cpu}'s array of node {number} is kept empty");
                report.machine("what was switched off is on again", what);
            }
        }
    }
    // Relaxed: nothing is going on.
    let disabled = machine.lru_disabled.load(Ordering::Relaxed);
    if disabled != 0 {
        report.machine("what was switched off is on again", format!("LRU batches, {disabled} times"));
    }
}
