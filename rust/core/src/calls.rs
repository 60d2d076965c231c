//! The protocol's steps, recorded one by one: what the kernel's probes would show.
//!
//! A machine made with [`Config::calls`](crate::machine::Config::calls), or while it is
//! [traced](crate::machine::Machine::begin_trace), keeps every call of the table
//! below with the page, its reference count and its mapcount on entry, in order; whoever wants them
//! [takes](crate::machine::Machine::take_calls) them. A machine that was never traced has no recorder, and a call site
//! costs one test of a word that never changes.
//!
//! The last variants are tracepoints: moments that a kernel shows by that name, and no probe of the lab does.
//!
//! The core's steps have one name each; how a kernel calls them, and which of them can be seen there, is
//! the profile's `call_names`.

mod events;
mod names;

pub use events::{Event, events};
pub use names::{Shown, shown};

use crate::inject::{Kind, Plans};
use crate::machine::Machine;
use crate::migrate::{Mode, Reason};
use crate::page::{Pfn, Word};
use crate::release::Release;
use crate::sync::{AtomicU32, Lock, LockClass, Ordering, Stat, nanoseconds, thread_slot};
use std::sync::OnceLock;

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
    /// A large page becomes base pages.
    SplitFolio,
    /// A page that memory failure cannot handle as it is may be in a batch: all are drained (`shake_page`).
    ShakePage,
    /// The same, by hard memory failure itself.
    ShakeFolio,
    /// A reference for memory failure: 1 taken, 0 the page is free, or an errno. Only its return is recorded, as
    /// those of the calls that serve a whole failure.
    GetHwpoisonPage,
    /// The same, for unpoisoning.
    GetUnpoisonPage,
    /// A clean page that nobody uses is dropped from the page cache.
    EvictFolio,
    /// A page whose content is safe is poisoned for good.
    PageHandlePoison {
        /// It is free and comes off the allocator's lists.
        free: bool,
        /// The caller's reference goes.
        release: bool,
    },
    /// A free frame is taken out of the allocator.
    TakePageOffBuddy,
    /// Every mapping of a poisoned page is taken away.
    UnmapPoisoned,
    /// The same with the processes told: 1 if nothing maps the page any more.
    HwpoisonUserMappings,
    /// A soft offline has ended.
    SoftOfflinePage,
    /// A hard memory failure has ended.
    MemoryFailure,
    /// An unpoisoning has ended.
    UnpoisonMemory,
    /// The last reference is gone.
    PutFinal,
    /// References on several pages are put together: the kernel frees those that nobody else holds
    /// without the call for a single one.
    ReleasePages,
    /// Tracepoint `mm_page_alloc`.
    MmPageAlloc,
    /// Tracepoint `mm_page_free`.
    MmPageFree,
    /// Tracepoint `mm_lru_insertion`: a page has come out of the add batch onto a list.
    MmLruInsertion,
    /// Tracepoint `mm_lru_activate`.
    MmLruActivate,
    /// Tracepoint `mm_migrate_pages`.
    MmMigratePages {
        /// Pages that moved.
        succeeded: u32,
        /// Pages that did not.
        failed: u32,
        /// How long it may wait.
        mode: Mode,
        /// Why.
        reason: Reason,
    },
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
    /// Its word: the flags, and the references once more.
    pub word: Word,
    /// Its order.
    pub order: u8,
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
    /// The CPU that it was on.
    pub cpu: usize,
    /// When, by [`nanoseconds`].
    pub when: u64,
}

/// Keeps what is recorded, and the faults that strike at recorded calls.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Not 0: somebody wants the calls.
    on: AtomicU32,
    calls: Lock<Vec<Recorded>>,
    /// Calls that the host had no memory for. Counted under the lock.
    lost: Stat,
    /// Faults that are armed.
    pub(crate) plans: Plans,
}

/// A machine's recorder, made by the first who wants one.
pub(crate) type Recording = OnceLock<Box<Recorder>>;

impl Recorder {
    pub(crate) fn new(on: bool) -> Box<Recorder> {
        let calls = Lock::new(LockClass::Leaf, Vec::new());
        Box::new(Recorder { on: AtomicU32::new(on.into()), calls, lost: Stat::new(), plans: Plans::new() })
    }

    /// Is its word at `address`? For traces.
    pub(crate) fn is_at(&self, address: usize) -> bool {
        std::ptr::from_ref(&self.on).addr() == address
    }

    /// For a machine that records its calls from the beginning, or may be told to later.
    pub(crate) fn of(on: bool) -> Recording {
        match on {
            true => Recording::from(Recorder::new(true)),
            false => Recording::new(),
        }
    }
}

impl<R: Release> Machine<R> {
    /// From now on calls are recorded. False if they are already: whoever began first takes them.
    pub fn begin_trace(&self) -> bool {
        let recorder = self.recorder.get_or_init(|| Recorder::new(false));
        // Relaxed: a call under way may or may not be recorded; the calls themselves are under a lock.
        let began = recorder.on.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if began {
            let mut calls = recorder.calls.lock();
            calls.clear();
            recorder.lost.add(-recorder.lost.get());
        }
        began
    }

    /// No more. What was recorded can still be taken.
    pub fn end_trace(&self) {
        if let Some(recorder) = self.recorder.get() {
            // Relaxed: as above.
            recorder.on.store(0, Ordering::Relaxed);
        }
    }

    /// Everything recorded since the last time, in order; nothing if the machine records no calls.
    pub fn take_calls(&self) -> Vec<Recorded> {
        self.recorder.get().map_or_else(Vec::new, |recorder| std::mem::take(&mut *recorder.calls.lock()))
    }

    /// Calls since the beginning that were not recorded, because the host had no memory for them.
    pub fn lost_calls(&self) -> u64 {
        self.recorder.get().map_or(0, |recorder| recorder.lost.get() as u64)
    }

    #[cold]
    fn record(&self, recorder: &Recorder, call: Call, page: Option<Pfn>, dst: Option<Pfn>, ret: Option<i32>) {
        // Relaxed: as in `begin_trace`.
        if recorder.on.load(Ordering::Relaxed) != 0 {
            self.keep(recorder, call, page, dst, ret);
        }
        if ret.is_none() && recorder.plans.any() {
            self.pass_step(&recorder.plans, call.name(), [page, dst]);
        }
    }

    fn keep(&self, recorder: &Recorder, call: Call, page: Option<Pfn>, dst: Option<Pfn>, ret: Option<i32>) {
        let page = page.map(|pfn| match self.frames.get(pfn) {
            Some(record) => {
                let word = record.word();
                let (count, mapcount) = (word.count(), record.mapcount());
                Found { pfn, count, mapcount, word, order: record.order() }
            }
            // The zero page: nobody counts who maps it.
            None => Found { pfn, count: self.zero_page_count(), mapcount: 0, word: Word(0), order: 0 },
        });
        let (thread, cpu) = (thread_slot(), self.cpu());
        let mut calls = recorder.calls.lock();
        // What is recorded grows as long as nobody takes it; the machine must go on without.
        if calls.try_reserve(1).is_err() {
            return recorder.lost.add(1);
        }
        // Under the lock, so that time goes forward in the list.
        calls.push(Recorded { call, page, dst, ret, thread, cpu, when: nanoseconds() });
    }

    /// A call that is about no page.
    #[inline]
    pub(crate) fn calls(&self, call: Call) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, None, None, None);
        }
    }

    /// Entry into a call about a page.
    #[inline]
    pub(crate) fn calls_on(&self, call: Call, pfn: Pfn) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, Some(pfn), None, None);
        }
    }

    /// Entry into a call that leads from a page to another.
    #[inline]
    pub(crate) fn calls_from_to(&self, call: Call, src: Pfn, dst: Pfn) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, Some(src), Some(dst), None);
        }
    }

    /// Entry into the copy of a migration. True if it meets a machine check, by an injected fault: one test for both.
    #[inline]
    pub(crate) fn calls_copy(&self, src: Pfn, dst: Pfn) -> bool {
        match self.recorder.get() {
            Some(recorder) => {
                self.record(recorder, Call::Copy, Some(src), Some(dst), None);
                recorder.plans.strike(Kind::CopyFailure, "copy of a migration", Some(src))
            }
            None => false,
        }
    }

    /// The return of a call that leads from a page to another; if all went well, a step of that name.
    #[inline]
    pub(crate) fn returns_from_to(&self, call: Call, ret: i32, step: &'static str, src: Pfn, dst: Pfn) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, None, None, Some(ret));
            if ret == 0 {
                self.pass_step(&recorder.plans, step, [Some(src), Some(dst)]);
            }
        }
    }

    /// The return of a call.
    #[inline]
    pub(crate) fn returns(&self, call: Call, ret: i32) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, None, None, Some(ret));
        }
    }
}
