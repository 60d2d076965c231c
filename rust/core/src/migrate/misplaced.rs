//! Promotion: moves a page to the node on which its users run (`do_numa_page`,
//! `migrate_misplaced_folio`).
//!
//! A NUMA hint fault tells on which node a user of the page runs. Pages that should stay get no
//! hint in the first place, so no access to them faults:
//!
//! * All pages of an area that has a memory policy of its own: neither `MPOL_BIND` nor `MPOL_PREFERRED` lets
//!   a page follow its users. Only the default policy does (`MPOL_F_MOF`).
//! * All pages of memory files, however they are mapped: the file's policy decides (`vma_policy_mof`), and a
//!   file without a policy gives no hints.
//! * Depending on the kernel, pages that other processes use too, and dirty pages of files, which not every
//!   file system can move without waiting (the profile's `hint_faults`).

use super::{Mode, Reason};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, Entry};
use crate::page::reckon::{self, Fact};
use crate::page::{Flags, Pfn};
use crate::profile::HintFaults;
use crate::release::Release;
use crate::stat::{Event, NodeItem};

impl<R: Release> Machine<R> {
    /// Handles a NUMA hint fault at an address, by a thread that runs on `node`: moves the page
    /// there if it may move. Returns the node of the page afterwards; a page that does not move is
    /// no error.
    ///
    /// `EINVAL` for a node that does not exist, `EFAULT` for an address where no page is mapped.
    pub fn numa_fault(&self, space: &AddressSpace, address: u64, node: usize) -> Result<usize> {
        if node >= self.nodes.len() {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        }
        let not_mapped = || Error::new(Errno::EFAULT, format!("no page is mapped at {address:#x}"));
        let (area, index) = space.find(address).ok_or_else(not_mapped)?;
        // The mapping's own reference keeps the page as long as the entry is locked.
        let guard = area.lock(index);
        let Entry::Present { pfn, zero: false } = guard.pte().entry() else { return Err(not_mapped()) };
        // A large page moves as a whole.
        let pfn = self.frames.head(pfn);
        let (page, before) = (&self.frames[pfn], self.node_of(pfn));
        let hinted = self.gets_hint(&area, index, pfn);
        reckon::happened(Fact::Hint, hinted.into());
        reckon::happened(Fact::HintAtHome, (hinted && before == node).into());
        if !hinted {
            return Ok(before);
        }
        self.stats.event(Event::NumaHintFaults, 1);
        if before == node {
            self.stats.event(Event::NumaHintFaultsLocal, 1);
            return Ok(node);
        }
        // A nearly full node takes no pages: it would have to reclaim others for them.
        if self.is_shared_huge(pfn) || !self.has_room(node) {
            return Ok(before);
        }
        let pages = reckon::pages(page);
        let isolated = match self.profile.isolation_reference {
            false => {
                let isolated = self.isolate(pfn);
                drop(guard);
                isolated
            }
            true => {
                page.get(pfn);
                drop(guard);
                let isolated = self.isolate(pfn);
                self.put(pfn);
                isolated
            }
        };
        match isolated {
            Ok(()) => {
                let after = self.migrate_misplaced(pfn, before, node);
                reckon::happened(Fact::HintMoved, if after == before { 0 } else { pages });
                Ok(after)
            }
            Err(_) => Ok(before),
        }
    }

    /// Returns true if NUMA balancing hints at the page with this head, mapped at an entry whose
    /// lock the caller holds.
    fn gets_hint(&self, area: &Area, index: u32, head: Pfn) -> bool {
        if area.file().is_some_and(|map| !map.file.is_written_back())
            || area.attributes(index).policy().is_some()
        {
            return false;
        }
        let (page, folio) = (&self.frames[head], self.frames.folio(head));
        if self.frames.is_huge_mapping(self.frames.folio(head)) {
            return true;
        }
        let word = page.word();
        let used = match self.profile.hint_faults {
            HintFaults::All => false,
            HintFaults::Sole => word.count() != 1,
            HintFaults::Unshared => {
                let shared = page.mapcount() > 1 || self.frames.folio_mapcount(folio) > 1 << page.order();
                shared || self.may_be_pinned(folio)
            }
        };
        let dirty = !word.has(Flags::SWAPBACKED) && word.has(Flags::DIRTY);
        match self.profile.hint_faults {
            HintFaults::All => !folio.large,
            HintFaults::Sole if folio.large => false,
            HintFaults::Sole | HintFaults::Unshared => !dirty && (area.is_shared() || !used),
        }
    }

    /// Returns true for a huge page that stays because several processes map it. Only kernels that
    /// treat base pages and large pages differently have this rule.
    fn is_shared_huge(&self, head: Pfn) -> bool {
        self.profile.hint_faults != HintFaults::Unshared
            && self.frames.is_huge_mapping(self.frames.folio(head))
            && self.frames[head].mapcount() > 1
    }

    /// Moves one isolated page, without waiting, and returns its node afterwards.
    fn migrate_misplaced(&self, pfn: Pfn, before: usize, node: usize) -> usize {
        let mut list = vec![pfn];
        let mut target = |src: Pfn| self.alloc_pages_nowait(node, self.frames[src].order()).ok();
        let result = self.migrate_pages(&mut list, &mut target, Mode::Async, Reason::NumaMisplaced);
        // The whole list is put back: a large page may have been split, and then the list holds its
        // parts (kernel 6e49019db5f7).
        if !list.is_empty() {
            self.putback_movable_pages(&mut list);
            return before;
        }
        self.stats.event(Event::NumaPagesMigrated, i64::from(result.succeeded));
        if self.is_top_tier(node) && !self.is_top_tier(before) {
            self.stats.node(node, NodeItem::PgpromoteSuccess, i64::from(result.succeeded));
        }
        node
    }

    /// Returns true if the node has a free frame to spare (`migrate_balanced_pgdat`, with
    /// watermarks of zero).
    fn has_room(&self, node: usize) -> bool {
        let (buddy, arrays) = self.free_frames(node);
        buddy + arrays > 1
    }

    /// Returns true if no node is faster (`node_is_toptier`).
    fn is_top_tier(&self, node: usize) -> bool {
        let latency = |node: usize| self.nodes[node].latency_ns;
        (0..self.nodes.len()).all(|other| latency(other) >= latency(node))
    }
}
