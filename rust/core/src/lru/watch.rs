//! What a drain promises, checked: everything that was queued before it began is on its list when it ends. And what
//! switching the batches off does: nothing waits in one.

use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::broken;
use crate::sync::explored::{begun, moment, unfinished};

pub(super) use crate::sync::explored::{begins, ends};

/// When the drain began, if that has a number.
pub(super) fn now() -> Option<u32> {
    moment()
}

impl<R: Release> Machine<R> {
    /// Batches are off: nothing waits in one.
    pub(super) fn expect_no_batches(&self) {
        for (number, cpu) in self.cpus.iter().enumerate() {
            if cpu.batches.glance(|batches| !batches.is_empty()) == Some(true) {
                broken(
                    "nothing waits while batches are off",
                    format_args!("the batch of CPU {number} has pages"),
                );
            }
        }
    }

    /// The drain that began at `moment` is over.
    pub(super) fn expect_drained(&self, began: Option<u32>) {
        let Some(began) = began else { return };
        let in_flight = unfinished(began).map(|pfn| Pfn(pfn as u32));
        // Queued by the set-up: nobody has noted when.
        let old = |pfn: &Pfn| begun(pfn.index()).is_none();
        let queued = |cpu: &crate::machine::Cpu| {
            cpu.batches.glance(|batches| batches.added().iter().copied().find(old)).flatten()
        };
        if let Some(pfn) = in_flight.or_else(|| self.cpus.iter().find_map(|cpu| queued(cpu))) {
            let word = self.frames[pfn].word();
            broken("a drain leaves nothing behind", format_args!("page {pfn} ({word}) was queued before it"));
        }
    }
}
