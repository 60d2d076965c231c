//! Whether an isolated page is in use (`folio_check_references`): a second chance.

use super::Fate;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::profile::LruPolicy;
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// What the use of a locked page says of its fate; `None` if it is a candidate for reclaim.
    ///
    /// | entries that were used | `REFERENCED` before | the page |
    /// |---|---|---|
    /// | one is locked into memory | any | is activated, and so put on the unevictable list |
    /// | 0 | any | is a candidate |
    /// | 1 | no | stays, `REFERENCED` |
    /// | 1 | yes | is activated |
    /// | 2 or more | any | is activated |
    ///
    /// That is the policy `two_list`. Of `mglru` any use activates. Of `fifo` every page is a candidate; of `lru` and `clock` a page that an entry
    /// has used stays, and goes to the front of its list.
    ///
    /// The kernel also activates a file's page at its first use if it is mapped executable: no mapping of mmcore is.
    /// And it reclaims a file's page that is `REFERENCED` but not mapped only if it is clean: here no dirty page of
    /// a file is written by reclaim anyway.
    pub(super) fn check_references(&self, pfn: Pfn) -> Option<Fate> {
        let page = &self.frames[pfn];
        if self.profile.lru_policy == LruPolicy::Fifo {
            return None;
        }
        let used = self.page_referenced(pfn);
        if self.profile.lru_policy == LruPolicy::Mglru {
            // A page that an entry has used comes back to a young generation.
            return match used {
                Some(0) => None,
                _ => Some(Fate::Activate),
            };
        }
        if matches!(self.profile.lru_policy, LruPolicy::Lru | LruPolicy::Clock) {
            // What is used goes to the front; the mark of `clock` is its scan's.
            return match used {
                None => Some(Fate::Activate),
                Some(0) => None,
                Some(_) => Some(Fate::Keep),
            };
        }
        let remembered = page.word().has(Flags::REFERENCED);
        if remembered {
            page.clear(Flags::REFERENCED);
        }
        match (used, remembered) {
            (None, _) => Some(Fate::Activate),
            (Some(0), _) => None,
            (Some(1), false) => {
                page.set(Flags::REFERENCED);
                Some(Fate::Keep)
            }
            _ => Some(Fate::Activate),
        }
    }
}
