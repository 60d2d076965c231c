//! Records calls: switches recording on and off, and marks the places where a call is entered or
//! returns.

use super::about::{About, Returned};
use super::call::{Call, Found, Recorded};
use super::recorder::Recorder;
use crate::inject::Kind;
use crate::machine::Machine;
use crate::page::{Pfn, Word};
use crate::release::design::Designed;
use crate::sync::{Ordering, nanoseconds, thread_slot};

impl<R: Designed> Machine<R> {
    /// Begins to record calls. Returns false if calls are recorded already: then only the caller
    /// that began first takes them.
    pub fn begin_trace(&self) -> bool {
        let recorder = self.recorder.get_or_init(|| Recorder::new(false));
        // Relaxed: a call that another thread makes at this moment may or may not be recorded. The
        // list of calls is protected by its lock.
        let began = recorder.recording.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if began {
            let mut calls = recorder.calls.lock();
            calls.clear();
            recorder.lost.add(-recorder.lost.get());
        }
        began
    }

    /// Stops recording. The calls recorded so far can still be taken.
    pub fn end_trace(&self) {
        if let Some(recorder) = self.recorder.get() {
            // Relaxed: as in `begin_trace`.
            recorder.recording.store(0, Ordering::Relaxed);
        }
    }

    /// Takes the calls that were recorded since the last call of this function, in order. The list
    /// is empty if the machine has recorded no calls.
    pub fn take_calls(&self) -> Vec<Recorded> {
        self.recorder.get().map_or_else(Vec::new, |recorder| std::mem::take(&mut *recorder.calls.lock()))
    }

    /// Returns the number of calls that were lost since the beginning, because the host had no
    /// memory for them.
    pub fn lost_calls(&self) -> u64 {
        self.recorder.get().map_or(0, |recorder| recorder.lost.get() as u64)
    }

    #[cold]
    fn record(&self, recorder: &Recorder, call: Call, page: Option<Pfn>, dst: Option<Pfn>, ret: Option<i32>) {
        // Relaxed: as in `begin_trace`.
        if recorder.recording.load(Ordering::Relaxed) != 0 {
            self.append(recorder, call, page, dst, ret);
        }
        if ret.is_none() && recorder.plans.any() {
            self.pass_step(&recorder.plans, call.name(), [page, dst]);
        }
    }

    fn append(&self, recorder: &Recorder, call: Call, page: Option<Pfn>, dst: Option<Pfn>, ret: Option<i32>) {
        let page = page.map(|pfn| match self.frames.get(pfn) {
            Some(record) => {
                let word = record.word();
                let (count, mapcount) = (word.count(), record.mapcount());
                Found { pfn, count, mapcount, word, order: record.order() }
            }
            // The zero page is no frame of the machine, and its mappings are not counted.
            None => {
                Found { pfn, count: self.failure.zero_page_count(), mapcount: 0, word: Word(0), order: 0 }
            }
        });
        let (thread, cpu) = (thread_slot(), self.cpu());
        let mut calls = recorder.calls.lock();
        // The list grows until it is taken. If the host has no memory for it, the machine must
        // still go on, so the call is lost and counted.
        if calls.try_reserve(1).is_err() {
            return recorder.lost.add(1);
        }
        // The time is read under the lock, so that it never goes backward in the list.
        calls.push(Recorded { call, page, dst, ret, thread, cpu, when: nanoseconds() });
    }

    /// Records the entry into a call that handles no page.
    #[inline]
    pub(crate) fn calls(&self, call: Call) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, None, None, None);
        }
    }

    /// Records the entry into a call that handles a page.
    #[inline]
    pub(crate) fn calls_on(&self, call: Call, pfn: Pfn) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, Some(pfn), None, None);
        }
    }

    /// Runs `work`, and records its beginning and its end as a call that handles these pages.
    ///
    /// The function is always inlined, because every migrated page goes through it.
    #[inline(always)]
    pub(crate) fn traced<T: Returned>(
        &self,
        call: Call,
        about: impl Into<About>,
        work: impl FnOnce() -> T,
    ) -> T {
        if let Some(recorder) = self.recorder.get() {
            let About { page, dst } = about.into();
            self.record(recorder, call, page, dst, None);
        }
        let result = work();
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, None, None, Some(result.ret()));
        }
        result
    }

    /// Returns true if the machine has a recorder, or if a fault counts the steps of the calling thread. Then
    /// the steps of each page end before those of the next page begin, as in the recorded kernels; otherwise
    /// steps run for many pages at once.
    #[inline]
    pub(crate) fn records_calls(&self) -> bool {
        self.recorder.get().is_some() || self.next_fault().is_some()
    }

    /// Returns true if an injected fault makes the copy of a migration meet a machine check.
    #[inline]
    pub(crate) fn copy_strikes(&self, src: Pfn) -> bool {
        self.strikes(Kind::CopyFailure, "copy of a migration", Some(src))
    }

    /// Records the return of a call whose entry is not recorded.
    #[inline]
    pub(crate) fn returns(&self, call: Call, ret: i32) {
        if let Some(recorder) = self.recorder.get() {
            self.record(recorder, call, None, None, Some(ret));
        }
    }
}
