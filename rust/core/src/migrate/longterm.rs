//! Long-term pins: a page in the zone of movable pages must not be pinned for a long time
//! (`check_and_migrate_movable_pages`).
//!
//! A pinned page cannot move, and would keep its memory block from going offline. The page is
//! therefore moved to a node without such a zone before it is pinned for good.

use super::{Mode, Reason};
use crate::calls::Call;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::map::{Area, PinKind};
use crate::page::{Flags, Pfn};
use crate::pressure::state::context;
use crate::release::Release;
use crate::sync::{Mutation, mutated};

/// Attempts at a page that another thread has isolated each time. The kernel does not limit them.
const ATTEMPTS: usize = 10;

impl<R: Release> Machine<R> {
    /// [`Machine::pin`] for a long time (`FOLL_LONGTERM`).
    ///
    /// Errors as [`Machine::pin`]; `ENOMEM` if the page could not be moved off a node for movable pages,
    /// `EAGAIN` if other threads had the page isolated on every attempt.
    pub fn pin_longterm(&self, area: &Area, index: u32, write: bool) -> Result<Pfn> {
        let must_move = |pfn| self.profile.longterm_moves && self.is_for_movable(pfn);
        let _pins = self.profile.longterm_moves.then(|| self.pressure.enter(context::PINS));
        for attempt in 0..ATTEMPTS {
            // Under the page-table locks the kernel pins first the page that must move, and later the moved
            // page; each of these pins marks the page accessed. A page that moves is therefore accessed
            // twice, and becomes active (recording o03-pinned-longterm).
            let slowly = |pfn| attempt > 0 || must_move(pfn);
            let pfn = self.pin_found(area, index, PinKind::Pin, write, slowly)?;
            if !must_move(pfn) {
                return Ok(pfn);
            }
            let part = pfn;
            let pfn = self.frames.head(part);
            self.drain_for_pin(pfn);
            // The pin keeps the page until it is isolated. The pin is dropped before the migration,
            // because a pinned page cannot move.
            let isolated = self.isolate_by(pfn, Call::IsolateLruInWalk).is_ok();
            self.unpin(part, PinKind::Pin);
            if isolated {
                self.move_off(pfn)?;
            }
        }
        Err(Error::new(Errno::EAGAIN, "another thread had the page isolated at each attempt"))
    }

    /// Drains the LRU batches if the page has a reference that its users do not account for,
    /// because that reference may be a batch's. The flag `LRU` does not tell this: a page in a move
    /// batch is still on its list, with `LRU` set (kernel 98c6d259319e).
    ///
    /// The kernel counts the pin as one reference. Where a pin takes 1024, the sum is never equal to
    /// the count, and the kernel always drains.
    fn drain_for_pin(&self, pfn: Pfn) {
        let page = &self.frames[pfn];
        let accounted = || {
            let word = page.word();
            if mutated(Mutation::LruDecidesDrain) {
                return word.has(Flags::LRU);
            }
            let cached = [Flags::FILE, Flags::PRIVATE, Flags::SWAPCACHE];
            let cached = cached.iter().filter(|&&flag| word.has(flag)).count() as u32;
            word.count() == page.mapcount() + cached + 1
        };
        if !accounted() {
            self.lru_drain_local();
            if !accounted() {
                self.calls(Call::LruAddDrainAll);
                self.lru_drain_all();
            }
        }
    }

    /// Moves one isolated page to the first node that has all its memory in the kernel's zone, and room.
    fn move_off(&self, pfn: Pfn) -> Result<()> {
        let node = self.node_of(pfn);
        let mut target = |src: Pfn| self.alloc_lasting(node, self.frames[src].order()).ok();
        let mut list = vec![pfn];
        self.migrate_pages(&mut list, &mut target, Mode::Sync, Reason::LongtermPin);
        let (moved, count) = (list.is_empty(), self.frames[pfn].count());
        self.putback_movable_pages(&mut list);
        if moved {
            return Ok(());
        }
        let why = format!("the page, with {count} references, could not leave a node for movable pages");
        Err(Error::at(Errno::ENOMEM, pfn, Why::State(why)))
    }
}
