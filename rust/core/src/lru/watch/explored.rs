//! The watch of the explored build: it records when each page was queued, and reports a page that
//! waits too long.

use super::BatchKind;
use crate::machine::{MAX_CPUS, Machine};
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::broken;
use crate::sync::explored::{
    after_first_step, begin_pending, checks_all, end_pending, mark_pending, next_step, pending_before,
    pending_since,
};

impl BatchKind {
    /// The number of keys reserved for one page on one CPU: one for each batch, and one that is not used.
    const ALL: usize = 8;

    /// The key of a page that waits in this batch of a CPU.
    fn key(self, cpu: usize, pfn: Pfn) -> usize {
        (pfn.index() * MAX_CPUS + cpu) * BatchKind::ALL + self.number()
    }

    /// The page to which a key belongs.
    fn page(key: usize) -> Pfn {
        Pfn((key / BatchKind::ALL / MAX_CPUS) as u32)
    }
}

/// Records that a page was queued in a batch of a CPU. The caller holds the batch lock.
pub(in crate::lru) fn queued(cpu: usize, pfn: Pfn, kind: BatchKind) {
    begin_pending(kind.key(cpu, pfn));
}

/// Records that a drain has taken care of a queued page. The caller holds the batch lock.
pub(in crate::lru) fn settled(cpu: usize, pfn: Pfn, kind: BatchKind) {
    end_pending(kind.key(cpu, pfn));
}

/// The number of the next step if a drain of one CPU is checked. Unlike [`now`], the call does not count as a
/// look at the batches, so the search does not reorder steps for its sake.
pub(in crate::lru) fn next_step_if_checked() -> Option<u32> {
    next_step().filter(|_| checks_all())
}

/// The number of the next step; `None` outside of a schedule, where steps have no number.
pub(in crate::lru) fn now() -> Option<u32> {
    mark_pending()
}

impl<R: Release> Machine<R> {
    /// Reports a page that waits in a batch while the batches are off.
    pub(in crate::lru) fn expect_no_batches(&self) {
        // The result depends on what other threads queue and drain. The mark tells this to the explorer,
        // which must try the check in each order with the steps of those threads.
        mark_pending();
        for (number, cpu) in self.cpus.iter().enumerate() {
            if cpu.batches.glance(|batches| !batches.is_empty()) == Some(true) {
                broken(
                    "nothing waits while batches are off",
                    format_args!("the batch of CPU {number} has pages"),
                );
            }
        }
    }

    /// Reports a page that was queued on a CPU before `began` and still waits there, now that a drain of this
    /// CPU which began then has ended. The search does not reorder steps for the sake of this check.
    pub(in crate::lru) fn expect_cpu_drained(&self, cpu: usize, began: Option<u32>) {
        let (Some(began), Some(context)) = (began, self.cpus.get(cpu)) else { return };
        let old = |&(pfn, kind): &(Pfn, BatchKind)| {
            pending_since(kind.key(cpu, pfn)).is_none_or(|begun| begun < began)
        };
        if let Some(Some((pfn, _))) = context.batches.glance(|batches| batches.queued().find(old)) {
            broken(
                "a drain leaves nothing behind",
                format_args!("page {pfn} waits on CPU {cpu} since before its drain"),
            );
        }
    }

    /// Returns true if the page, or the large page of which it is a part, waits in a batch since
    /// before the first step that the calling thread took after `moment`.
    pub(crate) fn waits_since(&self, pfn: Pfn, moment: u32) -> bool {
        let head = self.frames.head(pfn);
        let Some(began) = after_first_step(moment) else { return false };
        mark_pending();
        self.cpus.iter().enumerate().any(|(number, cpu)| {
            let old = |(queued, kind): (Pfn, BatchKind)| {
                queued == head && pending_since(kind.key(number, head)).is_none_or(|begun| begun < began)
            };
            cpu.batches.glance(|batches| batches.queued().any(old)) == Some(true)
        })
    }

    /// Reports a page that was queued before `began` and still waits in a batch, now that the drain
    /// that began then has ended.
    pub(in crate::lru) fn expect_drained(&self, began: Option<u32>) {
        let Some(began) = began else { return };
        // A page that the scenario's set-up queued has no recorded moment. It was queued before any
        // drain of the schedule.
        let queued = || {
            self.cpus.iter().enumerate().find_map(|(number, cpu)| {
                let old = |&(pfn, kind): &(Pfn, BatchKind)| pending_since(kind.key(number, pfn)).is_none();
                cpu.batches.glance(|batches| batches.queued().find(old)).flatten().map(|(pfn, _)| pfn)
            })
        };
        if let Some(pfn) = pending_before(began).map(BatchKind::page).or_else(queued) {
            let word = self.frames[pfn].word();
            broken("a drain leaves nothing behind", format_args!("page {pfn} ({word}) was queued before it"));
        }
    }
}
