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

/// What an isolated page adds to `nr_isolated_*`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Isolation {
    pub node: usize,
    pub item: NodeItem,
    /// Base pages.
    pub pages: i64,
}

impl Isolation {
    /// What takes it away again.
    pub fn negated(self) -> Isolation {
        Isolation { pages: -self.pages, ..self }
    }
}

impl<R: Release> Machine<R> {
    /// Takes the page that a frame is part of off its list for reclaim, and says which one it is; `None` if it is on
    /// none, or on the unevictable one.
    pub fn isolate_for_reclaim(&self, part: Pfn) -> Option<Pfn> {
        let pfn = self.try_get_page(part)?;
        let isolated = self.isolate(pfn).is_ok();
        self.put(pfn);
        if isolated && self.frames[pfn].word().has(Flags::UNEVICTABLE) {
            self.putback(pfn);
            return None;
        }
        isolated.then_some(pfn)
    }

    /// Under which counter an isolated page is, and with how many base pages.
    pub(crate) fn isolation_of(&self, pfn: Pfn) -> Isolation {
        Isolation {
            node: self.node_of(pfn),
            item: self.isolated_as(pfn),
            pages: 1 << self.frames[pfn].order(),
        }
    }

    /// Reclaims isolated pages: each goes to node `to`, if there is one and the page can, and else to where its
    /// content can be had again. The isolations are over; what stays is put back.
    pub fn reclaim_isolated(&self, list: Vec<Pfn>, to: Option<usize>) -> Reclaimed {
        let Some(to) = to else { return Reclaimed { demoted: 0, freed: self.reclaim_pages(list) } };
        let (mut going, mut rest): (Vec<Pfn>, Vec<Pfn>) =
            list.into_iter().partition(|&pfn| self.may_demote(pfn));
        // What reclaim isolated it subtracts itself, by what it was then: afterwards the page may be anybody's. A large page
        // may come back in parts.
        let mut gone: Vec<Isolation> = going.iter().map(|&pfn| self.isolation_of(pfn)).collect();
        if !going.is_empty() {
            let mut target = |src: Pfn| self.alloc_pages(to, self.frames[src].order()).ok();
            self.migrate_pages(&mut going, &mut target, Mode::Async, Reason::Demotion);
        }
        gone.extend(going.iter().map(|&pfn| self.isolation_of(pfn).negated()));
        let mut demoted = 0;
        for Isolation { node, item, pages } in gone {
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
