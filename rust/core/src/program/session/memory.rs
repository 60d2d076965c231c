//! System calls on a process's memory policy: mlock, madvise, mbind, migrate_pages; and taking all
//! memory of a node.

use super::Session;
use super::actor::{Actor, Discarded, Hold, Mapped, Name, Table};
use super::content::Place;
use super::process::{Beyond, Outcome};
use super::step::{Problem, Step};
use crate::error::{Errno, Error};
use crate::failure::Injection;
use crate::map::{self, Area, Attributes, Entry, Policy};
use crate::migrate::MbindFlags;
use crate::page::{Flags, PAGE_SIZE, Pfn};
use crate::pressure::state::context;
use crate::program::{Advice, Allocated, Child, MadvOption, MbindOption, Owner, Region, Sel, SwapOption};
use crate::release::Release;
use crate::sync::stop_point;
use std::ops::Range;

/// The name of the handles of [`Session::fill_node`]. No program can write it.
pub(super) const HOG: Owner = Owner::Allocated(Allocated(u16::MAX));

impl<R: Release> Session<R> {
    pub(super) fn mlock(&self, actor: &mut Actor, pages: &Sel<Region>) -> Step {
        self.copies(actor, pages);
        self.each_run(actor, pages, false, Beyond::Nothing(Errno::ENOMEM), |mapped, run| {
            let locked =
                self.unpreferred(actor, mapped, || self.machine.mlock(&self.space, &mapped.area, run));
            // mlock(2) reports a failure to populate as ENOMEM.
            locked.map_err(|error| match error.errno {
                Errno::EFAULT => Error { errno: Errno::ENOMEM, ..error },
                _ => error,
            })
        })
    }

    /// Records that pages of a private mapping are about to be copied from its file without a
    /// write. While other threads may write to the file, the content of the copies is unknown.
    pub(super) fn copies(&self, actor: &mut Actor, pages: &Sel<Region>) {
        let Ok(mapped) = self.region_of(actor, pages) else { return };
        if !actor.concurrent || !mapped.is_private_file() {
            return;
        }
        let space = mapped.content_of(self.space.id);
        let len = mapped.area.pages();
        for page in pages.indices(len).filter(|&page| page < len) {
            let place = Place { region: mapped.number, page };
            let reader = self.reader(actor);
            actor.content.copied_sometime(space, place, reader);
        }
    }

    /// Records which pages of private mappings are copies of their files' pages, while one thread runs. A
    /// caller that changes the content of a file calls this function before the change, because the copies
    /// keep the old content.
    pub(super) fn note_copies(&self, actor: &mut Actor) {
        let mut copies = Vec::new();
        let mut find = |space: u32, regions: &Table<Region, Mapped>| {
            for (_, mapped) in regions.iter().filter(|(_, mapped)| mapped.is_private_file()) {
                let pages = (0..mapped.area.pages()).filter(|&page| self.is_copy(&mapped.area, page));
                copies.extend(pages.map(|page| (space, Place { region: mapped.number, page })));
            }
        };
        for names in [&self.names, &actor.names] {
            find(self.space.id, &names.regions);
            names.living().for_each(|process| find(process.space.id, &process.regions));
        }
        let reader = self.reader(actor);
        for (space, place) in copies {
            actor.content.copied(space, place, reader);
        }
    }

    /// Returns true if a page of a private mapping of a file is a copy that belongs to the mapping.
    fn is_copy(&self, area: &Area, page: u32) -> bool {
        match area.look(page).entry() {
            Entry::Present { pfn, zero: false } => {
                let frames = self.machine.frames();
                frames[frames.head(pfn)].word().has(Flags::ANON)
            }
            Entry::Swap { .. } => true,
            _ => false,
        }
    }

    /// Runs `work` without the region's preference for a node. The preference applies only to the
    /// program's own accesses to pages.
    pub(super) fn unpreferred<T>(&self, actor: &Actor, mapped: &Mapped, work: impl FnOnce() -> T) -> T {
        let node = mapped.area.preferred();
        // Other threads may use the region at the same time, so its preference must not change.
        if node == 0 || actor.concurrent {
            return work();
        }
        let prefer = |node| self.machine.prefer(&mapped.area, node).is_ok();
        prefer(0);
        let result = work();
        prefer(node);
        result
    }

    /// Runs `work` without the preferences of all regions, as [`Session::unpreferred`] does for
    /// one.
    pub(super) fn unpreferred_anywhere<T>(&self, actor: &Actor, work: impl FnOnce() -> T) -> T {
        if actor.concurrent {
            return work();
        }
        let regions = self.names.regions.iter().chain(actor.names.regions.iter());
        let preferred: Vec<_> = regions.map(|(_, mapped)| (&mapped.area, mapped.area.preferred())).collect();
        let prefer = |to: &dyn Fn(usize) -> usize| {
            for (area, node) in preferred.iter().filter(|(_, node)| *node != 0) {
                // The call cannot fail, because a node that was preferred before exists.
                let _ = self.machine.prefer(area, to(*node));
            }
        };
        prefer(&|_| 0);
        let result = work();
        prefer(&|node| node);
        result
    }

    pub(super) fn munlock(&self, actor: &Actor, pages: &Sel<Region>) -> Step {
        self.each_run(actor, pages, false, Beyond::Nothing(Errno::ENOMEM), |mapped, run| {
            self.machine.munlock(&self.space, &mapped.area, run)
        })
    }

    pub(super) fn mbind(
        &self,
        actor: &Actor,
        pages: &Sel<Region>,
        node: u32,
        options: &[MbindOption],
    ) -> Step {
        let has = |option| options.contains(&option);
        let flags = MbindFlags {
            move_own: has(MbindOption::Move),
            move_all: has(MbindOption::MoveAll),
            strict: has(MbindOption::Strict),
        };
        let policy = match has(MbindOption::Preferred) {
            true => Policy::Preferred(node as usize),
            false => Policy::Bind(node as usize),
        };
        self.each_run(actor, pages, false, Beyond::Nothing(Errno::EFAULT), |mapped, run| {
            self.machine.mbind(&self.space, &mapped.area, run, policy, flags)
        })
    }

    pub(super) fn migrate_pages(&self, actor: &Actor, from: u32, to: u32, pid: Option<Child>) -> Step {
        let moved = actor.no_page_lock().and_then(|()| {
            let space = match pid {
                None => &self.space,
                Some(child) => &self.child(actor, child)?.space,
            };
            Ok(self.machine.migrate_between(space, from as usize, to as usize)?)
        });
        match moved {
            Ok(left) => Step { ret: left.into(), ..Step::default() },
            Err(problem) => Step::refused(problem),
        }
    }

    pub(super) fn numa_fault(&self, actor: &Actor, pages: &Sel<Region>, node: u32) -> Step {
        let (mapped, node) = match self.region_of(actor, pages).and_then(|it| Ok((it, self.node(node)?))) {
            Ok(found) => found,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for index in pages.indices(mapped.area.pages()) {
            if index >= mapped.area.pages() {
                step.page(Err(Error::new(Errno::EFAULT, "the page is outside of its region").into()));
                continue;
            }
            let fault = self.machine.numa_fault(&self.space, mapped.area.address(index), node);
            step.page(fault.map(|node| node as i32).map_err(Problem::from));
        }
        step
    }

    pub(super) fn demote(&self, actor: &Actor, pages: &Sel<Region>, node: u32) -> Step {
        let found = actor.no_page_lock().and_then(|()| Ok((self.region_of(actor, pages)?, self.node(node)?)));
        let (mapped, node) = match found {
            Ok(found) => found,
            Err(problem) => return Step::refused(problem),
        };
        let mut list = Vec::new();
        for index in pages.indices(mapped.area.pages()) {
            if let Some(pfn) = self.machine.get_page_at(&mapped.area, index) {
                list.extend(self.machine.isolate_for_reclaim(pfn));
                self.machine.put(pfn);
            }
        }
        let reclaimed = self.machine.reclaim_isolated(list, Some(node));
        Step { ret: (reclaimed.demoted + reclaimed.freed).into(), ..Step::default() }
    }

    pub(super) fn madvise(
        &self,
        actor: &mut Actor,
        pages: &Sel<Region>,
        advice: Advice,
        options: &[MadvOption],
    ) -> Step {
        let advice = match advice {
            Advice::Cold => map::Advice::Cold,
            Advice::Pageout => map::Advice::Pageout,
            Advice::Dontneed => map::Advice::Dontneed,
            Advice::Free => map::Advice::Free,
            Advice::Willneed => map::Advice::Willneed,
            Advice::SoftOffline => {
                return self.inject(actor, pages, Injection::SoftOffline, options);
            }
            Advice::Hwpoison => return self.inject(actor, pages, Injection::Hwpoison, options),
        };
        let each = options.contains(&MadvOption::Each);
        let mut done = Vec::new();
        let by = actor.discarder();
        let step = self.each_run(actor, pages, each, Beyond::Inside(Errno::ENOMEM), |mapped, run| {
            if matches!(advice, map::Advice::Dontneed | map::Advice::Free) {
                self.record_discard(by, mapped, &run);
            }
            let advised = self.machine.madvise(&self.space, &mapped.area, run.clone(), advice);
            match &advised {
                Ok(()) => done.push(run),
                // After a failure the program does not know which pages were discarded.
                Err(error) => {
                    let followed = run.start..followed_until(mapped, &run, advice, error.errno);
                    self.record_discard(Discarded::Somehow, mapped, &followed);
                }
            }
            advised
        });
        if let Ok(mapped) = self.region(actor, pages.of).cloned() {
            done.into_iter().for_each(|run| self.advised(actor, &mapped, run, advice));
        }
        step
    }

    /// Records pages that are about to be discarded. The record comes before the discard, because
    /// another thread may read a discarded page at once.
    fn record_discard(&self, by: Discarded, mapped: &Mapped, pages: &Range<u32>) {
        let mut discarded = self.discarded.lock();
        for page in pages.clone() {
            let all = discarded.entry((mapped.area.anon.0, page)).or_default();
            *all = match *all {
                Discarded::Before => by,
                same if same == by || by == Discarded::Before => same,
                _ => Discarded::Somehow,
            };
        }
    }

    /// Returns true if the content that `reader` expects may have been discarded while other
    /// threads ran. A thread knows its own discards. The program (number 0) knows those of a page that only
    /// one thread discarded. A child may have been forked before or after a thread's discard, so the content
    /// of its page is unknown.
    pub(super) fn is_discarded(&self, space: u32, area: &Area, page: u32, reader: u8) -> bool {
        match self.discarded.lock().get(&(area.anon.0, page)) {
            None | Some(Discarded::Before) => false,
            Some(Discarded::By(thread)) => space != self.space.id || (reader != 0 && reader != *thread),
            Some(Discarded::Somehow) => true,
        }
    }

    /// Returns true if any thread has discarded a page.
    pub(super) fn discarded_by_a_thread(&self, area: &Area, page: u32) -> bool {
        let discarded = self.discarded.lock().get(&(area.anon.0, page)).copied();
        !matches!(discarded, None | Some(Discarded::Before))
    }

    /// Records the effect of advice on the content of pages.
    fn advised(&self, actor: &mut Actor, mapped: &Mapped, pages: Range<u32>, advice: map::Advice) {
        let space = mapped.content_of(self.space.id);
        for page in pages {
            let place = Place { region: mapped.number, page };
            let reader = self.reader(actor);
            match advice {
                map::Advice::Dontneed if !mapped.area.is_shared() => {
                    actor.content.dropped(space, place, mapped.file.is_none(), reader);
                }
                map::Advice::Free => actor.content.freed(space, place, reader),
                _ => {}
            }
        }
    }

    pub(super) fn punch(&self, actor: &mut Actor, region: Region, keep: u32, of: u32) -> Step {
        let mapped = match actor.no_page_lock().and_then(|()| self.region(actor, region).cloned()) {
            Ok(mapped) => mapped,
            Err(problem) => return Step::refused(problem),
        };
        let pages = mapped.area.pages();
        let mut step = Step { problem: nothing_punched(keep, of), ..Step::default() };
        for first in (0..pages).step_by(of.max(1) as usize) {
            let run = first.saturating_add(keep).min(pages)..first.saturating_add(of).min(pages);
            if run.is_empty() {
                continue;
            }
            step.ret += run.len() as i64;
            self.record_discard(actor.discarder(), &mapped, &run);
            match self.machine.madvise(&self.space, &mapped.area, run.clone(), map::Advice::Dontneed) {
                Ok(()) => self.advised(actor, &mapped, run, map::Advice::Dontneed),
                Err(error) => step.fails(error.into()),
            }
        }
        step
    }

    pub(super) fn swapon(&self, actor: &mut Actor, mb: u32, options: &[SwapOption]) -> Outcome {
        const SLOTS: u32 = ((1 << 20) / PAGE_SIZE) as u32;
        let slots = mb.saturating_mul(SLOTS);
        if options.is_empty() {
            return Ok(self.machine.swapon(slots)?);
        }
        if self.device(actor).is_err() {
            // The explorer looks at every block after each schedule.
            let slots = if cfg!(feature = "explored") { slots.min(8) } else { slots };
            self.zs_open(actor, slots, None, None)?;
        }
        let device = self.device(actor)?;
        self.machine.swapon_zram(device)?;
        *self.lent.lock() = Some(device.pool().id);
        Ok(())
    }

    pub(super) fn swapoff(&self, actor: &Actor) -> Outcome {
        actor.no_page_lock()?;
        Ok(self.machine.swapoff()?)
    }

    /// Takes all free frames of a node.
    pub(super) fn fill_node(&self, actor: &mut Actor, node: u32) -> Outcome {
        let node = self.node(node)?;
        if actor.handles.find(|held| matches!(held.name, Name::Page(HOG, _))).is_some() {
            return Err(Problem::misuse("a node is filled already: unfill first"));
        }
        let mut number = 0;
        // Only free memory is taken: in this context an allocation reclaims nothing.
        let _last_frames = self.machine.pressure.enter(context::RECLAIMS);
        while let Ok(pfn) = self.machine.alloc_pages(node, 0) {
            stop_point();
            actor.handles.push(Name::Page(HOG, number), pfn, Hold::Ref);
            number += 1;
        }
        Ok(())
    }

    /// Puts the frames that [`Session::fill_node`] took.
    pub(super) fn unfill(&self, actor: &mut Actor) -> Outcome {
        let mut held = super::actor::Handles::default();
        actor.handles.take_all(|held| matches!(held.name, Name::Page(HOG, _)), &mut held);
        let pages: Vec<Pfn> = held.iter().map(|held| held.pfn).collect();
        match pages.is_empty() {
            true => Err(Problem::misuse("no node is filled")),
            false => {
                self.machine.put_all(&pages);
                Ok(())
            }
        }
    }
}

/// Returns the page up to which failed advice was followed. The kernel goes on after a hole, but
/// ends at a locked page.
fn followed_until(mapped: &Mapped, pages: &Range<u32>, advice: map::Advice, errno: Errno) -> u32 {
    let has = |page: u32, attribute| mapped.area.attributes(page).contains(attribute);
    let locked = |&page: &u32| has(page, Attributes::LOCKED) && !has(page, Attributes::UNMAPPED);
    match (errno, pages.clone().find(locked)) {
        (Errno::ENOMEM, _) => pages.end,
        // MADV_FREE of a file fails at once, locked or not.
        (Errno::EINVAL, Some(locked)) if advice != map::Advice::Free || mapped.file.is_none() => locked,
        _ => pages.start,
    }
}

/// Returns a problem if nothing is dropped, because the first `keep` of each `of` pages are all of them.
pub(super) fn nothing_punched(keep: u32, of: u32) -> Option<Problem> {
    let why = || Problem::misuse(format!("nothing is dropped if the first {keep} of each {of} pages stay"));
    (keep >= of).then(why)
}
