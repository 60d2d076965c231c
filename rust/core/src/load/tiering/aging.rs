//! Which pages of the fast node are cold: reclaim's two lists with a second chance (lifecycle 5.8), as
//! far as demotion of anonymous memory needs it.
//!
//! A page is taken from the tail of the inactive list. If a mapping has used it since the last look,
//! it stays: the first time it is only remembered, the second time it becomes active. When there are
//! fewer inactive pages than active ones, the tail of the active list moves over.

use crate::lru::LruList;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::{Event, NodeItem};

/// Pages looked at once (`SWAP_CLUSTER_MAX`).
pub(super) const BATCH: usize = 32;

/// Takes up to `most` pages from the tail of a node's inactive list (`isolate_lru_folios`), and counts
/// them as isolated: the whole batch at once, as reclaim does, until [`done`].
pub(super) fn isolate_tail<R: Release>(machine: &Machine<R>, node: usize, most: usize) -> Vec<Pfn> {
    let taken = take_tail(machine, node, LruList::InactiveAnon, most);
    machine.stats.node(node, NodeItem::IsolatedAnon, taken.len() as i64);
    taken
}

/// The batch has left the isolated pages: demoted, or put back.
pub(super) fn done<R: Release>(machine: &Machine<R>, node: usize, batch: &[Pfn]) {
    machine.stats.node(node, NodeItem::IsolatedAnon, -(batch.len() as i64));
}

fn take_tail<R: Release>(machine: &Machine<R>, node: usize, list: LruList, most: usize) -> Vec<Pfn> {
    let mut taken = Vec::with_capacity(most);
    // References on pages that somebody else was isolating: given back without the lruvec lock.
    let mut lost = Vec::new();
    {
        let mut lruvec = machine.nodes[node].lruvec.lock();
        let mut at = lruvec.list(list).tail();
        while let Some(pfn) = at.filter(|_| taken.len() < most) {
            let page = &machine.frames[pfn];
            at = page.prev().pfn();
            // A page without a reference is being freed: whoever does it unlinks it. A reference first,
            // then the claim (lifecycle 5.5).
            if !page.try_get() {
                continue;
            }
            if page.test_and_clear_lru() {
                lruvec.remove(&machine.frames, pfn);
                taken.push(pfn);
            } else {
                lost.push(pfn);
            }
        }
    }
    machine.put_all(&lost);
    taken
}

/// Puts back what was used lately and returns what is to be demoted.
pub(super) fn decide<R: Release>(machine: &Machine<R>, batch: &[Pfn]) -> Vec<Pfn> {
    let mut demoted = Vec::with_capacity(batch.len());
    for &pfn in batch {
        match judge(machine, pfn) {
            Verdict::Demote => demoted.push(pfn),
            Verdict::Keep => machine.putback_lru_page(pfn),
            Verdict::Activate => {
                machine.frames[pfn].set(Flags::ACTIVE);
                machine.stats.event(Event::Pgactivate, 1);
                machine.putback_lru_page(pfn);
            }
        }
    }
    demoted
}

/// What becomes of an isolated page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Demote,
    Keep,
    Activate,
}

/// The table of lifecycle 5.8 for anonymous pages (`folio_check_references`).
fn judge<R: Release>(machine: &Machine<R>, pfn: Pfn) -> Verdict {
    let page = &machine.frames[pfn];
    if !page.trylock() {
        return Verdict::Keep;
    }
    let used = machine.page_referenced(pfn);
    let remembered = page.word().has(Flags::REFERENCED);
    if remembered {
        page.clear(Flags::REFERENCED);
    }
    let verdict = match (used, remembered) {
        (0, _) => Verdict::Demote,
        (1, false) => {
            page.set(Flags::REFERENCED);
            Verdict::Keep
        }
        _ => Verdict::Activate,
    };
    page.unlock(pfn);
    verdict
}

/// Moves pages from the tail of the active list to the inactive one while that is the shorter one
/// (`shrink_active_list`; the ratio below a gigabyte is one).
pub(super) fn balance<R: Release>(machine: &Machine<R>, node: usize) {
    let (inactive, active) = {
        let lruvec = machine.nodes[node].lruvec.lock();
        (lruvec.pages(LruList::InactiveAnon), lruvec.pages(LruList::ActiveAnon))
    };
    if inactive >= active {
        return;
    }
    let taken = take_tail(machine, node, LruList::ActiveAnon, BATCH);
    machine.stats.node(node, NodeItem::IsolatedAnon, taken.len() as i64);
    for &pfn in &taken {
        machine.frames[pfn].change(Flags::WORKINGSET, Flags::ACTIVE);
        machine.stats.event(Event::Pgdeactivate, 1);
        machine.putback_lru_page(pfn);
    }
    done(machine, node, &taken);
}
