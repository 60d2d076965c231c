//! The flags of a page, as /proc/kpageflags shows them.

use super::record::Page;
use super::word::Flags;
use crate::profile::Profile;

/// The names of the bits, in the order of the bits.
const NAMES: &[(u32, &str)] = &[
    (LOCKED, "LOCKED"),
    (1, "ERROR"),
    (2, "REFERENCED"),
    (3, "UPTODATE"),
    (4, "DIRTY"),
    (5, "LRU"),
    (6, "ACTIVE"),
    (8, "WRITEBACK"),
    (9, "RECLAIM"),
    (10, "BUDDY"),
    (MMAP, "MMAP"),
    (ANON, "ANON"),
    (13, "SWAPCACHE"),
    (14, "SWAPBACKED"),
    (15, "COMPOUND_HEAD"),
    (16, "COMPOUND_TAIL"),
    (18, "UNEVICTABLE"),
    (HWPOISON, "HWPOISON"),
    (KSM, "KSM"),
    (THP, "THP"),
    (ZERO_PAGE, "ZERO_PAGE"),
    (25, "IDLE"),
    (RESERVED, "RESERVED"),
    (33, "MLOCKED"),
    (MAPPEDTODISK, "MAPPEDTODISK"),
    (35, "PRIVATE"),
    (37, "OWNER_PRIVATE"),
];

const LOCKED: u32 = 0;
const MMAP: u32 = 11;
const ANON: u32 = 12;
const HWPOISON: u32 = 19;
const KSM: u32 = 21;
const THP: u32 = 22;
const ZERO_PAGE: u32 = 24;
const RESERVED: u32 = 32;
const MAPPEDTODISK: u32 = 34;

/// The flags of the record, each with the bit that shows it unchanged.
const SHOWN: &[(Flags, u32)] = &[
    (Flags::LOCKED, LOCKED),
    (Flags::ERROR, 1),
    (Flags::REFERENCED, 2),
    (Flags::UPTODATE, 3),
    (Flags::DIRTY, 4),
    (Flags::LRU, 5),
    (Flags::ACTIVE, 6),
    (Flags::WRITEBACK, 8),
    (Flags::RECLAIM, 9),
    (Flags::BUDDY, 10),
    (Flags::SWAPCACHE, 13),
    (Flags::SWAPBACKED, 14),
    (Flags::HEAD, 15),
    (Flags::TAIL, 16),
    (Flags::UNEVICTABLE, 18),
    (Flags::HWPOISON, HWPOISON),
    (Flags::IDLE, 25),
    (Flags::RESERVED, RESERVED),
    (Flags::MLOCKED, 33),
    (Flags::MAPPEDTODISK, MAPPEDTODISK),
    (Flags::PRIVATE, 35),
    (Flags::OWNER_PRIVATE, 37),
    // The kernel has one flag for both, `PG_owner_priv_1`, so bit 37 shows a page of the swap cache
    // too.
    (Flags::SWAPCACHE, 37),
];

/// The bits that `/proc/kpageflags` would show for a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KpageFlags(u64);

impl KpageFlags {
    /// The bits of the zero page. All address spaces share this page, so it has no other state to
    /// show.
    pub const ZERO_PAGE: KpageFlags = KpageFlags(1 << ZERO_PAGE | 1 << RESERVED);

    /// The bits of the zero page, with `HWPOISON` if it is poisoned.
    pub fn of_zero_page(poisoned: bool) -> KpageFlags {
        KpageFlags(Self::ZERO_PAGE.0 | u64::from(poisoned) << HWPOISON)
    }

    /// The bits of a base page. `head` is the record of its large page's head, or its own record if
    /// it is part of no large page. `MMAP` and `ANON` come from the page's mappings and its owner.
    /// For an anonymous page the bit of `MAPPEDTODISK` means `ANON_EXCLUSIVE`.
    pub fn of(page: &Page, head: &Page, profile: &Profile) -> KpageFlags {
        /// The flags that each part of a large page has in its own record. All others are the
        /// head's.
        const OWN: Flags = Flags::HEAD.union(Flags::TAIL).union(Flags::HWPOISON).union(Flags::ANON_EXCLUSIVE);
        let (own, whole) = (page.word(), head.word());
        let word = whole.without(OWN).with(own.flags() & OWN);
        let mut bits = 0;
        for &(flag, bit) in SHOWN {
            bits |= u64::from(word.has(flag)) << bit;
        }
        bits |= u64::from(page.mapcount() > 0) << MMAP;
        if word.has(Flags::ANON) {
            bits |= 1 << ANON | u64::from(profile.kpageflags_ksm) << KSM;
            bits |= u64::from(word.has(Flags::ANON_EXCLUSIVE)) << MAPPEDTODISK;
        }
        bits |= u64::from(whole.has(Flags::HEAD) && whole.any(Flags::ANON | Flags::LRU)) << THP;
        KpageFlags(bits)
    }

    /// The names of the set bits, in the order of the bits.
    pub fn names(self) -> Vec<&'static str> {
        let has = |bit: u32| self.0 >> bit & 1 == 1;
        let name = |&(bit, name): &(u32, &'static str)| match bit {
            MAPPEDTODISK if has(ANON) => "ANON_EXCLUSIVE",
            _ => name,
        };
        NAMES.iter().filter(|&&(bit, _)| has(bit)).map(name).collect()
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_kernels_exporter() {
        let page = Page::default();
        page.set(Flags::UPTODATE | Flags::LRU | Flags::SWAPBACKED | Flags::ANON | Flags::ANON_EXCLUSIVE);
        page.add_mapping();
        let names =
            |kernel| KpageFlags::of(&page, &page, &Profile::preset(kernel).unwrap()).names().join("|");
        assert_eq!(names("6.1"), "UPTODATE|LRU|MMAP|ANON|SWAPBACKED|ANON_EXCLUSIVE");
        assert_eq!(names("6.12"), "UPTODATE|LRU|MMAP|ANON|SWAPBACKED|KSM|ANON_EXCLUSIVE");
        assert_eq!(KpageFlags::ZERO_PAGE.names(), ["ZERO_PAGE", "RESERVED"]);
    }
}
