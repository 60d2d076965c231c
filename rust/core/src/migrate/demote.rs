//! Demotion: reclaim moves pages of a node to a slower node, if there is one, before it frees any
//! of them (`demote_folio_list`).

use super::{Mode, Reason};
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::NodeItem;

/// The result of reclaiming a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Base pages that moved to the slower node.
    pub demoted: u32,
    /// Pages that were freed.
    pub freed: u32,
}

/// The share of an isolated page in `nr_isolated_*`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Isolation {
    pub node: usize,
    pub item: NodeItem,
    /// Base pages.
    pub pages: i64,
}

impl Isolation {
    /// The same share, to be subtracted.
    pub fn negated(self) -> Isolation {
        Isolation { pages: -self.pages, ..self }
    }
}

impl<R: Release> Machine<R> {
    /// Isolates the page of which a frame is a part, for reclaim, and returns the page. `None` if
    /// the page is on no list or on the unevictable list.
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

    /// The counter that includes an isolated page, and the number of its base pages.
    pub(crate) fn isolation_of(&self, pfn: Pfn) -> Isolation {
        Isolation {
            node: self.node_of(pfn),
            item: self.isolated_as(pfn),
            pages: 1 << self.frames[pfn].order(),
        }
    }

    /// Reclaims isolated pages. A page moves to node `to` if there is one and the page may move;
    /// otherwise it is freed, if its content can be had again. The isolations end; pages that could
    /// not be reclaimed are put back.
    pub fn reclaim_isolated(&self, list: Vec<Pfn>, to: Option<usize>) -> Reclaimed {
        let Some(to) = to else { return Reclaimed { demoted: 0, freed: self.reclaim_pages(list) } };
        let (mut demotable, mut rest): (Vec<Pfn>, Vec<Pfn>) =
            list.into_iter().partition(|&pfn| self.may_demote(pfn));
        // Reclaim isolated the pages, so reclaim itself subtracts them from the counters. It notes the
        // counters here, because after the migration a frame may belong to another page. A large page may
        // come back in parts.
        let mut moved: Vec<Isolation> = demotable.iter().map(|&pfn| self.isolation_of(pfn)).collect();
        if !demotable.is_empty() {
            let mut target = |src: Pfn| self.alloc_pages_nowait(to, self.frames[src].order()).ok();
            self.migrate_pages(&mut demotable, &mut target, Mode::Async, Reason::Demotion);
        }
        moved.extend(demotable.iter().map(|&pfn| self.isolation_of(pfn).negated()));
        let mut demoted = 0;
        for Isolation { node, item, pages } in moved {
            self.stats.node(node, item, -pages);
            self.stats.node(node, NodeItem::PgdemoteDirect, pages);
            demoted += pages;
        }
        // Pages that did not move, as for want of a frame there, are reclaimed as if there were no slower
        // node.
        rest.append(&mut demotable);
        Reclaimed { demoted: demoted as u32, freed: self.reclaim_pages(rest) }
    }

    /// Checks, under the page lock, whether reclaim may demote the page.
    fn may_demote(&self, pfn: Pfn) -> bool {
        let page = &self.frames[pfn];
        // The page starts as inactive on the slower node, whatever it was: it must be accessed
        // there to become active.
        page.clear(Flags::ACTIVE);
        if !page.trylock() {
            return false;
        }
        let yes = !page.word().any(Flags::MLOCKED | Flags::WRITEBACK);
        page.unlock(pfn);
        yes
    }
}
