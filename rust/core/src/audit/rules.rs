//! The rules, judged over a census. Numbers as in `docs/design.md`, "Invariants".

use super::Finding;
use super::census::{Census, Holder, Place, Seen};
use crate::failure::Cause;
use crate::machine::Machine;
use crate::map::{Pte, Slot};
use crate::memory::WORDS;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, OF_A_TAIL, Pfn, Word};
use crate::profile::PoisonAccounting;
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use std::collections::BTreeSet;

/// Flags that a free page may show: poison outlives the page; a sleeper may still be on its way out.
const FREE_MAY_SHOW: Flags = Flags::HWPOISON.union(Flags::BUDDY).union(Flags::WAITERS);

/// Flags that a part of a large page has itself.
const OF_A_PART: Flags = Flags::TAIL.union(Flags::HWPOISON).union(Flags::ANON_EXCLUSIVE);

pub(super) struct Report<'a> {
    census: &'a Census,
    findings: Vec<Finding>,
}

impl Report<'_> {
    pub(super) fn page(&mut self, rule: &'static str, pfn: Pfn, what: String) {
        let holders: Vec<String> = self.census.holders(pfn).iter().map(ToString::to_string).collect();
        let detail = match holders.is_empty() {
            true => format!("{what}; no holders"),
            false => format!("{what}; holders: {}", holders.join(", ")),
        };
        self.findings.push(Finding { rule, pfn: Some(pfn), detail });
    }

    pub(super) fn machine(&mut self, rule: &'static str, what: String) {
        self.findings.push(Finding { rule, pfn: None, detail: what });
    }
}

/// Judges every frame and every counter.
pub(super) fn check<R: Release>(machine: &Machine<R>, census: &Census) -> Vec<Finding> {
    let mut report = Report { census, findings: Vec::new() };
    // Frames beyond a node's frontier were never touched; looking at them would commit their records.
    for node in &machine.nodes {
        let used = node.zone.lock().frontier();
        for offset in 0..used {
            check_page(machine, census, node.base.plus(offset), &mut report);
        }
    }
    super::allocator::check(machine, &mut report);
    check_mappings(machine, census, &mut report);
    check_counters(machine, census, &mut report);
    check_swap(machine, census, &mut report);
    check_events(machine, census, &mut report);
    check_pairs(machine, &mut report);
    check_spaces(machine, &mut report);
    check_ends(machine, &mut report);
    check_releases(machine, census, &mut report);
    check_poison(machine, census, &mut report);
    report.findings
}

fn check_page<R: Release>(machine: &Machine<R>, census: &Census, pfn: Pfn, report: &mut Report<'_>) {
    let page = &machine.frames[pfn];
    let word = page.word();
    let seen = census.seen(pfn);
    let place = census.place(machine, pfn);
    let part = word.has(Flags::TAIL);

    // 1. Exactly one place; a part of a large page has none but its head's.
    if seen.places.len() > usize::from(!part) {
        report.page("one place", pfn, format!("is in {:?}", seen.places));
    }
    if part {
        return check_part(machine, seen, pfn, report);
    }
    if word.has(Flags::LRU) != matches!(place, Place::Lru(_)) {
        report.page("LRU flag", pfn, format!("flags {} but is in {place:?}", word.flags()));
    }
    // 2. The count is the sum of the ledger; entries are mappings; free is clean.
    let free = matches!(place, Place::Buddy | Place::Pcp);
    // 2., 3. A frozen page has the count zero, whatever its holders.
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
    if word.has(Flags::HAS_HWPOISONED) && !word.has(Flags::HEAD) {
        report.page("only a large page has a bad part", pfn, word.to_string());
    }
    super::mlock::check(machine, seen, pfn, report);
    // 1. A free block is marked at its head, and nothing else is.
    if word.has(Flags::BUDDY) != seen.block {
        report.page("a free block is whole", pfn, format!("flags {} in {place:?}", word.flags()));
    }
    // 2. A count of zero means that the page is free, frozen, bad, or a part of a large page.
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
    // 7. No operation is in progress at an audit, so no page may look as if one were.
    if word.has(Flags::LOCKED) != seen.locked {
        report.page("no page stays locked", pfn, format!("flags {}", word.flags()));
    }
    // 2. The flags of a page agree with one another.
    if word.has(Flags::ACTIVE | Flags::UNEVICTABLE) {
        report.page("not active and unevictable", pfn, format!("flags {}", word.flags()));
    }
    // 1. A generation is a place on a list.
    if word.generation().is_some() && !matches!(place, Place::Lru(_)) {
        report.page("only on a list has a page a generation", pfn, format!("in {place:?} ({word})"));
    }
    // 7. A page that is used through a mapping is where reclaim and migration find it.
    if place == Place::Allocated
        && page.mapcount() + seen.folio_mappings > 0
        && !seen.frozen
        && !word.has(Flags::HWPOISON)
    {
        report.page("a mapped page is on a list or isolated", pfn, format!("flags {}", word.flags()));
    }
    if word.has(Flags::ISOLATED) != seen.isolated {
        report.page("the mark of an isolation has a token", pfn, format!("flags {}", word.flags()));
    }
    // Nobody sleeps when nothing is in progress; natively a sleeper may still be on its way out.
    if cfg!(feature = "explored") && word.has(Flags::WAITERS) {
        report.page("no sleeper's mark is left", pfn, format!("flags {}", word.flags()));
    }
    // 8. A movable mark means that an owner holds the page; or, where puts look, that one still waits to
    // hear that it is released.
    let owned = place == Place::Movable;
    let dying = machine.put_looks() && place == Place::Allocated && machine.driver(pfn).is_some();
    if word.has(Flags::MOVABLE) != owned && !(word.has(Flags::MOVABLE) && dying) {
        report.page("movable pages have an owner", pfn, format!("flags {} in {place:?}", word.flags()));
    }
}

/// 2., for a part of a large page: its own mappings and flags. The head answers for everything else.
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
    // That a page waits to be split is said by its first tail.
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

/// 2., for large pages: the head counts what maps or pins any part.
fn check_large<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let folio = machine.frames.folio(pfn);
    let mappings = machine.frames.folio_mapcount(folio);
    if mappings != seen.folio_mappings {
        let what = format!("counts {mappings} of {} entries that map a part", seen.folio_mappings);
        report.page("mapcount is the number of entries", pfn, what);
    }
    if machine.frames.may_be_pinned(folio) != (seen.pins > 0) {
        report.page("a large page knows whether it is pinned", pfn, format!("{} pins", seen.pins));
    }
}

/// 2., for pages of files: a page of a file is in exactly one slot of it, with its content; only such a page has
/// private data, is written back, or is kept by a writer.
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
        report.page("only a page of a file has private data or is written", pfn, format!("{word}"));
    }
    // 7. A write-back that was begun is ended.
    if word.has(Flags::WRITEBACK) != seen.written {
        report.page("no page stays under writeback", pfn, format!("{word}"));
    }
}

/// 6., for files: what a clean page holds is what its store holds: else it is lost as soon as the page is dropped. A holder
/// from outside may have stored since, past any entry: it tells the page when it lets go.
fn check_clean<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let page = &machine.frames[pfn];
    let word = page.word();
    let held = report.census.holders(pfn).iter().any(|holder| matches!(holder, Holder::Handle { .. }));
    if seen.stored || held || word.any(Flags::DIRTY | Flags::WRITEBACK | Flags::HWPOISON) {
        return;
    }
    let Some(file) = machine.owners.file(OwnerId(page.owner())) else { return };
    if file.lost_page(page.index()) {
        // A write of it has failed: the page has what the disk has not.
        return;
    }
    let differs = |word: &usize| {
        let stored = file.stored(page.index(), *word);
        stored.is_some_and(|stored| stored != machine.memory.load(pfn, *word))
    };
    if let Some(differs) = (0..WORDS).find(differs) {
        report.page(
            "a clean page is what its store holds",
            pfn,
            format!("word {differs} of page {} ({word})", page.index()),
        );
    }
}

/// 2. An entry and the page that it maps know of each other.
fn check_mappings<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    for &(pfn, entry) in &census.at_unmapped {
        report.page("nothing is mapped where pages were unmapped", pfn, entry.to_string());
    }
    let lazyfree = machine.stats.events(Event::Pglazyfree) > 0;
    for mapping in &census.mappings {
        let (pfn, part) = (mapping.pfn, &machine.frames[mapping.pfn]);
        // Whose it is, and its flags, the head says; whether it is exclusive, each part.
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
        if mapping.pte.has(Pte::WRITE) && !exclusive {
            report.page("a writable entry maps an exclusive page", pfn, format!("flags {}", word.flags()));
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

/// 2., for swap slots: each is counted by the entries that name it; one that is in use has an entry or a page; and
/// nobody is in the middle of reading one.
fn check_swap<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    for &(pfn, slot) in &census.swap_strays {
        let what = format!("found in slot {slot}, names slot {}", machine.frames[pfn].private());
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
            report.machine("nobody reads a swap slot", format!("slot {slot}"));
        }
        used += u32::from(count > 0 || cached.page().is_some());
    }
    if let Some(slot) = census.swap_entries.keys().find(|slot| **slot as usize >= counts.len()) {
        report.machine("a swap slot counts its entries", format!("slot {slot} was never used, but is named"));
    }
    let crate::map::SwapUse { total, free } = swap.in_use();
    if total - free != used {
        let what = format!("{} slots count as in use, {used} are", total - free);
        report.machine("a swap slot without entry and page is free", what);
    }
}

/// 4. What was allocated and not freed is in use. Frames that are bad may have left either way.
fn check_events<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    let (mut used, mut bad) = (0i64, 0i64);
    for node in &machine.nodes {
        for pfn in (0..node.zone.lock().frontier()).map(|offset| node.base.plus(offset)) {
            let free = census.seen(pfn).places.iter().any(|place| matches!(place, Place::Buddy | Place::Pcp));
            used += i64::from(!free);
            bad += i64::from(machine.frames[pfn].word().has(Flags::HWPOISON));
        }
    }
    let counted = machine.stats.events(Event::Pgalloc) - machine.stats.events(Event::Pgfree);
    if (used - counted).abs() > bad {
        let what = format!("{counted} more were counted in than out, {used} are in use");
        report.machine("pgalloc less pgfree is what is in use", what);
    }
}

/// Rule 4, events that come and go in pairs: what was locked into memory and not unlocked is; what migrations count is what
/// they have moved.
fn check_pairs<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    let events = |event| machine.stats.events(event);
    let locked: i64 = (0..machine.nodes.len()).map(|node| machine.stats.on_node(node, NodeItem::Mlock)).sum();
    let gone = [Event::UnevictableMunlocked, Event::UnevictableStranded, Event::UnevictableCleared];
    let counted = events(Event::UnevictableMlocked) - gone.map(events).iter().sum::<i64>();
    if counted != locked {
        let what = format!("{counted} more were counted in than out, {locked} are");
        report.machine("pages locked less unlocked is nr_mlock", what);
    }
    let (moved, counted) = (machine.stats.moved(), events(Event::PgmigrateSuccess));
    if moved.is_some_and(|moved| moved != counted) {
        let what = format!("{counted} were counted, {} were moved", moved.unwrap_or(0));
        report.machine("pgmigrate_success is the number of pages moved", what);
    }
}

/// 7. Nothing stays mapped for a process that is gone.
fn check_spaces<R: Release>(machine: &Machine<R>, report: &mut Report<'_>) {
    let live: BTreeSet<u32> = machine.spaces().iter().map(|space| space.id).collect();
    machine.owners.for_each(|_, owner| {
        let areas = match owner {
            Owner::Anon(areas) | Owner::File { areas, .. } => areas,
            Owner::Free | Owner::Movable(_) => return,
        };
        for area in areas.iter().filter(|area| !live.contains(&area.space)) {
            let address = area.address(0);
            let what = format!("area {address:#x} of address space {}, dropped without an exit", area.space);
            report.machine("areas belong to a living address space", what);
        }
    });
}

/// 2. Nothing is mapped beyond the end of a file.
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

/// 8. An owner that let go of a page with its mark on hears of the page's end.
fn check_releases<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    machine.owners.for_each(|_, owner| {
        let Owner::Movable(ops) = owner else { return };
        for pfn in ops.isolated().into_iter().filter(|pfn| !census.seen(*pfn).isolated) {
            report.page(
                "what an owner has isolated has a token",
                pfn,
                machine.frames[pfn].word().to_string(),
            );
        }
        for pfn in ops.untold() {
            let word = machine.frames[pfn].word();
            if word.count() == 0 || !word.has(Flags::MOVABLE) {
                let what = format!("the owner has not heard of its release ({word})");
                report.page("released is called once", pfn, what);
            }
        }
    });
}

/// 4., 5. Poisoned frames are counted, none is free, and what poison holds is poisoned.
fn check_poison<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    let books = machine.poison_books();
    let mut poisoned = i64::from(books.zero);
    for node in &machine.nodes {
        for pfn in (0..node.zone.lock().frontier()).map(|offset| node.base.plus(offset)) {
            let word = machine.frames[pfn].word();
            if !word.has(Flags::HWPOISON) {
                if books.held.contains_key(&pfn) || word.has(Flags::REFUSED) {
                    report.page("what poison holds is poisoned", pfn, word.to_string());
                }
                continue;
            }
            poisoned += 1;
            let Seen { places, mappings, slots, .. } = census.seen(pfn);
            let held = books.held.get(&pfn);
            let cause = held.or(books.loose.get(&pfn));
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
            // A look that met a page which was being dropped from its file keeps it from leaving its list, as in the
            // kernel: nobody has it, nobody finds it.
            let lingers = machine.frames[pfn].owner() == 0
                && places.iter().all(|place| matches!(place, Place::Batch | Place::Lru(_) | Place::Isolated));
            let used = *mappings > 0 || *slots > 0 || !(places.is_empty() || free || lingers);
            if cause == Some(&Cause::Soft) && used {
                let what = format!("is in {places:?} ({word})");
                report.page("what is offlined is in nobody's use", pfn, what);
            }
            // One that failed on its way to a free list is refused when its turn comes.
            if free && held.is_some() {
                report.page(
                    "what poison holds is on no free list",
                    pfn,
                    format!("is in {places:?} ({word})"),
                );
            }
        }
    }
    // What was never used is free, on no list yet, and stays where it is if the flag alone is set.
    let unused = |pfn: &&Pfn| {
        let node = &machine.nodes[machine.node_of(**pfn)];
        pfn.0 - node.base.0 >= node.zone.lock().frontier()
            && machine.frames[**pfn].word().has(Flags::HWPOISON)
    };
    poisoned += books.loose.keys().filter(unused).count() as i64;
    if books.counted != poisoned {
        let profile = match machine.profile.poison {
            PoisonAccounting::Double => "; poison=double counts a page twice that was moved",
            _ => "",
        };
        let what = format!("{} are counted, {poisoned} are{profile}", books.counted);
        report.machine("num_poisoned_pages is the number of poisoned frames", what);
    }
}

fn check_counters<R: Release>(machine: &Machine<R>, census: &Census, report: &mut Report<'_>) {
    // 1. A list is as long as its counter says, and holds the pages whose flags name it.
    for &(node, list, pages) in &census.broken_lists {
        report.machine("list length is its counter", format!("node {node} {list:?}: {pages} pages linked"));
    }
    for &(pfn, list, generation) in &census.misplaced {
        let word = machine.frames[pfn].word();
        let says = word.generation();
        let what = format!("on {list:?} of generation {generation:?} with {word} of generation {says:?}");
        report.page("on the list of its flags", pfn, what);
    }
    // 7. No entry waits for a migration that is over.
    for (pfn, holder) in &census.migration_entries {
        report.page("no migration entry is left", *pfn, format!("{holder}"));
    }
    // 2. A page that a slot of a file names belongs to that slot.
    for &(pfn, file, index) in &census.strays {
        report.page(
            "pages of files are in their slots",
            pfn,
            format!("found in slot {index} of file {file:#x}"),
        );
    }
    // 4. Isolation tokens, free frames, mapped pages.
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
        for (item, expected) in
            [(NodeItem::IsolatedAnon, tokens(true)), (NodeItem::IsolatedFile, tokens(false))]
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
            // A part is what its head is, but for its own mappings.
            let mapped = machine.frames[pfn].mapcount() > 0;
            let word = machine.frames[machine.frames.head(pfn)].word();
            for ((_, of), (_, count)) in COUNTED.iter().zip(&mut counts) {
                *count += i64::from(of(word, mapped));
            }
        }
        for (item, pages) in counts {
            let counted = machine.stats.on_node(number, item);
            if counted != pages {
                report.machine(
                    "counters of pages are the numbers of such pages",
                    format!("node {number}: {} is {counted}, {pages} pages are", item.name()),
                );
            }
        }
    }
}

/// Which pages a counter counts: by word, and whether they are mapped.
type Counted = fn(Word, bool) -> bool;

/// Counters that a look at all pages must come to as well.
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
