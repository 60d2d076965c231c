//! Rules 1 and 4 for free frames: the blocks of the buddy lists, the CPUs' arrays of free frames,
//! and their counters. No pageblock may stay isolated, and no array or batch may stay disabled.

use super::report::Report;
use crate::alloc::MigrateType;
use crate::hotplug::BlockState;
use crate::machine::Machine;
use crate::release::Release;
use crate::sync::Ordering;

/// Checks the allocator of every node.
pub(super) fn check<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    for (number, node) in machine.nodes.iter().enumerate() {
        let zone = node.zone.lock();
        let mut frames = 0;
        for (block, order, kind) in zone.blocks(&machine.frames) {
            frames += 1u32 << order;
            if let Some(why) = zone.misplaced(&machine.frames, block, order, kind) {
                report.page("a free block is whole", block, format!("order {order}: {why}"));
            }
        }
        if frames != zone.listed() {
            let what = format!(
                "node {number}: the counter is {}, but {frames} frames are on its lists",
                zone.listed()
            );
            report.machine("nr_free_pages is the number of free frames", what);
        }
        // A pageblock is isolated while its frames are wanted; only that of an offline block stays isolated.
        let blocks = zone.pageblocks();
        for number in (0..blocks.len()).map(|block| block << blocks.order()) {
            let online = node.blocks.state_at(number) != BlockState::Offline;
            if online && blocks.kind_of(number) == MigrateType::Isolated {
                let what = "its free frames are never handed out".to_owned();
                report.page("no pageblock stays isolated", node.base.plus(number), what);
            }
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
                let what = format!("CPU {cpu}'s array of node {number} is disabled");
                report.machine("no batch or free-frame array stays disabled", what);
            }
        }
    }
    // Relaxed: no other thread uses the machine during an audit.
    let disabled = machine.lru_disabled.load(Ordering::Relaxed);
    if disabled != 0 {
        report.machine(
            "no batch or free-frame array stays disabled",
            format!("LRU batches are disabled {disabled} times"),
        );
    }
}
