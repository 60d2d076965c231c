//! What can be seen of a session between two operations: the state of every page of every region,
//! children's views, counters and calls, as recordings of real kernels have them.
//!
//! An observer looks, it changes nothing: no fault, no reference, no accessed bit. It shows what has
//! changed since its last look.

use super::Session;
use super::actor::{Actor, Mapped};
use super::shown::{Counters, EVENTS, NODE, PageRun, PageShown, Seen, kind, runs};
use super::step::Step;
use crate::calls::shown;
use crate::map::Entry;
use crate::page::{Flags, KpageFlags, PAGE_SIZE, Pfn};
use crate::program::{Child, Op, Region};
use crate::release::Release;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

/// Regions of up to so many pages are shown page by page, larger ones as totals.
const PAGE_BY_PAGE: u32 = 64;

/// KiB of a page.
const KIB: i64 = (PAGE_SIZE / 1024) as i64;

/// Lines of an ordered list of calls, at most.
const LINES: usize = 160;

/// What one operation changed. Fields that have nothing to say are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Pages of the regions in which something changed, in runs of equal ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pages: BTreeMap<String, Vec<PageRun>>,
    /// Totals of the large regions that changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub big: BTreeMap<String, Totals>,
    /// A letter a page, per child and region.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub child: BTreeMap<String, BTreeMap<String, String>>,
    /// Frames that were failed or named, where something about them has changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub frames: BTreeMap<String, FrameShown>,
    /// Difference of the poisoned memory, in KiB.
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
    /// How often each call was entered, and returned with which value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, u32>,
    /// The calls in order, if the program traces them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ev: Vec<String>,
    /// Lines that were too many.
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

/// A frame that was failed, or named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameShown {
    /// Poisoned, with what its record says.
    Poisoned(KpageFlags, u32),
    /// Not poisoned, and still behind its region.
    Mapped,
    /// Neither: freed, or somebody else's.
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

/// A large region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pages: u32,
    present: u32,
    node0: u32,
    node1: u32,
    swap: u32,
    none: u32,
    moved: u32,
    bad: u32,
}

/// What was seen of a region.
#[derive(Debug, Default)]
struct RegionSeen {
    pages: Vec<Seen>,
    frames: Vec<Option<Pfn>>,
    totals: Totals,
}

/// Looks at a session between its operations.
#[derive(Debug, Default)]
pub struct Observer {
    regions: BTreeMap<Region, RegionSeen>,
    children: BTreeMap<(Child, Region), String>,
    /// The names of frames before the operation.
    names: HashMap<Pfn, String>,
    counters: [Counters; 3],
    poisoned: i64,
    frames: HashMap<Pfn, FrameShown>,
    traced: bool,
}

impl Observer {
    /// Before an operation: where the counters and the frames are.
    pub fn before<R: Release>(&mut self, session: &Session<R>, actor: &Actor) {
        self.counters = counters(session);
        self.poisoned = session.machine.num_poisoned_pages();
        self.names.clear();
        for (region, seen) in &self.regions {
            for (index, pfn) in seen.frames.iter().enumerate() {
                if let Some(pfn) = pfn {
                    // The first region to map a frame names it.
                    self.names.entry(*pfn).or_insert_with(|| format!("{region}:{index}"));
                }
            }
        }
        // After them what was failed: those frames may be behind no region any more.
        for ((region, page), pfn) in session.failed_frames(actor) {
            self.names.entry(pfn).or_insert_with(|| format!("{region}:{page}"));
        }
        session.machine.take_calls();
    }

    /// After it: what has changed.
    pub fn after<R: Release>(
        &mut self,
        session: &Session<R>,
        actor: &Actor,
        op: &Op,
        step: &Step,
    ) -> Observed {
        if let Op::Trace { switch } = op {
            self.traced = *switch != Some(crate::program::Switch::Off);
        }
        let mut observed = Observed::default();
        // Watched is the program's own process, not what its children do.
        match op {
            Op::Exit { .. } | Op::Cread { .. } | Op::Cwrite { .. } => drop(session.machine.take_calls()),
            _ => self.calls(session, &mut observed),
        }
        let [vm, n0, n1] = counters(session);
        observed.vm = differences(&self.counters[0], &vm);
        observed.n0 = differences(&self.counters[1], &n0);
        observed.n1 = differences(&self.counters[2], &n1);
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

    /// Which regions and children there are to look at.
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
            *observed.calls.entry(line.key).or_default() += 1;
            match self.traced {
                true if observed.ev.len() < LINES => observed.ev.push(line.line),
                true => observed.ev_cut += 1,
                false => {}
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
            let totals = totals(&now);
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
            let shown = if record.flags().contains(Flags::HWPOISON) {
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
                // Not there if it was mapped after the fork.
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

fn totals(pages: &[Seen]) -> Totals {
    let mut totals = Totals { pages: pages.len() as u32, ..Totals::default() };
    for seen in pages {
        match (seen.pte, seen.page) {
            ('P', Some(page)) => {
                totals.present += 1;
                totals.node0 += u32::from(page.node == 0);
                totals.node1 += u32::from(page.node == 1);
                totals.moved += u32::from(page.moved);
                totals.bad += u32::from(page.data != "ok");
            }
            ('S', _) => totals.swap += 1,
            _ => totals.none += 1,
        }
    }
    totals
}

/// The machine's events and each node's counters.
fn counters<R: Release>(session: &Session<R>) -> [Counters; 3] {
    [session.counted(None, EVENTS), session.counted(Some(0), NODE), session.counted(Some(1), NODE)]
}

fn differences(before: &Counters, after: &Counters) -> Counters {
    let of = |(&name, &value): (&&'static str, &i64)| (name, value - before.get(name).unwrap_or(&0));
    after.iter().map(of).filter(|&(_, delta)| delta != 0).collect()
}

impl<R: Release> Session<R> {
    /// A region of the program's process, mapped or not any more.
    fn mapped<'a>(&'a self, actor: &'a Actor, region: Region) -> Option<&'a Mapped> {
        actor.names.regions.get(region).or_else(|| self.names.regions.get(region))
    }
}
