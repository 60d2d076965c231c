//! The second chance of an isolated page that is in use (`folio_check_references`).

use super::Fate;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::profile::LruPolicy;
use crate::release::Release;

impl<R: Release> Machine<R> {
    /// Decides by the recent use of a locked page whether reclaim keeps the page. `None` if the
    /// page is a candidate for reclaim.
    ///
    /// | used entries | `REFERENCED` before | the page |
    /// |---|---|---|
    /// | any number, but an entry is locked into memory | any | stays, for the unevictable list |
    /// | 0 | any | is a candidate |
    /// | 1 | no | stays, `REFERENCED` |
    /// | 1 | yes | is activated |
    /// | 2 or more | any | is activated |
    ///
    /// The table is that of `two_list`. With the profile field `anon_workingset` off, as in old kernels,
    /// any use of an anonymous page, or of a memory file's page, activates it. Under `mglru` any use
    /// activates. Under `fifo` every page is a candidate. Under `lru` and `clock` a page that an entry has
    /// used stays, and goes to the front of its list.
    ///
    /// The kernel also activates a file's page at its first use if it is mapped executable, but
    /// mmcore has no such mapping. A file's page that is `REFERENCED` and that no entry has used is
    /// reclaimed by the kernel if it is clean (`FOLIOREF_RECLAIM_CLEAN`). This rule needs no code
    /// here, because reclaim never writes a dirty page of a disk's file.
    pub(super) fn check_references(&self, pfn: Pfn) -> Option<Fate> {
        let page = &self.frames[pfn];
        if self.profile.lru_policy == LruPolicy::Fifo {
            return None;
        }
        let used = self.page_referenced(pfn);
        if self.profile.lru_policy == LruPolicy::Mglru {
            // The activated page goes back to a young generation.
            return match used {
                Some(0) => None,
                _ => Some(Fate::Activate),
            };
        }
        if matches!(self.profile.lru_policy, LruPolicy::Lru | LruPolicy::Clock) {
            // A kept page goes to the front of its list; only the scan of `clock` reads the mark
            // `REFERENCED`.
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
            (Some(1..), _) if !self.profile.anon_workingset && page.word().has(Flags::SWAPBACKED) => {
                Some(Fate::Activate)
            }
            (Some(0), _) => None,
            (Some(1), false) => {
                page.set(Flags::REFERENCED);
                Some(Fate::Keep)
            }
            _ => Some(Fate::Activate),
        }
    }
}
