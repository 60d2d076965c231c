//! The balloon, and the count of the pages that are outside the LRU.

use super::Session;
use super::actor::Actor;
use super::process::Outcome;
use super::step::{Problem, Step};
use crate::balloon::Balloon;
use crate::error::{Errno, Error};
use crate::layout::Kind;
use crate::owner::Owner as Owned;
use crate::page::{PAGE_SIZE, Pfn};
use crate::program::{BalloonName, Op, Owner};
use crate::release::Release;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The pages of a MiB.
const MIB: u32 = (1 << 20) / PAGE_SIZE as u32;

impl Op {
    /// Returns true if the operation needs a balloon.
    pub(super) fn uses_balloon(&self) -> bool {
        matches!(self, Op::Balloon { .. } | Op::Inflate { .. } | Op::Deflate { .. })
    }
}

impl<R: Release> Session<R> {
    fn the_balloon(&self) -> Outcome<&Arc<Balloon>> {
        let none =
            || Problem::misuse("there is no balloon: write `inflate 1` or `balloon MB` in the program");
        self.balloon.as_ref().ok_or_else(none)
    }

    fn balloon(&self, name: BalloonName) -> Outcome<&Arc<Balloon>> {
        match name {
            BalloonName(0) => self.the_balloon(),
            _ => Err(Problem::misuse(format!("there is no {name}: the balloon of a machine is b0"))),
        }
    }

    /// Returns the frame of a page of the balloon, by the page's number in the balloon.
    pub(super) fn in_balloon(&self, name: BalloonName, number: u32) -> Outcome<Option<Pfn>> {
        Ok(self.balloon(name)?.page(number))
    }

    /// Returns one more than the largest number that a page of the balloon can have.
    pub(super) fn balloon_length(&self, name: BalloonName) -> Outcome<u32> {
        Ok(self.balloon(name)?.numbers())
    }

    /// Shrinks or grows the machine to `mb` MiB. Returns the size of the balloon afterwards.
    pub(super) fn resize_balloon(&self, mb: u32) -> Step {
        let frames: u32 = self.machine.nodes().iter().map(|node| node.frames).sum();
        // A guest's size is a number of MiB. The node that its kernel shows may have a few frames
        // less.
        let pages = frames.div_ceil(MIB).saturating_sub(mb).saturating_mul(MIB);
        let resized = self.the_balloon().and_then(|balloon| Ok(balloon.resize(&self.machine, pages, 0)?));
        match resized {
            Ok(size) => Step { ret: size.into(), ..Step::default() },
            Err(problem) => Step::refused(problem),
        }
    }

    /// Inflates the balloon, and returns the number of pages that came into it.
    pub(super) fn inflate(&self, pages: u32, node: Option<u32>) -> Step {
        let inflated = self.the_balloon().and_then(|balloon| {
            let node = self.node(node.unwrap_or(0))?;
            Ok(balloon.inflate(&self.machine, pages, node)?)
        });
        let nothing = || Error::new(Errno::ENOMEM, "no node has a free frame for the balloon");
        counted(inflated, pages, nothing)
    }

    /// Deflates the balloon, and returns the number of pages that left it.
    pub(super) fn deflate(&self, pages: u32) -> Step {
        let deflated = self.the_balloon().map(|balloon| balloon.deflate(&self.machine, pages));
        let nothing = || Error::new(Errno::EBUSY, "the balloon is empty, or each of its pages is in use");
        counted(deflated, pages, nothing)
    }

    /// Counts the pages of the balloon and of zsmalloc on each node, and the frames that had such a
    /// page at the last count and have none now (-1 the first time).
    pub(super) fn nonlru(&self) -> Step {
        let mut drivers = Vec::new();
        self.machine.owners.for_each(|_, owner| {
            if let Owned::Movable(driver) = owner {
                drivers.push(Arc::clone(driver));
            }
        });
        let mut counts = BTreeMap::new();
        for node in 0..self.machine.nodes().len() {
            counts.extend([(format!("balloon{node}"), 0), (format!("zs{node}"), 0)]);
        }
        let mut frames = BTreeSet::new();
        for driver in drivers {
            let name = match driver.kind() {
                Kind::Balloon => "balloon",
                Kind::Zsmalloc => "zs",
                _ => continue,
            };
            for pfn in driver.held() {
                *counts.entry(format!("{name}{}", self.machine.node_of(pfn))).or_insert(0) += 1;
                frames.insert(pfn);
            }
        }
        let mut last = self.nonlru.lock();
        let left = last.as_ref().map_or(-1, |last| last.difference(&frames).count() as i64);
        *last = Some(frames);
        counts.insert("left_frames".into(), left);
        Step { nonlru: Some(counts), ..Step::default() }
    }

    /// Takes the frame of a page offline, even if another page is in the frame by then.
    pub(super) fn soft_offline(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        actor.no_page_lock()?;
        let pfn = self.look(actor, owner, index)?;
        self.machine.soft_offline_page(pfn)?;
        Ok(0)
    }

    /// Handles the frame of a page as one whose content is lost, even if another page is in the
    /// frame by then.
    pub(super) fn memory_failure(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        actor.no_page_lock()?;
        let pfn = self.look(actor, owner, index)?;
        self.machine.memory_failure(pfn, None).result?;
        Ok(0)
    }
}

/// Makes the step that reports a number of pages. If pages were wanted and none was handled, the
/// step is a failure.
fn counted(done: Outcome<u32>, wanted: u32, nothing: impl FnOnce() -> Error) -> Step {
    match done {
        Ok(0) if wanted > 0 => Step::refused(nothing().into()),
        Ok(pages) => Step { ret: pages.into(), ..Step::default() },
        Err(problem) => Step::refused(problem),
    }
}
