//! References that outside users take on mapped pages: `get_user_pages` and `pin_user_pages`.

use super::fault::{Cause, no_hwpoison, no_page};
use super::{Area, Entry, Pte};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::reckon::{self, Fact};
use crate::page::{Flags, Folio, PIN, Pfn};
use crate::profile::{AnonReuse, FilePin, PinCounting};
use crate::release::Release;

/// The way in which an outside user holds a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinKind {
    /// One reference (`FOLL_GET`), as vmsplice takes it. A fork shares such a page.
    Get,
    /// A pin (`FOLL_PIN`) of 1024 references, for a device that reads or writes. A pinned anonymous
    /// page belongs to this process alone, and stays so: a fork copies it at once. In kernels that
    /// do not count pins, a pin is one reference (`pins`).
    Pin,
}

impl<R: Release> Machine<R> {
    /// Returns how this kernel holds a page for `kind`: kernels that do not count pins take a plain
    /// reference for a pin.
    pub fn held_as(&self, kind: PinKind) -> PinKind {
        match self.profile.pins {
            PinCounting::Plain => PinKind::Get,
            PinCounting::Counted => kind,
        }
    }

    /// Returns the number of references that a pin takes in this kernel.
    pub(crate) fn pin_references(&self) -> u32 {
        match self.profile.pins {
            PinCounting::Plain => 1,
            PinCounting::Counted => PIN,
        }
    }

    /// Returns true if the page may be pinned, as far as this kernel can tell
    /// (`folio_maybe_dma_pinned`).
    #[inline]
    pub(crate) fn may_be_pinned(&self, folio: Folio) -> bool {
        self.frames.may_be_pinned(folio) && self.profile.pins == PinCounting::Counted
    }

    /// Takes a reference or a pin on the page behind an address, and faults the page in as needed.
    /// `write` says that the holder will write. Neither a hole nor the zero page is a frame of the
    /// machine, so a fault first puts a page there.
    ///
    /// Errors as [`Machine::fault`], but `EFAULT` for a bad frame; `ENOMEM` also if the page's count is
    /// at its limit; `EFAULT` or `EOPNOTSUPP`, as the profile says, for a pin for writing of a shared
    /// mapping of a disk's file.
    pub fn pin(&self, area: &Area, index: u32, kind: PinKind, write: bool) -> Result<Pfn> {
        self.pin_found(area, index, kind, write, |_| false)
    }

    /// Pins like [`Machine::pin`]. If `slowly` returns true for a page that is mapped already, the page
    /// counts as found under the page-table locks, where the kernel marks it accessed.
    pub(crate) fn pin_found(
        &self,
        area: &Area,
        index: u32,
        kind: PinKind,
        write: bool,
        slowly: impl Fn(Pfn) -> bool,
    ) -> Result<Pfn> {
        if index >= area.pages() {
            return Err(no_page(area, index));
        }
        let of_disk = area.file().is_some_and(|map| map.file.is_written_back());
        if kind == PinKind::Pin && write && of_disk && area.is_shared() {
            self.refuse_file_pin(area, index)?;
        }
        let retry = kind == PinKind::Get || self.profile.pin_faults_retry;
        let counted = self.held_as(kind) == PinKind::Pin;
        let mut faulted = false;
        // Another round follows only after a fault, as in an access.
        loop {
            let cause = {
                let guard = area.lock(index);
                let pte = guard.pte();
                match pte.entry() {
                    Entry::Present { zero: false, .. } if write && !pte.has(Pte::WRITE) => Cause::Write,
                    Entry::Present { pfn, zero: false } => {
                        let page = &self.frames[pfn];
                        let own = page.word().has(Flags::ANON_EXCLUSIVE)
                            || area.is_shared()
                            || self.profile.anon_reuse == AnonReuse::Mapcount;
                        if counted && !own {
                            Cause::Unshare
                        } else {
                            // The reference is taken under the entry's lock: the mapping's
                            // reference keeps the page, and a later fork sees the pin.
                            let folio = self.frames.folio(pfn);
                            let references = if counted { PIN } else { 1 };
                            self.frames[folio.head].try_add(folio.head, references)?;
                            if counted {
                                self.frames.count_pin(folio, true);
                            }
                            if kind == PinKind::Get || self.profile.pin_marks_accessed {
                                self.mark_held(folio.head, faulted || slowly(folio.head));
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
            reckon::happened(Fact::Fault, 1);
            self.fault_retrying(area, index, cause, retry).map_err(no_hwpoison)?;
            faulted = true;
        }
    }

    /// Marks a held page as used, because the holder's accesses do not mark its entry. The lockless
    /// walk (`gup_fast`) finds a page that is mapped already, and does not activate it. The walk
    /// under the locks finds a page that had to be faulted in, and such a page counts as accessed.
    fn mark_held(&self, pfn: Pfn, slowly: bool) {
        match slowly {
            true => self.mark_page_accessed(pfn),
            false => {
                self.frames[pfn].set(Flags::REFERENCED);
            }
        }
    }

    /// Refuses a pin for writing of a disk's file. A device that writes for long would make its
    /// pages dirty without any fault (`writable_file_mapping_allowed`).
    #[cold]
    fn refuse_file_pin(&self, area: &Area, index: u32) -> Result<()> {
        let why = "a shared mapping of a disk's file is not pinned for writing";
        match self.profile.file_pin {
            FilePin::SharedRefused => Err(Error::new(Errno::EFAULT, why)),
            FilePin::Refused => {
                // These kernels refuse only after the page was faulted in for writing.
                if !area.look(index).has(Pte::PRESENT | Pte::WRITE) {
                    reckon::happened(Fact::Fault, 1);
                    self.fault_for(area, index, Cause::Write).map_err(no_hwpoison)?;
                }
                Err(Error::new(Errno::EOPNOTSUPP, why))
            }
        }
    }

    /// Gives back a reference or a pin that [`Machine::pin`] has taken.
    pub fn unpin(&self, pfn: Pfn, kind: PinKind) {
        let folio = self.frames.folio(pfn);
        if self.held_as(kind) == PinKind::Pin {
            self.frames.count_pin(folio, false);
            // All references but one are dropped at once. None of them is the last, so no page is
            // released here.
            self.frames[folio.head].drop_refs(folio.head, PIN - 1);
        }
        self.put(folio.head);
    }

    /// Returns the frame that an entry maps now, without a reference. The frame number is good for
    /// inspection only.
    pub fn page_at(&self, area: &Area, index: u32) -> Option<Pfn> {
        if index >= area.pages() {
            return None;
        }
        frame_of(area.look(index))
    }

    /// Returns the page that an entry maps, with a reference; the head of a large page.
    pub fn get_page_at(&self, area: &Area, index: u32) -> Option<Pfn> {
        if index >= area.pages() {
            return None;
        }
        let guard = area.lock(index);
        // The mapping holds a reference, and the entry's lock keeps the mapping.
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
