//! Demotion: reclaim from a node that has a slower one sends pages there before it gives any of them up
//! (`demote_folio_list`).

use super::{Mode, Reason};
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;

/// What reclaim did with a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Pages that are on the slower node now.
    pub demoted: u32,
    /// Pages that were freed.
    pub freed: u32,
}

impl<R: Release> Machine<R> {
    /// Takes a page off its list for reclaim; false if it is on none, or on the unevictable one.
    pub fn isolate_for_reclaim(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        if !page.try_get() {
            return false;
        }
        let isolated = self.isolate(pfn).is_ok();
        self.put(pfn);
        if isolated && page.word().has(Flags::UNEVICTABLE) {
            self.putback(pfn);
            return false;
        }
        isolated
    }

    /// Reclaims isolated pages: each goes to node `to`, if there is one and the page can, and else to where its
    /// content can be had again. The isolations are over; what stays is put back.
    pub fn reclaim_isolated(&self, list: Vec<Pfn>, to: Option<usize>) -> Reclaimed {
        let Some(to) = to else { return Reclaimed { demoted: 0, freed: self.reclaim_pages(list) } };
        let (mut going, mut rest): (Vec<Pfn>, Vec<Pfn>) =
            list.into_iter().partition(|&pfn| self.may_demote(pfn));
        // What reclaim isolated it subtracts itself, by what it was then: afterwards the page may be anybody's. A large page
        // may come back in parts.
        let sized = |&pfn: &Pfn| (self.node_of(pfn), self.isolated_as(pfn), 1i64 << self.frames[pfn].order());
        let mut gone: Vec<_> = going.iter().map(sized).collect();
        if !going.is_empty() {
            let mut target = |src: Pfn| self.alloc_pages(to, self.frames[src].order()).ok();
            self.migrate_pages(&mut going, &mut target, Mode::Async, Reason::Demotion);
        }
        gone.extend(going.iter().map(sized).map(|(node, item, pages)| (node, item, -pages)));
        let mut demoted = 0;
        for (node, item, pages) in gone {
            self.stats.node(node, item, -pages);
            self.stats.node(node, NodeItem::PgdemoteDirect, pages);
            demoted += pages;
        }
        // Without a place there they are reclaimed as if there were no such node.
        rest.append(&mut going);
        Reclaimed { demoted: demoted as u32, freed: self.reclaim_pages(rest) }
    }

    /// The looks that reclaim takes before it demotes a page, under its lock.
    fn may_demote(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        // Whatever it was: on the other node it has to earn its place anew.
        page.clear(Flags::ACTIVE);
        if !page.trylock() {
            return false;
        }
        let yes = !page.word().any(Flags::MLOCKED | Flags::WRITEBACK);
        page.unlock(pfn);
        yes
    }
}
