//! Takes the poison off a frame that was poisoned by software (lifecycle 8.6).

use crate::calls::{Call, Returned};
use crate::error::{Errno, Result};
use crate::failure::soft::state;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, TAKEN_OFF_BUDDY};
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Takes the poison off a frame and gives the frame back to the allocator. If another thread has
    /// the only reference, the frame loses its poison and stays in use until that reference is put.
    /// Entries that were poisoned stay poisoned.
    ///
    /// `EIO` for a frame that is offline; `ENXIO` for a number outside of the machine. A frame that is
    /// not poisoned, that has more than one reference, or that a mapping, a file or an owner still uses,
    /// stays as it is: `EBUSY`, or success in profiles that do not tell of the refusal.
    pub fn unpoison_memory(&self, pfn: Pfn) -> Result<()> {
        if self.frames.get(pfn).is_none() {
            return Err(self.no_frame(Errno::ENXIO, i64::from(pfn.0)));
        }
        let result = {
            let _serial = self.failure.serial();
            self.unpoison_serially(pfn)
        };
        self.returns(Call::UnpoisonMemory, result.ret());
        result
    }

    fn unpoison_serially(&self, pfn: Pfn) -> Result<()> {
        if !self.is_online(pfn) {
            return Err(state(pfn, Errno::EIO, "the frame is offline".into()));
        }
        let page = &self.frames[pfn];
        let word = page.word();
        let busy = |why: &str| match self.profile.unpoison_refusal_told {
            true => Err(state(pfn, Errno::EBUSY, format!("{why} ({})", page.word()))),
            false => Ok(()),
        };
        if !word.has(Flags::HWPOISON) {
            return busy("the frame is not poisoned");
        }
        if word.count() > 1 {
            return busy("somebody else holds the page");
        }
        if word.any(Flags::MOVABLE | Flags::RESERVED | Flags::HEAD | Flags::TAIL) {
            return busy("somebody owns the page");
        }
        if page.mapcount() > 0 {
            return busy("somebody maps the page");
        }
        if word.has(Flags::FILE) || word.has(Flags::SWAPCACHE) {
            return busy("the page belongs to a file");
        }
        // The kernel's function that takes the reference here keeps the per-CPU arrays empty
        // meanwhile, so their frames go to the buddy lists.
        let node = self.node_of(pfn);
        self.pcp_disable(node);
        self.pcp_enable(node);
        let held = self.is_held_by_poison(pfn);
        if held && page.private() == TAKEN_OFF_BUDDY {
            self.returns(Call::GetUnpoisonPage, Errno::EHWPOISON.status());
            if !self.put_page_back_buddy(pfn) {
                return busy("somebody else holds the page");
            }
            self.failure.uncount(pfn);
            return Ok(());
        }
        let got = page.try_get();
        self.returns(Call::GetUnpoisonPage, got.into());
        if got {
            self.put(pfn);
        }
        // The poison is taken off before the last put, which would refuse a poisoned frame.
        let refused = page.unpoison().has(Flags::REFUSED);
        self.failure.uncount(pfn);
        if refused {
            self.give_refused(pfn);
        }
        if held {
            // Only poison's own reference is put; a reference of another thread is that thread's to
            // put.
            self.put(pfn);
        }
        Ok(())
    }
}
