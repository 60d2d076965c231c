//! Hard memory failure: the content is lost (lifecycle 8.3).

use super::books::Cause;
use super::kill::Signal;
use super::pin::Got;
use super::soft::state;
use crate::calls::{Call, Returned};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::AddressSpace;
use crate::page::{Flags, Pfn};
use crate::profile::UnsplitFailure;
use crate::release::Release;
use crate::sync::{Mutation, broken, mutated};
use std::fmt;

/// The result of a failure for the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No thread uses the frame any more.
    Recovered,
    /// The loss is reported when the content is needed.
    Delayed,
    /// No handler knows the page: it is flagged, and otherwise unchanged.
    Ignored,
    /// The frame is still in use.
    Failed,
    /// The frame was poisoned before.
    AlreadyPoisoned,
}

impl Verdict {
    /// The verdict's name in the kernel's log.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Recovered => "recovered",
            Verdict::Delayed => "delayed",
            Verdict::Ignored => "ignored",
            Verdict::Failed => "failed",
            Verdict::AlreadyPoisoned => "already poisoned",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The result of a hard failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The verdict on the page.
    pub verdict: Verdict,
    /// The return value of the kernel:
    ///
    /// * 0 for recovered and delayed;
    /// * `EHWPOISON` for a frame that was poisoned before; 0 in kernels in which that is no error, and for a
    ///   process whose access failed but which does not map the page any more;
    /// * `EHWPOISON` for a large page that could not be split, in kernels that signal then;
    /// * `ENXIO` for a frame that is offline, or that the machine does not have;
    /// * else `EBUSY`.
    pub result: Result<()>,
    /// The signals that were sent, in order.
    pub signals: Vec<Signal>,
}

/// The state in which a caller reports a failed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The caller knows the number of the frame.
    ByNumber,
    /// The caller hands over a reference on the page.
    Counted,
    /// The caller has flagged the frame and done nothing else.
    Flagged,
}

impl Handled {
    fn new(pfn: Pfn, verdict: Verdict, why: &str) -> Handled {
        let error = |errno| Err(state(pfn, errno, format!("{verdict}: {why}")));
        let result = match verdict {
            Verdict::Recovered | Verdict::Delayed => Ok(()),
            Verdict::Ignored | Verdict::Failed => error(Errno::EBUSY),
            Verdict::AlreadyPoisoned => error(Errno::EHWPOISON),
        };
        Handled { verdict, result, signals: Vec::new() }
    }
}

impl<R: Release> Machine<R> {
    /// Handles the failure of a frame whose content is lost. `current` is the process whose access
    /// found the failure (action required): it is signalled at once if it maps the page and the
    /// page was dirty. Other processes are signalled now if they want to be
    /// ([`Machine::set_early_kill`]), and else when they touch the page.
    ///
    /// The frame is flagged and counted whatever the verdict, except in old kernels for a part of a large
    /// page that cannot be split. `ENXIO` for a frame that is offline, or that the machine does not have.
    pub fn memory_failure(&self, pfn: Pfn, current: Option<&AddressSpace>) -> Handled {
        if self.frames.get(pfn).is_none() {
            let result = Err(self.no_frame(Errno::ENXIO, i64::from(pfn.0)));
            return Handled { verdict: Verdict::Ignored, result, signals: Vec::new() };
        }
        self.fail(pfn, false, current)
    }

    /// [`Machine::memory_failure`] for a caller that hands over a reference if `counted`.
    pub(super) fn fail(&self, pfn: Pfn, counted: bool, current: Option<&AddressSpace>) -> Handled {
        self.fail_with(pfn, if counted { Found::Counted } else { Found::ByNumber }, current)
    }

    /// [`Machine::memory_failure`] for a frame that was reported in the state `found`.
    pub(super) fn fail_with(&self, pfn: Pfn, found: Found, current: Option<&AddressSpace>) -> Handled {
        let handled = {
            let _serial = self.failure.serial();
            let handled = self.fail_serially(pfn, found, current);
            // A frame that is poisoned already is answered without a look at its entries: by 0 before 5.13,
            // and later by 0 if the process that touched the frame does not map it any more.
            let looked = handled.verdict != Verdict::AlreadyPoisoned
                || (self.profile.failure_again_tells && current.is_none());
            let mapped = || self.frames[pfn].mapcount() > 0;
            if cfg!(feature = "explored") && handled.result.is_ok() && looked && mapped() {
                let word = self.frames[pfn].word();
                broken("a page that was handled is not mapped any more", format_args!("page {pfn} ({word})"));
            }
            handled
        };
        self.returns(Call::MemoryFailure, handled.result.ret());
        handled
    }

    fn fail_serially(&self, pfn: Pfn, found: Found, current: Option<&AddressSpace>) -> Handled {
        // 1. A frame that is offline holds no page. The frame stays offline while this thread holds
        //    the mutex.
        if !self.is_online(pfn) {
            let result = Err(state(pfn, Errno::ENXIO, "the frame is offline".into()));
            return Handled { verdict: Verdict::Ignored, result, signals: Vec::new() };
        }
        let page = &self.frames[pfn];
        let counted = found == Found::Counted;
        // A free frame may be allocated between the look at it and the lock of its list; the loop
        // then tries once more.
        for last in [false, true] {
            // 2. The frame is flagged. From here on no thread can allocate it.
            let flagged = found == Found::Flagged && !last;
            if !flagged && !page.poison() {
                return self.already_poisoned(pfn, counted, current);
            }
            if counted {
                break;
            }
            // 3. A reference is taken, if the frame is in use.
            match self.get_hwpoison_page(pfn, false, false) {
                Ok(Got::InUse) => break,
                Ok(Got::Free) if !self.profile.failure_takes_free => {
                    self.failure.count(pfn, Cause::Hard, false);
                    return Handled::new(pfn, Verdict::Delayed, "it is free, and refused at hand-out");
                }
                // 4. The frame is free, and is taken off the free lists for good.
                Ok(Got::Free) if self.take_off(pfn) => {
                    page.hold_poisoned();
                    self.failure.count(pfn, Cause::Hard, true);
                    return Handled::new(pfn, Verdict::Recovered, "it was free");
                }
                Ok(Got::Free) if last => {
                    self.failure.count(pfn, Cause::Hard, false);
                    return Handled::new(
                        pfn,
                        Verdict::Failed,
                        "it was allocated each time it was found free",
                    );
                }
                Ok(Got::Free) => {
                    if page.unpoison().has(Flags::REFUSED) {
                        // The allocator has refused the frame in between, so this thread must give
                        // it back.
                        self.give_refused(pfn);
                    }
                }
                Err(_) => {
                    self.failure.count(pfn, Cause::Hard, false);
                    let why = format!("the page is in no state that can be handled ({})", page.word());
                    return Handled::new(pfn, Verdict::Ignored, &why);
                }
            }
        }
        // 6. A large page is split, because only one of its parts is bad.
        if let Err(error) = self.split_failed(pfn) {
            return self.fail_large(pfn, current, &error);
        }
        let handled = self.fail_in_use(pfn, current);
        // The reference stays whatever the verdict is: it belongs to poison from now on.
        self.failure.count(pfn, Cause::Hard, true);
        handled
    }

    /// Steps 7 to 12, with a reference.
    fn fail_in_use(&self, pfn: Pfn, current: Option<&AddressSpace>) -> Handled {
        let page = &self.frames[pfn];
        // 7. The batches are drained, because a page in one cannot be taken off a list.
        self.shake_folio(pfn);
        // 8. The page is locked against migration, truncation, and faults of files.
        page.lock();
        let before = page.word();
        let mut signals = Vec::new();
        // 9. The end of writeback is awaited for a page that is on a list or under writeback. Any
        // other page skips 9 to 11, and the handlers judge it by its flags.
        let mut handled = None;
        if before.any(Flags::LRU | Flags::WRITEBACK) {
            if !mutated(Mutation::FailureIgnoresWriteback) {
                page.wait_writeback();
            }
            // 10. The page is unmapped, and the processes that map it are signalled.
            let unmapped = self.hwpoison_user_mappings(pfn, current, &mut signals);
            self.returns(Call::HwpoisonUserMappings, unmapped.into());
            if !unmapped {
                handled = Some(Handled::new(pfn, Verdict::Failed, "it is still mapped"));
            } else if page.word().has(Flags::LRU) && page.owner() == 0 && !page.word().has(Flags::SWAPCACHE) {
                // 11. The page was truncated meanwhile.
                handled = Some(Handled::new(pfn, Verdict::Ignored, "its owner has let it go"));
            }
        }
        // 12. The handler for the page's state takes it out of use.
        let handled = handled.unwrap_or_else(|| {
            let (verdict, why) = self.handle_page_state(pfn, before);
            Handled::new(pfn, verdict, why)
        });
        page.unlock(pfn);
        Handled { signals, ..handled }
    }

    /// Handles a frame that was poisoned before: nothing is left to do, but a process that has just
    /// touched the page is signalled, in kernels that do so.
    fn already_poisoned(&self, pfn: Pfn, counted: bool, current: Option<&AddressSpace>) -> Handled {
        let mut handled = Handled::new(pfn, Verdict::AlreadyPoisoned, "there is nothing left to do");
        if mutated(Mutation::PoisonWithoutMutex) || !self.profile.failure_again_tells {
            handled.result = Ok(());
        }
        if let Some(space) = current.filter(|_| self.profile.failure_again_tells) {
            handled.signals.extend(self.kill_accessing(pfn, space));
            if handled.signals.is_empty() {
                // The page was clean and is unmapped, so the process can read it again.
                handled.result = Ok(());
            }
        }
        if counted {
            self.put_page(pfn);
        }
        handled
    }

    /// Step 6: splits a large page. The caller's reference is on the failed part afterwards.
    fn split_failed(&self, pfn: Pfn) -> Result<()> {
        let folio = self.frames.folio(pfn);
        if folio.large {
            // A thread that finds the page unsplit sees the flag, and does not read the bad part.
            self.frames[folio.head].set(Flags::HAS_HWPOISONED);
        }
        self.split_for_failure(pfn)
    }

    /// Ends the failure of a part of a large page that cannot be split, because another thread
    /// holds it. The page stays whole, with a bad part; in old kernels the failure is forgotten.
    /// Kernels that signal here signal the process that has just touched the part, and the processes
    /// that want to know early. The caller's reference is put.
    fn fail_large(&self, pfn: Pfn, current: Option<&AddressSpace>, error: &Error) -> Handled {
        let (verdict, errno) = match self.profile.unsplit_failure {
            UnsplitFailure::Told => (Verdict::Failed, Errno::EHWPOISON),
            UnsplitFailure::Untold | UnsplitFailure::Forgotten => (Verdict::Ignored, Errno::EBUSY),
        };
        let mut signals = Vec::new();
        match self.profile.unsplit_failure {
            UnsplitFailure::Forgotten => {
                self.frames[self.frames.head(pfn)].clear(Flags::HAS_HWPOISONED);
                self.frames[pfn].unpoison();
            }
            UnsplitFailure::Untold => self.failure.count(pfn, Cause::Hard, false),
            UnsplitFailure::Told => {
                self.failure.count(pfn, Cause::Hard, false);
                signals = self.collect_victims(pfn, current);
            }
        }
        self.put_page(pfn);
        let why = format!("{verdict}: the large page is not split: {}", error.why);
        Handled { verdict, result: Err(state(pfn, errno, why)), signals }
    }
}
