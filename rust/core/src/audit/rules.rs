//! The rules, checked against a census. The numbers are those of `docs/design.md`, "Invariants".

use super::census::{Census, Place, Seen};
use super::finding::Finding;
use super::report::Report;
use crate::error::{Error, Result};
use crate::failure::Cause;
use crate::machine::Machine;
use crate::map::{Pte, Slot};
use crate::memory::WORDS;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, OF_A_TAIL, Pfn, Word};
use crate::profile::{AnonReuse, PoisonAccounting};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use std::collections::BTreeSet;

/// Flags that a free page may have. A poisoned frame keeps its mark, `BUDDY` marks the head of a free
/// block, and a thread that has slept on the page lock may not have cleared `WAITERS` yet.
const FREE_MAY_SHOW: Flags = Flags::HWPOISON.union(Flags::BUDDY).union(Flags::WAITERS);

/// Flags that a part of a large page has for itself.
const OF_A_PART: Flags = Flags::TAIL.union(Flags::HWPOISON).union(Flags::ANON_EXCLUSIVE);

/// Checks every frame and every counter. `EINTR` if the audit was interrupted.
pub(super) fn check<R: Release>(machine: &Machine<R>, census: &Census) -> Result<Vec<Finding>> {
    let mut report = Report { census, findings: Vec::new() };
    // Frames beyond a node's frontier were never used. A read of their records would make the host commit
    // memory for them.
    for node in &machine.nodes {
        let used = node.zone.lock().frontier();
        for offset in 0..used {
            Error::unless_interrupted()?;
            check_page(machine, census, node.base.plus(offset), &mut report);
        }
    }
    super::allocator::check(machine, &mut report);
    Error::unless_interrupted()?;
    check_mappings(machine, census, &mut report);
    Error::unless_interrupted()?;
    check_counters(machine, census, &mut report);
    check_swap(machine, census, &mut report);
    Error::unless_interrupted()?;
    check_events(machine, census, &mut report);
    check_pairs(machine, &mut report);
    check_spaces(machine, &mut report);
    check_ends(machine, &mut report);
    super::owners::check(machine, census, &mut report);
    Error::unless_interrupted()?;
    check_poison(machine, census, &mut report);
    Ok(report.findings)
}

fn check_page<R: Release>(machine: &Machine<R>, census: &Census, pfn: Pfn, report: &mut Report<'_>) {
    let page = &machine.frames[pfn];
    let word = page.word();
    let seen = census.seen(pfn);
    let place = census.place(machine, pfn);
    let part = word.has(Flags::TAIL);

    // Rule 1: a page is in exactly one place. Only the head of a large page has a place.
    if seen.places.len() > usize::from(!part) {
        report.page("a page is in one place", pfn, format!("is in {:?}", seen.places));
    }
    if part {
        return check_part(machine, seen, pfn, report);
    }
    if word.has(Flags::LRU) != matches!(place, Place::Lru(_)) {
        report.page(
            "the LRU flag means a place on a list",
            pfn,
            format!("flags {} but is in {place:?}", word.flags()),
        );
    }
    // Rule 2: the count is the sum of the ledger; mappings are entries; free pages are clean.
    let free = matches!(place, Place::Buddy | Place::Pcp | Place::Offline);
    // Rules 2 and 3: a frozen page has the count zero, whatever its holders.
    let references = if seen.frozen { 0 } else { seen.references };
    if word.count() != references {
        report.page(
            "count is the sum of the ledger",
            pfn,
            format!("count {} where holders account for {references}", word.count()),
        );
    }
    if free && word.count() != 0 {
        report.page("free pages have no references", pfn, format!("count {} in {place:?}", word.count()));
    }
    if page.mapcount() != seen.mappings {
        report.page(
            "mapcount is the number of entries",
            pfn,
            format!("mapcount {} with {} entries", page.mapcount(), seen.mappings),
        );
    }
    if word.has(Flags::HEAD) {
        check_large(machine, seen, pfn, report);
    }
    if free && (word.any(!FREE_MAY_SHOW) || page.owner() != 0) {
        report.page(
            "free pages are clean",
            pfn,
            format!("flags {}, owner {:#x}", word.flags(), page.owner()),
        );
    }
    if free && !word.any(Flags::BUDDY | Flags::HWPOISON) && (page.private(), page.order()) != (0, 0) {
        let what = format!("order {}, private {:#x}", page.order(), page.private());
        report.page("free pages are clean", pfn, what);
    }
    if free && (word.more_accesses() > 0 || word.generation().is_some()) {
        let what = format!("{} accesses, generation {:?}", word.more_accesses(), word.generation());
        report.page("free pages are clean", pfn, what);
    }
    if word.has(Flags::HAS_HWPOISONED) && !word.has(Flags::HEAD) {
        report.page("only a large page has a bad part", pfn, word.to_string());
    }
    super::mlock::check(machine, seen, pfn, report);
    // Rule 1: the head of a free block has the BUDDY flag, and no other page has it.
    if word.has(Flags::BUDDY) != seen.block {
        report.page("a free block is whole", pfn, format!("flags {} in {place:?}", word.flags()));
    }
    // Rule 2: a count of zero means that the page is free, frozen, bad, or a part of a large page.
    if place == Place::Allocated
        && word.count() == 0
        && !seen.frozen
        && !word.any(Flags::HWPOISON | Flags::TAIL)
    {
        report.page("no page is lost", pfn, "count 0, but the allocator does not have it".into());
    }
    check_cached(machine, seen, pfn, report);
    if seen.slots > 0 {
        check_clean(machine, seen, pfn, report);
    }
    // Rule 7: no operation is in progress at an audit, so only a handle that the census found may
    // hold the page's lock.
    if word.has(Flags::LOCKED) != seen.locked {
        report.page("no page stays locked", pfn, format!("flags {}", word.flags()));
    }
    // Rule 2: the flags of a page agree with one another.
    if word.has(Flags::ACTIVE | Flags::UNEVICTABLE) {
        report.page("no page is both active and unevictable", pfn, format!("flags {}", word.flags()));
    }
    // Rule 1: a generation names a list, so only a page on a list has one.
    if word.generation().is_some() && !matches!(place, Place::Lru(_)) {
        report.page("a page has a generation only on a list", pfn, format!("in {place:?} ({word})"));
    }
    // Rule 7: a mapped page must be where reclaim and migration find it.
    if place == Place::Allocated
        && page.mapcount() + seen.folio_mappings > 0
        && !seen.frozen
        && !word.has(Flags::HWPOISON)
    {
        report.page("a mapped page is on a list or isolated", pfn, format!("flags {}", word.flags()));
    }
    if word.has(Flags::ISOLATED) != seen.isolated {
        report.page("an isolated movable page has a token", pfn, format!("flags {}", word.flags()));
    }
    // No thread sleeps on a page of a machine at rest. In the native build a thread that was woken may
    // not have cleared the flag yet.
    if cfg!(feature = "explored") && word.has(Flags::WAITERS) {
        report.page("no page at rest has the WAITERS flag", pfn, format!("flags {}", word.flags()));
    }
    // Rule 8: the MOVABLE flag means that an owner holds the page. In designs whose put looks at
    // the flag, it may also mean that the owner has still to be told of the page's release.
    // A sticky mark stays on a released page, which has no owner, until its last reference is gone;
    // on a poisoned one it stays for good.
    let owned = place == Place::Movable;
    let dying = machine.put_looks() && place == Place::Allocated && machine.driver(pfn).is_some();
    let released = machine.mark_sticks()
        && matches!(place, Place::Allocated | Place::Isolated)
        && page.owner() == 0
        && (word.count() > 0 || word.has(Flags::HWPOISON));
    if word.has(Flags::MOVABLE) != owned && !(word.has(Flags::MOVABLE) && (dying || released)) {
        report.page("movable pages have an owner", pfn, format!("flags {} in {place:?}", word.flags()));
    }
}

/// Rule 2 for a part of a large page: it has its own mappings and flags. All other state is in the
/// head.
fn check_part<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let page = &machine.frames[pfn];
    let word = page.word();
    let head = machine.frames.head(pfn);
    let of = machine.frames.get(head).filter(|page| page.word().has(Flags::HEAD));
    if !of.is_some_and(|page| (1..1 << page.order()).contains(&pfn.0.wrapping_sub(head.0))) {
        report.page("a tail has a head", pfn, format!("leads to page {head} ({word})"));
    }
    if word.count() != 0 || seen.references != 0 {
        report.page("a tail has no count of its own", pfn, word.to_string());
    }
    if seen.swap_slots != u32::from(machine.frames[head].word().has(Flags::SWAPCACHE)) {
        let what = format!("a part in {} slots of the swap cache ({word})", seen.swap_slots);
        report.page("pages in the swap cache are in their slots", pfn, what);
    }
    // The first tail carries the mark that the page waits to be split.
    let first = pfn == head.plus(1) && of.is_some_and(|page| page.order() > 1);
    let own = if first { OF_A_PART | OF_A_TAIL } else { OF_A_PART };
    if word.any(!own) {
        report.page("a tail has no flags of its own", pfn, format!("flags {}", word.flags()));
    }
    if page.mapcount() != seen.mappings {
        let what = format!("mapcount {} with {} entries", page.mapcount(), seen.mappings);
        report.page("mapcount is the number of entries", pfn, what);
    }
}

/// Rule 2 for large pages: the head counts the entries and pins of all parts.
fn check_large<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let folio = machine.frames.folio(pfn);
    let mappings = machine.frames.folio_mapcount(folio);
    if mappings != seen.folio_mappings {
        let what = format!("counts {mappings} of {} entries that map a part", seen.folio_mappings);
        report.page("mapcount is the number of entries", pfn, what);
    }
    if machine.may_be_pinned(folio) != (seen.pins > 0) {
        report.page("a large page is marked as pinned while it has pins", pfn, format!("{} pins", seen.pins));
    }
}

/// Rule 2 for pages of files: a page of a file is in exactly one slot of it, with its content. Only
/// such a page has private data or is written back.
fn check_cached<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let word = machine.frames[pfn].word();
    let expected = u32::from(word.has(Flags::FILE));
    if seen.slots != expected {
        let what = format!("in {} slots of page caches ({word})", seen.slots);
        report.page("pages of files are in their slots", pfn, what);
    }
    if seen.swap_slots != u32::from(word.has(Flags::SWAPCACHE)) {
        let what = format!("in {} slots of the swap cache ({word})", seen.swap_slots);
        report.page("pages in the swap cache are in their slots", pfn, what);
    }
    if seen.slots > 0 && !word.has(Flags::UPTODATE) {
        report.page("cached pages have their content", pfn, format!("{word}"));
    }
    if seen.slots == 0 && word.any(Flags::PRIVATE | Flags::WRITEBACK) {
        report.page("only a page of a file has private data or is under writeback", pfn, format!("{word}"));
    }
    // Rule 7: a write-back that was begun is ended.
    if word.has(Flags::WRITEBACK) != seen.under_writeback {
        report.page("no page stays under writeback", pfn, format!("{word}"));
    }
}

/// Rule 6 for files: a clean page has the content of its store, because a reclaim drops the page and
/// leaves only the store. Pages with handles are skipped: the holder of a handle may have stored to
/// the page without an entry, and marks the page dirty only when it releases the handle.
fn check_clean<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let page = &machine.frames[pfn];
    let word = page.word();
    if seen.dirty_entry || seen.held || word.any(Flags::DIRTY | Flags::WRITEBACK | Flags::HWPOISON) {
        return;
    }
    let Some(file) = machine.owners.file(OwnerId(page.owner())) else { return };
    if file.lost_page(page.index()) {
        // A write-back of the page has failed, so the page and its store may differ.
        return;
    }
    let differs = |word: &usize| {
        let stored = file.stored(page.index(), *word);
        stored.is_some_and(|stored| stored != machine.memory.load(pfn, *word))
    };
    if let Some(differs) = (0..WORDS).find(differs) {
        report.page(
            "a clean page has the content of its store",
            pfn,
            format!("word {differs} of page {} ({word})", page.index()),
        );
    }
}

/// Rule 2 for mappings: an entry and the page that it maps agree.
fn check_mappings<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    for &(pfn, entry) in &census.at_unmapped {
        report.page("nothing is mapped where pages were unmapped", pfn, entry.to_string());
    }
    // `MADV_FREE` clears `SWAPBACKED` of mapped pages, so the flag is not checked once it was used.
    let lazyfree = machine.stats.events(Event::Pglazyfree) > 0;
    for mapping in &census.mappings {
        let (pfn, part) = (mapping.pfn, &machine.frames[mapping.pfn]);
        // The head has the owner and the flags; each part has its own ANON_EXCLUSIVE.
        let head = machine.frames.head(pfn);
        let page = &machine.frames[head];
        let (word, exclusive) = (page.word(), part.word().has(Flags::ANON_EXCLUSIVE));
        let index = page.index() + (pfn.0 - head.0);
        if !word.has(Flags::ANON) || (page.owner(), index) != (mapping.owner.0, mapping.index) {
            let what = format!(
                "flags {}, owner {:#x} page {}; mapped as {:#x} page {}",
                word.flags(),
                page.owner(),
                index,
                mapping.owner.0,
                mapping.index
            );
            report.page("a mapped page belongs to its mapping", pfn, what);
        }
        match machine.profile.anon_reuse {
            AnonReuse::Exclusive if mapping.pte.has(Pte::WRITE) && !exclusive => {
                report.page(
                    "a writable entry maps an exclusive page",
                    pfn,
                    format!("flags {}", word.flags()),
                );
            }
            AnonReuse::Mapcount if mapping.pte.has(Pte::WRITE) && part.mapcount() > 1 => {
                let what = format!("{} mappings, flags {}", part.mapcount(), word.flags());
                report.page("a writable entry is the only one of its page", pfn, what);
            }
            AnonReuse::Mapcount if exclusive => {
                let what = format!("flags {}, but this kernel marks no page exclusive", word.flags());
                report.page("a writable entry is the only one of its page", pfn, what);
            }
            _ => {}
        }
        if exclusive && part.mapcount() > 1 {
            let what = format!("{} mappings, flags {}", part.mapcount(), word.flags());
            report.page("an exclusive page has one mapping", pfn, what);
        }
        if !word.has(Flags::UPTODATE) || !(word.has(Flags::SWAPBACKED) || lazyfree) {
            report.page(
                "a mapped page is up to date, and backed by swap",
                pfn,
                format!("flags {}", word.flags()),
            );
        }
    }
}

/// Rule 2 for swap slots: the count of a slot is the number of entries that name it, a slot in use has
/// an entry or a page, and no slot is being read.
fn check_swap<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    for &(pfn, slot) in &census.swap_misfiled {
        let private = machine.frames[machine.frames.head(pfn)].private();
        let what = format!("found in slot {slot}, while its page names slot {private}");
        report.page("pages in the swap cache are in their slots", pfn, what);
    }
    let Some(swap) = machine.swap_space() else {
        if let Some((slot, entries)) = census.swap_entries.first_key_value() {
            let what = format!("{entries} entries name slot {slot} of a machine without swap space");
            report.machine("a swap slot counts its entries", what);
        }
        return;
    };
    let counts = swap.entries();
    let mut used = 0;
    for (slot, &count) in (0u32..).zip(&counts) {
        let entries = census.swap_entries.get(&slot).copied().unwrap_or(0);
        if count != entries {
            let what = format!("slot {slot} counts {count} entries, {entries} name it");
            report.machine("a swap slot counts its entries", what);
        }
        let cached = swap.slot(slot);
        if cached == Slot::Reading {
            report.machine("no swap slot stays under a read", format!("slot {slot}"));
        }
        used += u32::from(count > 0 || cached.page().is_some());
    }
    if let Some(slot) = census.swap_entries.keys().find(|slot| **slot as usize >= counts.len()) {
        report.machine(
            "a swap slot counts its entries",
            format!("an entry names slot {slot}, which was never used"),
        );
    }
    let crate::map::SwapUse { total, free } = swap.in_use();
    if total - free != used {
        let what = format!("the counter says {}, but {used} are in use", total - free);
        report.machine("a swap slot without entry and page is free", what);
    }
}

/// Rule 4: the frames in use are those allocated minus those freed. The events of a poisoned frame do
/// not show whether it is in use, so the difference may be off by the number of poisoned frames.
fn check_events<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    let (mut used, mut bad) = (0i64, 0i64);
    for node in &machine.nodes {
        for pfn in (0..node.zone.lock().frontier()).map(|offset| node.base.plus(offset)) {
            let unused = |place: &Place| matches!(place, Place::Buddy | Place::Pcp | Place::Offline);
            let free = census.seen(pfn).places.iter().any(unused);
            used += i64::from(!free);
            bad += i64::from(machine.frames[pfn].word().has(Flags::HWPOISON));
        }
    }
    // A poisoned frame that goes offline is not in use any more, but no event counts it as freed. So
    // `gone` adds to the tolerance.
    bad += machine.poison_books().gone;
    let counted = machine.stats.events(Event::Pgalloc) - machine.stats.events(Event::Pgfree);
    if (used - counted).abs() > bad {
        let what = format!("the counters' difference is {counted}, but {used} are in use");
        report.machine("pgalloc minus pgfree is the number of frames in use", what);
    }
}

/// Rule 4 for events in pairs: mlocked minus munlocked pages are `nr_mlock`, and migrations count
/// as many pages as they have moved.
fn check_pairs<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    let events = |event| machine.stats.events(event);
    let locked: i64 = (0..machine.nodes.len()).map(|node| machine.stats.on_node(node, NodeItem::Mlock)).sum();
    let gone = [Event::UnevictableMunlocked, Event::UnevictableStranded, Event::UnevictableCleared];
    let counted = events(Event::UnevictableMlocked) - gone.map(events).iter().sum::<i64>();
    if counted != locked {
        let what = format!("the counters' difference is {counted}, but nr_mlock is {locked}");
        report.machine("pages mlocked minus munlocked is nr_mlock", what);
    }
    let (moved, counted) = (machine.stats.moved(), events(Event::PgmigrateSuccess));
    if moved.is_some_and(|moved| moved != counted) {
        let what = format!("{counted} were counted, but {} have moved", moved.unwrap_or(0));
        report.machine("pgmigrate_success is the number of pages moved", what);
    }
}

/// Rule 7 for address spaces: nothing stays mapped for a process that has exited.
fn check_spaces<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    let live: BTreeSet<u32> = machine.spaces().iter().map(|space| space.id).collect();
    machine.owners.for_each(|_, owner| {
        let areas = match owner {
            Owner::Anon(areas) | Owner::File { areas, .. } => areas,
            Owner::Free | Owner::Movable(_) => return,
        };
        for area in areas.iter().filter(|area| !live.contains(&area.space)) {
            let address = area.address(0);
            let what = format!(
                "area {address:#x} of address space {}, which was dropped without an exit",
                area.space
            );
            report.machine("areas belong to a living address space", what);
        }
    });
}

/// Rule 2 for files: nothing is mapped beyond the end of a file.
fn check_ends<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    machine.owners.for_each(|_, owner| {
        let Owner::File { areas, .. } = owner else { return };
        for area in areas {
            let Some(map) = area.file() else { continue };
            let end = map.file.pages().saturating_sub(map.first);
            for (index, pte) in area.mapped().filter(|(index, _)| *index >= end) {
                let what = format!("page {index} of area {:#x}: {:?}", area.address(0), pte.entry());
                report.machine("nothing is mapped beyond a file's end", what);
            }
        }
    });
}

/// Rules 4 and 5: poisoned frames are counted, none is free, and each frame that memory failure
/// holds is poisoned.
fn check_poison<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    let books = machine.poison_books();
    let mut poisoned = i64::from(books.zero);
    for node in &machine.nodes {
        for pfn in (0..node.zone.lock().frontier()).map(|offset| node.base.plus(offset)) {
            let word = machine.frames[pfn].word();
            if !word.has(Flags::HWPOISON) {
                if books.held.contains_key(&pfn) || word.has(Flags::REFUSED) {
                    report.page("a frame that memory failure holds is poisoned", pfn, word.to_string());
                }
                continue;
            }
            poisoned += 1;
            let Seen { places, mappings, slots, .. } = census.seen(pfn);
            let held = books.held.get(&pfn);
            let cause = held.or(books.unheld.get(&pfn));
            if cause.is_none() {
                let profile = match machine.profile.poison {
                    PoisonAccounting::NonEagain => "; poison=non_eagain flags pages that could not move",
                    _ => "",
                };
                report.page(
                    "a poisoned frame is contained, or has failed hard",
                    pfn,
                    format!("{word}{profile}"),
                );
            }
            let free = places.iter().any(|place| matches!(place, Place::Buddy | Place::Pcp));
            // If another thread takes a reference while the page is dropped from its file, the page stays
            // on its list, as in the kernel. Such a page has no owner, and no lookup finds it.
            let orphaned = machine.frames[pfn].owner() == 0
                && places.iter().all(|place| matches!(place, Place::Batch | Place::Lru(_) | Place::Isolated));
            let used = *mappings > 0 || *slots > 0 || !(places.is_empty() || free || orphaned);
            if cause == Some(&Cause::Soft) && used {
                let what = format!("is in {places:?} ({word})");
                report.page("a soft-offlined frame is not in use", pfn, what);
            }
            // A frame that was poisoned on its way to a free list is rejected when it is allocated.
            if free && held.is_some() {
                report.page(
                    "a frame that memory failure holds is on no free list",
                    pfn,
                    format!("is in {places:?} ({word})"),
                );
            }
        }
    }
    // The loop above ends at the frontiers. A frame beyond a frontier is free but on no list, and stays
    // beyond the frontier when it is poisoned.
    let unused = |pfn: &&Pfn| {
        let node = &machine.nodes[machine.node_of(**pfn)];
        pfn.0 - node.base.0 >= node.zone.lock().frontier()
            && machine.frames[**pfn].word().has(Flags::HWPOISON)
    };
    poisoned += books.unheld.keys().filter(unused).count() as i64;
    poisoned += books.gone;
    if books.counted != poisoned {
        let profile = match machine.profile.poison {
            PoisonAccounting::Double => "; poison=double counts a moved page twice",
            _ => "",
        };
        let what = format!("the counter is {}, but {poisoned} are poisoned{profile}", books.counted);
        report.machine("num_poisoned_pages is the number of poisoned frames", what);
    }
}

fn check_counters<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    // Rule 1: the counter of a list is its length, and a list holds the pages whose flags name it.
    for &(node, list, pages) in &census.broken_lists {
        report.machine("list length is its counter", format!("node {node} {list:?}: {pages} pages linked"));
    }
    for &(pfn, list, generation) in &census.misplaced {
        let word = machine.frames[pfn].word();
        let says = word.generation();
        let what = format!("on {list:?} of generation {generation:?} with {word} of generation {says:?}");
        report.page("a page is on the list that its flags name", pfn, what);
    }
    // Rule 7: no migration is in progress at an audit, so no migration entry may exist.
    for (pfn, holder) in &census.migration_entries {
        report.page("no migration entry is left", *pfn, format!("{holder}"));
    }
    // Rule 2: a page in a file's slot names that slot in its record.
    for &(pfn, file, index) in &census.misfiled {
        report.page(
            "pages of files are in their slots",
            pfn,
            format!("found in slot {index} of file {file:#x}"),
        );
    }
    // Rule 4: isolation tokens, mapped pages and pages with certain flags are as many as their
    // counters say.
    for number in 0..machine.nodes.len() {
        let tokens = |swapbacked: bool| -> i64 {
            census
                .tokens
                .iter()
                .filter(|(pfn, _)| machine.node_of(*pfn) == number)
                .filter(|(pfn, _)| machine.frames[*pfn].word().has(Flags::SWAPBACKED) == swapbacked)
                .map(|(pfn, n)| i64::from(*n) << machine.frames[*pfn].order())
                .sum()
        };
        // Old kernels count isolated movable pages as pages of files.
        let movable = match machine.profile.isolated_counts_movable {
            true => super::owners::isolated(machine, number),
            false => 0,
        };
        for (item, expected) in
            [(NodeItem::IsolatedAnon, tokens(true)), (NodeItem::IsolatedFile, tokens(false) + movable)]
        {
            let counted = machine.stats.on_node(number, item);
            if counted != expected {
                report.machine(
                    "nr_isolated is the number of tokens",
                    format!("node {number}: {} is {counted}, tokens hold {expected}", item.name()),
                );
            }
        }
        let mut counts: [(NodeItem, i64); COUNTED.len()] = COUNTED.map(|(item, _)| (item, 0));
        let node = &machine.nodes[number];
        let used = node.zone.lock().frontier();
        for pfn in (0..used).map(|offset| node.base.plus(offset)) {
            // A part has the flags of its head, but its own mappings.
            let mapped = machine.frames[pfn].mapcount() > 0;
            let word = machine.frames[machine.frames.head(pfn)].word();
            for ((_, includes), (_, count)) in COUNTED.iter().zip(&mut counts) {
                *count += i64::from(includes(word, mapped));
            }
        }
        for (item, pages) in counts {
            let counted = machine.stats.on_node(number, item);
            if counted != pages {
                report.machine(
                    "a counter of pages is the number of such pages",
                    format!("node {number}: {} is {counted}, but there are {pages} such pages", item.name()),
                );
            }
        }
    }
}

/// Returns true if a counter includes a page, given the page's word and whether the page is mapped.
type Counted = fn(Word, bool) -> bool;

/// The counters that must equal a number of pages, each with the condition for a page to be included.
const COUNTED: [(NodeItem, Counted); 8] = [
    (NodeItem::AnonPages, |word, mapped| mapped && word.has(Flags::ANON)),
    (NodeItem::FileMapped, |word, mapped| mapped && !word.has(Flags::ANON)),
    (NodeItem::FilePages, |word, _| word.any(Flags::FILE | Flags::SWAPCACHE)),
    (NodeItem::Swapcached, |word, _| word.has(Flags::SWAPCACHE)),
    (NodeItem::Shmem, |word, _| word.has(Flags::FILE | Flags::SWAPBACKED)),
    (NodeItem::FileDirty, |word, _| word.has(Flags::FILE | Flags::DIRTY) && !word.has(Flags::SWAPBACKED)),
    (NodeItem::Writeback, |word, _| word.has(Flags::WRITEBACK)),
    (NodeItem::Mlock, |word, _| word.has(Flags::MLOCKED)),
];
