//! Fork: makes a child space that shares its parent's pages until one of the two writes.
//!
//! # Steps
//!
//! 1. Hold off the parent's faults, from here to the end. Otherwise a thread's write to a page that is
//!    already shared could go into a copy, and its next write into a page that is not yet shared. The child
//!    would then see the second write without the first.
//! 2. Make a child area for each area, and add it to the reverse map before it maps anything.
//! 3. For each entry, under the lock of the parent's: clear the permission to write, count one more mapping
//!    and reference, and publish the child's entry. Threads of the parent may still write through an entry
//!    that they read before. They write into pages that the child shares, and the child does not run yet.
//! 4. Flush once: from now on such a write faults.
//!
//! A page that may be pinned is copied in step 3 and stays writable for the parent, as in the
//! kernel. If a thread writes to it meanwhile, the child may miss this write and see later writes
//! to other pages.
//!
//! Step 3 keeps the lock of the parent's entry until the child's entry is published, for a copied page
//! too. A truncation visits the parent's entry first and then the child's, because the child's area comes
//! later in the reverse map. So it either clears the parent's entry before the fork reads it, or it finds
//! the child's. Without the lock it could pass both, and the child would map a page beyond the file's end.

use super::{AddressSpace, Area, Attributes, Entry, Pte};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::{AtomicU32, LockClass, Mutation, RwLock, mutated};
use std::sync::Arc;

/// The work that is left after the copy of one entry.
enum Copied {
    /// No work is left.
    Done,
    /// The parent's entry has lost its permission to write: a flush is due.
    Protected,
    /// The page may be pinned, so the child needs a copy of its own, and there is no page for it.
    NeedsPage,
}

impl<R: Release> Machine<R> {
    /// Makes a child of a space, with the same areas at the same addresses, which share the pages.
    ///
    /// `ENOMEM` if a page that may be pinned cannot be copied, if one more space would take a page's count
    /// beyond its limit, or if the host's memory runs out; `EAGAIN` if all numbers of spaces are used up;
    /// `ESRCH` after the exit; `EINTR` if it was interrupted. After an error the parent is as before, except
    /// that its next writes may fault.
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
            if !mutated(Mutation::FailedForkKeepsChild) {
                self.exit(&child);
            }
            return Err(error);
        }
        Ok(child)
    }

    /// Makes the child's area for an area of the parent (step 2). `None` if all its pages are
    /// unmapped.
    fn fork_area(&self, space: u32, faults: &Arc<RwLock<()>>, parent: &Area) -> Result<Option<Arc<Area>>> {
        let pages = parent.pages();
        self.may_allocate("page table")?;
        let mut area = Area::new(space, faults, parent.first, pages, parent.kind.clone(), parent.anon)?;
        area.preferred = AtomicU32::new(parent.preferred() as u32);
        let mut left = pages;
        for index in (0..pages).filter(|&index| parent.attributes(index).contains(Attributes::UNMAPPED)) {
            area.mark(index, Attributes::UNMAPPED);
            left -= 1;
        }
        area.inherit(parent);
        area.left = AtomicU32::new(left);
        if left == 0 {
            return Ok(None);
        }
        if let Some(map) = area.file() {
            self.link_file(&map.file)?;
        }
        let area = Arc::new(area);
        area.name_words();
        if let Err(error) = self.join_owners(&area) {
            if let Some(map) = area.file() {
                self.unlink_file(&map.file);
            }
            return Err(error);
        }
        Ok(Some(area))
    }

    /// Copies the entries of one area to the child (step 3).
    fn copy_entries(&self, parent: &Area, child: &Area, protected: &mut bool) -> Result<()> {
        // The page for a copy is allocated without the lock of an entry, because an allocation may wait. The
        // entry is then read again, because another thread may have changed it.
        let mut spare = None;
        let mut indices = (0..parent.pages()).filter(|&index| parent.fork_copies(index));
        let copied = indices.try_for_each(|index| {
            Error::unless_interrupted()?;
            loop {
                match self.copy_entry(parent, child, index, &mut spare)? {
                    Copied::Done => return Ok(()),
                    Copied::Protected => {
                        *protected = true;
                        return Ok(());
                    }
                    Copied::NeedsPage => spare = Some(self.alloc_for(child, index)?),
                }
            }
        });
        if let Some(unused) = spare {
            self.put(unused);
        }
        copied
    }

    /// Copies one entry to the child (step 3; `copy_present_ptes`, `copy_nonpresent_pte`).
    ///
    /// Takes the page in `spare` for the copy of a page that may be pinned.
    fn copy_entry(&self, parent: &Area, child: &Area, index: u32, spare: &mut Option<Pfn>) -> Result<Copied> {
        // Faults are held off, so an empty entry stays empty. Pages that are marked in the child
        // are unmapped, or about to be.
        if parent.is_empty(index) || child.attributes(index).contains(Attributes::UNMAPPED) {
            return Ok(Copied::Done);
        }
        let mut guard = parent.lock(index);
        let pte = guard.pte();
        Ok(match pte.entry() {
            Entry::Present { pfn, zero: false } => {
                // The mapping's reference keeps the page as it is.
                let folio = self.frames.folio(pfn);
                let (page, head) = (&self.frames[pfn], folio.head);
                self.step("fork of an entry", pfn);
                if page.word().has(Flags::ANON_EXCLUSIVE) {
                    if self.may_be_pinned(folio) && !mutated(Mutation::ForkSharesPinned) {
                        let Some(copy) = *spare else { return Ok(Copied::NeedsPage) };
                        self.copy_pinned(child, index, pfn, copy)?;
                        *spare = None;
                        return Ok(Copied::Done);
                    }
                    page.clear(Flags::ANON_EXCLUSIVE);
                }
                let count = || {
                    self.frames[head].get(head);
                    self.frames.add_mapping(folio, pfn);
                };
                let late = mutated(Mutation::ForkEntryFirst);
                if !late {
                    count();
                }
                let old = match mutated(Mutation::ForkKeepsWritable) {
                    true => pte,
                    false => guard.wrprotect(),
                };
                child.publish(index, Pte(old.0 & !(Pte::WRITE | Pte::YOUNG)));
                if late {
                    count();
                }
                if old.has(Pte::WRITE) { Copied::Protected } else { Copied::Done }
            }
            Entry::Migration { .. } => {
                // The migration later restores both entries as shared and read-only.
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
                // The slot counts the child's entry before it is published, so that no thread finds
                // an entry that its slot does not count. The page that comes back will be shared.
                self.copy_swap_entry(slot);
                let shared = Pte(pte.0 & !Pte::EXCLUSIVE);
                guard.replace(shared);
                child.publish(index, shared);
                Copied::Done
            }
        })
    }

    /// Gives the child a copy of a page that may be pinned (`copy_present_page`). The caller holds the
    /// lock of the parent's entry, which stays as it is.
    fn copy_pinned(&self, child: &Area, index: u32, from: Pfn, copy: Pfn) -> Result<()> {
        self.may_copy("copy of a private page", from)?;
        self.copy_shared(from, copy);
        self.add_new_anon(child, index, copy);
        child.publish(index, Pte::present(copy, Pte::YOUNG | Pte::DIRTY | Pte::WRITE));
        Ok(())
    }
}
