//! The counters that the reckoner derives of scans and deactivations.
//!
//! A scan of an inactive list steals the pages that it takes, except those that come back to a list in the
//! same life.

use super::{Books, Drained, Place, Scanned, Seen, Stolen, Taker, books, order_of};
use crate::page::{Flags, Page, Word};
use crate::stat::Event;
use crate::sync::explored::glance;
use crate::sync::thread_slot;

impl Books {
    fn stolen(&mut self, Stolen { file, daemon }: Stolen, pages: i64) {
        self.add(if file { Event::PgstealFile } else { Event::PgstealAnon }, pages);
        self.add(if daemon { Event::PgstealKswapd } else { Event::PgstealDirect }, pages);
    }

    /// A page has come back to a list, or is about to be put back.
    pub(super) fn is_back(&mut self, seen: &Seen, pages: i64) {
        if let Taker::InactiveScan(of) = seen.by {
            self.stolen(of, -pages);
        }
    }

    /// A page is linked again: a drain may have deactivated it.
    pub(super) fn is_deactivated(&mut self, page: &Page) {
        let Taker::Drain { batch, active } = self.seen(page, Word(0)).by else { return };
        let stays = glance(|| page.word()).has(Flags::ACTIVE);
        let was_young = match batch {
            Drained::Deactivation { generations } => active || generations,
            Drained::OfFiles => active,
            Drained::Another => false,
        };
        if was_young && !stays {
            self.add(Event::Pgdeactivate, 1 << order_of(page));
        }
    }
}

/// Tells that reclaim gives back a page that it leaves.
#[inline]
pub(crate) fn put_back(page: &Page) {
    books(|books| {
        let seen = *books.seen(page, Word(0));
        books.is_back(&seen, 1 << order_of(page));
        books.seen(page, Word(0)).by = Taker::Another;
    });
}

/// Tells that the calling thread begins to drain a batch.
#[inline]
pub(crate) fn note_drain_start(batch: Drained) {
    books(|books| _ = books.draining.insert(thread_slot(), batch));
}

/// Tells that the calling thread has drained its batch.
#[inline]
pub(crate) fn note_drain_end() {
    books(|books| _ = books.draining.remove(&thread_slot()));
}

/// Tells that the calling thread begins to work as a reclaiming daemon.
#[inline]
pub(crate) fn note_daemon_start() {
    books(|books| {
        books.daemons.insert(thread_slot());
        books.add(Event::Pageoutrun, 1);
    });
}

/// Tells that the calling thread ends its work as a reclaiming daemon.
#[inline]
pub(crate) fn note_daemon_end() {
    books(|books| _ = books.daemons.remove(&thread_slot()));
}

/// Tells that a scan of a list meets a page.
#[inline]
pub(crate) fn scanned(page: &Page, list: Scanned) {
    books(|books| {
        let pages = 1 << order_of(page);
        match list {
            Scanned::Active => books.add(Event::Pgrefill, pages),
            Scanned::Inactive { file } => {
                let daemon = books.daemons.contains(&thread_slot());
                books.add(if file { Event::PgscanFile } else { Event::PgscanAnon }, pages);
                books.add(if daemon { Event::PgscanKswapd } else { Event::PgscanDirect }, pages);
            }
        }
    });
}

/// Tells that a scan of a list has taken a page off it.
#[inline]
pub(crate) fn unlinked_by_scan(page: &Page, list: Scanned) {
    books(|books| {
        let by = match list {
            Scanned::Active => Taker::ActiveScan,
            Scanned::Inactive { file } => {
                let of = Stolen { file, daemon: books.daemons.contains(&thread_slot()) };
                books.stolen(of, 1 << order_of(page));
                Taker::InactiveScan(of)
            }
        };
        let seen = books.seen(page, Word(0));
        (seen.place, seen.by) = (Place::Off, by);
    });
}
