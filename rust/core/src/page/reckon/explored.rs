//! The reckoner of the explored build. Its books belong to the OS thread that explores, and are opened anew
//! for each schedule.

mod fault;
mod reclaim;

pub(crate) use fault::{
    disk_read, disk_written, made_writable, note_fault_end, note_fault_start, note_split_end,
    note_split_start, read_lost, slotless, unserved,
};
pub(crate) use reclaim::{
    note_daemon_end, note_daemon_start, note_drain_end, note_drain_start, put_back, scanned, unlinked_by_scan,
};

use super::{Drained, Fact, Scanned};
use crate::page::{Flags, Frames, HUGE_ORDER, Page, Pfn, Word};
use crate::stat::{Event, NodeItem};
use crate::sync::explored::{ByAddress, Digest, THREADS, Threads, checks_all, glance};
use crate::sync::thread_slot;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

/// The events that the reckoner derives.
pub(crate) const EVENTS: [Event; 42] = [
    Event::Pgactivate,
    Event::Pgdeactivate,
    Event::Pgrotated,
    Event::Pgrefill,
    Event::PgscanKswapd,
    Event::PgscanDirect,
    Event::PgscanAnon,
    Event::PgscanFile,
    Event::PgstealKswapd,
    Event::PgstealDirect,
    Event::PgstealAnon,
    Event::PgstealFile,
    Event::Pageoutrun,
    Event::Pglazyfree,
    Event::Pgfault,
    Event::Pgmajfault,
    Event::Pgreuse,
    Event::Pgpgin,
    Event::Pgpgout,
    Event::Pswpin,
    Event::Pswpout,
    Event::NumaHintFaults,
    Event::NumaHintFaultsLocal,
    Event::NumaPagesMigrated,
    Event::PgmigrateSuccess,
    Event::PgmigrateFail,
    Event::ThpMigrationSuccess,
    Event::ThpMigrationFail,
    Event::ThpMigrationSplit,
    Event::ThpFaultAlloc,
    Event::ThpFaultFallback,
    Event::ThpSplitPage,
    Event::ThpSplitPageFailed,
    Event::ThpDeferredSplitPage,
    Event::ThpSwpout,
    Event::ThpSwpoutFallback,
    Event::UnevictableCulled,
    Event::UnevictableRescued,
    Event::UnevictableMlocked,
    Event::UnevictableMunlocked,
    Event::UnevictableStranded,
    Event::UnevictableCleared,
];

/// The counters of a node that the reckoner derives.
pub(crate) const ITEMS: [NodeItem; 3] = [NodeItem::NumaHit, NodeItem::NumaMiss, NodeItem::NumaForeign];

/// The place of a page, as the list operations report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The page has not been on a list in this life.
    #[default]
    New,
    /// In a batch, on its way to a list.
    Queued,
    Listed,
    /// Taken off a list.
    Off,
}

/// The reckoner's record of a page.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    place: Place,
    /// The thread that has cleared `LRU`.
    claimer: Option<usize>,
    /// `UNEVICTABLE` was cleared, and the page has not been linked since.
    rescued: bool,
    /// The code that took the page off its list.
    by: Taker,
}

/// The code that took a page off its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Taker {
    /// An isolation took the page, or the page was never taken.
    #[default]
    Another,
    /// A scan of an active list.
    ActiveScan,
    /// A scan of an inactive list.
    InactiveScan(Stolen),
    /// The drain of a batch; the page was `active` or not.
    Drain { batch: Drained, active: bool },
}

/// The counters of `pgsteal_*` to which a page belongs that a scan has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stolen {
    file: bool,
    daemon: bool,
}

/// The list of a migration under way, with the order of each page.
#[derive(Debug, Default)]
struct Moving {
    began: Vec<(Pfn, u8)>,
    /// Pages that were tried, as pages of that order.
    tried: Vec<(Pfn, u8)>,
    /// Large pages that came apart.
    split: Vec<Pfn>,
}

#[derive(Debug, Default)]
struct Books {
    events: Events,
    /// The sums of `ITEMS`, by node.
    nodes: Vec<[i64; ITEMS.len()]>,
    /// Events that may have been counted or not: of pages that a migration which ended early has left, and of
    /// reads whose page has left its file.
    unsure: Events,
    pages: ByAddress<Seen>,
    /// Migrations under way, the innermost last, by thread.
    moving: [Vec<Moving>; THREADS],
    /// Threads whose allocation is about to be served by a block that its compaction captured.
    captured: Threads,
    /// Threads that handle a fault.
    faulting: HashSet<usize>,
    /// Threads that run a reclaiming daemon.
    daemons: HashSet<usize>,
    /// Threads that drain a batch.
    draining: HashMap<usize, Drained>,
    /// Large pages for which a thread has found no run of swap slots, by thread.
    slotless: HashMap<usize, Pfn>,
    /// Pages of order 9 whose split is under way, by thread.
    splitting: HashMap<usize, Pfn>,
}

/// A sum for each event.
#[derive(Debug)]
struct Events([i64; Event::ALL.len()]);

impl Default for Events {
    fn default() -> Self {
        Events([0; Event::ALL.len()])
    }
}

impl Events {
    fn add(&mut self, event: Event, pages: i64) {
        self.0[event as usize] += pages;
    }

    fn of(&self, event: Event) -> i64 {
        self.0[event as usize]
    }
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static BOOKS: RefCell<Books> = RefCell::default();
}

/// Closes the books and empties them, before a schedule.
pub(crate) fn clear() {
    if ON.replace(false) {
        BOOKS.with_borrow_mut(Books::clear);
    }
}

/// Opens the books of a schedule that is to be checked against all rules.
pub(crate) fn open() {
    ON.set(checks_all());
}

/// True if the books were opened in this schedule.
pub(crate) fn is_open() -> bool {
    ON.get()
}

/// The sum of an event, and how much more may have been counted.
pub(crate) fn event(event: Event) -> (i64, i64) {
    BOOKS.with_borrow(|books| (books.events.of(event), books.unsure.of(event)))
}

/// The sum of a counter of a node.
pub(crate) fn on_node(node: usize, item: NodeItem) -> i64 {
    BOOKS.with_borrow(|books| books.on_node(node)[place(item)])
}

/// The place of a counter in `ITEMS`.
fn place(item: NodeItem) -> usize {
    ITEMS.iter().position(|&other| other == item).expect("the reckoner derives the counter")
}

/// Adds every sum to the digest of an end state.
pub(crate) fn digest_into(digest: &mut Digest, place: usize) {
    BOOKS.with_borrow(|books| digest.add_hash(place, &Sums(books)));
}

/// The sums of the books.
struct Sums<'a>(&'a Books);

impl Hash for Sums<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Books { events, nodes, unsure, .. } = self.0;
        for event in EVENTS {
            (events.of(event), unsure.of(event)).hash(state);
        }
        nodes.hash(state);
    }
}

impl Books {
    /// Empties the books, but keeps their memory.
    fn clear(&mut self) {
        self.events = Events::default();
        self.nodes.clear();
        self.unsure = Events::default();
        self.pages.clear();
        self.moving.iter_mut().for_each(Vec::clear);
        self.captured = 0;
        self.faulting.clear();
        self.daemons.clear();
        self.draining.clear();
        self.slotless.clear();
        self.splitting.clear();
    }

    fn on_node(&self, node: usize) -> [i64; ITEMS.len()] {
        self.nodes.get(node).copied().unwrap_or_default()
    }

    fn add(&mut self, event: Event, pages: i64) {
        self.events.add(event, pages);
    }

    fn seen(&mut self, page: &Page, word: Word) -> &mut Seen {
        let listed = if word.has(Flags::LRU) { Place::Listed } else { Place::New };
        self.pages.entry(address(page)).or_insert(Seen { place: listed, ..Seen::default() })
    }

    fn changed(&mut self, page: &Page, old: Word, new: Word) {
        let (pages, me) = (1i64 << order_of(page), thread_slot());
        let seen = *self.seen(page, old);
        let set = |flag| !old.has(flag) && new.has(flag);
        let cleared = |flag| old.has(flag) && !new.has(flag);
        let alive = new.count() > 0;
        if cleared(Flags::ACTIVE) && seen.by == Taker::ActiveScan {
            self.add(Event::Pgdeactivate, pages);
        }
        if set(Flags::LRU) {
            self.is_back(&seen, pages);
        }
        if set(Flags::ANON) && !new.has(Flags::SWAPCACHE) {
            self.began_anon(order_of(page), me);
        }
        if set(Flags::ACTIVE) && seen.place == Place::Off {
            self.add(Event::Pgactivate, pages);
        }
        if cleared(Flags::SWAPBACKED) && seen.place == Place::Off && alive {
            self.add(Event::Pglazyfree, pages);
        }
        if set(Flags::MLOCKED) && alive {
            self.add(Event::UnevictableMlocked, pages);
        }
        if cleared(Flags::MLOCKED) {
            let claimed = seen.place == Place::Listed && seen.claimer == Some(me);
            self.add(
                match (alive, claimed || !old.has(Flags::UNEVICTABLE)) {
                    (false, _) => Event::UnevictableCleared,
                    (true, true) => Event::UnevictableMunlocked,
                    (true, false) => Event::UnevictableStranded,
                },
                pages,
            );
        }
        if set(Flags::UNEVICTABLE) && (seen.place != Place::New || new.has(Flags::LRU)) {
            self.add(Event::UnevictableCulled, pages);
        }
        let seen = self.seen(page, old);
        seen.rescued |= cleared(Flags::UNEVICTABLE);
        if cleared(Flags::LRU) {
            seen.claimer = Some(me);
        } else if set(Flags::LRU) {
            seen.claimer = None;
            if let Taker::InactiveScan(_) = seen.by {
                seen.by = Taker::Another;
            }
        }
    }
}

/// The order of a page, read without a step.
fn order_of(page: &Page) -> u8 {
    glance(|| page.order())
}

fn address(page: &Page) -> usize {
    std::ptr::from_ref(page).addr()
}

#[inline]
fn books(f: impl FnOnce(&mut Books)) {
    if ON.get() {
        BOOKS.with_borrow_mut(f);
    }
}

/// The number of base pages of a page; 0 while the reckoner is off.
#[inline]
pub(crate) fn pages(page: &Page) -> i64 {
    if ON.get() { 1 << order_of(page) } else { 0 }
}

/// Tells that a page's word has changed.
#[inline]
pub(crate) fn changed(page: &Page, old: Word, new: Word) {
    books(|books| books.changed(page, old, new));
}

/// Tells that a page begins its life: it leaves the allocator, or the large page of which it was a part.
#[inline]
pub(crate) fn born(page: &Page) {
    books(|books| _ = books.pages.insert(address(page), Seen::default()));
}

/// Tells that a migration has cleared the flags that go with the page to its new frame.
#[inline]
pub(crate) fn has_left(page: &Page) {
    books(|books| books.seen(page, Word(0)).rescued = false);
}

/// Tells that a page waits in a batch to be put on a list.
#[inline]
pub(crate) fn queued(page: &Page) {
    books(|books| books.seen(page, Word(0)).place = Place::Queued);
}

/// Tells that a page is linked, on the unevictable list or on an `evictable` one.
#[inline]
pub(crate) fn linked(page: &Page, evictable: bool) {
    books(|books| {
        books.is_deactivated(page);
        let seen = books.seen(page, Word(0));
        seen.place = Place::Listed;
        seen.by = Taker::Another;
        if std::mem::take(&mut seen.rescued) && evictable {
            books.add(Event::UnevictableRescued, 1 << order_of(page));
        }
    });
}

/// Tells that a page which is linked goes to the tail of its list.
#[inline]
pub(crate) fn linked_at_tail(page: &Page) {
    books(|books| books.add(Event::Pgrotated, 1 << order_of(page)));
}

/// Tells that a page is unlinked; `active` if it was on an active list.
#[inline]
pub(crate) fn unlinked(page: &Page, active: bool) {
    books(|books| {
        let batch = books.draining.get(&thread_slot()).copied();
        let by = batch.map_or(Taker::Another, |batch| Taker::Drain { batch, active });
        let seen = books.seen(page, Word(0));
        (seen.place, seen.by) = (Place::Off, by);
    });
}

/// Tells that something happened to this number of pages.
#[inline]
pub(crate) fn happened(fact: Fact, pages: i64) {
    books(|books| {
        let event = match fact {
            Fact::Fault => Event::Pgfault,
            Fact::SwappedOut => {
                books.add(Event::ThpSwpout, (pages == 1 << HUGE_ORDER).into());
                Event::Pswpout
            }
            Fact::SwappedIn => {
                books.content_read();
                Event::Pswpin
            }
            Fact::Hint => Event::NumaHintFaults,
            Fact::HintAtHome => Event::NumaHintFaultsLocal,
            Fact::HintMoved => Event::NumaPagesMigrated,
        };
        books.add(event, pages);
    });
}

/// Tells that the calling thread's compaction captured the block for which its allocation waits. Such an
/// allocation is neither a hit nor a miss.
#[inline]
pub(crate) fn captured() {
    books(|books| books.captured |= 1 << thread_slot());
}

/// Tells that an allocation which asked for a node got a frame of `node`.
#[inline]
pub(crate) fn served(asked: usize, node: usize) {
    books(|books| {
        let me = 1 << thread_slot();
        if books.captured & me != 0 {
            books.captured &= !me;
            return;
        }
        let most = asked.max(node) + 1;
        if books.nodes.len() < most {
            books.nodes.resize(most, Default::default());
        }
        let mut add = |node: usize, item| books.nodes[node][place(item)] += 1;
        match asked == node {
            true => add(node, NodeItem::NumaHit),
            false => {
                add(node, NodeItem::NumaMiss);
                add(asked, NodeItem::NumaForeign);
            }
        }
    });
}

fn with_orders(frames: &Frames, list: &[Pfn]) -> Vec<(Pfn, u8)> {
    list.iter().map(|&pfn| (pfn, order_of(&frames[pfn]))).collect()
}

/// Tells that the calling thread begins to migrate a list.
#[inline]
pub(crate) fn note_migration_start(frames: &Frames, list: &[Pfn]) {
    books(|books| {
        let began = with_orders(frames, list);
        books.moving[thread_slot()].push(Moving { began, ..Moving::default() });
    });
}

/// Tells that the calling thread's migration tries a page.
#[inline]
pub(crate) fn tried(frames: &Frames, pfn: Pfn) {
    books(|books| {
        if let Some(moving) = books.moving[thread_slot()].last_mut() {
            moving.tried.push((pfn, order_of(&frames[pfn])));
        }
    });
}

/// Tells that a large page was to be marked for a split; `marked` is false if it had the mark already.
#[inline]
pub(crate) fn marked(frames: &Frames, head: Pfn, marked: bool) {
    books(|books| {
        let huge = marked && order_of(&frames[head]) == HUGE_ORDER;
        books.add(Event::ThpDeferredSplitPage, huge.into());
    });
}

/// Tells that a large page came apart; its head is the first part.
#[inline]
pub(crate) fn split(frames: &Frames, parts: &[Pfn]) {
    books(|books| {
        // The parts of an isolated page are isolated.
        let head = *books.seen(&frames[parts[0]], Word(0));
        for part in &parts[1..] {
            let seen = books.seen(&frames[*part], Word(0));
            if (head.place, seen.place) == (Place::Off, Place::New) {
                (seen.place, seen.by) = (Place::Off, head.by);
            }
        }
        if parts.len() == 1 << HUGE_ORDER {
            books.came_apart(parts[0]);
        }
        for moving in &mut books.moving[thread_slot()] {
            moving.split.push(parts[0]);
        }
    });
}

/// Tells that the calling thread's migration has ended with these pages left; `whole` if it tried all pages.
#[inline]
pub(crate) fn migration_ended(frames: &Frames, list: &[Pfn], whole: bool) {
    books(|books| {
        let moving = books.moving[thread_slot()].pop().unwrap_or_default();
        let base = |pages: &[(Pfn, u8)]| pages.iter().map(|(_, order)| 1i64 << order).sum::<i64>();
        let left = with_orders(frames, list);
        books.add(Event::PgmigrateSuccess, base(&moving.began) - base(&left));
        let tried: Vec<(Pfn, u8)> = left.iter().copied().filter(|page| moving.tried.contains(page)).collect();
        let huge = |pages: &[(Pfn, u8)]| pages.iter().filter(|(_, order)| *order == HUGE_ORDER).count();
        let failed = if whole { &mut books.events } else { &mut books.unsure };
        failed.add(Event::PgmigrateFail, base(&tried));
        failed.add(Event::ThpMigrationFail, huge(&tried) as i64);
        let split = |page: &&(Pfn, u8)| page.1 == HUGE_ORDER && moving.split.contains(&page.0);
        let came_apart = moving.began.iter().filter(split).count();
        books.add(Event::ThpMigrationSplit, came_apart as i64);
        books.add(Event::ThpMigrationSuccess, (huge(&moving.began) - huge(&left) - came_apart) as i64);
    });
}
