//! References from the outside on mapped pages: `get_user_pages` and `pin_user_pages`.

use super::fault::{Cause, no_page};
use super::{Area, Entry, Pte};
use crate::error::Result;
use crate::machine::Machine;
use crate::page::{Flags, PIN, Pfn};
use crate::release::Release;

/// How a page is held from the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinKind {
    /// One reference (`FOLL_GET`), as vmsplice takes it. Fork shares such a page.
    Get,
    /// A pin of 1024 (`FOLL_PIN`), for a device that reads or writes. The page is this process's own,
    /// and stays so: fork copies it at once.
    Pin,
}

impl PinKind {
    /// References that it is.
    pub const fn references(self) -> u32 {
        match self {
            PinKind::Get => 1,
            PinKind::Pin => PIN,
        }
    }
}

impl<R: Release> Machine<R> {
    /// Takes a reference or a pin on the page behind an address, faulting it in as needed: `write` if
    /// the holder will write. A hole or the zero page, which is no frame of the machine, becomes a page
    /// first.
    ///
    /// Errors as [`Machine::fault`]; `ENOMEM` also if the count is at its limit.
    pub fn pin(&self, area: &Area, index: u32, kind: PinKind, write: bool) -> Result<Pfn> {
        if index >= area.pages() {
            return Err(no_page(area, index));
        }
        // Each round follows from a fault, as in an access.
        loop {
            let cause = {
                let guard = area.lock(index);
                let pte = guard.pte();
                match pte.entry() {
                    Entry::Present { zero: false, .. } if write && !pte.has(Pte::WRITE) => Cause::Write,
                    Entry::Present { pfn, zero: false } => {
                        let page = &self.frames[pfn];
                        let own = page.word().has(Flags::ANON_EXCLUSIVE) || area.is_shared();
                        if kind == PinKind::Pin && !own {
                            Cause::Unshare
                        } else {
                            // Under the entry's lock: the mapping's reference keeps the page, and a fork that
                            // comes later sees the pin.
                            page.try_add(pfn, kind.references())?;
                            if kind == PinKind::Get || self.profile.pin_marks_accessed {
                                // The holder's accesses go past the entry: the page itself remembers.
                                page.set(Flags::REFERENCED);
                            }
                            return Ok(pfn);
                        }
                    }
                    Entry::None if area.file().is_some() && !write => Cause::Read,
                    _ => Cause::Write,
                }
            };
            self.fault_for(area, index, cause)?;
        }
    }

    /// Gives back what [`Machine::pin`] took.
    pub fn unpin(&self, pfn: Pfn, kind: PinKind) {
        if kind == PinKind::Pin {
            // All but one at once: not the last, so no release design is asked.
            self.frames[pfn].drop_refs(pfn, kind.references() - 1);
        }
        self.put(pfn);
    }

    /// The frame that is mapped there now, without a reference: a name, good for looking.
    pub fn page_at(&self, area: &Area, index: u32) -> Option<Pfn> {
        if index >= area.pages() {
            return None;
        }
        frame_of(area.look(index))
    }

    /// The frame that is mapped there, with a reference.
    pub fn get_page_at(&self, area: &Area, index: u32) -> Option<Pfn> {
        if index >= area.pages() {
            return None;
        }
        let guard = area.lock(index);
        let pfn = frame_of(guard.pte())?;
        // The mapping has a reference, and the lock keeps the mapping.
        self.frames[pfn].get(pfn);
        Some(pfn)
    }
}

fn frame_of(pte: Pte) -> Option<Pfn> {
    match pte.entry() {
        Entry::Present { pfn, zero: false } => Some(pfn),
        _ => None,
    }
}
