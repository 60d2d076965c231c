//! The books of memory failure, and how a frame whose content is safe is contained.

use crate::calls::Call;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::profile::{PoisonAccounting, PoisonOrder};
use crate::release::Release;
use crate::sync::{Lock, LockClass, Mutation, mutated};
use std::collections::BTreeMap;

/// What a machine keeps of its bad frames.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Serialises soft offline, hard failure and unpoison (`mf_mutex`).
    pub(crate) mutex: Lock<()>,
    /// A lock of its own, for moments: who looks need not wait for a failure to be handled.
    pub(super) books: Lock<Books>,
}

/// Why a frame is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// Its content is safe, or it had none: nobody uses it.
    Soft,
    /// Its content is lost; who held the page may hold it still.
    Hard,
}

/// What is counted and held.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Books {
    /// `num_poisoned_pages`.
    pub counted: i64,
    /// Frames on which poison holds a reference, and why.
    pub held: BTreeMap<Pfn, Cause>,
    /// Poisoned frames that it does not hold: they failed hard and are still in use, or on their way; or are
    /// offlined and left on their free list.
    pub loose: BTreeMap<Pfn, Cause>,
    /// The zero page is poisoned, which cannot be undone.
    pub zero: bool,
}

impl Failure {
    pub(crate) fn new() -> Failure {
        Failure {
            mutex: Lock::plain(LockClass::Failure, ()),
            books: Lock::plain(LockClass::Leaf, Books::default()),
        }
    }
}

impl<R: Release> Machine<R> {
    /// Poisoned frames, as the kernel counts them (`num_poisoned_pages`, HardwareCorrupted in /proc/meminfo).
    pub fn num_poisoned_pages(&self) -> i64 {
        self.failure.books.lock().counted
    }

    /// The poisoned frames, in order; without the zero page, which is none.
    pub fn poisoned_frames(&self) -> Vec<Pfn> {
        let books = self.failure.books.lock();
        let mut frames: Vec<Pfn> = books.held.keys().chain(books.loose.keys()).copied().collect();
        frames.sort_unstable();
        frames
    }

    /// Does poison itself hold a reference on this frame?
    pub(crate) fn is_held_by_poison(&self, pfn: Pfn) -> bool {
        self.failure.books.lock().held.contains_key(&pfn)
    }

    /// The books, to look at.
    pub(crate) fn poison_books(&self) -> Books {
        self.failure.books.lock().clone()
    }

    /// One more poisoned frame, on which poison holds a reference (`held`) or none.
    pub(super) fn count_poisoned(&self, pfn: Pfn, cause: Cause, held: bool) {
        let mut books = self.failure.books.lock();
        books.counted += 1;
        let frames = if held { &mut books.held } else { &mut books.loose };
        frames.insert(pfn, cause);
    }

    /// A page was moved off its frame, which is counted by now: where the migration counts too, once more.
    pub(super) fn count_moved_off(&self) {
        if self.profile.poison == PoisonAccounting::Double {
            self.failure.books.lock().counted += 1;
        }
    }

    /// One less.
    pub(super) fn uncount_poisoned(&self, pfn: Pfn) {
        let mut books = self.failure.books.lock();
        books.counted -= 1;
        books.held.remove(&pfn);
        books.loose.remove(&pfn);
    }

    /// Poisons a page whose content is safe (`page_handle_poison`): one that is `free` is taken off the free
    /// lists, of one in use the caller's reference, its last one, is dropped if it is to `release` it. False,
    /// with nothing changed, if it is not free any more.
    pub(super) fn handle_poison(&self, pfn: Pfn, free: bool, release: bool) -> bool {
        let call = Call::PageHandlePoison { free, release };
        self.calls_on(call, pfn);
        let put_first = self.profile.poison_order == PoisonOrder::PutFirst;
        if free && !put_first {
            let node = self.node_of(pfn);
            self.pcp_disable(node);
            let taken = self.take_page_off_buddy(pfn);
            self.pcp_enable(node);
            if !taken && !mutated(Mutation::TakeOffNotChecked) {
                self.returns(call, 0);
                return false;
            }
        }
        let page = &self.frames[pfn];
        if put_first {
            if release {
                self.put(pfn);
            }
            // Whose ever it is by now: the allocator looks at it when its turn comes.
            if page.poison() {
                self.count_poisoned(pfn, Cause::Soft, false);
            }
            self.returns(call, 1);
            return true;
        }
        if release && mutated(Mutation::PoisonAfterPut) {
            self.put(pfn);
            page.poison();
            // If it still is free; in between anybody could have got it.
            self.drain_pcp(self.node_of(pfn));
            self.take_page_off_buddy(pfn);
        } else {
            // Before the last put: the free path refuses what is flagged, so nobody gets the frame in between.
            page.poison();
            if release {
                self.put(pfn);
            }
        }
        // From here on the frame is poison's.
        page.hold_poisoned();
        self.count_poisoned(pfn, Cause::Soft, true);
        self.returns(call, 1);
        true
    }
}
