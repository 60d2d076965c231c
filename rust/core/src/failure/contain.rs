//! Contains a frame whose content is safe, so that it is never used again.

use super::books::{Books, Cause};
use crate::calls::Call;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::profile::{PoisonAccounting, PoisonOrder};
use crate::release::Release;
use crate::sync::{Mutation, mutated};

impl<R: Release> Machine<R> {
    /// Number of poisoned frames, as the kernel counts them (`num_poisoned_pages`,
    /// HardwareCorrupted in /proc/meminfo).
    pub fn num_poisoned_pages(&self) -> i64 {
        self.failure.books.lock().counted
    }

    /// The poisoned frames, in order. The zero page is not a frame of the machine, so it is never
    /// among them.
    pub fn poisoned_frames(&self) -> Vec<Pfn> {
        let books = self.failure.books.lock();
        let mut frames: Vec<Pfn> = books.held.keys().chain(books.unheld.keys()).copied().collect();
        frames.sort_unstable();
        frames
    }

    /// Returns true if poison itself holds a reference on this frame.
    pub(crate) fn is_held_by_poison(&self, pfn: Pfn) -> bool {
        self.failure.books.lock().held.contains_key(&pfn)
    }

    /// A copy of the books; for audits.
    pub(crate) fn poison_books(&self) -> Books {
        self.failure.books.lock().clone()
    }

    /// Takes a free frame off the allocator's lists. Returns false if the frame is not there; under
    /// the mutation `take-off-not-checked` it returns true all the same.
    pub(super) fn take_off(&self, pfn: Pfn) -> bool {
        self.take_page_off_buddy(pfn) || mutated(Mutation::TakeOffNotChecked)
    }

    /// Counts a frame once more after its page was moved off it, in kernels whose migration counts
    /// it too.
    pub(super) fn count_moved_off(&self) {
        if self.profile.poison == PoisonAccounting::Double {
            self.failure.books.lock().counted += 1;
        }
    }

    /// Poisons a frame whose content is safe (`page_handle_poison`). A `free` frame is taken off
    /// the free lists. Of a page in use the caller's reference, its last one, is put with
    /// `release`. Returns false, with nothing changed, if the frame is not free any more. Kernels
    /// that put first leave a free frame on its list, and the result is always true.
    pub(super) fn handle_poison(&self, pfn: Pfn, free: bool, release: bool) -> bool {
        let call = Call::PageHandlePoison { free, release };
        self.traced(call, pfn, || self.handle_poison_steps(pfn, free, release))
    }

    fn handle_poison_steps(&self, pfn: Pfn, free: bool, release: bool) -> bool {
        let put_first = self.profile.poison_order == PoisonOrder::PutFirst;
        if free && !put_first {
            let node = self.node_of(pfn);
            self.pcp_disable(node);
            let taken = self.take_off(pfn);
            self.pcp_enable(node);
            if !taken {
                return false;
            }
        }
        let page = &self.frames[pfn];
        if put_first {
            if release {
                self.put(pfn);
            }
            // The frame may belong to another thread by now. The allocator checks the flag when the
            // frame is freed or allocated next.
            if page.poison() {
                self.failure.count(pfn, Cause::Soft, false);
            }
            return true;
        }
        if release && mutated(Mutation::PoisonAfterPut) {
            self.put(pfn);
            page.poison();
            // Under the defect the frame is taken off only if it is still free: another thread
            // could have allocated it after the put.
            self.drain_pcp(self.node_of(pfn));
            self.take_page_off_buddy(pfn);
        } else {
            // The frame is flagged before the last put. The free path refuses a flagged frame, so
            // no thread can allocate it in between.
            page.poison();
            if release {
                self.put(pfn);
            }
        }
        // Poison takes a reference of its own: the frame belongs to it from here on.
        page.hold_poisoned();
        self.failure.count(pfn, Cause::Soft, true);
        true
    }
}
