//! Hard memory failure: the content is lost (lifecycle 8.3).

use super::contain::Cause;
use super::kill::Signal;
use super::pin::Got;
use super::soft::state;
use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::AddressSpace;
use crate::page::{Flags, Pfn};
use crate::profile::UnsplitFailure;
use crate::release::Release;
use crate::sync::{Mutation, broken, mutated};
use std::fmt;

/// What became of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nobody uses the frame any more.
    Recovered,
    /// Somebody will be told when the content is needed.
    Delayed,
    /// Not a page that anything can be done about: it is as it was, but flagged.
    Ignored,
    /// Something else still uses the frame.
    Failed,
    /// It was poisoned before.
    AlreadyPoisoned,
}

impl Verdict {
    /// As in the kernel's log.
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

/// What a hard failure came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// What became of the page.
    pub verdict: Verdict,
    /// What the kernel returns: 0 for recovered and delayed, `EHWPOISON` for a page that was poisoned (0 if that is no
    /// error, or a process whose access failed has the page no more), else `EBUSY`.
    pub result: Result<()>,
    /// Who was told, in order.
    pub signals: Vec<Signal>,
}

/// How a failure came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// By the number of the frame.
    ByNumber,
    /// With a reference on the page, which is spent.
    Counted,
    /// By somebody who has flagged the frame, and no more.
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
    /// A frame has failed and its content is lost. `current` is the process whose access has found it
    /// (action required): it is told at once if it maps the page and the page was dirty; others are if they
    /// want to be ([`Machine::set_early_kill`]), or when they touch the page.
    ///
    /// The frame is flagged and counted whatever the verdict. `ENXIO` for a number outside of the machine.
    pub fn memory_failure(&self, pfn: Pfn, current: Option<&AddressSpace>) -> Handled {
        if self.frames.get(pfn).is_none() {
            let result = Err(Error::new(Errno::ENXIO, format!("no frame {pfn}")));
            return Handled { verdict: Verdict::Ignored, result, signals: Vec::new() };
        }
        self.fail(pfn, false, current)
    }

    /// The same for a caller that may bring a reference (`counted`), which is spent.
    pub(super) fn fail(&self, pfn: Pfn, counted: bool, current: Option<&AddressSpace>) -> Handled {
        self.fail_with(pfn, if counted { Found::Counted } else { Found::ByNumber }, current)
    }

    /// The same for whoever finds the failure.
    pub(super) fn fail_with(&self, pfn: Pfn, found: Found, current: Option<&AddressSpace>) -> Handled {
        let handled = {
            let _serial = (!mutated(Mutation::PoisonWithoutMutex)).then(|| self.failure.mutex.lock());
            let handled = self.fail_serially(pfn, found, current);
            let mapped = || self.frames[pfn].mapcount() > 0;
            if cfg!(feature = "explored") && handled.result.is_ok() && mapped() {
                let word = self.frames[pfn].word();
                broken("what is handled is not mapped any more", format_args!("page {pfn} ({word})"));
            }
            handled
        };
        let ret = handled.result.as_ref().map_or_else(|error| error.errno.status(), |()| 0);
        self.returns(Call::MemoryFailure, ret);
        handled
    }

    fn fail_serially(&self, pfn: Pfn, found: Found, current: Option<&AddressSpace>) -> Handled {
        let page = &self.frames[pfn];
        let counted = found == Found::Counted;
        // A free frame may be allocated between the look and the lock of its list: once more then.
        for last in [false, true] {
            // 2. From here on nobody gets the frame who does not have it.
            let flagged = found == Found::Flagged && !last;
            if !flagged && !page.poison() {
                return self.already_poisoned(pfn, counted, current);
            }
            if counted {
                break;
            }
            // 3. Who has it?
            match self.get_hwpoison_page(pfn, false, false) {
                Ok(Got::InUse) => break,
                // 4. Nobody, and nobody shall.
                Ok(Got::Free) if self.take_page_off_buddy(pfn) || mutated(Mutation::TakeOffNotChecked) => {
                    page.hold_poisoned();
                    self.count_poisoned(pfn, Cause::Hard, true);
                    return Handled::new(pfn, Verdict::Recovered, "it was free");
                }
                Ok(Got::Free) if last => {
                    self.count_poisoned(pfn, Cause::Hard, false);
                    return Handled::new(
                        pfn,
                        Verdict::Failed,
                        "it was allocated each time it was found free",
                    );
                }
                Ok(Got::Free) => {
                    if page.unpoison().has(Flags::REFUSED) {
                        // The allocator had it in hand, and has let it drop.
                        self.give_refused(pfn);
                    }
                }
                Err(_) => {
                    self.count_poisoned(pfn, Cause::Hard, false);
                    let why = format!("nobody can be asked for it ({})", page.word());
                    return Handled::new(pfn, Verdict::Ignored, &why);
                }
            }
        }
        // 6. Of a large page one part is bad.
        if let Err(error) = self.split_failed(pfn) {
            return self.fail_large(pfn, current, &error);
        }
        let handled = self.fail_in_use(pfn, current);
        // The reference stays, whatever the verdict: it is poison's from now on.
        self.count_poisoned(pfn, Cause::Hard, true);
        handled
    }

    /// Steps 7 to 12, with a reference.
    fn fail_in_use(&self, pfn: Pfn, current: Option<&AddressSpace>) -> Handled {
        let page = &self.frames[pfn];
        // 7. What is in a batch cannot be taken off a list.
        self.shake_folio(pfn);
        // 8. Against migration, truncation, and faults of files.
        page.lock();
        let before = page.word();
        let mut signals = Vec::new();
        // 9. What is on no list, the handlers judge by what it looked like.
        let mut handled = None;
        if before.any(Flags::LRU | Flags::WRITEBACK) {
            page.wait_writeback();
            // 10.
            let unmapped = self.hwpoison_user_mappings(pfn, current, &mut signals);
            self.returns(Call::HwpoisonUserMappings, unmapped.into());
            if !unmapped {
                handled = Some(Handled::new(pfn, Verdict::Failed, "it is still mapped"));
            } else if page.word().has(Flags::LRU) && page.owner() == 0 && !page.word().has(Flags::SWAPCACHE) {
                // 11. Truncated meanwhile.
                handled = Some(Handled::new(pfn, Verdict::Ignored, "its owner has let it go"));
            }
        }
        // 12.
        let handled = handled.unwrap_or_else(|| {
            let (verdict, why) = self.handle_page_state(pfn, before);
            Handled::new(pfn, verdict, why)
        });
        page.unlock(pfn);
        Handled { signals, ..handled }
    }

    /// Somebody was here before; a process that has just touched the page is told all the same.
    fn already_poisoned(&self, pfn: Pfn, counted: bool, current: Option<&AddressSpace>) -> Handled {
        let mut handled = Handled::new(pfn, Verdict::AlreadyPoisoned, "there is nothing left to do");
        if mutated(Mutation::PoisonWithoutMutex) || !self.profile.failure_again_tells {
            handled.result = Ok(());
        }
        if let Some(space) = current.filter(|_| self.profile.failure_again_tells) {
            handled.signals.extend(self.kill_accessing(pfn, space));
            if handled.signals.is_empty() {
                // The page was clean, and is gone: it can be had again.
                handled.result = Ok(());
            }
        }
        if counted {
            self.put_page(pfn);
        }
        handled
    }

    /// Step 6, with a reference, which is on the part itself afterwards.
    fn split_failed(&self, pfn: Pfn) -> Result<()> {
        let folio = self.frames.folio(pfn);
        if folio.large {
            // Whoever finds it whole knows.
            self.frames[folio.head].set(Flags::HAS_HWPOISONED);
        }
        self.split_for_failure(pfn)
    }

    /// A large page that somebody holds stays as it is, with a bad part or, in old kernels, as if nothing had happened. Who
    /// has just touched that part is told where the kernel tells, and who wants to know. The reference goes.
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
            UnsplitFailure::Untold => self.count_poisoned(pfn, Cause::Hard, false),
            UnsplitFailure::Told => {
                self.count_poisoned(pfn, Cause::Hard, false);
                signals = self.collect_victims(pfn, current);
            }
        }
        self.put_page(pfn);
        let why = format!("{verdict}: the large page is not split: {}", error.why);
        Handled { verdict, result: Err(state(pfn, errno, why)), signals }
    }
}
