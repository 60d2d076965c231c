//! Movable pages outside the LRU: the owner's contract and the core's side of it (lifecycle 7).
//!
//! The core holds the page lock in every callback but [`MovableOps::released`]. An owner marks a
//! page as movable under its page lock, before any other thread can find the page; otherwise a walk
//! could isolate a page whose owner is not ready.
//!
//! The release design decides how the mark ends. Under a design whose put does not look for the
//! mark (`putback`, `split`), the owner clears the mark under the page lock *before* its last put.
//! Under a design whose put looks (`hook`, `hook_late`, `packed`), the owner may just put its
//! reference: the thread that brings the count to zero calls [`MovableOps::released`], exactly
//! once.
//!
//! In kernels since 6.17 the mark is *sticky* (`movable_mark`): it stays on the page until the page is freed.
//! The owner ends its ownership by clearing its own field of the record, which is here the number of the
//! owner. [`Machine::clear_movable`] clears the mark or the field, whichever the profile asks for. A page
//! with a mark and no owner was released, and the core asks no driver about such a page. In the kernel the
//! driver's callbacks are called, find the field cleared, and do nothing. A design whose put looks for the
//! mark would call [`MovableOps::released`] for a page that its owner has given up, so under these designs
//! the mark is always cleared.

pub(crate) mod ops;
mod pool;
pub(crate) mod view;

pub use ops::MovableOps;
pub use pool::{PagePool, PoolOwner, PoolPage};
pub use view::PageView;

use crate::calls::Call;
use crate::machine::Machine;
use crate::owner::OwnerId;
use crate::page::{Flags, Pfn};
use crate::profile::MovableMark;
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::{Mutation, mutated};

impl<R: Release> Machine<R> {
    /// Marks a page as movable by `owner`. The caller holds the page lock and the owner's
    /// reference.
    pub fn set_movable(&self, pfn: Pfn, owner: OwnerId, index: u32) {
        let page = &self.frames[pfn];
        page.expect_locked();
        page.set_owner(owner.0, index);
        R::mark(self, &self.design, pfn, true);
    }

    /// Ends the ownership of a page, before the owner's last put: from now on the core asks no
    /// driver about the page. The caller holds the page lock. Depending on the profile's
    /// `movable_mark` this clears the mark (`__ClearPageMovable`), or only the owner's field.
    pub fn clear_movable(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        page.expect_locked();
        match self.mark_sticks() {
            true => page.set_owner(OwnerId::NOBODY.0, page.index()),
            false => R::mark(self, &self.design, pfn, false),
        }
    }

    /// Returns true if the mark of a movable page stays until the page is freed.
    pub(crate) fn mark_sticks(&self) -> bool {
        self.profile.movable_mark == MovableMark::Sticky && !self.put_looks()
    }

    /// Takes a movable page from its owner for migration (`isolate_movable_page`). Returns true if
    /// the caller has isolated the page; it then holds a reference.
    pub fn isolate_movable_page(&self, pfn: Pfn) -> bool {
        self.traced(Call::IsolateMovable, pfn, || self.take_from_owner(pfn))
    }

    fn take_from_owner(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        // 1. A reference is taken first, so that the page cannot be freed during the steps below.
        if mutated(Mutation::WalkerGetsFreePage) {
            page.get(pfn);
        } else if !page.try_get() {
            return false;
        }
        // 2. The mark is read without the lock first, because a fresh page's lock may belong to a
        // thread that expects no other thread to take it.
        // 3. The lock is only tried, because the owner may hold it for long.
        if !page.word().has(Flags::MOVABLE) || !page.trylock() {
            self.put(pfn);
            return false;
        }
        // 4. The mark is read again under the lock, where it cannot change.
        let word = page.word();
        let yes = word.has(Flags::MOVABLE)
            && !word.has(Flags::ISOLATED)
            // 5. The owner decides.
            && self.may_ask("isolation by the owner", pfn).is_ok()
            && self.driver(pfn).is_some_and(|ops| ops.isolate(self, pfn));
        if yes {
            // 6. The page is isolated, and the caller keeps the reference.
            page.set(Flags::ISOLATED);
            self.count_isolated_movable(pfn, 1);
            page.unlock(pfn);
        } else {
            self.unlock_and_put(pfn);
        }
        yes
    }

    /// Gives an isolated movable page back to its owner and drops the isolation's reference.
    pub fn putback_movable_page(&self, pfn: Pfn) {
        self.frames[pfn].lock();
        self.putback_locked(pfn);
    }

    /// Performs [`Machine::putback_movable_page`] for a caller that holds the page lock, and
    /// releases the lock.
    pub(crate) fn putback_locked(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        // The owner may have freed the page during the isolation. Then there is no owner to give it
        // to, and only the mark of the isolation is cleared.
        if page.word().has(Flags::MOVABLE)
            && let Some(ops) = self.driver(pfn)
        {
            ops.putback(self, pfn);
        }
        self.end_isolation(pfn);
        self.unlock_and_put(pfn);
    }

    /// Clears the mark of an isolation. The caller holds the page lock, or the only reference. Other
    /// threads may set `WAITERS` in the same word even so, so the mark is cleared by an atomic
    /// operation (kernel 356ea3865687).
    pub(crate) fn end_isolation(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        match mutated(Mutation::IsolatedClearedPlainly) {
            true => page.clear_plainly(Flags::ISOLATED),
            false => {
                page.clear(Flags::ISOLATED);
            }
        }
        self.count_isolated_movable(pfn, -1);
    }

    /// Counts an isolated movable page in `nr_isolated_file`, as kernels before 4.10 did: such a
    /// page has no `SWAPBACKED`, so they took it for a page of a file.
    fn count_isolated_movable(&self, pfn: Pfn, sign: i64) {
        if self.profile.isolated_counts_movable {
            self.stats.node(self.node_of(pfn), NodeItem::IsolatedFile, sign);
        }
    }
}
