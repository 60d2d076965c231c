//! Finds the first page of a range that cannot move, and isolates those that can.

use crate::compact::CLUSTER;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::Event;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// The first page of a range that cannot move, or `None` (`has_unmovable_pages`). In the zone of
    /// movable pages only reserved frames count as such. With `offline`, poisoned frames are passed over:
    /// they leave the machine with the block and need not move.
    ///
    /// The scan takes no references, so the result may be out of date at once.
    pub(crate) fn first_unmovable(&self, range: Range<Pfn>, offline: bool) -> Option<Pfn> {
        let mut at = range.start;
        while at < range.end {
            let head = self.frames.head(at);
            let page = &self.frames[head];
            let word = page.word();
            let large = word.any(Flags::HEAD | Flags::BUDDY);
            let may_go = || {
                word.count() == 0
                    || word.any(Flags::LRU | Flags::MOVABLE)
                    || (offline && self.frames[at].word().has(Flags::HWPOISON))
                    || self.is_in_pool(head)
                    || self.is_for_movable(at)
            };
            if word.has(Flags::RESERVED) || !may_go() {
                return Some(at);
            }
            let end = head.plus(if large { 1 << page.order() } else { 1 });
            at = if end > at { end } else { at.plus(1) };
        }
        None
    }

    /// Isolates pages of a range from `at` on, until they are 32 base pages or the range ends; `at`
    /// becomes the frame at which the next call begins. The page with the highest frame is the first
    /// of the list (`isolate_migratepages_range`).
    pub(super) fn isolate_cluster(&self, at: &mut Pfn, end: Pfn) -> Vec<Pfn> {
        let mut list = Vec::new();
        let mut pages = 0;
        while *at < end && pages < CLUSTER {
            let found = self.frames.head(*at);
            let record = &self.frames[found];
            let large = record.word().any(Flags::HEAD | Flags::BUDDY);
            let next = found.plus(if large { 1 << record.order() } else { 1 });
            let pfn = std::mem::replace(at, if next > *at { next } else { at.plus(1) });
            if self.is_pinned(found) {
                continue;
            }
            let Some(head) = self.try_get_page(pfn) else { continue };
            let taken = match self.frames[head].word().has(Flags::LRU) {
                true => self.isolate(head).is_ok(),
                false => self.isolate_movable_page(head),
            };
            if taken {
                pages += 1u32 << self.frames[head].order();
                list.push(head);
            }
            self.put(head);
        }
        self.stats.event(Event::CompactIsolated, pages.into());
        list.reverse();
        list
    }

    /// Returns true if an anonymous page in no cache has more references than mappings: its migration
    /// would fail, so it is not isolated. The page is read without a reference, as in the kernel.
    fn is_pinned(&self, head: Pfn) -> bool {
        let word = self.frames[head].word();
        let anon = word.has(Flags::ANON | Flags::LRU) && !word.has(Flags::SWAPCACHE);
        anon && word.count() > self.frames.folio_mapcount(self.frames.folio(head))
    }
}
