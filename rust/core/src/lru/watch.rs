//! What a drain promises, checked: everything that was queued before it began is on its list when it ends. And what
//! switching the batches off does: nothing waits in one.

use super::batch::LruMove;
use crate::machine::{MAX_CPUS, Machine};
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::broken;
use crate::sync::explored::{after_first_step, begins, begun, ends, since, unfinished};

/// What a page is queued for: with the CPU, one number for each batch. The same page may wait in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// To be put on a list.
    Add,
    /// To be moved.
    Move(LruMove),
    /// To be locked, or unlocked.
    Mlock,
}

impl For {
    /// Numbers that a page has.
    const ALL: usize = 8;

    fn key(self, cpu: usize, pfn: Pfn) -> usize {
        let which = match self {
            For::Add => 0,
            For::Move(which) => 1 + which as usize,
            For::Mlock => 1 + LruMove::ALL.len(),
        };
        (pfn.index() * MAX_CPUS + cpu) * For::ALL + which
    }

    /// The page of such a number.
    fn page(key: usize) -> Pfn {
        Pfn((key / For::ALL / MAX_CPUS) as u32)
    }
}

/// The page is queued on this CPU, under its batch lock.
pub(super) fn queued(cpu: usize, pfn: Pfn, what: For) {
    begins(what.key(cpu, pfn));
}

/// It has been seen to, under the same lock.
pub(super) fn settled(cpu: usize, pfn: Pfn, what: For) {
    ends(what.key(cpu, pfn));
}

/// When the drain began, if that has a number.
pub(super) fn now() -> Option<u32> {
    since()
}

impl<R: Release> Machine<R> {
    /// Batches are off: nothing waits in one.
    pub(super) fn expect_no_batches(&self) {
        // What others queue and drain decides what is seen here.
        since();
        for (number, cpu) in self.cpus.iter().enumerate() {
            if cpu.batches.glance(|batches| !batches.is_empty()) == Some(true) {
                broken(
                    "nothing waits while batches are off",
                    format_args!("the batch of CPU {number} has pages"),
                );
            }
        }
    }

    /// Does the page, or the whole of which it is part, wait in a batch since before the first step that the
    /// calling thread took after `moment`?
    pub(crate) fn waits_since(&self, pfn: Pfn, moment: u32) -> bool {
        let head = self.frames.head(pfn);
        let Some(began) = after_first_step(moment) else { return false };
        since();
        self.cpus.iter().enumerate().any(|(number, cpu)| {
            let old = |(queued, what): (Pfn, For)| {
                queued == head && begun(what.key(number, head)).is_none_or(|begun| begun < began)
            };
            cpu.batches.glance(|batches| batches.queued().any(old)) == Some(true)
        })
    }

    /// The drain that began at `moment` is over.
    pub(super) fn expect_drained(&self, began: Option<u32>) {
        let Some(began) = began else { return };
        // Queued by the set-up: nobody has noted when.
        let queued = || {
            self.cpus.iter().enumerate().find_map(|(number, cpu)| {
                let old = |&(pfn, what): &(Pfn, For)| begun(what.key(number, pfn)).is_none();
                cpu.batches.glance(|batches| batches.queued().find(old)).flatten().map(|(pfn, _)| pfn)
            })
        };
        if let Some(pfn) = unfinished(began).map(For::page).or_else(queued) {
            let word = self.frames[pfn].word();
            broken("a drain leaves nothing behind", format_args!("page {pfn} ({word}) was queued before it"));
        }
    }
}
