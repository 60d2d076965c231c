//! Large pages: 2^`order` base pages with one reference count, one lock and one place, those of the head.
//!
//! | what | where it is kept |
//! |---|---|
//! | count, lock, flags, owner, place on a list | the head's record: what is done to a tail is done to the head |
//! | `HWPOISON`, `ANON_EXCLUSIVE`, the entries that map it | each base page's own record |
//! | entries that map any part (`folio_mapcount`) | `index` of the first tail |
//! | pins (`folio_maybe_dma_pinned`) | `private` of the first tail |
//! | it waits to be split (`folio_test_partially_mapped`) | `RECLAIM` of the first tail, as in the kernel |
//!
//! Each entry that maps a part holds one reference on the head. A pin counts 1024 there, as on a base page; but so
//! many mappings are thinkable too, hence a number of its own.
//!
//! # What can go wrong
//!
//! A tail's count is zero until a split hands it out as a page, so whoever comes by its number gets no reference on
//! the tail itself, and takes one on the head. The split clears the link to the head before it gives the count: in
//! the other order somebody could get the tail and put the head (kernel 605ca5ede764).

use super::{Flags, Frames, HUGE_ORDER, PIN, Page, Pfn};
use crate::sync::Ordering;

/// On the first tail: the page waits to be split. A tail has no other use for the flag.
const SPLIT_WAITS: Flags = Flags::RECLAIM;

/// What a tail has for its head, and loses when it is none any more.
pub(crate) const OF_A_TAIL: Flags = Flags::TAIL.union(SPLIT_WAITS);

/// The page that a frame is part of: itself, or a large one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folio {
    /// Its first frame, whose record has the count, the lock and the flags.
    pub head: Pfn,
    /// Has it more than this frame?
    pub large: bool,
}

impl Folio {
    /// A base page.
    #[inline]
    pub const fn base(pfn: Pfn) -> Folio {
        Folio { head: pfn, large: false }
    }
}

impl Frames {
    /// The page that a frame is part of. Stable for who holds a reference on it or its lock; for others a guess, but
    /// always of a frame that there is.
    #[inline]
    pub fn folio(&self, pfn: Pfn) -> Folio {
        let page = &self[pfn];
        let word = page.word();
        if !word.has(Flags::TAIL) {
            return Folio { head: pfn, large: word.has(Flags::HEAD) };
        }
        // A head lies before its tails. Any other number is an owner's: the large page ended after our look at the mark.
        match Pfn(page.owner()) {
            head if head < pfn => Folio { head, large: true },
            _ => Folio::base(pfn),
        }
    }

    /// The head of the large page that `pfn` is part of; `pfn` itself for a base page. As stable as [`Frames::folio`].
    #[inline]
    pub fn head(&self, pfn: Pfn) -> Pfn {
        self.folio(pfn).head
    }

    /// Entries that map the page or any part of it (`folio_mapcount`).
    #[inline]
    pub fn folio_mapcount(&self, folio: Folio) -> u32 {
        match folio.large {
            // Relaxed: as for the count of a base page.
            true => self.first_tail(folio).index.load(Ordering::Relaxed),
            false => self[folio.head].mapcount(),
        }
    }

    /// One more entry maps base page `pfn` of the page; true if it is the first of this base page. The caller holds the
    /// entry's lock and a reference.
    #[inline]
    pub(crate) fn add_mapping(&self, folio: Folio, pfn: Pfn) -> bool {
        if folio.large {
            // Relaxed: as for the count of a base page.
            self.first_tail(folio).index.fetch_add(1, Ordering::Relaxed);
        }
        self[pfn].add_mapping() == 0
    }

    /// One entry less; true if it was the last of this base page.
    #[inline]
    pub(crate) fn remove_mapping(&self, folio: Folio, pfn: Pfn) -> bool {
        if folio.large {
            // Relaxed: as for the count of a base page.
            self.first_tail(folio).index.fetch_sub(1, Ordering::Relaxed);
        }
        self[pfn].remove_mapping(pfn) == 0
    }

    /// A pin comes, with its references (`folio_add_pin`), or goes, before its references do. For base pages the
    /// references say it.
    pub(crate) fn count_pin(&self, folio: Folio, comes: bool) {
        if !folio.large {
            return;
        }
        let pins = &self.first_tail(folio).extra;
        // Relaxed: looked at under the lock of the entry that the pin was taken through, as the count is.
        match comes {
            true => pins.fetch_add(1 << Page::PRIVATE_SHIFT, Ordering::Relaxed),
            false => pins.fetch_sub(1 << Page::PRIVATE_SHIFT, Ordering::Relaxed),
        };
    }

    /// May the page be pinned (`folio_maybe_dma_pinned`)? Of a base page with very many references it is not known.
    #[inline]
    pub(crate) fn may_be_pinned(&self, folio: Folio) -> bool {
        match folio.large {
            true => self.first_tail(folio).private() > 0,
            false => self[folio.head].count() >= PIN,
        }
    }

    /// Has a part been unmapped while another was mapped, so that the page waits to be split
    /// (`folio_test_partially_mapped`)? Also if all parts are mapped again.
    #[inline]
    pub(crate) fn waits_for_split(&self, folio: Folio) -> bool {
        folio.large && self.first_tail(folio).word().has(SPLIT_WAITS)
    }

    /// From now on the page waits to be split (`deferred_split_folio`). One of two base pages has no place to wait in.
    #[inline]
    pub(crate) fn queue_split(&self, folio: Folio) {
        if self[folio.head].order() > 1 && !self.waits_for_split(folio) {
            self.first_tail(folio).set(SPLIT_WAITS);
        }
    }

    /// Do only huge entries map the page: in every address space the whole of it? Then the kernel has one entry where an
    /// area here has one for each part.
    pub(crate) fn is_huge_mapping(&self, folio: Folio) -> bool {
        folio.large
            && self[folio.head].order() == HUGE_ORDER
            && self.folio_mapcount(folio).is_multiple_of(1 << HUGE_ORDER)
    }

    /// The base pages of the page with this head.
    pub fn parts(&self, head: Pfn) -> impl DoubleEndedIterator<Item = Pfn> + use<> {
        (0..1u32 << self[head].order()).map(move |part| head.plus(part))
    }

    fn first_tail(&self, folio: Folio) -> &Page {
        &self[folio.head.plus(1)]
    }
}

impl Page {
    /// A part of a large page that is split becomes a page of its own, with what its head is (`flags`), the lock, which
    /// is the caller's, and no link to the head; it has no reference yet.
    pub(crate) fn separate(&self, flags: Flags, owner: u32, index: u32) {
        self.set(flags);
        // The link before what takes its place: who finds the mark finds the head's number.
        self.clear(OF_A_TAIL);
        self.set_owner(owner, index);
        self.set_extra(0, 0);
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    /// A large page of four frames.
    fn large() -> (Frames, Folio) {
        let frames = Frames::new(8).unwrap();
        let head = Pfn(4);
        frames[head].set_extra(2, 0);
        frames[head].set(Flags::HEAD);
        for tail in 5..8 {
            frames[Pfn(tail)].set(Flags::TAIL);
            frames[Pfn(tail)].set_owner(head.0, 0);
        }
        let folio = frames.folio(Pfn(6));
        assert_eq!(folio, Folio { head, large: true });
        (frames, folio)
    }

    #[test]
    fn a_tail_leads_to_its_head_and_a_base_page_to_itself() {
        let (frames, folio) = large();
        assert!((4..8).all(|pfn| frames.head(Pfn(pfn)) == folio.head));
        assert_eq!(frames.folio(Pfn(3)), Folio::base(Pfn(3)));
        assert_eq!(frames.parts(folio.head).collect::<Vec<_>>(), (4..8).map(Pfn).collect::<Vec<_>>());
    }

    #[test]
    fn a_part_whose_page_ended_during_the_look_leads_to_itself() {
        let (frames, _) = large();
        // An owner's slot with its generation, where the head's number was.
        frames[Pfn(6)].set_owner(0x0300_0001, 0);
        assert_eq!(frames.folio(Pfn(6)), Folio::base(Pfn(6)));
        assert_eq!(frames.folio_mapcount(frames.folio(Pfn(6))), 0);
    }

    #[test]
    fn entries_are_counted_by_base_page_and_together() {
        let (frames, folio) = large();
        assert!(frames.add_mapping(folio, Pfn(6)) && !frames.add_mapping(folio, Pfn(6)));
        assert!(frames.add_mapping(folio, Pfn(4)));
        assert_eq!(frames.folio_mapcount(folio), 3);
        assert_eq!([4, 5, 6, 7].map(|pfn| frames[Pfn(pfn)].mapcount()), [1, 0, 2, 0]);
        frames.queue_split(folio);
        assert!(frames.waits_for_split(folio) && !frames.waits_for_split(Folio::base(folio.head)));
        assert!(frames.remove_mapping(folio, Pfn(4)) && !frames.remove_mapping(folio, Pfn(6)));
        assert_eq!(frames.folio_mapcount(folio), 1);
    }

    #[test]
    fn pins_of_a_large_page_have_a_number_of_their_own() {
        let (frames, folio) = large();
        assert!(!frames.may_be_pinned(folio));
        frames.count_pin(folio, true);
        assert!(frames.may_be_pinned(folio) && frames[Pfn(5)].order() == 0);
        frames.count_pin(folio, false);
        assert!(!frames.may_be_pinned(folio));
    }
}
