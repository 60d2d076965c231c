//! Fork: a child space that shares its parent's pages until one of them writes.
//!
//! # Steps
//!
//! 1. Faults of the parent wait from here to the end. Otherwise a thread could have its write to a page
//!    that is already shared go into a copy, write then to a page that is not yet shared, and the child
//!    would see the second write without the first.
//! 2. For each area a child area, in the reverse map before it maps anything.
//! 3. Each entry, under the parent's lock: take the permission to write away, count one mapping and
//!    one reference more, publish the child's entry. Threads of the parent may still write through
//!    what they looked up before: into pages that the child, which does not run yet, shares.
//! 4. One flush: from now on such a write faults.
//!
//! A page that may be pinned is copied in step 3 and stays writable for the parent, as in the kernel: of a
//! thread that writes to it meanwhile the child may see later writes to other pages and not this one.

use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::error::Result;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{LockClass, Mutation, Ordering, RwLock, mutated};
use std::sync::Arc;

/// What copying one entry left to do.
enum Copied {
    /// Nothing.
    Done,
    /// The parent's entry lost its permission to write: a flush is due.
    Protected,
    /// The page may be pinned: the child needs a copy of its own. Holds a reference.
    Pinned(Pfn),
}

impl<R: Release> Machine<R> {
    /// A child of a space: the same areas at the same addresses, sharing the pages.
    ///
    /// `ENOMEM` if a page that may be pinned cannot be copied, if as many spaces share the memory as a page's count can
    /// tell, or the host's memory runs out; `EAGAIN` if all numbers of spaces are used up; `ESRCH` after the exit. The
    /// parent is then as before, but that its next writes may fault.
    pub fn fork(&self, space: &AddressSpace) -> Result<Arc<AddressSpace>> {
        self.may_go_on("fork")?;
        let id = self.space_id()?;
        let faults = Arc::new(RwLock::new(LockClass::Faults, ()));
        let mut children = Vec::new();
        let areas = space.areas.read();
        let next = space.alive()?;
        let copied = {
            let _no_faults = space.faults.write();
            let mut protected = false;
            let copied = areas.iter().try_for_each(|parent| {
                let Some(child) = self.fork_area(id, &faults, parent)? else { return Ok(()) };
                children.push(Arc::clone(&child));
                self.copy_entries(parent, &child, &mut protected)
            });
            if protected && !mutated(Mutation::ForkWithoutFlush) {
                self.tlb.flush();
            }
            copied
        };
        drop(areas);
        let child = self.register(id, faults, children, next, Some(space.id));
        if let Err(error) = copied {
            self.exit(&child);
            return Err(error);
        }
        Ok(child)
    }

    /// Step 2 for one area; `None` if nothing of it is left.
    fn fork_area(&self, space: u32, faults: &Arc<RwLock<()>>, parent: &Area) -> Result<Option<Arc<Area>>> {
        let pages = parent.pages();
        self.may_allocate("page table")?;
        let area = Area::new(space, faults, parent.first, pages, parent.kind.clone(), parent.anon)?;
        // Relaxed, twice: nobody else knows the area yet.
        area.preferred.store(parent.preferred() as u32, Ordering::Relaxed);
        let mut left = pages;
        for index in (0..pages).filter(|&index| parent.attributes(index).contains(Attributes::UNMAPPED)) {
            area.mark(index, Attributes::UNMAPPED);
            left -= 1;
        }
        area.inherit(parent);
        area.left.store(left, Ordering::Relaxed);
        if left == 0 {
            return Ok(None);
        }
        if let Some(map) = area.file() {
            self.link_file(&map.file)?;
        }
        let area = Arc::new(area);
        if let Err(error) = self.join_owners(&area) {
            if let Some(map) = area.file() {
                self.unlink_file(&map.file);
            }
            return Err(error);
        }
        Ok(Some(area))
    }

    /// Step 3 for one area.
    fn copy_entries(&self, parent: &Area, child: &Area, protected: &mut bool) -> Result<()> {
        for index in (0..parent.pages()).filter(|&index| parent.forks(index)) {
            match self.copy_entry(parent, child, index) {
                Copied::Done => {}
                Copied::Protected => *protected = true,
                Copied::Pinned(pfn) => self.copy_pinned(child, index, pfn)?,
            }
        }
        Ok(())
    }

    /// Step 3 for one entry (`copy_present_ptes`, `copy_nonpresent_pte`).
    fn copy_entry(&self, parent: &Area, child: &Area, index: u32) -> Copied {
        // No fault fills an empty entry meanwhile; and what is marked in the child is gone, or about to go.
        if parent.is_empty(index) || child.attributes(index).contains(Attributes::UNMAPPED) {
            return Copied::Done;
        }
        let mut guard = parent.lock(index);
        let pte = guard.pte();
        match pte.entry() {
            Entry::Present { pfn, zero: false } => {
                // Kept as it is by the mapping's reference.
                let folio = self.frames.folio(pfn);
                let (page, head) = (&self.frames[pfn], folio.head);
                self.step("fork of an entry", pfn);
                if page.word().has(Flags::ANON_EXCLUSIVE) {
                    if self.frames.may_be_pinned(folio) && !mutated(Mutation::ForkSharesPinned) {
                        self.frames[head].get(head);
                        return Copied::Pinned(pfn);
                    }
                    page.clear(Flags::ANON_EXCLUSIVE);
                }
                self.frames[head].get(head);
                self.frames.add_mapping(folio, pfn);
                let old = match mutated(Mutation::ForkKeepsWritable) {
                    true => pte,
                    false => guard.wrprotect(),
                };
                child.publish(index, Pte(old.0 & !(Pte::WRITE | Pte::YOUNG)));
                if old.has(Pte::WRITE) { Copied::Protected } else { Copied::Done }
            }
            Entry::Migration { .. } => {
                // When the mappings are restored, both are shared and read-only.
                let shared = match mutated(Mutation::ForkKeepsMigrationWritable) {
                    true => Pte(pte.0 & !Pte::EXCLUSIVE),
                    false => Pte(pte.0 & !(Pte::WRITE | Pte::EXCLUSIVE)),
                };
                guard.replace(shared);
                child.publish(index, shared);
                Copied::Done
            }
            Entry::Present { zero: true, .. } | Entry::Hwpoison { .. } => {
                child.publish(index, pte);
                Copied::Done
            }
            Entry::None => Copied::Done,
            Entry::Swap { slot } => {
                // Counted before the child has it. Whoever brings the page back shares it.
                self.copy_swap_entry(slot);
                let shared = Pte(pte.0 & !Pte::EXCLUSIVE);
                guard.replace(shared);
                child.publish(index, shared);
                Copied::Done
            }
        }
    }

    /// Gives the child a copy of a page that may be pinned (`copy_present_page`). The parent's entry stays
    /// as it is: our reference keeps the page from moving, faults wait, and so does unmapping.
    fn copy_pinned(&self, child: &Area, index: u32, from: Pfn) -> Result<()> {
        let copy = self.copied_page(child, index, from);
        self.put_page(from);
        let copy = copy?;
        self.add_new_anon(child, index, copy);
        child.publish(index, Pte::present(copy, Pte::YOUNG | Pte::DIRTY | Pte::WRITE));
        Ok(())
    }
}
