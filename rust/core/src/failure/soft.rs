//! Soft offline: the content moves away, and no process is killed (lifecycle 8.2).

use super::pin::Got;
use crate::calls::{Call, Returned};
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::migrate::{Mode, Reason};
use crate::page::{Flags, Pfn};
use crate::pressure::state::Reach;
use crate::profile::{PoisonAccounting, UnmovedStatus};
use crate::release::Release;
use crate::sync::{Mutation, mutated};

impl<R: Release> Machine<R> {
    /// Takes a frame out of use that can still be read: moves or drops its content, then poisons
    /// and counts the frame. A frame that is poisoned already is left as it is: success, or `EBUSY`
    /// in old kernels.
    ///
    /// `EBUSY` if the page cannot be isolated, split or moved (in old kernels `EIO` if it cannot be moved),
    /// and for a frame that is allocated each time it was found free. `EIO` for a frame that is offline, and
    /// for a page that is neither free nor of a kind that can be handled. `ENOMEM` without a frame to move
    /// to. `ENXIO` for a number outside of the machine. After an error nothing has changed, except that the
    /// page may have another place on its list, or have been split. (The profile's `poison=non_eagain` also
    /// flags a page that cannot move.)
    pub fn soft_offline_page(&self, pfn: Pfn) -> Result<()> {
        if self.frames.get(pfn).is_none() {
            return Err(self.no_frame(Errno::ENXIO, i64::from(pfn.0)));
        }
        self.soft_offline(pfn, false)
    }

    /// [`Machine::soft_offline_page`] for a caller that hands over a reference if `counted`.
    pub(super) fn soft_offline(&self, pfn: Pfn, counted: bool) -> Result<()> {
        let result = {
            let _serial = self.failure.serial();
            self.soft_offline_serially(pfn, counted)
        };
        self.returns(Call::SoftOfflinePage, result.ret());
        result
    }

    fn soft_offline_serially(&self, pfn: Pfn, mut counted: bool) -> Result<()> {
        // 1. A frame that is offline holds no page (`pfn_to_online_page`). The frame stays offline
        //    while this thread holds the mutex.
        if !self.is_online(pfn) {
            return Err(state(pfn, Errno::EIO, "the frame is offline".into()));
        }
        let page = &self.frames[pfn];
        // 2. A frame that is poisoned already needs no further work.
        if page.word().has(Flags::HWPOISON) {
            if counted {
                self.put_page(pfn);
            }
            return match self.profile.soft_offline_again_busy {
                true => Err(state(pfn, Errno::EBUSY, "the frame is poisoned already".into())),
                false => Ok(()),
            };
        }
        // 3. to 5. A free frame may be allocated between the look at it and the lock of its list;
        // the loop then tries once more.
        for _ in 0..2 {
            match self.get_hwpoison_page(pfn, counted, true) {
                Ok(Got::InUse) => return self.soft_offline_in_use(pfn),
                Ok(Got::Free)
                    if self.handle_poison(pfn, true, false) || mutated(Mutation::OfflineBelievesFree) =>
                {
                    return Ok(());
                }
                Ok(Got::Free) => counted = false,
                Err(errno) => {
                    let why = format!("neither free nor handleable ({})", page.word());
                    return Err(state(pfn, errno, why));
                }
            }
        }
        Err(state(pfn, Errno::EBUSY, "it was allocated each time it was found free".into()))
    }

    /// Steps 5 to 11, with a reference that the caller hands over.
    fn soft_offline_in_use(&self, pfn: Pfn) -> Result<()> {
        let page = &self.frames[pfn];
        // 5. A large page is split, because only one of its parts is taken out of use.
        if let Err(error) = self.split_for_failure(pfn) {
            self.put_page(pfn);
            return Err(state(pfn, Errno::EBUSY, format!("the large page is not split: {}", error.why)));
        }
        // 6. Writeback must end first, because the disk reads this frame.
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
        // 7. A clean page of a file is dropped, not moved: it can be read again.
        let dropped = word.has(Flags::LRU) && !word.has(Flags::SWAPCACHE) && self.evict_for_failure(pfn);
        page.unlock(pfn);
        if dropped {
            // This thread holds the only reference, except for threads that look at the page by its
            // frame number and put their reference soon. In that case the page stays on its list,
            // unused.
            self.handle_poison(pfn, false, true);
            return Ok(());
        }
        // 8. The isolation takes a reference of its own. 9. The caller's reference is put in any
        // case: with it the page could not move.
        let isolated = match word.has(Flags::MOVABLE) {
            true => self.isolate_movable_page(pfn),
            false => self.isolate(pfn).is_ok(),
        };
        let keeps_reference = isolated && mutated(Mutation::OfflineKeepsReference);
        if !keeps_reference {
            self.put(pfn);
        }
        if !isolated {
            return Err(state(pfn, Errno::EBUSY, format!("the page cannot be isolated ({})", page.word())));
        }
        // 10. On success the migration leaves the isolation's reference to this thread.
        let mut list = vec![pfn];
        let mut target = |src| self.alloc_target(self.node_of(src), 0, Reach::Near).ok();
        let migrated = self.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::MemoryFailure);
        if keeps_reference {
            self.put(pfn);
        }
        if list.is_empty() {
            // 11. The frame is poisoned only now: before, its page was still in use.
            self.handle_poison(pfn, false, true);
            self.count_moved_off();
            return Ok(());
        }
        let word = page.word();
        // A page that cannot move at all is still in use, like a page that may be tried again. Old
        // kernels poison its frame all the same (lifecycle 6.7, bug 1).
        let gone = self.profile.poison == PoisonAccounting::NonEagain && migrated.refused > 0;
        if (gone || mutated(Mutation::PoisonOnFailure)) && page.poison() {
            self.failure.books.lock().counted += 1;
        }
        self.putback_movable_pages(&mut list);
        Err(match migrated.errno {
            Some(errno) => state(pfn, errno, "no frame to move to".into()),
            None => {
                let why = format!("the page could not move ({word} after {} retries)", migrated.retries);
                let errno = match self.profile.soft_offline_unmoved {
                    UnmovedStatus::Eio => Errno::EIO,
                    UnmovedStatus::Ebusy => Errno::EBUSY,
                };
                state(pfn, errno, why)
            }
        })
    }
}

#[cold]
pub(super) fn state(pfn: Pfn, errno: Errno, why: String) -> Error {
    Error::at(errno, pfn, Why::State(why))
}
