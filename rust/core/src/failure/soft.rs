//! Soft offline: the content moves away, nobody is killed (lifecycle 8.2).

use super::pin::Got;
use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::migrate::{Mode, Reason};
use crate::page::{Flags, Pfn};
use crate::profile::PoisonAccounting;
use crate::release::Release;
use crate::sync::{Mutation, mutated};

impl<R: Release> Machine<R> {
    /// Takes a frame out of use that can still be read: its content is moved or dropped, the frame is
    /// poisoned and counted. Of a frame that is poisoned already nothing is left to do, or it is `EBUSY` in old kernels.
    ///
    /// `EBUSY` if the page cannot be isolated or moved, `EIO` for one that is neither free nor of a kind that
    /// can be handled, `ENOMEM` without a frame to move to, `ENXIO` for a number outside of the machine. Then
    /// nothing has changed, but that the page may have got a new place on its list.
    pub fn soft_offline_page(&self, pfn: Pfn) -> Result<()> {
        if self.frames.get(pfn).is_none() {
            return Err(Error::new(Errno::ENXIO, format!("no frame {pfn}")));
        }
        self.soft_offline(pfn, false)
    }

    /// The same for a caller that may bring a reference (`counted`), which is spent.
    pub(super) fn soft_offline(&self, pfn: Pfn, counted: bool) -> Result<()> {
        let result = {
            let _serial = (!mutated(Mutation::PoisonWithoutMutex)).then(|| self.failure.mutex.lock());
            self.soft_offline_serially(pfn, counted)
        };
        let ret = result.as_ref().map_or_else(|error| error.errno.status(), |()| 0);
        self.returns(Call::SoftOfflinePage, ret);
        result
    }

    fn soft_offline_serially(&self, pfn: Pfn, mut counted: bool) -> Result<()> {
        let page = &self.frames[pfn];
        // 2. Nothing is left to do.
        if page.word().has(Flags::HWPOISON) {
            if counted {
                self.put_page(pfn);
            }
            return match self.profile.soft_offline_again_busy {
                true => Err(state(pfn, Errno::EBUSY, "the frame is poisoned already".into())),
                false => Ok(()),
            };
        }
        // 3. to 5. A free frame may be allocated between the look and the lock of its list: once more then.
        for _ in 0..2 {
            match self.get_hwpoison_page(pfn, counted, true) {
                Ok(Got::InUse) => return self.soft_offline_in_use(pfn),
                Ok(Got::Free) if self.handle_poison(pfn, true, false) => return Ok(()),
                Ok(Got::Free) => counted = false,
                Err(errno) => {
                    let why = format!("neither free nor handleable ({})", page.word());
                    return Err(state(pfn, errno, why));
                }
            }
        }
        Err(state(pfn, Errno::EBUSY, "it was allocated each time it was found free".into()))
    }

    /// Steps 5 to 11, with a reference that is spent.
    fn soft_offline_in_use(&self, pfn: Pfn) -> Result<()> {
        let page = &self.frames[pfn];
        // 5. Of a large page one part is to go.
        if let Err(error) = self.split_for_failure(pfn) {
            self.put_page(pfn);
            return Err(state(pfn, Errno::EBUSY, format!("the large page is not split: {}", error.why)));
        }
        // 6. What is on its way to the disk must be read from this frame.
        page.lock();
        page.wait_writeback();
        let word = page.word();
        if word.has(Flags::HWPOISON) {
            self.unlock_and_put(pfn);
            return match self.profile.soft_offline_again_busy {
                true => Err(state(pfn, Errno::EBUSY, "the frame was poisoned meanwhile".into())),
                false => Ok(()),
            };
        }
        // 7. What can be read again need not be moved.
        let dropped = word.has(Flags::LRU) && !word.has(Flags::SWAPCACHE) && self.evict_for_failure(pfn);
        page.unlock(pfn);
        if dropped {
            // Our reference is the only one, but for looks that are about to end. Then the page stays on its list, in
            // nobody's use.
            self.handle_poison(pfn, false, true);
            return Ok(());
        }
        // 8. The isolation takes a reference of its own; 9. ours goes in any case, or the page could not move.
        let isolated = match word.has(Flags::MOVABLE) {
            true => self.isolate_movable_page(pfn),
            false => self.isolate(pfn).is_ok(),
        };
        self.put(pfn);
        if !isolated {
            return Err(state(pfn, Errno::EBUSY, format!("the page cannot be isolated ({})", page.word())));
        }
        // 10. The isolation's reference is left to us on success.
        let mut list = vec![pfn];
        let mut target = |src| self.alloc_pages_near(self.node_of(src), 0).ok();
        let migrated = self.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::MemoryFailure);
        if list.is_empty() {
            // 11. Only now: before, the page was still in use.
            self.handle_poison(pfn, false, true);
            self.count_moved_off();
            return Ok(());
        }
        let word = page.word();
        // A page that could not move at all is still there, as one is that may be tried again (lifecycle 6.7, bug 1).
        let gone = self.profile.poison == PoisonAccounting::NonEagain && migrated.refused > 0;
        if (gone || mutated(Mutation::PoisonOnFailure)) && page.poison() {
            self.failure.books.lock().counted += 1;
        }
        self.putback_movable_pages(&mut list);
        Err(match migrated.errno {
            Some(errno) => state(pfn, errno, "no frame to move to".into()),
            None => {
                let why = format!("the page could not move ({word} after {} retries)", migrated.retries);
                state(pfn, Errno::EBUSY, why)
            }
        })
    }
}

#[cold]
pub(super) fn state(pfn: Pfn, errno: Errno, why: String) -> Error {
    Error::at(errno, pfn, Why::State(why))
}
