//! Memory that comes and goes: memory blocks, pools of huge pages, contiguous ranges.

use super::Session;
use super::actor::{Actor, Held, Hold, Name};
use super::process::Outcome;
use super::step::{Problem, Step};
use crate::error::{Errno, Error};
use crate::hotplug::ZoneKind;
use crate::page::{PAGE_SIZE, Pfn};
use crate::program::{Allocated, BlockAction, Owner};
use crate::release::Release;

/// The rounds of an offlining before a signal ends it. In a recording the signal comes after three
/// seconds, in which the kernel makes some hundred rounds.
const ROUNDS: u32 = if cfg!(feature = "explored") { 3 } else { 100 };

/// The size of a huge page in KiB, if an operation does not give it.
const HUGE_KIB: u32 = 2048;

/// The most frames of a contiguous range in one operation.
const MOST: u32 = 1 << 16;

impl<R: Release> Session<R> {
    /// Returns the node of an operation; the last node if the operation names none.
    fn node_or_last(&self, node: Option<u32>) -> Outcome<usize> {
        self.node(node.unwrap_or(self.machine.nodes().len() as u32 - 1))
    }

    pub(super) fn memblk(&self, block: u32, action: BlockAction, node: Option<u32>) -> Step {
        let node = match self.node_or_last(node) {
            Ok(node) => node,
            Err(problem) => return Step::refused(problem),
        };
        let machine = &self.machine;
        let result = match action {
            BlockAction::State => machine.block_state(node, block).map(|_| ()),
            BlockAction::Offline => machine.offline_block(node, block, ROUNDS),
            BlockAction::Online => machine.online_block(node, block, None),
            BlockAction::OnlineMovable => machine.online_block(node, block, Some(ZoneKind::Movable)),
            BlockAction::OnlineKernel => machine.online_block(node, block, Some(ZoneKind::Kernel)),
        };
        let mut step = Step::from(result.map_err(Problem::from));
        if let (Ok(state), Ok(zones)) = (machine.block_state(node, block), machine.valid_zones(node, block)) {
            let zones: Vec<&str> = zones.into_iter().map(ZoneKind::name).collect();
            step.block = Some((state.name(), zones.join(" ")));
        }
        step
    }

    pub(super) fn huge(&self, node: u32, n: u32, size: Option<u32>) -> Step {
        let mut step = Step::default();
        let kib = size.unwrap_or(HUGE_KIB);
        let pages = kib / (PAGE_SIZE / 1024) as u32;
        let result = match kib.is_power_of_two() && pages > 0 {
            true => self.node(node).and_then(|node| {
                self.machine.set_huge_pages(node, pages.ilog2() as u8, n).map_err(Problem::from)
            }),
            false => {
                let what = format!("no huge page has {kib} KiB: its size is a power of two");
                Err(Error::new(Errno::EINVAL, what).into())
            }
        };
        match result {
            Ok(got) => step.got = Some(got),
            Err(problem) => step.fails(problem),
        }
        step
    }

    pub(super) fn alloc_range(
        &self,
        actor: &mut Actor,
        page: Allocated,
        (first, count): (u32, u32),
        node: Option<u32>,
    ) -> Outcome {
        let owner = Owner::Allocated(page);
        let held = |held: &Held| held.name == Name::Page(owner, 0) && held.hold == Hold::Allocated;
        if actor.handles.find(held).is_some() || self.shared.lock().find(held).is_some() {
            return Err(Problem::misuse(format!("{page} is allocated already")));
        }
        actor.no_page_lock()?;
        let node = &self.machine.nodes()[self.node(node.unwrap_or(0))?];
        let inside =
            first.checked_add(count).is_some_and(|end| end <= node.frames) && (1..=MOST).contains(&count);
        if !inside {
            let what = format!(
                "{count} frames from frame {first} on: a node of {} frames gives 1 to {MOST}",
                node.frames
            );
            return Err(Error::new(Errno::EINVAL, what).into());
        }
        let range = node.base.plus(first)..node.base.plus(first + count);
        self.machine.alloc_contig_range(range.clone())?;
        actor.names.allocated.set(page, range.start);
        for (index, pfn) in (0..).zip((range.start.0..range.end.0).map(Pfn)) {
            actor.handles.push(Name::Page(owner, index), pfn, Hold::Allocated);
        }
        Ok(())
    }
}
