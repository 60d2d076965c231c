//! The counters that the reckoner derives of faults, disks and large pages.

use super::{Books, books};
use crate::page::{Frames, HUGE_ORDER, Page, Pfn};
use crate::stat::Event;
use crate::sync::thread_slot;

/// The KiB of a page.
const KIB: i64 = (crate::page::PAGE_SIZE / 1024) as i64;

impl Books {
    fn faults(&self) -> bool {
        self.faulting.contains(&thread_slot())
    }

    /// The content of a page came from a disk or from swap. A fault that had to wait for it is a major one.
    pub(super) fn content_read(&mut self) {
        if self.faults() {
            self.add(Event::Pgmajfault, 1);
        }
    }

    /// A page that is in no cache has become an anonymous one.
    pub(super) fn began_anon(&mut self, order: u8, thread: usize) {
        if order == HUGE_ORDER && self.faulting.contains(&thread) {
            self.add(Event::ThpFaultAlloc, 1);
        }
    }

    /// A page of order 9 came apart.
    pub(super) fn came_apart(&mut self, head: Pfn) {
        let me = thread_slot();
        self.add(Event::ThpSplitPage, 1);
        self.splitting.remove(&me);
        if self.slotless.remove(&me) == Some(head) {
            self.add(Event::ThpSwpoutFallback, 1);
        }
    }
}

/// Tells that the calling thread begins to handle a fault.
#[inline]
pub(crate) fn note_fault_start() {
    books(|books| _ = books.faulting.insert(thread_slot()));
}

/// Tells that the calling thread has handled its fault.
#[inline]
pub(crate) fn note_fault_end() {
    books(|books| _ = books.faulting.remove(&thread_slot()));
}

/// Tells that an entry which maps a page read-only has got the permission to write.
#[inline]
pub(crate) fn made_writable() {
    books(|books| {
        if books.faults() {
            books.add(Event::Pgreuse, 1);
        }
    });
}

/// Tells that the page for which a content was read has left its file meanwhile: the fault begins again, and
/// may have counted the read or not.
#[inline]
pub(crate) fn read_lost() {
    books(|books| {
        if books.faults() {
            books.add(Event::Pgmajfault, -1);
            books.unsure.add(Event::Pgmajfault, 1);
        }
    });
}

/// Tells that a page was read from a disk.
#[inline]
pub(crate) fn disk_read() {
    books(|books| {
        books.content_read();
        books.add(Event::Pgpgin, KIB);
    });
}

/// Tells that a page was written to a disk.
#[inline]
pub(crate) fn disk_written() {
    books(|books| books.add(Event::Pgpgout, KIB));
}

/// Tells that an allocation of 2^`order` frames has failed.
#[inline]
pub(crate) fn unserved(order: u8) {
    books(|books| {
        if order == HUGE_ORDER && books.faults() {
            books.add(Event::ThpFaultFallback, 1);
        }
    });
}

/// Tells that there are no swap slots for a page.
#[inline]
pub(crate) fn slotless(page: &Page, pfn: Pfn) {
    books(|books| {
        if super::order_of(page) == HUGE_ORDER {
            books.slotless.insert(thread_slot(), pfn);
        }
    });
}

/// Tells that the calling thread is about to split a page.
#[inline]
pub(crate) fn note_split_start(frames: &Frames, head: Pfn) {
    books(|books| {
        if super::order_of(&frames[head]) == HUGE_ORDER {
            books.splitting.insert(thread_slot(), head);
        }
    });
}

/// Tells that the calling thread's attempt to split a page has ended.
#[inline]
pub(crate) fn note_split_end() {
    books(|books| {
        if books.splitting.remove(&thread_slot()).is_some() {
            books.add(Event::ThpSplitPageFailed, 1);
        }
    });
}
