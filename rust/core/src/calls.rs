//! The protocol's steps, recorded one by one: what the kernel's probes would show.
//!
//! A machine made with [`Config::calls`](crate::machine::Config::calls) keeps every call of the table
//! below with the page, its reference count and its mapcount on entry, in order; whoever wants them
//! [takes](crate::machine::Machine::take_calls) them. Without it there is no recorder, and a call site costs one test
//! of a pointer that never changes.
//!
//! The core's steps have one name each; how a kernel calls them, and which of them can be seen there, is
//! the profile's `call_names`.

mod names;

pub use names::{Shown, shown};

use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::{Lock, LockClass, thread_slot};

/// A step of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The batches are switched off and drained.
    LruCacheDisable,
    /// All CPUs' batches are drained.
    LruAddDrainAll,
    /// A page is taken off its list, for `move_pages` or memory failure.
    IsolateLru,
    /// A page is taken off its list by a walk over a range (`mbind`, `migrate_pages`, `MADV_PAGEOUT`).
    IsolateLruInWalk,
    /// An isolated page goes back to its list.
    PutbackLru,
    /// A list of pages that a migration left is given back.
    PutbackMovablePages,
    /// A list is migrated.
    MigratePages,
    /// A batch first without waiting, then page by page.
    MigratePagesSync,
    /// One batch.
    MigratePagesBatch {
        /// 0 asynchronous, 1 light, 2 synchronous.
        mode: u8,
        /// Attempts at pages that may be retried.
        passes: u8,
    },
    /// A page's mappings become migration entries.
    TryToMigrate,
    /// A page's mappings are taken away.
    TryToUnmap,
    /// The second half of a batched migration, for one page.
    MigrateFolioMove,
    /// Content and identity go to the new page.
    MoveToNew,
    /// The bytes are copied.
    Copy,
    /// The mapping is switched if the count is as expected.
    MigrateMapping {
        /// References that are accounted for.
        expected: u32,
        /// References that the caller knows of besides.
        extra: u32,
    },
    /// A page that does not move gets its mappings back.
    MigrateUndoSrc {
        /// It was mapped.
        was_mapped: bool,
        /// Its lock is held.
        locked: bool,
    },
    /// The old page of a successful migration is let go.
    MigrateDone,
    /// The last reference is gone.
    PutFinal,
    /// References on several pages are put together: the kernel frees those that nobody else holds
    /// without the call for a single one.
    ReleasePages,
}

/// A page as a call found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The frame.
    pub pfn: Pfn,
    /// Its references.
    pub count: u32,
    /// Its mappings.
    pub mapcount: u32,
}

/// One entry into a call, or the return from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The step.
    pub call: Call,
    /// The page that it is about, on entry.
    pub page: Option<Found>,
    /// The page that it leads to, on entry.
    pub dst: Option<Pfn>,
    /// What it returned; `None` on entry.
    pub ret: Option<i32>,
    /// The slot of the thread that was there.
    pub thread: usize,
}

/// Keeps what is recorded.
#[derive(Debug)]
pub(crate) struct Recorder(Lock<Vec<Recorded>>);

impl Recorder {
    pub(crate) fn new() -> Recorder {
        Recorder(Lock::new(LockClass::Leaf, Vec::new()))
    }
}

impl<R: Release> Machine<R> {
    /// Everything recorded since the last time, in order; nothing if the machine records no calls.
    pub fn take_calls(&self) -> Vec<Recorded> {
        self.recorder.as_ref().map_or_else(Vec::new, |recorder| std::mem::take(&mut *recorder.0.lock()))
    }

    #[cold]
    fn record(&self, recorder: &Recorder, call: Call, page: Option<Pfn>, dst: Option<Pfn>, ret: Option<i32>) {
        let page = page.map(|pfn| {
            let record = &self.frames[pfn];
            Found { pfn, count: record.count(), mapcount: record.mapcount() }
        });
        recorder.0.lock().push(Recorded { call, page, dst, ret, thread: thread_slot() });
    }

    /// A call that is about no page.
    #[inline]
    pub(crate) fn calls(&self, call: Call) {
        if let Some(recorder) = &self.recorder {
            self.record(recorder, call, None, None, None);
        }
    }

    /// Entry into a call about a page.
    #[inline]
    pub(crate) fn calls_on(&self, call: Call, pfn: Pfn) {
        if let Some(recorder) = &self.recorder {
            self.record(recorder, call, Some(pfn), None, None);
        }
    }

    /// Entry into a call that leads from a page to another.
    #[inline]
    pub(crate) fn calls_from_to(&self, call: Call, src: Pfn, dst: Pfn) {
        if let Some(recorder) = &self.recorder {
            self.record(recorder, call, Some(src), Some(dst), None);
        }
    }

    /// The return of a call.
    #[inline]
    pub(crate) fn returns(&self, call: Call, ret: i32) {
        if let Some(recorder) = &self.recorder {
            self.record(recorder, call, None, None, Some(ret));
        }
    }
}
