//! The state that users see when all threads have ended, for the check of serial answers
//! ([`crate::explore`]). Only the explored build reads it.
//!
//! The state leaves out the things that differ between equal outcomes: the numbers of frames, the places of
//! pages in lists, batches, events, and marks that decide only which page is reclaimed first.

use super::Session;
use super::actor::{Actor, Held, Hold, Mapped, Name};
use super::content::{Place, Version};
use super::memory::HOG;
use crate::map::{Attributes, Entry, PinKind, Policy};
use crate::memory::WORDS;
use crate::page::{Flags, Pfn};
use crate::program::{Child, Owner};
use crate::release::Release;
use std::collections::BTreeSet;
use std::fmt;

/// The things that users see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Visible {
    /// The pages of regions and owners, by name.
    pub pages: Vec<(String, VisiblePage)>,
    /// Everything else, by name, with its state as text.
    pub things: Vec<(String, String)>,
}

/// A page of a region or an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VisiblePage {
    /// True for a page of a child's region.
    pub of_child: bool,
    /// The page is unmapped for good, or its owner has released it.
    pub gone: bool,
    /// The node of the frame; `None` for a page that is not in memory, and for the zero page.
    pub node: Option<usize>,
    /// The entry, or the frame, is poisoned.
    pub poisoned: bool,
    /// The threads that wrote the words, from 1; 0 for the set-up, `None` for words without content, 255 for
    /// content that was never written there.
    pub writers: BTreeSet<Option<u8>>,
    /// The page is locked into memory.
    pub locked: bool,
    /// The page's memory policy.
    pub policy: Option<Policy>,
}

impl fmt::Display for VisiblePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.gone {
            return f.write_str("gone");
        }
        match self.node {
            Some(node) => write!(f, "on node {node}")?,
            None => f.write_str("not in memory")?,
        }
        if self.poisoned {
            f.write_str(", poisoned")?;
        }
        for writer in &self.writers {
            match writer {
                None => f.write_str(", with zeroes")?,
                Some(0) => f.write_str(", written by the set-up")?,
                Some(thread) => write!(f, ", written by thread number {thread}")?,
            }
        }
        if self.locked {
            f.write_str(", locked")?;
        }
        match self.policy {
            Some(policy) => write!(f, ", {policy:?}"),
            None => Ok(()),
        }
    }
}

/// The name of the number of pages in the balloon.
pub const BALLOON: &str = "the pages of the balloon";

/// The name of the number of poisoned pages.
pub const POISONED: &str = "the poisoned pages";

impl<R: Release> Session<R> {
    /// Returns the visible state, once the threads are [joined](Session::join) into `program`.
    pub fn visible(&self, program: &Actor) -> Visible {
        let mut all = Visible::default();
        for names in [&self.names, &program.names] {
            // A name that a thread has defined replaces the set-up's.
            let replaced = |child: Child| {
                std::ptr::eq(names, &self.names) && program.names.children.get(child).is_some()
            };
            for (region, mapped) in names.regions.iter() {
                self.region_shown(&region.to_string(), mapped, false, &mut all);
            }
            for (child, process) in names.children.iter().filter(|(child, _)| !replaced(*child)) {
                let living = if process.is_some() { "lives" } else { "has ended" };
                all.things.push((child.to_string(), living.into()));
                for (region, mapped) in process.iter().flat_map(|process| process.regions.iter()) {
                    self.region_shown(&format!("{child}'s {region}"), mapped, true, &mut all);
                }
            }
            for (name, pool) in names.pools.iter() {
                for (number, &page) in pool.pages.iter().enumerate() {
                    let gone = VisiblePage { gone: true, ..VisiblePage::default() };
                    let state = pool.pool.pfn(page).map_or(gone, |pfn| self.frame_seen(pfn));
                    all.pages.push((format!("{name}:{number}"), state));
                }
            }
        }
        let shared = self.shared.lock();
        // The pages of a pool or the balloon, and the free memory that can be filled, depend on the moment.
        // Handles on them are left out.
        let counted = |held: &&Held| {
            let Name::Page(name, _) = held.name else { return true };
            name != HOG && !matches!(name, Owner::Store(_) | Owner::Balloon(_))
        };
        let handles = program.handles.iter().chain(shared.iter());
        let mut handles: Vec<String> = handles.filter(counted).map(handle).collect();
        drop(shared);
        handles.sort_unstable();
        all.things.push(("the handles".into(), handles.join(", ")));
        self.machine_shown(&mut all.things);
        all
    }

    fn frame_seen(&self, pfn: Pfn) -> VisiblePage {
        VisiblePage {
            node: Some(self.machine.node_of(pfn)),
            poisoned: self.machine.frames()[pfn].flags().contains(Flags::HWPOISON),
            ..VisiblePage::default()
        }
    }

    fn region_shown(&self, name: &str, mapped: &Mapped, of_child: bool, all: &mut Visible) {
        let Mapped { number, area, file } = mapped;
        if let Some(file) = file {
            let named = if file.is_removed() { " and no name" } else { "" };
            all.things.push((format!("the file of {name}"), format!("{} pages{named}", file.pages())));
        }
        for page in 0..area.pages() {
            let attributes = area.attributes(page);
            if attributes.contains(Attributes::UNMAPPED) {
                let gone = VisiblePage { gone: true, of_child, ..VisiblePage::default() };
                all.pages.push((format!("{name}:{page}"), gone));
                continue;
            }
            let entry = area.look(page).unlocked().entry();
            let mut seen = match entry {
                Entry::Present { pfn, zero: false } => self.frame_seen(pfn),
                Entry::Hwpoison { .. } => VisiblePage { poisoned: true, ..VisiblePage::default() },
                _ => VisiblePage::default(),
            };
            let word = |word| match (entry, file) {
                (Entry::Present { pfn, zero: false }, _) => self.machine.memory().load(pfn, word),
                (Entry::Swap { slot }, _) => self.machine.swap_word(slot, word),
                (Entry::None | Entry::Present { .. }, Some(file)) => self.machine.file_word(file, page, word),
                _ => 0,
            };
            let place = Place { region: *number, page };
            let writer = |word: u64, number| match place.version(number, word) {
                Some(version) if version == Version::NONE => None,
                Some(version) => Some(version.writer()),
                None => Some(u8::MAX),
            };
            seen.writers = (0..WORDS).map(|number| writer(word(number), number)).collect();
            seen.locked = attributes.contains(Attributes::LOCKED);
            seen.policy = attributes.policy();
            seen.of_child = of_child;
            all.pages.push((format!("{name}:{page}"), seen));
        }
    }

    fn machine_shown(&self, all: &mut Vec<(String, String)>) {
        let machine = &self.machine;
        all.push((POISONED.into(), machine.num_poisoned_pages().to_string()));
        if let Some(balloon) = &self.balloon {
            all.push((BALLOON.into(), balloon.size().to_string()));
        }
        let mut huge: Vec<(usize, u8)> =
            machine.huge_pages().iter().map(|page| (machine.node_of(page.first), page.order)).collect();
        huge.sort_unstable();
        if !huge.is_empty() {
            all.push(("huge pages by node and order".into(), format!("{huge:?}")));
        }
        all.push(("swap space".into(), if machine.may_swap() { "on" } else { "off" }.into()));
        for node in 0..machine.nodes().len() {
            for block in 0.. {
                let Ok(state) = machine.block_state(node, block) else { break };
                all.push((format!("block {block} of node {node}"), state.name().into()));
            }
        }
    }
}

/// A handle without its frame.
fn handle(held: &Held) -> String {
    let name = match held.name {
        Name::Page(owner @ Owner::Allocated(_), _) => owner.to_string(),
        Name::Page(owner, index) => format!("{owner}:{index}"),
        Name::Pin(pin) => pin.to_string(),
        Name::Pipe(_) => "a pipe".into(),
    };
    let kind = match held.hold {
        Hold::Allocated => "allocation",
        Hold::OffLists => "right to a list",
        Hold::Ref | Hold::Pin(PinKind::Get) => "reference",
        Hold::Isolated | Hold::IsolatedMovable => "isolation",
        Hold::Locked => "lock",
        Hold::Writeback { .. } => "write",
        Hold::Frozen(_) => "freeze",
        Hold::Pin(PinKind::Pin) => "pin",
    };
    format!("{kind} of {name}")
}
