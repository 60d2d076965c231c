//! Movable pages outside the LRU: the owner's contract and the core's side of it (lifecycle 7).
//!
//! The core calls every callback with the page lock held. An owner marks a page movable under its
//! page lock, before anybody else can find it.
//!
//! Who ends the mark depends on the release design. Where a put does not look (`putback`,
//! `split`), the owner clears it under the page lock *before* its last put. Where it looks (`hook`,
//! `hook_late`, `packed`), the owner may simply put: whoever brings the count to zero calls
//! [`MovableOps::released`], exactly once.

mod pool;

pub use pool::{PagePool, PoolOwner, PoolPage};

use crate::error::{Errno, Result};
use crate::machine::Machine;
use crate::migrate::Mode;
use crate::owner::OwnerId;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, mutated};

/// An owner's side of its movable pages. The page lock is held in every callback but `released`.
pub trait MovableOps<R: Release>: Send + Sync {
    /// Detach the page so that nobody frees or uses it behind the core's back. False: not now.
    fn isolate(&self, machine: &Machine<R>, pfn: Pfn) -> bool;

    /// Move the content and the ownership from `from` to `to`; both are locked. On success `to` is
    /// marked movable and holds the owner's reference, `from` is cleared and its reference dropped.
    /// `EAGAIN`: try again later; any other error: the core calls [`MovableOps::putback`].
    fn migrate(&self, machine: &Machine<R>, from: Pfn, to: Pfn, mode: Mode) -> Result<(), Errno>;

    /// Take an isolated page back; the core drops its own reference afterwards.
    fn putback(&self, machine: &Machine<R>, pfn: Pfn);

    /// The page's last reference is gone while it was still marked. The count is zero, nobody else
    /// can reach the page, no lock is held. The core frees it afterwards.
    fn released(&self, machine: &Machine<R>, pfn: Pfn);

    /// The pages on which the owner holds its reference now; for audits.
    fn held(&self) -> Vec<Pfn>;

    /// Of these, the pages that are taken off for a migration; for audits.
    fn isolated(&self) -> Vec<Pfn> {
        Vec::new()
    }

    /// The pages on which the owner has put its reference without clearing the mark, and of whose release
    /// it has not heard yet; for audits.
    fn untold(&self) -> Vec<Pfn> {
        Vec::new()
    }
}

impl<R: Release> Machine<R> {
    /// Marks a page as movable by `owner`. The caller holds the page lock and the owner's reference.
    pub fn set_movable(&self, pfn: Pfn, owner: OwnerId, index: u32) {
        let page = &self.frames[pfn];
        page.expect_locked();
        page.set_owner(owner.0, index);
        R::mark(self, &self.design, pfn, true);
    }

    /// Ends the mark: from now on the core sees a page that no driver answers for
    /// (`__ClearPageMovable`). The caller holds the page lock.
    pub fn clear_movable(&self, pfn: Pfn) {
        self.frames[pfn].expect_locked();
        R::mark(self, &self.design, pfn, false);
    }

    /// Takes a movable page from its owner for migration; true if it is the caller's now, together
    /// with a reference (`isolate_movable_page`).
    pub fn isolate_movable_page(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        // 1. A reference first: what follows must not look at a page that is being freed.
        if mutated(Mutation::WalkerGetsFreePage) {
            page.get(pfn);
        } else if !page.try_get() {
            return false;
        }
        // 2. A cheap look, because a random fresh page may not even be locked by us.
        // 3. Trylock: the owner may hold the lock for long.
        if !page.word().has(Flags::MOVABLE) || !page.trylock() {
            self.put(pfn);
            return false;
        }
        // 4. The exact look, under the lock.
        let word = page.word();
        let yes = word.has(Flags::MOVABLE)
            && !word.has(Flags::ISOLATED)
            // 5. The owner decides.
            && self.may_ask("isolation by the owner", pfn).is_ok()
            && self.driver(pfn).is_some_and(|ops| ops.isolate(self, pfn));
        if yes {
            // 6. Ours: the reference stays.
            page.set(Flags::ISOLATED);
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

    /// The same with the page lock, which is given back.
    pub(crate) fn putback_locked(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        // The owner may have let go of the page meanwhile: then only the mark of the isolation goes.
        if page.word().has(Flags::MOVABLE)
            && let Some(ops) = self.driver(pfn)
        {
            ops.putback(self, pfn);
        }
        page.clear(Flags::ISOLATED);
        self.unlock_and_put(pfn);
    }

    /// The driver that answers for a page.
    pub(crate) fn driver(&self, pfn: Pfn) -> Option<std::sync::Arc<dyn MovableOps<R>>> {
        self.owners.movable(OwnerId(self.frames[pfn].owner()))
    }
}
