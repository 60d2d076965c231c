//! The changes between two operations: the state of every page of every region, the children's
//! views, counters and calls, as recordings of real kernels have them.
//!
//! An observer changes nothing: it causes no fault, takes no reference, and sets no accessed bit.
//! Each look shows the changes since the look before.

use super::Session;
use super::actor::{Actor, Mapped};
use super::shown::{Counters, EVENTS, NODE, PageRun, PageShown, Seen, kind, runs};
use super::step::Step;
use crate::calls::{Call, Recorded, shown};
use crate::error::Errno;
use crate::map::Entry;
use crate::page::{Flags, KpageFlags, PAGE_SIZE, Pfn};
use crate::program::{Child, Op, Region};
use crate::release::Release;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

/// Regions of up to this many pages are shown page by page, larger ones as totals.
const PAGE_BY_PAGE: u32 = 64;

/// The KiB of a page.
const KIB: i64 = (PAGE_SIZE / 1024) as i64;

/// The most lines of an ordered list of calls.
const LINES: usize = 160;

/// The most failed attempts of a list.
const FAILS: usize = 4096;

/// The calls that are counted while moves are traced: the move itself, the drain of all batches, and the
/// isolation and putback of movable pages with the calls of their owners.
const COUNTED_WITH_MOVES: &[&str] = &[
    "move_to_new_folio",
    "isolate_movable_page",
    "putback_movable_pages",
    "lru_add_drain_all",
    "zs_page_isolate",
    "zs_page_migrate",
    "zs_page_putback",
    "balloon_page_isolate",
    "balloon_page_migrate",
    "balloon_page_putback",
    "virtballoon_migratepage",
];

/// The part of the calls that the program records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tracing {
    /// Only the number of each call.
    #[default]
    Off,
    /// The calls in order.
    Calls,
    /// The pages that moved, in order.
    Moves,
}

impl From<crate::program::Tracing> for Tracing {
    fn from(word: crate::program::Tracing) -> Tracing {
        match word {
            crate::program::Tracing::On => Tracing::Calls,
            crate::program::Tracing::Off => Tracing::Off,
            crate::program::Tracing::Moves => Tracing::Moves,
        }
    }
}

/// A frame as a recording of moves names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A frame of the node whose moves are recorded, by its number within the node.
    Frame(u32),
    /// A frame of another node, by the node.
    Node(usize),
}

impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            End::Frame(number) => serializer.serialize_u32(*number),
            End::Node(node) => serializer.collect_str(&format_args!("n{node}")),
        }
    }
}

/// Returns the attempts to move a page, in order: old frame, new frame and result of each. For
/// movable pages the kernel has `move_to_new_folio` inlined, so there the owner's call stands for
/// the attempt.
fn attempts(calls: &[Recorded]) -> impl Iterator<Item = (Pfn, Pfn, i32)> {
    let mut open_call: Option<(Call, Pfn, Pfn)> = None;
    let moves = |call| matches!(call, Call::MoveToNew | Call::ZsMigrate | Call::BalloonMigrate);
    calls.iter().filter(move |recorded| moves(recorded.call)).filter_map(move |recorded| {
        match (recorded.page, recorded.ret) {
            (Some(page), None) if open_call.is_none() => {
                open_call = recorded.dst.map(|to| (recorded.call, page.pfn, to));
                None
            }
            (_, Some(ret)) => {
                open_call.take_if(|(call, ..)| *call == recorded.call).map(|(_, from, to)| (from, to, ret))
            }
            _ => None,
        }
    })
}

/// The changes of one operation. Fields without a change are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Pages of the regions in which a page changed, in runs of equal pages.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pages: BTreeMap<String, Vec<PageRun>>,
    /// Totals of the large regions that changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub big: BTreeMap<String, Totals>,
    /// A letter for each page, per child and region.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub child: BTreeMap<String, BTreeMap<String, String>>,
    /// Failed or named frames whose state has changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub frames: BTreeMap<String, FrameShown>,
    /// The change of the poisoned memory, in KiB.
    #[serde(skip_serializing_if = "is_nothing")]
    pub hwc_kb: i64,
    /// Events of the machine.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vm: Counters,
    /// Counters of node 0.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub n0: Counters,
    /// Counters of node 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub n1: Counters,
    /// Counters of node 2, of a machine that has it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub n2: Counters,
    /// The number of entries into each call, and of its returns with each value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, u32>,
    /// The calls in order, if the program traces them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ev: Vec<String>,
    /// The pages that moved, source and target as numbers within the node, if the program traces
    /// moves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<(End, End)>,
    /// The attempts that failed, in order: old frame, and errno.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fails: Vec<(End, String)>,
    /// The number of lines that were left out as too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub ev_cut: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_nothing(n: &i64) -> bool {
    *n == 0
}

/// A frame that was failed or named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameShown {
    /// Poisoned, with the flags and the count of its record.
    Poisoned(KpageFlags, u32),
    /// Not poisoned, and still mapped by its region.
    Mapped,
    /// Neither poisoned nor mapped by its region: the frame is free, or in other use.
    Released,
}

impl Serialize for FrameShown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FrameShown::Poisoned(flags, count) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("flags", &flags.names().join("|"))?;
                map.serialize_entry("ref", count)?;
                map.end()
            }
            FrameShown::Mapped => serializer.serialize_str("mapped"),
            FrameShown::Released => serializer.serialize_str("released"),
        }
    }
}

/// The totals of a large region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pages: u32,
    present: u32,
    node0: u32,
    node1: u32,
    /// `None` for a machine without this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    node2: Option<u32>,
    swap: u32,
    none: u32,
    moved: u32,
    bad: u32,
}

/// A region at the last look.
#[derive(Debug, Default)]
struct RegionSeen {
    pages: Vec<Seen>,
    frames: Vec<Option<Pfn>>,
    totals: Totals,
}

/// Observes a session between its operations.
#[derive(Debug, Default)]
pub struct Observer {
    regions: BTreeMap<Region, RegionSeen>,
    children: BTreeMap<(Child, Region), String>,
    /// The names of frames before the operation.
    names: HashMap<Pfn, String>,
    counters: [Counters; 4],
    poisoned: i64,
    frames: HashMap<Pfn, FrameShown>,
    tracing: Tracing,
    /// The node whose frame numbers name the moves.
    traced_node: usize,
}

impl Observer {
    /// Notes the counters and the frames before an operation.
    pub fn before<R: Release>(&mut self, session: &Session<R>, actor: &Actor) {
        self.counters = counters(session);
        self.poisoned = session.machine.num_poisoned_pages();
        self.names.clear();
        for (region, seen) in &self.regions {
            for (index, pfn) in seen.frames.iter().enumerate() {
                if let Some(pfn) = pfn {
                    // Of the regions that map a frame, the one with the lowest number names it.
                    self.names.entry(*pfn).or_insert_with(|| format!("{region}:{index}"));
                }
            }
        }
        // The remembered frames get their names last: a frame that a region still maps has a name by now, and
        // only a frame that no region maps needs the remembered one.
        for ((region, page), pfn) in session.failed_frames(actor) {
            self.names.entry(pfn).or_insert_with(|| format!("{region}:{page}"));
        }
        session.machine.take_calls();
    }

    /// Returns the changes since the operation began.
    pub fn after<R: Release>(
        &mut self,
        session: &Session<R>,
        actor: &Actor,
        op: &Op,
        step: &Step,
    ) -> Observed {
        if let Op::Trace { switch, node } = op {
            self.tracing = switch.map_or(Tracing::Calls, Tracing::from);
            self.traced_node = node.unwrap_or(2) as usize;
        }
        let mut observed = Observed::default();
        // A recording has only the calls of the program's own process, not those of its children.
        match op {
            Op::Exit { .. } | Op::Cread { .. } | Op::Cwrite { .. } => drop(session.machine.take_calls()),
            _ => self.calls(session, &mut observed),
        }
        let [vm, n0, n1, n2] = counters(session);
        observed.vm = differences(&self.counters[0], &vm);
        observed.n0 = differences(&self.counters[1], &n0);
        observed.n1 = differences(&self.counters[2], &n1);
        observed.n2 = differences(&self.counters[3], &n2);
        self.named(op, step);
        let regions: Vec<Region> = self.regions.keys().copied().collect();
        for region in regions {
            if let Some(mapped) = session.mapped(actor, region) {
                self.look(session, actor, region, mapped, &mut observed);
            }
        }
        self.look_at_children(session, actor, &mut observed);
        self.look_at_frames(session, actor, &mut observed);
        observed.hwc_kb = (session.machine.num_poisoned_pages() - self.poisoned) * KIB;
        observed
    }

    /// Follows the regions and children that the operation made or ended.
    fn named(&mut self, op: &Op, step: &Step) {
        let done = step.problem.is_none();
        match op {
            Op::Map { region, pages, .. } if done => {
                let seen = RegionSeen { frames: vec![None; *pages as usize], ..RegionSeen::default() };
                self.regions.insert(*region, seen);
                self.children.retain(|(_, of), _| of != region);
            }
            Op::Unmap { pages } if done && pages.pages.is_none() => {
                self.regions.remove(&pages.of);
            }
            Op::Fork { child } | Op::Exit { child } => self.children.retain(|(of, _), _| of != child),
            _ => {}
        }
    }

    fn calls<R: Release>(&self, session: &Session<R>, observed: &mut Observed) {
        let mut fresh: Vec<Pfn> = Vec::new();
        let calls = session.machine.take_calls();
        let lines = shown(&calls, session.machine.profile().call_names, |pfn| {
            if let Some(name) = self.names.get(&pfn) {
                return name.clone();
            }
            let number = fresh.iter().position(|&seen| seen == pfn).unwrap_or_else(|| {
                fresh.push(pfn);
                fresh.len() - 1
            });
            format!("x{}", number + 1)
        });
        for line in lines {
            let name = line.key.split('=').next().unwrap_or_default();
            if self.tracing == Tracing::Moves && !COUNTED_WITH_MOVES.contains(&name) {
                continue;
            }
            *observed.calls.entry(line.key).or_default() += 1;
            match self.tracing {
                Tracing::Calls if observed.ev.len() < LINES => observed.ev.push(line.line),
                Tracing::Calls => observed.ev_cut += 1,
                Tracing::Off | Tracing::Moves => {}
            }
        }
        if self.tracing == Tracing::Moves
            && let Some(node) = session.machine.nodes().get(self.traced_node)
        {
            let end = |pfn: Pfn| match pfn.0.checked_sub(node.base.0).filter(|&number| number < node.frames) {
                Some(number) => End::Frame(number),
                None => End::Node(session.machine.node_of(pfn)),
            };
            for (from, to, ret) in attempts(&calls) {
                match Errno(ret.wrapping_neg()).name() {
                    _ if ret == 0 => observed.moves.push((end(from), end(to))),
                    Some(errno) if observed.fails.len() < FAILS => {
                        observed.fails.push((end(from), format!("-{errno}")));
                    }
                    _ => {}
                }
            }
        }
    }

    fn look<R: Release>(
        &mut self,
        session: &Session<R>,
        actor: &Actor,
        region: Region,
        mapped: &Mapped,
        observed: &mut Observed,
    ) {
        let Some(seen) = self.regions.get_mut(&region) else { return };
        let mut now = Vec::with_capacity(seen.frames.len());
        for (page, frame) in (0..).zip(&mut seen.frames) {
            now.push(session.seen(actor, session.space.id, mapped, page, frame));
        }
        if mapped.area.pages() > PAGE_BY_PAGE {
            let totals = totals(&now, session.machine.nodes().len());
            if totals != seen.totals {
                observed.big.insert(region.to_string(), totals.clone());
                seen.totals = totals;
            }
            return;
        }
        let still =
            |seen: &Seen| Seen { page: seen.page.map(|page| PageShown { moved: 0, ..page }), ..*seen };
        let moved = now.iter().any(|seen| seen.page.is_some_and(|page| page.moved == 1));
        if !moved && seen.pages.iter().map(still).eq(now.iter().copied()) {
            return;
        }
        observed.pages.insert(region.to_string(), runs(&now));
        seen.pages = now;
    }

    fn look_at_frames<R: Release>(&mut self, session: &Session<R>, actor: &Actor, observed: &mut Observed) {
        for ((region, page), pfn) in session.failed_frames(actor) {
            let record = &session.machine.frames()[pfn];
            let behind = |seen: &RegionSeen| seen.frames.get(page as usize) == Some(&Some(pfn));
            // `kpageflags` shows nothing of a frame that is offline.
            let online = session.machine.is_online(pfn);
            let shown = if online && record.flags().contains(Flags::HWPOISON) {
                FrameShown::Poisoned(
                    KpageFlags::of(record, record, session.machine.profile()),
                    record.count(),
                )
            } else if self.regions.get(&region).is_some_and(behind) {
                FrameShown::Mapped
            } else {
                FrameShown::Released
            };
            if self.frames.insert(pfn, shown) != Some(shown) {
                observed.frames.insert(format!("{region}:{page}"), shown);
            }
        }
    }

    fn look_at_children<R: Release>(&mut self, session: &Session<R>, actor: &Actor, observed: &mut Observed) {
        for (child, process) in session.children(actor) {
            for (&region, seen) in &self.regions {
                let Some(mine) = session.mapped(actor, region) else { continue };
                if mine.area.pages() > PAGE_BY_PAGE {
                    continue;
                }
                // The child has no such region if it was mapped after the fork.
                let theirs = process.regions.get(region).filter(|theirs| theirs.number == mine.number);
                let letter = |page: u32| {
                    let Some(theirs) = theirs else { return '-' };
                    match theirs.area.look(page).unlocked().entry() {
                        Entry::Present { zero: true, .. } => 'z',
                        Entry::Present { pfn, .. } if seen.frames[page as usize] == Some(pfn) => '=',
                        Entry::Present { pfn, .. } if session.machine.node_of(pfn) == 0 => 'P',
                        Entry::Present { .. } => 'Q',
                        _ => kind(theirs.area.look(page)),
                    }
                };
                let view: String = (0..mine.area.pages()).map(letter).collect();
                if self.children.get(&(child, region)) != Some(&view) {
                    let shown = observed.child.entry(child.to_string()).or_default();
                    shown.insert(region.to_string(), view.clone());
                    self.children.insert((child, region), view);
                }
            }
        }
    }
}

fn totals(pages: &[Seen], nodes: usize) -> Totals {
    let node2 = (nodes > 2).then_some(0);
    let mut totals = Totals { pages: pages.len() as u32, node2, ..Totals::default() };
    for (number, seen) in pages.iter().enumerate() {
        match (seen.pte, seen.page) {
            ('P', Some(page)) => {
                totals.present += 1;
                // The zero page, whose node is shown as -1 elsewhere, counts for the first node.
                totals.node0 += u32::from(page.node <= 0);
                totals.node1 += u32::from(page.node == 1);
                totals.node2 = totals.node2.map(|pages| pages + u32::from(page.node == 2));
                totals.moved += u32::from(page.moved);
                // The recording program reads one page of 16, and from the first page that moved on every
                // page.
                let read = number % 16 == 0 || totals.moved > 0;
                totals.bad += u32::from(read && page.data != "ok");
            }
            ('S', _) => totals.swap += 1,
            _ => totals.none += 1,
        }
    }
    totals
}

/// Returns the machine's events and each node's counters.
fn counters<R: Release>(session: &Session<R>) -> [Counters; 4] {
    let node = |number| session.counted(Some(number), NODE);
    [session.counted(None, EVENTS), node(0), node(1), node(2)]
}

fn differences(before: &Counters, after: &Counters) -> Counters {
    let of = |(&name, &value): (&&'static str, &i64)| (name, value - before.get(name).unwrap_or(&0));
    after.iter().map(of).filter(|&(_, delta)| delta != 0).collect()
}

impl<R: Release> Session<R> {
    /// Returns a region of the program's process, even if it is unmapped by now.
    fn mapped<'a>(&'a self, actor: &'a Actor, region: Region) -> Option<&'a Mapped> {
        actor.names.regions.get(region).or_else(|| self.names.regions.get(region))
    }
}
