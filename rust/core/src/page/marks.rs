//! Marks that must not survive a page's life. They are checked at the last put, and when the frame is handed
//! out again. Without the first check the free path would hide a mark that the owner forgot to clear. Without
//! the second check, a mark that the free path forgot would be gone if the frame is used before the next
//! audit.
//!
//! Only the explored build checks the marks; the audit checks the frames that are free ("free pages are
//! clean").

use super::pfn::Pfn;
use super::word::{Flags, Word};
use crate::sync::broken;

/// The record of a page at one end of its life, read without steps.
pub(crate) struct End {
    pub word: Word,
    pub owner: u32,
    pub private: u32,
    pub mapcount: u32,
    /// True if a link of the record leads to another page.
    pub linked: bool,
}

/// A mark: the fault of a page that has it, and the test for it.
type Mark = (&'static str, fn(&End) -> bool);

/// The marks that must be clear when the last reference is put. The flags of [`Flags::CHECK_AT_FREE`] and
/// the mappings are checked in every build.
const AT_FREE: &[Mark] = &[
    ("it belongs to a file", |end| end.word.has(Flags::FILE)),
    // An anonymous page keeps its owner until it is freed, and so does a page that its driver released.
    ("it names the file that it has left", |end| {
        end.owner != 0 && end.word.has(Flags::UPTODATE) && !end.word.any(Flags::ANON | Flags::MOVABLE)
    }),
    ("it names the swap slot that it has left", |end| {
        end.private != 0 && end.word.any(Flags::ANON | Flags::SWAPBACKED)
    }),
    ("it is on the list of a generation", |end| end.word.generation().is_some()),
    ("it is linked to a list", |end| end.linked && end.word.any(Flags::ANON | Flags::UPTODATE)),
    ("one of its parts is bad, but it has no parts", |end| {
        end.word.has(Flags::HAS_HWPOISONED) && !end.word.has(Flags::HEAD)
    }),
];

/// The flags that a frame may have when it is handed out: `WAITERS` belongs to the wait queue, and the
/// allocator has made the frame a head.
const BEGINS_WITH: Flags = Flags::WAITERS.union(Flags::HEAD);

/// The marks that must be clear at allocation.
const AT_ALLOCATION: &[Mark] = &[
    ("it has flags", |end| end.word.any(!BEGINS_WITH)),
    ("it is on the list of a generation", |end| end.word.generation().is_some()),
    ("it has accesses", |end| end.word.more_accesses() > 0),
    ("it is mapped", |end| end.mapcount > 0),
    ("it has an owner", |end| end.owner != 0),
    ("it has private data", |end| end.private != 0),
    ("it is linked to a list", |end| end.linked),
];

impl End {
    fn check(&self, marks: &[Mark], rule: &'static str, pfn: Pfn) {
        if let Some((wrong, _)) = marks.iter().find(|(_, has)| has(self)) {
            let End { word, owner, private, .. } = self;
            broken(
                rule,
                format_args!("page {pfn}: {wrong} ({word}, owner {owner:#x}, private {private:#x})"),
            );
        }
    }
}

/// Checks a page whose last reference was put and whose frame goes back to the allocator.
pub(crate) fn check_at_free(pfn: Pfn, end: &End) {
    end.check(AT_FREE, "a page ends without marks", pfn);
}

/// Checks a frame that is about to get its first reference.
pub(super) fn check_at_allocation(pfn: Pfn, end: &End) {
    end.check(AT_ALLOCATION, "a page begins without marks", pfn);
}
