//! Pins that last: not on a node that is only for movable pages (`check_and_migrate_movable_pages`).
//!
//! A pinned page cannot move, so one that is found on such a node is moved off before it is pinned for good.

use super::{Mode, Reason};
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::map::{Area, PinKind};
use crate::page::{Flags, PIN, Pfn};
use crate::release::Release;
use crate::sync::{Mutation, mutated};

/// Attempts at a page that somebody else isolates each time. The kernel does not count them.
const ATTEMPTS: usize = 10;

impl<R: Release> Machine<R> {
    /// [`Machine::pin`] by a holder who will keep it (`FOLL_LONGTERM`).
    ///
    /// Errors as there; `ENOMEM` if the page could not be moved off a node for movable pages, `EAGAIN` if others
    /// had it isolated on every attempt.
    pub fn pin_longterm(&self, area: &Area, index: u32, write: bool) -> Result<Pfn> {
        for _ in 0..ATTEMPTS {
            let pfn = self.pin(area, index, PinKind::Pin, write)?;
            if !self.nodes[self.node_of(pfn)].movable {
                return Ok(pfn);
            }
            let part = pfn;
            let pfn = self.frames.head(part);
            self.drain_for_pin(pfn);
            // The pin keeps the page until it is isolated; with it nothing could move.
            let isolated = self.isolate(pfn).is_ok();
            self.unpin(part, PinKind::Pin);
            if isolated {
                self.move_off(pfn)?;
            }
        }
        Err(Error::new(Errno::EAGAIN, "others had the page isolated each time"))
    }

    /// Whoever holds the page that nobody accounts for may be a batch. `LRU` does not tell: a page in one of the move batches
    /// is on its list (kernel 98c6d259319e).
    fn drain_for_pin(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let accounted = || {
            let word = page.word();
            if mutated(Mutation::LruDecidesDrain) {
                return word.has(Flags::LRU);
            }
            let cached = [Flags::FILE, Flags::PRIVATE, Flags::SWAPCACHE];
            let cached = cached.iter().filter(|&&flag| word.has(flag)).count() as u32;
            word.count() == page.mapcount() + cached + PIN
        };
        if !accounted() {
            self.lru_drain_local();
            if !accounted() {
                self.lru_drain_all();
            }
        }
    }

    /// Moves one isolated page to the first node where pins may last.
    fn move_off(&self, pfn: Pfn) -> Result<()> {
        let mut target = |src: Pfn| {
            let lasting = (0..self.nodes.len()).filter(|&node| !self.nodes[node].movable);
            lasting.filter_map(|node| self.alloc_pages(node, self.frames[src].order()).ok()).next()
        };
        let mut list = vec![pfn];
        self.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::LongtermPin);
        if list.is_empty() {
            return Ok(());
        }
        let count = self.frames[pfn].count();
        self.putback_movable_pages(&mut list);
        let why = format!("the page, with {count} references, could not leave a node for movable pages");
        Err(Error::at(Errno::ENOMEM, pfn, Why::State(why)))
    }
}
