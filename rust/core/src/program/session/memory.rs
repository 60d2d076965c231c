//! System calls that say where a process's memory is to be, and how it is to be kept: mlock, madvise,
//! mbind, migrate_pages; and taking a node's memory away.

use super::actor::{Actor, Hold, Mapped, Name};
use super::content::Place;
use super::process::{Beyond, Outcome};
use super::step::{Problem, Step};
use super::{GivenUp, Session};
use crate::error::{Errno, Error};
use crate::failure::Injection;
use crate::map::{self, Area, Attributes, Policy};
use crate::migrate::MbindFlags;
use crate::page::{PAGE_SIZE, Pfn};
use crate::program::{Advice, Allocated, Child, MadvOption, MbindOption, Owner, Region, Sel};
use crate::release::Release;
use crate::sync::rest;
use std::ops::Range;

/// The name of what [`Session::fill_node`] holds: no program can say it.
const HOG: Owner = Owner::Allocated(Allocated(u16::MAX));

impl<R: Release> Session<R> {
    pub(super) fn mlock(&self, actor: &mut Actor, pages: &Sel<Region>) -> Step {
        self.copies(actor, pages);
        self.each_run(actor, pages, false, Beyond::Nothing(Errno::ENOMEM), |mapped, run| {
            let locked =
                self.unpreferred(actor, mapped, || self.machine.mlock(&self.space, &mapped.area, run));
            // As mlock(2) numbers what populating says.
            locked.map_err(|error| match error.errno {
                Errno::EFAULT => Error { errno: Errno::ENOMEM, ..error },
                _ => error,
            })
        })
    }

    /// Pages of a private mapping are about to be copied from its file, without being written. While others may write to the
    /// file, nobody knows what will be in the copies.
    pub(super) fn copies(&self, actor: &mut Actor, pages: &Sel<Region>) {
        let Ok(mapped) = self.region_of(actor, pages) else { return };
        if !actor.concurrent || mapped.file.is_none() || mapped.area.is_shared() {
            return;
        }
        let space = mapped.content_of(self.space.id);
        let len = mapped.area.pages();
        for page in pages.indices(len).filter(|&page| page < len) {
            let place = Place { region: mapped.number, page };
            let reader = self.reader(actor);
            actor.content.freed(space, place, reader);
        }
    }

    /// Does something without the preference for a node, which is the program's only while it touches
    /// pages itself.
    pub(super) fn unpreferred<T>(&self, actor: &Actor, mapped: &Mapped, work: impl FnOnce() -> T) -> T {
        let node = mapped.area.preferred();
        // Other threads may be touching the region.
        if node == 0 || actor.concurrent {
            return work();
        }
        let prefer = |node| self.machine.prefer(&mapped.area, node).is_ok();
        prefer(0);
        let result = work();
        prefer(node);
        result
    }

    /// The same for all regions of the program at once.
    pub(super) fn unpreferred_anywhere<T>(&self, actor: &Actor, work: impl FnOnce() -> T) -> T {
        if actor.concurrent {
            return work();
        }
        let regions = self.names.regions.iter().chain(actor.names.regions.iter());
        let preferred: Vec<_> = regions.map(|(_, mapped)| (&mapped.area, mapped.area.preferred())).collect();
        let prefer = |to: &dyn Fn(usize) -> usize| {
            for (area, node) in preferred.iter().filter(|(_, node)| *node != 0) {
                // A node that there is: it was preferred before.
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
        let by = actor.gives_up();
        let step = self.each_run(actor, pages, each, Beyond::Inside(Errno::ENOMEM), |mapped, run| {
            if matches!(advice, map::Advice::Dontneed | map::Advice::Free) {
                self.gives_up(by, mapped, &run);
            }
            let advised = self.machine.madvise(&self.space, &mapped.area, run.clone(), advice);
            match &advised {
                Ok(()) => done.push(run),
                // Who asked does not know which pages are gone.
                Err(error) => {
                    let heard = run.start..heard_until(mapped, &run, advice, error.errno);
                    self.gives_up(GivenUp::Somehow, mapped, &heard);
                }
            }
            advised
        });
        if let Ok(mapped) = self.region(actor, pages.of).cloned() {
            done.into_iter().for_each(|run| self.advised(actor, &mapped, run, advice));
        }
        step
    }

    /// Remembers what is about to be given up: before it is, because another thread may look meanwhile.
    fn gives_up(&self, by: GivenUp, mapped: &Mapped, pages: &Range<u32>) {
        let mut given_up = self.given_up.lock();
        for page in pages.clone() {
            let all = given_up.entry((mapped.area.anon.0, page)).or_default();
            *all = match *all {
                GivenUp::Before => by,
                same if same == by || by == GivenUp::Before => same,
                _ => GivenUp::Somehow,
            };
        }
    }

    /// May what `reader` knows of a page have been given up, while others were running? What a thread itself did it
    /// knows, and the program (number 0) all that one thread alone did.
    pub(super) fn given_up(&self, space: u32, area: &Area, page: u32, reader: u8) -> bool {
        match self.given_up.lock().get(&(area.anon.0, page)) {
            None | Some(GivenUp::Before) => false,
            Some(GivenUp::By(thread)) => space != self.space.id || (reader != 0 && reader != *thread),
            Some(GivenUp::Somehow) => true,
        }
    }

    /// Has a page been given up since the threads began, whoever asks?
    pub(super) fn given_up_by_a_thread(&self, area: &Area, page: u32) -> bool {
        let given_up = self.given_up.lock().get(&(area.anon.0, page)).copied();
        !matches!(given_up, None | Some(GivenUp::Before))
    }

    /// What advice means for what is in the pages.
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
        let mut step = Step::default();
        for first in (0..pages).step_by(of.max(1) as usize) {
            let run = first.saturating_add(keep).min(pages)..first.saturating_add(of).min(pages);
            if run.is_empty() {
                continue;
            }
            step.ret += run.len() as i64;
            self.gives_up(actor.gives_up(), &mapped, &run);
            match self.machine.madvise(&self.space, &mapped.area, run.clone(), map::Advice::Dontneed) {
                Ok(()) => self.advised(actor, &mapped, run, map::Advice::Dontneed),
                Err(error) => step.fails(error.into()),
            }
        }
        step
    }

    pub(super) fn swapon(&self, mb: u32) -> Outcome {
        const SLOTS: u32 = ((1 << 20) / PAGE_SIZE) as u32;
        Ok(self.machine.swapon(mb.saturating_mul(SLOTS))?)
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
        while let Ok(pfn) = self.machine.alloc_pages(node, 0) {
            rest();
            actor.handles.push(Name::Page(HOG, number), pfn, Hold::Ref);
            number += 1;
        }
        Ok(())
    }

    /// Gives them back.
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

/// Up to which page advice that failed was followed: a hole ends nothing, a locked page does.
fn heard_until(mapped: &Mapped, pages: &Range<u32>, advice: map::Advice, errno: Errno) -> u32 {
    let has = |page: u32, attribute| mapped.area.attributes(page).contains(attribute);
    let locked = |&page: &u32| has(page, Attributes::LOCKED) && !has(page, Attributes::UNMAPPED);
    match (errno, pages.clone().find(locked)) {
        (Errno::ENOMEM, _) => pages.end,
        // Of a file nothing is freed lazily, locked or not.
        (Errno::EINVAL, Some(locked)) if advice != map::Advice::Free || mapped.file.is_none() => locked,
        _ => pages.start,
    }
}
