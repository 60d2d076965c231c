//! Operations on memory failure: advice, frames by their numbers, unpoison, early kill.
//!
//! A frame that was failed, or named by `frame`, is remembered under the name of its page. An
//! operation can therefore name the frame when no entry maps it any more.

use super::Session;
use super::actor::{Actor, Mapped};
use super::process::{Beyond, Outcome, check_page_count};
use super::step::{Problem, Step};
use crate::error::{Errno, Error};
use crate::failure::{Code, Injection, Signal};
use crate::map::{Area, Entry};
use crate::page::Pfn;
use crate::program::{MadvOption, PhysAction, Region, Sel, Switch};
use crate::release::Release;
use std::ops::Range;

impl<R: Release> Session<R> {
    /// Calls `madvise` with MADV_SOFT_OFFLINE or MADV_HWPOISON, once for each run of pages or for
    /// each page.
    pub(super) fn inject(
        &self,
        actor: &mut Actor,
        pages: &Sel<Region>,
        what: Injection,
        options: &[MadvOption],
    ) -> Step {
        let (each, force) = (options.contains(&MadvOption::Each), options.contains(&MadvOption::Force));
        let mut failed: Vec<((Region, u32), Pfn)> = Vec::new();
        let mut signals = Vec::new();
        let mut step = self.each_run(actor, pages, each, Beyond::Inside(Errno::EFAULT), |mapped, run| {
            let mapped_now = |page| Some(((pages.of, page), self.machine.page_at(&mapped.area, page)?));
            failed.extend(run.clone().filter_map(mapped_now));
            if what == Injection::Hwpoison && !force && has_nothing(&mapped.area, run.clone()) {
                let why = "a page has no frame of its own: write it first, or use `force`";
                return Err(Error::new(Errno::ECANCELED, why));
            }
            let injected = self.unpreferred(actor, mapped, || {
                self.machine.inject_failure(&self.space, &mapped.area, run.clone(), what)
            });
            // If one call sends several signals, the process sees the first.
            signals.extend(injected.signals.iter().find(|signal| signal.space == self.space.id));
            for page in run {
                if let Entry::Hwpoison { pfn } = mapped.area.look(page).unlocked().entry()
                    && what == Injection::Hwpoison
                {
                    failed.push(((pages.of, page), pfn));
                }
            }
            injected.result
        });
        failed.into_iter().for_each(|(page, pfn)| actor.names.frames.set(page, pfn));
        step.signals(&signals);
        step
    }

    /// Remembers the frames behind pages. Returns the number of pages that have a remembered frame.
    pub(super) fn frame_op(&self, actor: &mut Actor, pages: &Sel<Region>) -> Step {
        let mapped = match self.named(actor, pages) {
            Ok(mapped) => mapped,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for page in pages.indices(mapped.area.pages()) {
            if let Some(pfn) = self.machine.page_at(&mapped.area, page) {
                actor.names.frames.set((pages.of, page), pfn);
            }
            step.ret += i64::from(self.failed_frame(actor, pages.of, page).is_some());
        }
        if step.ret == 0 {
            step.problem = Some(Problem::misuse("none of the pages is in memory, or was before"));
        }
        step
    }

    /// Takes frames offline, or makes them fail, by their numbers: the remembered frames, or else the frames
    /// behind the pages.
    pub(super) fn phys(&self, actor: &mut Actor, action: PhysAction, pages: &Sel<Region>) -> Step {
        let mapped = match self.named(actor, pages) {
            Ok(mapped) => mapped,
            Err(problem) => return Step::refused(problem),
        };
        let (mut step, mut signals) = (Step::default(), Vec::new());
        for page in pages.indices(mapped.area.pages()) {
            let known = self.failed_frame(actor, pages.of, page);
            let Some(pfn) = known.or_else(|| self.machine.page_at(&mapped.area, page)) else {
                step.page(Err(no_frame()));
                continue;
            };
            actor.names.frames.set((pages.of, page), pfn);
            let result = match action {
                PhysAction::Soft => self.machine.soft_offline_page(pfn),
                PhysAction::Hard | PhysAction::Corrupt => {
                    let handled = self.machine.memory_failure(pfn, None);
                    signals.extend(handled.signals.iter().find(|signal| signal.space == self.space.id));
                    handled.result
                }
            };
            step.page(result.map(|()| 0).map_err(Problem::from));
        }
        step.signals(&signals);
        step
    }

    /// Unpoisons the remembered frames.
    pub(super) fn unpoison(&self, actor: &Actor, pages: &Sel<Region>) -> Step {
        let mapped = match self.named(actor, pages) {
            Ok(mapped) => mapped,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for page in pages.indices(mapped.area.pages()) {
            step.page(match self.failed_frame(actor, pages.of, page) {
                Some(pfn) => self.machine.unpoison_memory(pfn).map(|()| 0).map_err(Problem::from),
                None => Err(no_frame()),
            });
        }
        step
    }

    pub(super) fn early_kill(&self, switch: Switch) -> Step {
        self.machine.set_early_kill(&self.space, switch == Switch::On);
        Step::default()
    }

    /// Returns the region of an operation on frames. Refuses the operation if the thread holds a
    /// page lock, because the operation may wait for one.
    fn named(&self, actor: &Actor, pages: &Sel<Region>) -> Outcome<Mapped> {
        check_page_count(pages.pages.iter().flatten())?;
        actor.no_page_lock()?;
        self.region(actor, pages.of).cloned()
    }

    /// Returns the remembered frame of a page.
    pub(super) fn failed_frame(&self, actor: &Actor, region: Region, page: u32) -> Option<Pfn> {
        let key = (region, page);
        actor.names.frames.get(key).or_else(|| self.names.frames.get(key)).copied()
    }

    /// Returns all remembered frames with the names of their pages, in order.
    #[cfg(not(feature = "explored"))]
    pub(super) fn failed_frames(&self, actor: &Actor) -> Vec<((Region, u32), Pfn)> {
        let mut frames: Vec<_> = self.names.frames.iter().chain(actor.names.frames.iter()).copied().collect();
        frames.sort_by_key(|&(page, _)| page);
        frames
    }
}

/// Returns true if a run of anonymous memory has a page without a frame of its own.
fn has_nothing(area: &Area, mut pages: Range<u32>) -> bool {
    area.file().is_none()
        && pages.any(|page| {
            matches!(area.look(page).unlocked().entry(), Entry::None | Entry::Present { zero: true, .. })
        })
}

fn no_frame() -> Problem {
    Error::new(
        Errno::ENXIO,
        "no frame of the page is known: access it first, and record its frame with `frame`",
    )
    .into()
}

impl Step {
    /// Counts signals by their code.
    fn signals(&mut self, signals: &[Signal]) {
        for signal in signals {
            match signal.code {
                Code::ActionRequired => self.ar_sigbus += 1,
                Code::ActionOptional => self.async_sigbus += 1,
            }
        }
    }
}
