//! Pages and counters of a session under the names that recordings of real kernels use.
//!
//! To show a page changes nothing: no page is faulted in, no reference is taken, and no accessed
//! bit is set.

use super::Session;
use super::actor::{Actor, Mapped, Process};
use super::content::{Place, Reader};
use super::step::Access;
use crate::map::{Attributes, Entry, Pte};
use crate::memory::WORDS;
use crate::page::{KpageFlags, Pfn, ZERO_PAGE};
use crate::program::Child;
use crate::release::Release;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Events that a recording has, and the zone counters that it shows with them.
pub(super) const EVENTS: &[&str] = &[
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
    "nr_zspages",
    "balloon_inflate",
    "balloon_deflate",
    "balloon_migrate",
    "compact_isolated",
    "compact_migrate_scanned",
    "compact_free_scanned",
    "compact_daemon_wake",
    "htlb_buddy_alloc_success",
    "htlb_buddy_alloc_fail",
];

/// Counters of a node that a recording has.
pub(super) const NODE: &[&str] = &[
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

/// Values of counters, by name.
pub(super) type Counters = BTreeMap<&'static str, i64>;

/// Neighbouring pages in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageRun {
    /// `FIRST` or `FIRST-LAST`.
    pub p: String,
    /// `P` present, `S` swap, `H` hwpoison entry, `M` migration entry, `-` none.
    pub pte: char,
    /// The present page, if any.
    #[serde(flatten)]
    pub page: Option<PageShown>,
}

/// A present page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PageShown {
    /// The page's node; -1 for the zero page.
    pub node: i32,
    /// 1 if the page was in another frame at the last look.
    pub moved: u8,
    /// The page's flags, by the names of /proc/kpageflags.
    #[serde(serialize_with = "flag_names")]
    pub flags: KpageFlags,
    /// The page's references.
    #[serde(rename = "ref")]
    pub count: u32,
    /// The page's mappings.
    #[serde(rename = "map")]
    pub mapcount: u32,
    /// The result of comparing the content with the last write.
    pub data: &'static str,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn flag_names<S: Serializer>(flags: &KpageFlags, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&flags.names().join("|"))
}

/// A page of a region as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub pte: char,
    pub page: Option<PageShown>,
}

/// Combines neighbours in the same state to runs.
pub(super) fn runs(pages: &[Seen]) -> Vec<PageRun> {
    let mut first = 0;
    let run = |run: &[Seen]| {
        let last = first + run.len() - 1;
        let p = if run.len() > 1 { format!("{first}-{last}") } else { first.to_string() };
        first += run.len();
        PageRun { p, pte: run[0].pte, page: run[0].page }
    };
    pages.chunk_by(PartialEq::eq).map(run).collect()
}

/// Returns the letter of an entry.
pub(super) fn kind(pte: Pte) -> char {
    match pte.unlocked().entry() {
        Entry::None => '-',
        Entry::Present { .. } => 'P',
        Entry::Migration { .. } => 'M',
        Entry::Swap { .. } => 'S',
        Entry::Hwpoison { .. } => 'H',
    }
}

impl<R: Release> Session<R> {
    /// Returns the children that have not exited.
    pub(super) fn children<'a>(
        &'a self,
        actor: &'a Actor,
    ) -> impl Iterator<Item = (Child, &'a Process)> + 'a {
        let all = self.names.children.iter().chain(actor.names.children.iter());
        all.filter_map(|(child, process)| process.as_deref().map(|process| (*child, process)))
    }

    /// Returns the state of a page in the address space `space`. `frame` has the frame of the last look, and
    /// gets the present one for the next look.
    pub(super) fn seen(
        &self,
        actor: &Actor,
        space: u32,
        mapped: &Mapped,
        page: u32,
        frame: &mut Option<Pfn>,
    ) -> Seen {
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
        let data = match actor.content.check(mapped.content_of(space), place, &words, reader) {
            (Access::Any, _) => "any",
            (_, true) => "ok",
            (Access::Zero, _) => "zero",
            (Access::Old, _) => "old",
            _ => "bad",
        };
        if zero {
            // The zero page is remembered like any other frame, so that the next look notices a
            // move.
            *frame = Some(ZERO_PAGE);
            // All users share the zero page, so its count and mappings say nothing about this page.
            let flags = KpageFlags::of_zero_page(self.machine.zero_page_is_poisoned());
            let page = PageShown { node: -1, moved: 0, flags, count: 0, mapcount: 0, data };
            return Seen { pte: 'P', page: Some(page) };
        }
        *frame = Some(pfn);
        let moved = before.is_some_and(|before| before != pfn);
        Seen { pte: 'P', page: Some(self.frame_shown(pfn, moved, data)) }
    }

    /// Returns the state of the page in a frame, whatever the frame is used for.
    pub(super) fn frame_shown(&self, pfn: Pfn, moved: bool, data: &'static str) -> PageShown {
        let frames = self.machine.frames();
        let (record, head) = (&frames[pfn], &frames[frames.head(pfn)]);
        PageShown {
            node: self.machine.node_of(pfn) as i32,
            moved: u8::from(moved),
            flags: KpageFlags::of(record, head, self.machine.profile()),
            count: head.count(),
            mapcount: record.mapcount(),
            data,
        }
    }

    /// Returns the counters of a node (or for `None` the machine's events) that have one of these
    /// names.
    pub(super) fn counted(&self, node: Option<usize>, names: &[&str]) -> Counters {
        let all = self.machine.vmstat(node).unwrap_or_default();
        all.into_iter().filter(|(name, _)| names.contains(name)).collect()
    }
}
