//! Memory policies: `mbind(2)` and `migrate_pages(2)`.

use super::{Mode, Reason};
use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, Attributes, Entry, Policy};
use crate::page::Pfn;
use crate::pressure::state::Reach;
use crate::release::Release;
use std::ops::Range;

/// Number of nodes that a node mask can name.
const MAX_NUMNODES: usize = 1 << 10;

/// Flags of `mbind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MbindFlags {
    /// Moves pages that only this process maps.
    pub move_own: bool,
    /// Moves all pages, also those that other processes map.
    pub move_all: bool,
    /// Fails with `EIO` if a page is on another node and stays there.
    pub strict: bool,
}

/// The result of a walk over a range.
#[derive(Default)]
struct Queue {
    list: Vec<Pfn>,
    /// Pages that could not be isolated.
    failed: u32,
    /// The large page that the walk met last.
    large: Option<Pfn>,
}

impl<R: Release> Machine<R> {
    /// Sets the policy of pages of an area. With a flag to move, pages on other nodes are moved.
    ///
    /// `EINVAL` for a node that does not exist, or a range that does not lie in the area; `EFAULT` for a
    /// range with a hole; `EIO` if strict and a page is on another node; `EINTR` if it was interrupted.
    pub fn mbind(
        &self,
        space: &AddressSpace,
        area: &Area,
        pages: Range<u32>,
        policy: Policy,
        flags: MbindFlags,
    ) -> Result<()> {
        space.covers(area, &pages)?;
        let work = || self.bind(space, area, pages.clone(), policy, flags);
        // Draining the batches, or switching them off, is needed only if pages are to move.
        match flags.move_own || flags.move_all {
            true => self.lru_quiet(work),
            false => work(),
        }
    }

    fn bind(
        &self,
        space: &AddressSpace,
        area: &Area,
        pages: Range<u32>,
        policy: Policy,
        flags: MbindFlags,
    ) -> Result<()> {
        let node = policy.node();
        if node >= self.nodes.len() {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        }
        let mut queue = Queue::default();
        let applied = self.apply_policy(space, area, pages, policy, flags, &mut queue);
        self.end_isolations(&queue.list);
        if let Err(error) = applied {
            self.give_back(&mut queue.list);
            return Err(error);
        }
        let mut failed = queue.failed;
        if !queue.list.is_empty() {
            let reach = match policy {
                Policy::Bind(_) => Reach::Node,
                Policy::Preferred(_) => Reach::Near,
            };
            let mut target = |src: Pfn| self.alloc_target(node, self.frames[src].order(), reach).ok();
            let moved = self.migrate_pages(&mut queue.list, &mut target, Mode::Sync, Reason::MempolicyMbind);
            failed += moved.failed;
            self.give_back(&mut queue.list);
            if moved.errno == Some(Errno::EINTR) {
                return Err(Error::new(Errno::EINTR, Errno::EINTR.text()));
            }
        }
        match flags.strict && failed > 0 {
            true => Err(Error::new(Errno::EIO, format!("{failed} pages are not on node {node}"))),
            false => Ok(()),
        }
    }

    /// Queues the pages on other nodes, and sets the policy unless an error forbids it.
    fn apply_policy(
        &self,
        space: &AddressSpace,
        area: &Area,
        pages: Range<u32>,
        policy: Policy,
        flags: MbindFlags,
        queue: &mut Queue,
    ) -> Result<()> {
        // The lock of the areas keeps other threads from changing the area during the walk.
        let _areas = space.areas.write();
        let hole = |index: u32| area.attributes(index).contains(Attributes::UNMAPPED);
        let (mut end, ahead) = (pages.start, self.profile.mbind_looks_ahead);
        for index in pages.clone() {
            Error::unless_interrupted()?;
            if ahead && index == end {
                // A hole right behind a stretch is found before the pages of the stretch are queued.
                end = area.stretches(index..pages.end).next().map_or(pages.end, |(stretch, _)| stretch.end);
            }
            let missing = [Some(index), (ahead && end < pages.end).then_some(end)];
            if let Some(index) = missing.into_iter().flatten().find(|&index| hole(index)) {
                return Err(Error::new(Errno::EFAULT, format!("page {index} of the area is not mapped")));
            }
            let elsewhere = |node| node != policy.node();
            match flags.move_own || flags.move_all {
                true => self.queue_page(area, index, elsewhere, flags.move_all, queue),
                false
                    if flags.strict
                        && self.profile.mbind_strict_checks
                        && self.is_on(area, index, elsewhere) =>
                {
                    return Err(Error::new(
                        Errno::EIO,
                        format!("page {index} of the area is on a node that the policy does not allow"),
                    ));
                }
                false => {}
            }
        }
        area.set_policy(pages, policy);
        Ok(())
    }

    /// Moves a process's pages from one node to another. Returns the number of pages that could not
    /// be moved.
    ///
    /// A node `from` that does not exist has no pages, so nothing moves. `EINVAL` for a node `to`
    /// that does not exist, or a number `from` that no node can have; `ENOMEM` if node `to` has no
    /// frame left; `EINTR` if the call was interrupted.
    pub fn migrate_between(&self, space: &AddressSpace, from: usize, to: usize) -> Result<u32> {
        if to >= self.nodes.len() || from >= MAX_NUMNODES {
            let missing = if to >= self.nodes.len() { to } else { from };
            return Err(Error::new(Errno::EINVAL, format!("no node {missing}")));
        }
        self.lru_quiet(|| {
            if from == to {
                return Ok(0);
            }
            let mut queue = Queue::default();
            let areas = space.areas.read();
            let queued = areas.iter().try_for_each(|area| {
                (0..area.pages()).try_for_each(|index| {
                    Error::unless_interrupted()?;
                    if !area.attributes(index).contains(Attributes::UNMAPPED) {
                        self.queue_page(area, index, |node| node == from, true, &mut queue);
                    }
                    Ok(())
                })
            });
            drop(areas);
            self.end_isolations(&queue.list);
            if let Err(error) = queued {
                self.give_back(&mut queue.list);
                return Err(error);
            }
            let unqueued = if self.profile.migrate_counts_unqueued { queue.failed } else { 0 };
            if queue.list.is_empty() {
                return Ok(unqueued);
            }
            let moved =
                self.migrate_pages(&mut queue.list, &mut self.on_node(to), Mode::Sync, Reason::Syscall);
            self.give_back(&mut queue.list);
            match moved.errno {
                Some(Errno::ENOMEM) => Err(Error::new(Errno::ENOMEM, "no frame to move to")),
                Some(errno) => Err(Error::new(errno, errno.text())),
                None => Ok(moved.failed + unqueued),
            }
        })
    }

    /// Returns true if a page is mapped at an entry and `wanted` accepts its node.
    fn is_on(&self, area: &Area, index: u32, wanted: impl Fn(usize) -> bool) -> bool {
        match area.look(index).unlocked().entry() {
            Entry::Present { pfn, zero: false } => wanted(self.node_of(pfn)),
            _ => false,
        }
    }

    /// Isolates the page at an entry if `wanted` accepts its node. Without `all`, a page that other
    /// processes map too is left alone, which does not count as a failure. Nor does a large page that has to
    /// be split and cannot be: kernels that move no large page as a whole skip it (`queue_pages_pte_range`).
    fn queue_page(
        &self,
        area: &Area,
        index: u32,
        wanted: impl Fn(usize) -> bool,
        all: bool,
        queue: &mut Queue,
    ) {
        if !self.is_on(area, index, &wanted) || !self.split_to_move(area, index) {
            return;
        }
        let guard = area.lock(index);
        let Entry::Present { pfn, zero: false } = guard.pte().entry() else { return };
        if !wanted(self.node_of(pfn)) || (!all && self.frames[pfn].mapcount() != 1) {
            return;
        }
        let folio = self.frames.folio(pfn);
        let pfn = folio.head;
        if folio.large && queue.large.replace(pfn) == Some(pfn) {
            // The walk has just met another part of the same large page, and has queued or counted
            // the page then.
            return;
        }
        if queue.list.try_reserve(1).is_err() {
            // The host has no memory for a longer list, so the page stays where it is.
            queue.failed += 1;
            return;
        }
        if !self.isolate_to(&mut queue.list, pfn, Call::IsolateLruInWalk) {
            queue.failed += 1;
        }
    }

    fn give_back(&self, list: &mut Vec<Pfn>) {
        if !list.is_empty() {
            self.putback_movable_pages(list);
        }
    }
}
