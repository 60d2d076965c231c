//! The kinds of a node's frames, the pages of a region by their frames, and a region that holds all
//! memory of a node.

use super::Session;
#[cfg(not(feature = "explored"))]
use super::actor::Held;
use super::actor::{Actor, Hold, Name, Pipe};
use super::step::{Extfrag, LayoutShown, Step};
use crate::error::Result;
#[cfg(not(feature = "explored"))]
use crate::error::{Errno, Error};
use crate::layout::Kind;
use crate::map::PinKind;
use crate::page::MAX_ORDER;
#[cfg(not(feature = "explored"))]
use crate::page::Pfn;
use crate::program::{Advice, LayoutOption, MadvOption, PageRange, PinName, Region, Sel};
#[cfg(not(feature = "explored"))]
use crate::program::{Allocated, Owner};
use crate::release::Release;
use std::collections::HashMap;

/// The name of the handles of [`Session::hold_kernel_pages`]. No program can write it.
#[cfg(not(feature = "explored"))]
const KERNEL: Owner = Owner::Allocated(Allocated(u16::MAX - 1));

/// The most frames of a node that are shown, as in a recording.
const SHOWN: usize = 1 << 18;

impl<R: Release> Session<R> {
    /// Shows the layout of a node. The arrays of free frames are emptied first, as for a recording.
    pub(super) fn layout(&self, node: u32, from: Option<u32>, options: &[LayoutOption]) -> Step {
        let read = self.node(node).and_then(|node| {
            self.machine.drain_pcp(node);
            Ok(self.machine.layout(node)?)
        });
        match read {
            Ok(mut layout) => {
                layout.letters.truncate(SHOWN);
                layout.owners.truncate(SHOWN);
                layout.types.truncate(SHOWN >> layout.pageblock_order);
                let hidden = (from.unwrap_or(0) as usize).min(layout.letters.len());
                layout.letters[..hidden].fill(Kind::Unknown.letter());
                layout.owners[..hidden].fill(0);
                let sum = options.contains(&LayoutOption::Sum);
                let base = self.machine.nodes()[node as usize].base.0;
                Step { layout: Some(Box::new(LayoutShown { layout, base, sum })), ..Step::default() }
            }
            Err(problem) => Step::refused(problem),
        }
    }

    /// Shows how fragmented a node's free memory is.
    pub(super) fn extfrag(&self, node: u32) -> Step {
        let read = self.node(node).and_then(|node| {
            let index = (0..=MAX_ORDER).map(|order| self.machine.fragmentation_index(node, order));
            let unusable = (0..=MAX_ORDER).map(|order| self.machine.unusable_index(node, order));
            Ok(Extfrag { index: index.collect::<Result<_>>()?, unusable: unusable.collect::<Result<_>>()? })
        });
        match read {
            Ok(extfrag) => Step { extfrag: Some(Box::new(extfrag)), ..Step::default() },
            Err(problem) => Step::refused(problem),
        }
    }

    /// Returns the pages of a region that are in the selected frames of the node that the region
    /// prefers, in the order of the list of frames. A frame that holds no page of the region is
    /// skipped.
    pub(super) fn pages_in_frames(&self, actor: &Actor, sel: &Sel<Region>) -> Vec<PageRange> {
        let Ok(mapped) = self.region(actor, sel.of) else { return Vec::new() };
        let node = mapped.area.preferred();
        let base = self.machine.nodes()[node].base.0;
        let frame = |page| {
            let pfn = self.machine.page_at(&mapped.area, page)?;
            (self.machine.node_of(pfn) == node).then(|| (pfn.0 - base, page))
        };
        let pages: HashMap<u32, u32> = (0..mapped.area.pages()).filter_map(frame).collect();
        let numbers = sel.frames.iter().flatten().flat_map(|range| range.numbers());
        numbers.filter_map(|number| pages.get(&number)).map(|&page| (page, page).into()).collect()
    }

    /// Writes all pages of a region and drops those that are not on its node.
    pub(super) fn take_node(&self, actor: &mut Actor, region: Region) -> Step {
        let all = Sel { of: region, pages: None, frames: None };
        let step = self.access(actor, None, &all, true);
        let Ok(mapped) = self.region(actor, region).cloned() else { return step };
        let node = mapped.area.preferred();
        let elsewhere = |&page: &u32| {
            self.machine.page_at(&mapped.area, page).is_none_or(|pfn| self.machine.node_of(pfn) != node)
        };
        let drop: Vec<PageRange> =
            (0..mapped.area.pages()).filter(elsewhere).map(|page| (page, page).into()).collect();
        let pages = i64::from(mapped.area.pages()) - drop.len() as i64;
        let dropped = Sel { of: region, pages: Some(drop), frames: None };
        let gone = self.madvise(actor, &dropped, Advice::Dontneed, &[MadvOption::Each]);
        match gone.problem {
            Some(problem) => Step::refused(problem),
            None => Step { ret: pages, ..Step::default() },
        }
    }

    /// Puts a page of the kernel's own into each frame of a node whose letter is not `.`, if the frame is
    /// free. The pages stay until another call has `.` for their frames, or until the machine's end. A frame
    /// that is in use stays as it is.
    ///
    /// `EINVAL` for a node that does not exist, a wrong number of letters, or a letter that is no kind.
    #[cfg(not(feature = "explored"))]
    pub fn hold_kernel_pages(&self, actor: &mut Actor, node: usize, letters: &[u8]) -> Result<()> {
        let frames = self.machine.nodes().get(node).map(|node| node.base.0..node.base.0 + node.frames);
        let Some(frames) = frames.filter(|frames| frames.len() == letters.len()) else {
            let why = format!("node {node} does not have {} frames", letters.len());
            return Err(Error::new(Errno::EINVAL, why));
        };
        let kind_of = |letter: u8| {
            Kind::from_letter(letter).ok_or_else(|| {
                let letter = char::from(letter).escape_default();
                Error::new(Errno::EINVAL, format!("{letter} is no letter of a layout"))
            })
        };
        // All letters are checked before the first frame changes hands.
        letters.iter().try_for_each(|&letter| kind_of(letter).map(drop))?;
        self.machine.drain_pcp(node);
        for (pfn, &letter) in frames.map(Pfn).zip(letters) {
            let own = |held: &Held| held.pfn == pfn && matches!(held.name, Name::Page(KERNEL, _));
            match kind_of(letter)? {
                Kind::Free => {
                    if actor.handles.take(own).is_some() {
                        self.machine.put(pfn);
                    }
                }
                kind => {
                    if let Some(pfn) = self.machine.allocate_frame(pfn, kind)? {
                        actor.handles.push(Name::Page(KERNEL, pfn.0), pfn, Hold::Ref);
                    }
                }
            }
        }
        self.machine.drain_pcp(node);
        Ok(())
    }

    /// Allocates pages of the kernel's own.
    pub(super) fn kernel_pages(&self, actor: &mut Actor, pin: PinName, pages: u32, node: u32) -> Step {
        let node = match self.node(node) {
            Ok(node) => node,
            Err(problem) => return Step::refused(problem),
        };
        let taken = match self.machine.alloc_kernel_pages(node, pages) {
            Ok(taken) => taken,
            Err(error) => return Step::refused(error.into()),
        };
        for &pfn in &taken {
            actor.handles.push(Name::Pin(pin), pfn, Hold::Pin(PinKind::Get));
        }
        let taken = taken.len() as i64;
        actor.pipes.push(Pipe { name: Name::Pin(pin), children: Vec::new() });
        Step { ret: taken, ..Step::default() }
    }
}
