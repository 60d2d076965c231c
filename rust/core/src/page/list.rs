//! An intrusive doubly linked list of pages. Its links are frame numbers.

use super::pfn::{Link, Pfn};
use super::record::{Frames, Page};
use crate::sync::broken;

/// The head, the tail and the length of a list; the links are in the page records. A caller with
/// `&mut List` holds the lock that protects the links of every page on the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct List {
    head: Link,
    tail: Link,
    len: u32,
}

impl List {
    /// An empty list.
    pub const EMPTY: List = List { head: Link::NONE, tail: Link::NONE, len: 0 };

    /// The number of linked pages. A large page counts once.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True for a list without pages.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first page.
    #[inline]
    pub fn head(&self) -> Option<Pfn> {
        self.head.pfn()
    }

    /// The last page; of an LRU list, the one that reclaim takes next.
    #[inline]
    pub fn tail(&self) -> Option<Pfn> {
        self.tail.pfn()
    }

    /// Links `pfn` as the first page.
    #[inline]
    pub fn push_head(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        self.expect_unlinked(page, pfn);
        page.set_prev(Link::NONE);
        page.set_next(self.head);
        match self.head.pfn() {
            Some(old) => frames[old].set_prev(Link::to(pfn)),
            None => self.tail = Link::to(pfn),
        }
        self.head = Link::to(pfn);
        self.len += 1;
    }

    /// Links `pfn` as the last page.
    #[inline]
    pub fn push_tail(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        self.expect_unlinked(page, pfn);
        page.set_next(Link::NONE);
        page.set_prev(self.tail);
        match self.tail.pfn() {
            Some(old) => frames[old].set_next(Link::to(pfn)),
            None => self.head = Link::to(pfn),
        }
        self.tail = Link::to(pfn);
        self.len += 1;
    }

    /// Links `pfn` before `at`, which is on this list.
    pub fn insert_before(&mut self, frames: &Frames, pfn: Pfn, at: Pfn) {
        let before = frames[at].prev();
        let Some(before) = before.pfn() else { return self.push_head(frames, pfn) };
        self.expect_unlinked(&frames[pfn], pfn);
        frames[pfn].set_prev(Link::to(before));
        frames[pfn].set_next(Link::to(at));
        frames[before].set_next(Link::to(pfn));
        frames[at].set_prev(Link::to(pfn));
        self.len += 1;
    }

    /// Unlinks `pfn`, which is on this list.
    #[inline]
    pub fn remove(&mut self, frames: &Frames, pfn: Pfn) {
        let page = &frames[pfn];
        let (next, prev) = (page.next(), page.prev());
        let ours = |link: Link, end: Link| link != Link::NONE || end == Link::to(pfn);
        if self.len == 0 || !ours(prev, self.head) || !ours(next, self.tail) {
            broken("unlink of an unlinked page", format_args!("page {pfn} ({})", page.word()));
        }
        match prev.pfn() {
            Some(before) => frames[before].set_next(next),
            None => self.head = next,
        }
        match next.pfn() {
            Some(after) => frames[after].set_prev(prev),
            None => self.tail = prev,
        }
        page.set_next(Link::NONE);
        page.set_prev(Link::NONE);
        self.len -= 1;
    }

    /// Unlinks and returns the first page.
    #[inline]
    pub fn pop_head(&mut self, frames: &Frames) -> Option<Pfn> {
        let pfn = self.head.pfn()?;
        self.remove(frames, pfn);
        Some(pfn)
    }

    /// The pages from head to tail, for an audit that holds the list's lock.
    pub fn iter<'a>(&'a self, frames: &'a Frames) -> impl Iterator<Item = Pfn> + 'a {
        let mut at = self.head;
        std::iter::from_fn(move || {
            let pfn = at.pfn()?;
            at = frames[pfn].next();
            Some(pfn)
        })
        // The links of a damaged list may form a ring. The walk ends one page after the length, so
        // that an audit reports the damage and does not loop forever.
        .take(self.len as usize + 1)
    }

    #[inline]
    fn expect_unlinked(&self, page: &Page, pfn: Pfn) {
        if page.next() != Link::NONE || page.prev() != Link::NONE || self.head == Link::to(pfn) {
            broken("double list insert", format_args!("page {pfn} ({})", page.word()));
        }
    }
}
