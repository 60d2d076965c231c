//! Faults that strike at a step. Each fault changes the machine as another thread could while the
//! calling thread is at the step.

use super::plan::{Hit, Kind, Plan, Plans};
use crate::machine::Machine;
use crate::page::{Flags, Pfn, lives};
use crate::release::design::Designed;

impl<R: Designed> Machine<R> {
    /// Passes a moment of an operation on a page. The moment has no recorded call of its own. The
    /// calling thread may hold any lock except leaf locks.
    #[inline]
    pub(crate) fn step(&self, site: &'static str, pfn: Pfn) {
        if let Some(recorder) = self.recorder.get() {
            self.pass_step(&recorder.plans, site, [Some(pfn), None]);
        }
    }

    /// Passes a moment, as [`Machine::step`] does, of an operation that moves the content of one
    /// page to another.
    #[inline]
    pub(crate) fn step_from_to(&self, site: &'static str, src: Pfn, dst: Pfn) {
        if let Some(recorder) = self.recorder.get() {
            self.pass_step(&recorder.plans, site, [Some(src), Some(dst)]);
        }
    }

    /// Passes a step that handles up to two pages; each page is a site of its own.
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
                // A walk by frame number takes no reference on a page that is free or frozen, so
                // neither does the fault.
                let head = self.frames.head(pfn);
                let Some(page) = self.frames.get(head).filter(|page| page.count() > 0) else { return };
                if plan.passes() && page.try_get() {
                    plan.note_reference(head);
                    hit();
                }
            }
            Kind::Poison => {
                // Memory failure flags the frame before it takes a page lock or a reference, so
                // the flag can appear at any step. No failure begins while another failure or an
                // offlining is handled.
                let Some(_serial) = self.failure.mutex.try_lock() else { return };
                let good = !self.frames[pfn].word().has(Flags::HWPOISON);
                if good && plan.passes() && self.failure.flag(pfn, &self.frames[pfn]) {
                    plan.note_bad(pfn);
                    hit();
                }
            }
            Kind::SpuriousWakeup => {
                if plan.passes() {
                    let page = &self.frames[self.frames.head(pfn)];
                    page.wake(lives::life_of(page));
                    hit();
                }
            }
            Kind::NoMemory | Kind::CopyFailure | Kind::DriverError | Kind::Killed => {}
        }
    }
}
