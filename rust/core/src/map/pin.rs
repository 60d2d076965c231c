//! References from the outside on mapped pages: `get_user_pages` and `pin_user_pages`.

use super::fault::{Cause, no_hwpoison, no_page};
use super::{Area, Entry, Pte};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::{Flags, PIN, Pfn};
use crate::profile::FilePin;
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
    /// Errors as [`Machine::fault`]; `ENOMEM` also if the count is at its limit; `EFAULT` or `EOPNOTSUPP` for a pin for
    /// writing of a shared mapping of a disk's file, as the profile says.
    pub fn pin(&self, area: &Area, index: u32, kind: PinKind, write: bool) -> Result<Pfn> {
        if index >= area.pages() {
            return Err(no_page(area, index));
        }
        let of_disk = area.file().is_some_and(|map| map.file.is_written_back());
        if kind == PinKind::Pin && write && of_disk && area.is_shared() {
            self.refuse_file_pin(area, index)?;
        }
        let retry = kind == PinKind::Get || self.profile.pin_faults_retry;
        let mut faulted = false;
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
                            let folio = self.frames.folio(pfn);
                            self.frames[folio.head].try_add(folio.head, kind.references())?;
                            if kind == PinKind::Pin {
                                self.frames.count_pin(folio, true);
                            }
                            if kind == PinKind::Get || self.profile.pin_marks_accessed {
                                self.mark_held(folio.head, faulted);
                            }
                            return Ok(pfn);
                        }
                    }
                    Entry::None if area.file().is_some() && !write => Cause::Read,
                    Entry::Swap { .. } if !write => Cause::Read,
                    _ => Cause::Write,
                }
            };
            self.may_go_on("fault of a pin")?;
            self.fault_retrying(area, index, cause, retry).map_err(no_hwpoison)?;
            faulted = true;
        }
    }

    /// The holder's accesses go past the entry: the page itself remembers. A page that is there is found
    /// without locks (`gup_fast`), and nothing is activated; one that has to be faulted in counts as
    /// touched.
    fn mark_held(&self, pfn: Pfn, faulted: bool) {
        match faulted {
            true => self.mark_page_accessed(pfn),
            false => {
                self.frames[pfn].set(Flags::REFERENCED);
            }
        }
    }

    /// A device that writes to a disk's file for long would dirty its pages unheard (`writable_file_mapping_allowed`).
    #[cold]
    fn refuse_file_pin(&self, area: &Area, index: u32) -> Result<()> {
        let why = "a shared mapping of a disk's file is not pinned for writing";
        match self.profile.file_pin {
            FilePin::SharedRefused => Err(Error::new(Errno::EFAULT, why)),
            FilePin::Refused => {
                // Found out only when the page is there, and may be stored into.
                if !area.look(index).has(Pte::PRESENT | Pte::WRITE) {
                    self.fault_for(area, index, Cause::Write).map_err(no_hwpoison)?;
                }
                Err(Error::new(Errno::EOPNOTSUPP, why))
            }
        }
    }

    /// Gives back what [`Machine::pin`] took.
    pub fn unpin(&self, pfn: Pfn, kind: PinKind) {
        let folio = self.frames.folio(pfn);
        if kind == PinKind::Pin {
            self.frames.count_pin(folio, false);
            // All but one at once: not the last, so no release design is asked.
            self.frames[folio.head].drop_refs(folio.head, kind.references() - 1);
        }
        self.put(folio.head);
    }

    /// The frame that is mapped there now, without a reference: a name, good for looking.
    pub fn page_at(&self, area: &Area, index: u32) -> Option<Pfn> {
        if index >= area.pages() {
            return None;
        }
        frame_of(area.look(index))
    }

    /// The page that is mapped there, with a reference: of a large one its head.
    pub fn get_page_at(&self, area: &Area, index: u32) -> Option<Pfn> {
        if index >= area.pages() {
            return None;
        }
        let guard = area.lock(index);
        // The mapping has a reference, and the lock keeps the mapping.
        let head = self.frames.head(frame_of(guard.pte())?);
        self.frames[head].get(head);
        Some(head)
    }
}

fn frame_of(pte: Pte) -> Option<Pfn> {
    match pte.entry() {
        Entry::Present { pfn, zero: false } => Some(pfn),
        _ => None,
    }
}
