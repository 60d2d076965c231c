//! A large page: 2^`order` base pages that share the reference count, the lock and the list place
//! of their head.
//!
//! | what | where it is kept |
//! |---|---|
//! | count, lock, flags, owner, place on a list | the head's record, even if a tail is named |
//! | `HWPOISON`, `ANON_EXCLUSIVE`, the entries that map it | each base page's own record |
//! | entries that map any part (`folio_mapcount`) | `index` of the first tail |
//! | pins (`folio_maybe_dma_pinned`) | `private` of the first tail |
//! | the mark that the page waits to be split (`folio_test_partially_mapped`) | `RECLAIM` of the first tail, as in the kernel |
//!
//! Each entry that maps a part holds one reference on the head. A pin adds 1024 references there,
//! as on a base page. But 1024 entries can map a large page as well, so its pins have a count of
//! their own.
//!
//! # What can go wrong
//!
//! The count of a tail is zero until a split makes the tail a page of its own. A thread that knows
//! only the tail's frame number therefore cannot take a reference on the tail; it takes one on the
//! head. The split clears the link to the head before it sets the tail's count. In the other order,
//! a thread could take a reference on the tail, still follow the link, and put a reference of the
//! head (kernel 605ca5ede764).

use super::pfn::Pfn;
use super::record::{Frames, Page};
use super::refcount::PIN;
use super::size::HUGE_ORDER;
use super::word::Flags;
use super::{lives, reckon};
use crate::sync::Ordering;

/// The flag of a first tail whose page waits to be split. A tail has no other use for `RECLAIM`.
const SPLIT_WAITS: Flags = Flags::RECLAIM;

/// The flags that only a tail has. They are cleared when the frame is no longer a tail.
pub(crate) const OF_A_TAIL: Flags = Flags::TAIL.union(SPLIT_WAITS);

/// The page that a frame is part of: a base page or a large page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folio {
    /// The first frame, whose record has the count, the lock and the flags.
    pub head: Pfn,
    /// True for a large page.
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
    /// The page that a frame is part of. The answer is stable while the caller holds a reference on
    /// the page or its lock. Otherwise the page may already be another one, but its head is always
    /// a frame of the machine.
    #[inline]
    pub fn folio(&self, pfn: Pfn) -> Folio {
        let page = &self[pfn];
        let word = page.word();
        if !word.has(Flags::TAIL) {
            return Folio { head: pfn, large: word.has(Flags::HEAD) };
        }
        // A head has a lower number than its tails. A number that is not lower is the slot of an
        // owner: the large page ended after `TAIL` was read above, and the field was written anew.
        match Pfn(page.owner()) {
            head if head < pfn => Folio { head, large: true },
            _ => Folio::base(pfn),
        }
    }

    /// The head of the large page that `pfn` is part of, or `pfn` itself for a base page. The
    /// answer is as stable as that of [`Frames::folio`].
    #[inline]
    pub fn head(&self, pfn: Pfn) -> Pfn {
        self.folio(pfn).head
    }

    /// The number of entries that map the page or any part of it (`folio_mapcount`).
    #[inline]
    pub fn folio_mapcount(&self, folio: Folio) -> u32 {
        match folio.large {
            // Relaxed: as for the mapcount of a base page in `record`.
            true => self.first_tail(folio).index.load(Ordering::Relaxed),
            false => self[folio.head].mapcount(),
        }
    }

    /// Counts one more entry that maps base page `pfn` of the page. Returns true if it is the first
    /// one of this base page. The caller holds the entry's lock and a reference.
    #[inline]
    pub(crate) fn add_mapping(&self, folio: Folio, pfn: Pfn) -> bool {
        if folio.large {
            // Relaxed: as for the mapcount of a base page in `record`.
            self.first_tail(folio).index.fetch_add(1, Ordering::Relaxed);
        }
        self[pfn].add_mapping() == 0
    }

    /// Counts one entry of base page `pfn` less. Returns true if it was the last one of this base
    /// page.
    #[inline]
    pub(crate) fn remove_mapping(&self, folio: Folio, pfn: Pfn) -> bool {
        if folio.large {
            // Relaxed: as for the mapcount of a base page in `record`.
            self.first_tail(folio).index.fetch_sub(1, Ordering::Relaxed);
        }
        self[pfn].remove_mapping(pfn) == 0
    }

    /// Counts a pin of a large page, or with `added` false the end of one. The caller adds the
    /// references of a pin before it counts the pin (`folio_add_pin`), and drops them after it has
    /// counted the end. For a base page nothing is counted, because the references tell of pins.
    pub(crate) fn count_pin(&self, folio: Folio, added: bool) {
        if !folio.large {
            return;
        }
        let pins = &self.first_tail(folio).extra;
        // Relaxed: a reader that needs the exact number holds the lock of the entry through which
        // the pin was taken, as for the reference count.
        match added {
            true => pins.fetch_add(1 << Page::PRIVATE_SHIFT, Ordering::Relaxed),
            false => pins.fetch_sub(1 << Page::PRIVATE_SHIFT, Ordering::Relaxed),
        };
    }

    /// True if the page may be pinned (`folio_maybe_dma_pinned`). A base page with 1024 references
    /// counts as pinned, whatever they are for.
    #[inline]
    pub(crate) fn may_be_pinned(&self, folio: Folio) -> bool {
        match folio.large {
            true => self.first_tail(folio).private() > 0,
            false => self[folio.head].count() >= PIN,
        }
    }

    /// True if the page waits to be split (`folio_test_partially_mapped`), because a part was
    /// unmapped while another part was mapped. The answer stays true if all parts are mapped again.
    #[inline]
    pub(crate) fn waits_for_split(&self, folio: Folio) -> bool {
        folio.large && self.first_tail(folio).word().has(SPLIT_WAITS)
    }

    /// Marks that the page waits to be split (`deferred_split_folio`). Returns false if the page is
    /// marked already; if it is in the swap cache, because reclaim treats it as a whole; or if it has
    /// only two frames: the kernel's records of two frames have no room for the queue's links.
    #[inline]
    pub(crate) fn queue_split(&self, folio: Folio) -> bool {
        let page = &self[folio.head];
        page.order() > 1
            && !page.word().has(Flags::SWAPCACHE)
            && !self.waits_for_split(folio)
            && self.mark_split_waits(folio)
    }

    /// Marks that the page waits to be split. Returns false if the page is marked already.
    #[inline]
    fn mark_split_waits(&self, folio: Folio) -> bool {
        let marked = !self.first_tail(folio).set(SPLIT_WAITS).has(SPLIT_WAITS);
        reckon::marked(self, folio.head, marked);
        marked
    }

    /// True if only huge entries map the page, so that every address space that maps it maps the
    /// whole of it. The kernel has one huge entry where an area of mmcore has an entry for each
    /// part.
    #[inline]
    pub(crate) fn is_huge_mapping(&self, folio: Folio) -> bool {
        folio.large
            && self[folio.head].order() == HUGE_ORDER
            && self.folio_mapcount(folio).is_multiple_of(1 << HUGE_ORDER)
    }

    /// True if several address spaces seem to map the page (`folio_likely_mapped_shared`): more entries map
    /// it than it has parts, or several map its first part.
    pub(crate) fn is_likely_shared(&self, folio: Folio) -> bool {
        let mappings = self.folio_mapcount(folio);
        mappings > 1 && (mappings > 1 << self[folio.head].order() || self[folio.head].mapcount() > 1)
    }

    /// The base pages of the page with this head, from the head on.
    pub fn parts(&self, head: Pfn) -> impl DoubleEndedIterator<Item = Pfn> + use<> {
        (0..1u32 << self[head].order()).map(move |part| head.plus(part))
    }

    fn first_tail(&self, folio: Folio) -> &Page {
        &self[folio.head.plus(1)]
    }
}

impl Page {
    /// Makes a part of a large page that is being split a page of its own. The part gets the head's
    /// `flags` and place in the owner, and its own swap `slot`, if the page is in the swap cache; it
    /// loses the link to the head. The caller holds the part's lock. The part has no reference yet.
    pub(crate) fn separate(&self, flags: Flags, owner: u32, index: u32, slot: u32) {
        reckon::born(self);
        lives::on_allocated(self);
        self.set(flags);
        // `TAIL` is cleared before the owner field is overwritten. A thread that finds `TAIL` set
        // takes the number in this field for the head's.
        self.clear(OF_A_TAIL);
        self.set_owner(owner, index);
        self.set_extra(0, slot);
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
        // The field now has an owner's slot with its generation, in place of the head's number.
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
