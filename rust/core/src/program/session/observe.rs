//! What can be seen of a session between two operations: the state of every page of every region,
//! children's views, counters and calls, as recordings of real kernels have them.
//!
//! An observer looks, it changes nothing: no fault, no reference, no accessed bit. It shows what has
//! changed since its last look.

use super::Session;
use super::actor::{Actor, Mapped};
use super::content::{Place, Reader};
use super::step::{Access, Step};
use crate::calls::shown;
use crate::map::{Attributes, Entry, Pte};
use crate::memory::WORDS;
use crate::page::{KpageFlags, Pfn};
use crate::program::{Child, Op, Region};
use crate::release::Release;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

/// Regions of up to so many pages are shown page by page, larger ones as totals.
const PAGE_BY_PAGE: u32 = 64;

/// Stands for the zero page's frame, which is none of the machine's.
const ZERO_FRAME: Pfn = Pfn(u32::MAX);

/// Lines of an ordered list of calls, at most.
const LINES: usize = 160;

/// Events that a recording has.
const EVENTS: &[&str] = &[
    "pgmigrate_success",
    "pgmigrate_fail",
    "pgactivate",
    "pgdeactivate",
    "pglazyfree",
    "pglazyfreed",
    "pgrotated",
    "pswpin",
    "pswpout",
    "pgpgin",
    "pgmajfault",
    "unevictable_pgs_culled",
    "unevictable_pgs_scanned",
    "unevictable_pgs_rescued",
    "unevictable_pgs_mlocked",
    "unevictable_pgs_munlocked",
    "unevictable_pgs_cleared",
    "unevictable_pgs_stranded",
    "pgsteal_direct",
    "pgscan_direct",
    "pgreuse",
];

/// Counters of a node that a recording has.
const NODE: &[&str] = &[
    "nr_inactive_anon",
    "nr_active_anon",
    "nr_inactive_file",
    "nr_active_file",
    "nr_unevictable",
    "nr_isolated_anon",
    "nr_isolated_file",
    "nr_anon_pages",
    "nr_mapped",
    "nr_shmem",
    "nr_file_pages",
    "nr_dirty",
    "nr_writeback",
    "nr_mlock",
    "nr_swapcached",
];

/// Differences of counters, by name.
type Deltas = BTreeMap<&'static str, i64>;

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
    /// Events of the machine.
    #[serde(skip_serializing_if = "Deltas::is_empty")]
    pub vm: Deltas,
    /// Counters of node 0.
    #[serde(skip_serializing_if = "Deltas::is_empty")]
    pub n0: Deltas,
    /// Counters of node 1.
    #[serde(skip_serializing_if = "Deltas::is_empty")]
    pub n1: Deltas,
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

/// Neighbouring pages in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageRun {
    /// `FIRST` or `FIRST-LAST`.
    pub p: String,
    /// `P` present, `S` swap, `H` hwpoison entry, `M` migration entry, `-` none.
    pub pte: char,
    /// What a present page is.
    #[serde(flatten)]
    pub page: Option<PageShown>,
}

/// A present page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PageShown {
    /// Its node; -1 for the zero page.
    pub node: i32,
    /// 1 if it was another frame at the last look.
    pub moved: u8,
    /// Names of /proc/kpageflags.
    #[serde(serialize_with = "flag_names")]
    pub flags: KpageFlags,
    /// Its references.
    #[serde(rename = "ref")]
    pub count: u32,
    /// Its mappings.
    #[serde(rename = "map")]
    pub mapcount: u32,
    /// Its content, compared with what was written.
    pub data: &'static str,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn flag_names<S: Serializer>(flags: &KpageFlags, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&flags.names().join("|"))
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

/// One page at the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    pte: char,
    page: Option<PageShown>,
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
    counters: [Deltas; 3],
    traced: bool,
}

impl Observer {
    /// Before an operation: where the counters and the frames are.
    pub fn before<R: Release>(&mut self, session: &Session<R>) {
        self.counters = counters(session);
        self.names.clear();
        for (region, seen) in &self.regions {
            for (index, pfn) in seen.frames.iter().enumerate() {
                if let Some(pfn) = pfn {
                    // The first region to map a frame names it.
                    self.names.entry(*pfn).or_insert_with(|| format!("{region}:{index}"));
                }
            }
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
            now.push(session.seen(actor, mapped, page, frame));
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
        let mut first = 0;
        let runs = now.chunk_by(PartialEq::eq).map(|run| {
            let last = first + run.len() - 1;
            let p = if run.len() > 1 { format!("{first}-{last}") } else { first.to_string() };
            first += run.len();
            PageRun { p, pte: run[0].pte, page: run[0].page }
        });
        observed.pages.insert(region.to_string(), runs.collect());
        seen.pages = now;
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

/// The letter of an entry.
fn kind(pte: Pte) -> char {
    match pte.unlocked().entry() {
        Entry::None => '-',
        Entry::Present { .. } => 'P',
        Entry::Migration { .. } => 'M',
        Entry::Swap { .. } => 'S',
        Entry::Hwpoison { .. } => 'H',
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
fn counters<R: Release>(session: &Session<R>) -> [Deltas; 3] {
    let read = |node: Option<usize>, names: &[&str]| {
        let all = session.machine.vmstat(node).unwrap_or_default();
        all.into_iter().filter(|(name, _)| names.contains(name)).collect()
    };
    [read(None, EVENTS), read(Some(0), NODE), read(Some(1), NODE)]
}

fn differences(before: &Deltas, after: &Deltas) -> Deltas {
    let of = |(&name, &value): (&&'static str, &i64)| (name, value - before.get(name).unwrap_or(&0));
    after.iter().map(of).filter(|&(_, delta)| delta != 0).collect()
}

impl<R: Release> Session<R> {
    /// A region of the program's process, mapped or not any more.
    fn mapped<'a>(&'a self, actor: &'a Actor, region: Region) -> Option<&'a Mapped> {
        actor.names.regions.get(region).or_else(|| self.names.regions.get(region))
    }

    /// The children that have not exited.
    fn children<'a>(
        &'a self,
        actor: &'a Actor,
    ) -> impl Iterator<Item = (Child, &'a super::actor::Process)> + 'a {
        let all = self.names.children.iter().chain(actor.names.children.iter());
        all.filter_map(|(child, process)| process.as_deref().map(|process| (*child, process)))
    }

    /// One page, and the frame behind it for the next look.
    fn seen(&self, actor: &Actor, mapped: &Mapped, page: u32, frame: &mut Option<Pfn>) -> Seen {
        let Mapped { number, area, .. } = mapped;
        let pte = match area.attributes(page).contains(Attributes::UNMAPPED) {
            true => Pte::NONE,
            false => area.look(page).unlocked(),
        };
        let before = std::mem::take(frame);
        let Entry::Present { pfn, zero } = pte.entry() else { return Seen { pte: kind(pte), page: None } };
        let mut words = [0; WORDS];
        if !zero {
            words
                .iter_mut()
                .enumerate()
                .for_each(|(word, value)| *value = self.machine.memory().load(pfn, word));
        }
        let reader = Reader { number: actor.number, concurrent: false, before: &self.content };
        let place = Place { region: *number, page };
        let data = match actor.content.check(mapped.content_of(self.space.id), place, &words, reader) {
            (Access::Any, _) => "any",
            (_, true) => "ok",
            (Access::Zero, _) => "zero",
            (Access::Old, _) => "old",
            _ => "bad",
        };
        if zero {
            // A frame like any other, as far as the next look is concerned.
            *frame = Some(ZERO_FRAME);
            // Shared by all: nothing else is this page's own.
            let page =
                PageShown { node: -1, moved: 0, flags: KpageFlags::ZERO_PAGE, count: 0, mapcount: 0, data };
            return Seen { pte: 'P', page: Some(page) };
        }
        *frame = Some(pfn);
        let record = &self.machine.frames()[pfn];
        let page = PageShown {
            node: self.machine.node_of(pfn) as i32,
            moved: u8::from(before.is_some_and(|before| before != pfn)),
            flags: KpageFlags::of(record, self.machine.profile()),
            count: record.count(),
            mapcount: record.mapcount(),
            data,
        };
        Seen { pte: 'P', page: Some(page) }
    }
}
