//! The contract between the core and an owner of movable pages.

use crate::error::Errno;
use crate::layout::kind::Kind;
use crate::machine::Machine;
use crate::migrate::mode::Mode;
use crate::owner::id::OwnerId;
use crate::page::Pfn;
use crate::release::design::Designed;
use std::sync::Arc;

/// The callbacks of an owner of movable pages. The page is locked in `isolate`, `migrate` and
/// `putback`.
pub trait MovableOps<R: Designed>: Send + Sync {
    /// Detaches a page from the owner's structures, so that the owner neither frees nor uses it
    /// until the migration ends. Returns false if the owner refuses for now.
    fn isolate(&self, machine: &Machine<R>, pfn: Pfn) -> bool;

    /// Moves the content and the ownership from `from` to `to`; both are locked. On success `to` is
    /// marked movable and holds the owner's reference, and `from` has lost its mark and that reference.
    /// After `EAGAIN` the core tries again later; after any other error the core calls
    /// [`MovableOps::putback`].
    fn migrate(&self, machine: &Machine<R>, from: Pfn, to: Pfn, mode: Mode) -> Result<(), Errno>;

    /// Takes an isolated page back; the core puts its own reference afterwards.
    fn putback(&self, machine: &Machine<R>, pfn: Pfn);

    /// Lets the owner give up a page whose last reference was put while the page was still marked.
    /// The count is zero, no other thread can reach the page, and no lock is held. The core frees
    /// the page afterwards.
    fn released(&self, machine: &Machine<R>, pfn: Pfn);

    /// Returns the kind of the owner's pages (the kernel's page type), by which layouts and counts tell them
    /// from those of other owners.
    fn kind(&self) -> Kind {
        Kind::Movable
    }

    /// Returns the pages on which the owner holds a reference; for audits.
    fn held(&self) -> Vec<Pfn>;

    /// Returns the held pages that are isolated for a migration; for audits.
    fn isolated(&self) -> Vec<Pfn> {
        Vec::new()
    }

    /// Returns the pages whose reference the owner has put without clearing the mark, and for which
    /// `released` was not called yet; for audits.
    fn unreleased(&self) -> Vec<Pfn> {
        Vec::new()
    }

    /// Frees up to `pages` pages of the owner for an allocation that has found no frame on any
    /// node, and returns the number of freed pages. The caller may hold page locks.
    fn out_of_memory(&self, machine: &Machine<R>, pages: u32) -> u32 {
        let _ = (machine, pages);
        0
    }

    /// Gives memory back that the owner has but does not need, in a round of reclaim at a priority from 12
    /// down to 0, the hardest (`shrink_slab`). The caller may hold page locks. Only owners in
    /// `Machine::shrinkers` are asked.
    fn shrink(&self, machine: &Machine<R>, priority: u32) {
        let _ = (machine, priority);
    }

    /// Checks the owner's own state on a machine at rest, and reports each broken rule by its name,
    /// its page, and the details; for audits.
    fn check(&self, machine: &Machine<R>, report: &mut dyn FnMut(&'static str, Option<Pfn>, String)) {
        let _ = (machine, report);
    }
}

impl<R: Designed> Machine<R> {
    /// Returns the driver that answers for a page. `None` if the page was released, or its owner is
    /// gone.
    pub(crate) fn driver(&self, pfn: Pfn) -> Option<Arc<R::Driver>> {
        self.owners.movable(OwnerId(self.frames[pfn].owner()))
    }
}
