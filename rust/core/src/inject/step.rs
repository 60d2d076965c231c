//! What strikes at a step: what another thread could do at that moment, while ours is where it is.

use super::plan::{Hit, Kind, Plan, Plans};
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// A moment of an operation on a page that has no recorded call of its own. The calling thread may hold any lock
    /// above the leaves.
    #[inline]
    pub(crate) fn step(&self, site: &'static str, pfn: Pfn) {
        if let Some(recorder) = self.recorder.get() {
            self.pass_step(&recorder.plans, site, [Some(pfn), None]);
        }
    }

    /// Passes a step that is about up to two pages: each is a site of its own.
    #[cold]
    pub(crate) fn pass_step(&self, plans: &Plans, site: &'static str, pages: [Option<Pfn>; 2]) {
        for plan in plans.all() {
            if plan.kind == Kind::Killed {
                if plan.passes() {
                    plan.kill();
                    plan.hit(Hit { site, pfn: pages[0] });
                }
                continue;
            }
            // The zero page is no frame of the machine.
            for pfn in pages.into_iter().flatten().filter(|&pfn| self.frames.get(pfn).is_some()) {
                self.strike_page(&plan, site, pfn);
            }
        }
    }

    fn strike_page(&self, plan: &Plan, site: &'static str, pfn: Pfn) {
        let hit = || plan.hit(Hit { site, pfn: Some(pfn) });
        match plan.kind {
            Kind::ExtraPin => {
                // As any look by a frame number: not on a page that is free or frozen.
                let head = self.frames.head(pfn);
                let Some(page) = self.frames.get(head).filter(|page| page.count() > 0) else { return };
                if plan.passes() && page.try_get() {
                    plan.keep(head);
                    hit();
                }
            }
            Kind::Poison => {
                // The first thing that memory failure does, before it has a page lock or a reference. While another
                // failure is being handled, or an offlining, none begins.
                let Some(_serial) = self.failure.mutex.try_lock() else { return };
                let good = !self.frames[pfn].word().has(Flags::HWPOISON);
                if good && plan.passes() && self.flag_failed(pfn) {
                    plan.spoil(pfn);
                    hit();
                }
            }
            Kind::SpuriousWakeup => {
                if plan.passes() {
                    self.frames[self.frames.head(pfn)].wake();
                    hit();
                }
            }
            Kind::NoMemory | Kind::CopyFailure | Kind::DriverError | Kind::Killed => {}
        }
    }
}
