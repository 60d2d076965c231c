//! The way back: a frame that was poisoned by software is good again (lifecycle 8.6).

use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::failure::soft::state;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, TAKEN_OFF_BUDDY};
use crate::release::Release;
use crate::sync::{Mutation, mutated};

impl<R: Release> Machine<R> {
    /// Takes the poison off a frame and gives the frame back to the allocator. Entries that were poisoned stay so.
    ///
    /// `EBUSY` if it is not poisoned, or if anybody but poison itself still uses it: a holder, a mapping, a file.
    /// `ENXIO` for a number outside of the machine.
    pub fn unpoison_memory(&self, pfn: Pfn) -> Result<()> {
        if self.frames.get(pfn).is_none() {
            return Err(Error::new(Errno::ENXIO, format!("no frame {pfn}")));
        }
        let result = {
            let _serial = (!mutated(Mutation::PoisonWithoutMutex)).then(|| self.failure.mutex.lock());
            self.unpoison_serially(pfn)
        };
        let ret = result.as_ref().map_or_else(|error| error.errno.status(), |()| 0);
        self.returns(Call::UnpoisonMemory, ret);
        result
    }

    fn unpoison_serially(&self, pfn: Pfn) -> Result<()> {
        let page = &self.frames[pfn];
        let word = page.word();
        let busy = |why: &str| Err(state(pfn, Errno::EBUSY, format!("{why} ({})", page.word())));
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
        // Who asks for the reference keeps the arrays empty meanwhile: what they had is on the buddy lists now.
        let node = self.node_of(pfn);
        self.pcp_disable(node);
        self.pcp_enable(node);
        let held = self.is_held_by_poison(pfn);
        if held && page.private() == TAKEN_OFF_BUDDY {
            self.returns(Call::GetUnpoisonPage, Errno::EHWPOISON.status());
            if !self.put_page_back_buddy(pfn) {
                return busy("somebody else holds the page");
            }
            self.uncount_poisoned(pfn);
            return Ok(());
        }
        let got = page.try_get();
        self.returns(Call::GetUnpoisonPage, got.into());
        if got {
            self.put(pfn);
        }
        // Before the last put, which would refuse the frame.
        let refused = page.unpoison().has(Flags::REFUSED);
        self.uncount_poisoned(pfn);
        if refused {
            self.give_refused(pfn);
        }
        if held {
            // Poison's own, and no other: what somebody else holds is theirs to put.
            self.put(pfn);
        }
        Ok(())
    }
}
