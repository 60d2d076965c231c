//! Looks (`look`): reads of a page record by a reader that holds a reference but no lock. The reader takes a
//! speculative reference, makes sure that the page is still in the place where the reader found it, and then
//! reads the fields of the record.
//!
//! Readers that lock the page read its fields again under the lock, so they never notice a page that could
//! be found before it was ready. A look notices such a page: each of its reads is a step. Where everything is
//! checked, the value that was read is then compared with the place, provided that the place still leads to
//! the page. A place that leads to the page no more, because the page was truncated, unmapped or evicted,
//! promises nothing.
//!
//! | look | found by | as in the kernel |
//! |---|---|---|
//! | `cache` | a slot of the page cache | `filemap_get_entry` |
//! | `swap` | a slot of the swap cache | `swap_cache_get_folio` |
//! | `entry` | a page-table entry | `gup_fast_pte_range` |
//! | `frame` | its number | `stable_page_flags`, `isolate_migratepages_block`, `get_hwpoison_page` |
//! | `rmap` | its number, then its owner | `folio_get_anon_vma`, `rmap_walk` |
//!
//! `docs/explorer.md`, "Looks without locks", lists the fields that must be ready.

use super::Session;
use super::actor::{Actor, Mapped};
use super::pages::nothing;
use super::process::Outcome;
use super::step::{Problem, Step};
use crate::error::{Errno, Error, Why};
use crate::map::{Area, Entry, FileKind, Pte, Slot};
use crate::owner::OwnerId;
use crate::page::{Flags, Pfn, Word};
use crate::program::{LookAt, Owner, Sum};
use crate::release::Release;
use crate::sync::broken;
#[cfg(feature = "explored")]
use crate::sync::explored::{checks_all, glance};
use std::fmt::Arguments;
use std::sync::Arc;

/// The rule.
const READY: &str = "a page that can be found is ready";

/// Pairs of flags that exclude each other: a page has at most one flag of a pair.
const APART: &[(Flags, Flags)] = &[
    (Flags::ANON, Flags::FILE),
    (Flags::HEAD, Flags::TAIL),
    (Flags::BUDDY, Flags::LRU),
    (Flags::BUDDY, Flags::ANON),
    (Flags::BUDDY, Flags::FILE),
    (Flags::BUDDY, Flags::SWAPCACHE),
    (Flags::BUDDY, Flags::TAIL),
    (Flags::TAIL, Flags::FILE),
];

/// True if `there` holds at this moment; the question takes no step. False in explorations that do not check
/// everything.
#[cfg(feature = "explored")]
fn still(there: impl FnOnce() -> bool) -> bool {
    checks_all() && glance(there)
}

/// Only the explored build checks the values that a look has read: in the others the place may change at any
/// moment.
#[cfg(not(feature = "explored"))]
fn still(_there: impl FnOnce() -> bool) -> bool {
    false
}

#[cold]
fn unready(pfn: Pfn, found: &str, what: Arguments<'_>) -> ! {
    broken(READY, format_args!("page {pfn}, found {found}: {what}"))
}

impl<R: Release> Session<R> {
    /// Looks at each page in one way.
    pub(super) fn look_at(&self, actor: &mut Actor, at: LookAt, pages: &Sum<Owner>) -> Step {
        self.each(actor, pages, |session, actor, owner, index| match at {
            LookAt::Cache => session.look_in_cache(actor, owner, index),
            LookAt::Swap => session.look_in_swap(actor, owner, index),
            LookAt::Entry => session.look_behind_entry(actor, owner, index),
            LookAt::Frame => session.look_at_frame(actor, owner, index),
            LookAt::Rmap => session.look_along_rmap(actor, owner, index),
        })
    }

    fn place_of<'a>(&'a self, actor: &'a Actor, owner: Owner) -> Outcome<&'a Mapped> {
        match owner {
            Owner::Region(region) => self.region(actor, region),
            _ => Err(Problem::misuse("only the pages of a region are in a cache or behind an entry")),
        }
    }

    /// Takes a speculative reference, and reads the page if it is `there` afterwards. `read` gets the head.
    fn by_chance(&self, pfn: Pfn, there: impl FnOnce() -> bool, read: impl FnOnce(Pfn)) -> Outcome<i32> {
        let missed = |why| Err(Error::at(Errno::EAGAIN, pfn, why).into());
        let Some(head) = self.machine.try_get_page(pfn) else { return missed(Why::NoReference) };
        let there = there();
        if there {
            read(head);
        }
        self.machine.put(head);
        match there {
            true => Ok(0),
            false => missed(Why::State("another page is in its place".into())),
        }
    }

    fn look_in_cache(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<i32> {
        const FOUND: &str = "in the page cache";
        let Mapped { area, file, .. } = self.place_of(actor, owner)?;
        let Some(file) = file else { return Err(Problem::misuse("the region maps no file")) };
        let at = area.file().map_or(0, |map| map.first) + index;
        let pfn = file.cached_page(at).ok_or_else(|| nothing(owner, index))?;
        let there = || file.cached_page(at) == Some(pfn);
        self.by_chance(pfn, there, |_| {
            let page = self.page(pfn);
            let word = page.word();
            let memory = file.kind != FileKind::Disk;
            let of_file = word.has(Flags::FILE) && word.has(Flags::SWAPBACKED) == memory;
            if still(there) && (!of_file || !has_content(word)) {
                unready(pfn, FOUND, format_args!("{word}"));
            }
            let is = page.owner();
            if still(there) && is != file.owner.0 {
                unready(pfn, FOUND, format_args!("owner {is:#x}, not the file"));
            }
            let is = page.index();
            if still(there) && is != at {
                unready(pfn, FOUND, format_args!("index {is}, not {at}"));
            }
        })
    }

    fn look_in_swap(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<i32> {
        const FOUND: &str = "in the swap cache";
        let Mapped { area, file, .. } = self.place_of(actor, owner)?;
        let slot = match look_in(area, index).entry() {
            Entry::Swap { slot } => Some(slot),
            Entry::Present { pfn, zero: false } => {
                let head = self.machine.frames().head(pfn);
                let page = self.page(head);
                page.word().has(Flags::SWAPCACHE).then(|| page.private() + (pfn.0 - head.0))
            }
            _ => match file.as_ref().map(|file| file.slot(index)) {
                Some(Slot::Swap(slot)) => Some(slot),
                _ => None,
            },
        };
        let slot = slot.ok_or_else(|| nothing(owner, index))?;
        let swap = self.machine.swap_space().ok_or_else(|| nothing(owner, index))?;
        let pfn = swap.slot(slot).page().ok_or_else(|| nothing(owner, index))?;
        let there = || swap.slot(slot).page() == Some(pfn);
        self.by_chance(pfn, there, |head| {
            let page = self.page(head);
            let word = page.word();
            let cached = word.has(Flags::SWAPCACHE | Flags::SWAPBACKED);
            if still(there) && (!cached || !has_content(word)) {
                unready(pfn, FOUND, format_args!("{word}"));
            }
            let is = page.private() + (pfn.0 - head.0);
            if still(there) && is != slot {
                unready(pfn, FOUND, format_args!("slot {is}, not {slot}"));
            }
        })
    }

    fn look_behind_entry(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<i32> {
        const FOUND: &str = "behind an entry";
        let area = &self.place_of(actor, owner)?.area;
        let pfn = self.machine.page_at(area, index).ok_or_else(|| nothing(owner, index))?;
        let there = || area.look(index).maps(pfn);
        self.by_chance(pfn, there, |head| {
            let page = self.page(head);
            let word = page.word();
            if still(there) && !(word.has(Flags::ANON) || word.has(Flags::FILE) && area.file().is_some()) {
                unready(pfn, FOUND, format_args!("{word}"));
            }
            let (home, at) = home(area, index, word, pfn.0 - head.0);
            let is = page.owner();
            if still(there) && is != home.0 {
                unready(pfn, FOUND, format_args!("owner {is:#x} is not the area's"));
            }
            let is = page.index();
            if still(there) && is != at {
                unready(pfn, FOUND, format_args!("index {is}, not {at}"));
            }
            if self.page(pfn).mapcount() == 0 && still(there) {
                unready(pfn, FOUND, format_args!("no mapping is counted"));
            }
        })
    }

    /// The frame that a look by number begins with: the remembered one, or else the one behind the name.
    fn numbered(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<Pfn> {
        let remembered = match owner {
            Owner::Region(region) => self.failed_frame(actor, region, index),
            _ => None,
        };
        remembered.map_or_else(|| self.look(actor, owner, index), Ok)
    }

    fn look_at_frame(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<i32> {
        const FOUND: &str = "by its number";
        let pfn = self.numbered(actor, owner, index)?;
        let (part, always) = (self.page(pfn), still(|| true));
        // A look before any reference, as for /proc/kpageflags: each word was true at its moment.
        let word = part.word();
        let apart = APART.iter().all(|(one, other)| !word.has(one.union(*other)));
        if always && !(apart && (word.count() == 0 || !word.any(Flags::TAIL | Flags::BUDDY))) {
            unready(pfn, FOUND, format_args!("{word}"));
        }
        self.by_chance(
            pfn,
            || true,
            |head| {
                // The reference keeps the page in one piece, and its frames in the page.
                let page = self.page(head);
                let word = page.word();
                let (order, tail) = (page.order(), part.word().has(Flags::TAIL));
                let large = word.has(Flags::HEAD);
                let inside = pfn.0 - head.0 < 1 << order;
                if always && (large != (order > 0) || !inside || tail != (pfn != head)) {
                    unready(pfn, FOUND, format_args!("its head {head} has order {order}: {word}"));
                }
                // Where the mark of a movable page sticks, its owner may have released the page already.
                let marked = if self.machine.mark_sticks() { Flags::empty() } else { Flags::MOVABLE };
                let owned = || page.word().any(Flags::ANON | Flags::FILE | marked);
                if page.owner() == 0 && still(owned) {
                    unready(pfn, FOUND, format_args!("no owner: {}", page.word()));
                }
                let now = page.word();
                if always && now.has(Flags::HEAD) != large {
                    unready(pfn, FOUND, format_args!("{word} became {now} under a reference"));
                }
            },
        )
    }

    fn look_along_rmap(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<i32> {
        const FOUND: &str = "along the reverse map";
        let pfn = self.numbered(actor, owner, index)?;
        let own = self.place_of(actor, owner).ok().map(|mapped| Arc::clone(&mapped.area));
        let maps = || own.as_ref().is_some_and(|area| look_in(area, index).maps(pfn));
        self.by_chance(
            pfn,
            || true,
            |head| {
                let page = self.page(head);
                if !page.word().any(Flags::ANON | Flags::FILE) {
                    return;
                }
                let (at, of) = (page.index(), OwnerId(page.owner()));
                let mapped = still(maps);
                let mut seen_areas = Vec::new();
                self.machine.walk_areas(of, at, |area, at| {
                    let at = at + (pfn.0 - head.0);
                    seen_areas.push((Arc::clone(area), at));
                    if look_in(area, at).maps(pfn) {
                        let counted = self.page(pfn).mapcount() as usize;
                        let mapping =
                            || seen_areas.iter().filter(|(area, at)| look_in(area, *at).maps(pfn)).count();
                        if still(|| mapping() > counted) {
                            unready(
                                pfn,
                                FOUND,
                                format_args!("more entries map it than {counted}, the count"),
                            );
                        }
                    }
                    true
                });
                let is_own = |(area, at): &(Arc<Area>, u32)| {
                    own.as_ref().is_some_and(|own| Arc::ptr_eq(own, area)) && *at == index
                };
                // An area is in the reverse map as long as it maps anything.
                if mapped && !seen_areas.iter().any(is_own) && still(maps) {
                    unready(pfn, FOUND, format_args!("the walk misses an area that maps the page"));
                }
            },
        )
    }
}

/// The entry of a page at this moment; empty beyond the end of the area.
fn look_in(area: &Area, index: u32) -> Pte {
    if index < area.pages() { area.look(index) } else { Pte::NONE }
}

/// True if the content of a page of a cache is there, or the page is locked or poisoned, so that it may be
/// missing.
fn has_content(word: Word) -> bool {
    word.any(Flags::UPTODATE | Flags::LOCKED | Flags::HWPOISON)
}

/// The owner and the index of the page that an area maps at `index`, as the `part`-th of a large page.
fn home(area: &Area, index: u32, word: Word, part: u32) -> (OwnerId, u32) {
    match area.file() {
        Some(map) if word.has(Flags::FILE) => (map.file.owner, map.first + index),
        _ => (area.anon, index.wrapping_sub(part)),
    }
}
