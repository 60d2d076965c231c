//! Entering the machine: the checks, the waits and the end of a call.
//!
//! A callback can raise an exception that ends its call, such as `KeyboardInterrupt`. The core knows
//! nothing of the exception and completes the operation. A signal handler can raise one, too: the handler
//! runs between two pages of a long operation, which then ends early. In both cases the call raises the
//! exception and has no result. A handle in the result would have no Python object, so nobody could give it
//! back. Therefore a call that takes something for its caller says how to undo it ([`Shared::take`]).

use super::Shared;
use crate::ending;
use crate::errors::{Refusal, misuse};
use crate::waits::{
    LOOK_AGAIN, PATIENCE, Waits, hear_signals, is_in_callback, is_in_handler, with_callbacks,
};
use mmcore::page::Pfn;
use mmcore::sync::{claim_thread_slot, interruptible, patiently};
use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// The longest time that an audit waits for other calls to end, and that any call waits once the interpreter
/// has begun to end.
const AUDIT_PATIENCE: Duration = Duration::from_secs(1);

/// The time in which a thread has the machine alone.
struct Auditor<'a>(&'a Shared);

impl Auditor<'_> {
    fn is_me(shared: &Shared) -> Auditor<'_> {
        *shared.auditor.lock() = Some(std::thread::current().id());
        Auditor(shared)
    }
}

impl Drop for Auditor<'_> {
    fn drop(&mut self) {
        *self.0.auditor.lock() = None;
    }
}

impl Shared {
    /// Runs a read that takes no lock and never waits.
    pub fn look<T>(&self, py: Python<'_>, look: impl FnOnce(&Shared) -> T) -> PyResult<T> {
        self.alive()?;
        self.give_back_dropped(py)?;
        Ok(look(self))
    }

    /// Runs a call: checks, detaches, enters the gate, runs `work`. For calls that take nothing for their
    /// caller, or that make no callback and cannot be interrupted; other calls use [`Shared::take`].
    pub fn call<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        self.take(py, waits, work, |_, _| {})
    }

    /// Runs a call, as [`Shared::call`] does, that takes something for its caller, such as a handle. If a
    /// callback or a signal handler has ended the call, `undo` gives that back, within the same call.
    pub fn take<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
        undo: impl FnOnce(&Shared, T) + Send,
    ) -> PyResult<T> {
        self.may_enter(py, waits)?;
        self.enter(py, work, undo)?.map_err(|refusal| refusal.raise(py, self))
    }

    /// Runs a call that can be interrupted and continued. While it waits for a migration or a page lock, it
    /// leaves the core from time to time to check for signals, and then calls `work` again. `work` remembers
    /// its own progress.
    pub fn call_again<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        work: impl FnMut(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        self.take_again(py, waits, work, |_, _| {})
    }

    /// Runs a call, as [`Shared::call_again`] does, that takes something for its caller; `undo` as for
    /// [`Shared::take`].
    pub fn take_again<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        mut work: impl FnMut(&Shared) -> Result<T, Refusal> + Send,
        mut undo: impl FnMut(&Shared, T) + Send,
    ) -> PyResult<T> {
        let began = Instant::now();
        loop {
            self.may_enter(py, waits)?;
            match self.enter(py, |shared| patiently(PATIENCE, || work(shared)), &mut undo)? {
                Err(Refusal::Kernel(error)) if error.is_wait_interrupted() => look_up(py, began)?,
                done => return done.map_err(|refusal| refusal.raise(py, self)),
            }
        }
    }

    /// Runs `work` while no other call is inside. `EBUSY` if within a second other calls do not end, or other
    /// threads' handles do not give back their page locks.
    pub fn call_alone<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        let deadline = Instant::now() + AUDIT_PATIENCE;
        self.alive()?;
        not_in_handler()?;
        self.give_back_dropped(py)?;
        self.may_wait(py, Waits::ForPageLocks, Some(deadline))?;
        let mut work = Some(work);
        loop {
            let done = py.detach(|| {
                let _alone = self.gate.try_write_for(PATIENCE)?;
                let work = work.take()?;
                let _auditor = Auditor::is_me(self);
                Some(with_callbacks(|| interruptible(hear_signals, || work(self)), drop))
            });
            if let Some(done) = done {
                return done?.map_err(|refusal| refusal.raise(py, self));
            }
            self.not_within_audit()?;
            py.check_signals()?;
            if Instant::now() >= deadline {
                return Err(Refusal::not_quiet().raise(py, self));
            }
        }
    }

    /// Makes the checks before a call.
    fn may_enter(&self, py: Python<'_>, waits: Waits) -> PyResult<()> {
        self.alive()?;
        not_in_handler()?;
        self.give_back_dropped(py)?;
        self.may_wait(py, waits, None)
    }

    /// Detaches, enters the gate and runs `work`; `undo` as for [`Shared::take`]. While an audit keeps the
    /// thread from entering, it checks for signals from time to time.
    pub(super) fn enter<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
        undo: impl FnOnce(&Shared, T) + Send,
    ) -> PyResult<Result<T, Refusal>> {
        let mut call = Some((work, undo));
        loop {
            let done = py.detach(|| {
                if !claim_thread_slot() {
                    return Some(Ok(Err(Refusal::too_many_threads())));
                }
                let _inside = self.gate.try_read_recursive_for(PATIENCE)?;
                let (work, undo) = call.take()?;
                let work = || interruptible(hear_signals, || work(self));
                Some(with_callbacks(work, |taken| undo(self, taken)))
            });
            if let Some(done) = done {
                return done;
            }
            self.not_within_audit()?;
            py.check_signals()?;
        }
    }

    /// True if the calling thread is inside of a callback of this machine's audit.
    pub(super) fn is_within_audit(&self) -> bool {
        *self.auditor.lock() == Some(std::thread::current().id())
    }

    /// Refuses a wait for the gate inside of a callback of an audit: the audit has the gate, and would wait
    /// for its own callback.
    fn not_within_audit(&self) -> PyResult<()> {
        match self.is_within_audit() {
            true => Err(misuse("an audit has the machine alone: a callback of it must not call the machine")),
            false => Ok(()),
        }
    }

    /// Refuses to wait for page locks inside of a callback, which runs under page locks: the thread could
    /// wait for its own lock.
    pub fn may_sleep(&self) -> PyResult<()> {
        if is_in_callback() {
            return Err(misuse("a callback holds page locks: it must not make calls that wait for pages"));
        }
        Ok(())
    }

    /// Refuses a call that could wait for this thread's own handle. Then waits until other threads' handles
    /// hold no lock in the way of the call; `EBUSY` if there is a deadline and it passes.
    fn may_wait(&self, py: Python<'_>, waits: Waits, deadline: Option<Instant>) -> PyResult<()> {
        if waits == Waits::Never {
            return Ok(());
        }
        self.may_sleep()?;
        let began = Instant::now();
        while self.in_the_way(waits).map_err(misuse)? {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Refusal::not_quiet().raise(py, self));
            }
            py.detach(|| std::thread::sleep(LOOK_AGAIN));
            look_up(py, began)?;
            self.alive()?;
            self.give_back_dropped(py)?;
        }
        Ok(())
    }

    /// True if a handle of another thread holds a page lock, or has begun a write, for which a call with
    /// these waits may wait. If a handle of this thread does, the result is an error with the reason for the
    /// refusal.
    fn in_the_way(&self, waits: Waits) -> Result<bool, String> {
        let me = Some(std::thread::current().id());
        let of_interest = |pfn: &Pfn| match waits {
            Waits::ForPageLock(only) => self.head(only) == *pfn,
            waits => waits == Waits::ForPageLocks,
        };
        let locks = self.locks.lock();
        if let Some((pfn, _)) = locks.iter().find(|(pfn, thread)| **thread == me && of_interest(pfn)) {
            return Err(format!(
                "this thread holds the page lock of {pfn}: give it back before a call that may wait for it"
            ));
        }
        let writes = self.writes.lock();
        // The holder of a page lock may itself wait for the end of a write, so a call that waits for
        // page locks may wait for any write.
        let any = waits == Waits::ForPageLocks;
        if let Some((pfn, _)) = writes.iter().find(|(_, open)| any && open.thread == me) {
            return Err(format!(
                "this thread has begun a write of page {pfn} to disk: end it before a call that may wait for it"
            ));
        }
        Ok(locks.keys().any(of_interest) || (any && !writes.is_empty()))
    }
}

/// Refuses a call of a signal handler that runs within another call: the other call may hold the locks that
/// this one would take.
fn not_in_handler() -> PyResult<()> {
    match is_in_handler() {
        true => Err(misuse("a signal handler runs within a call of a machine: it must not call a machine")),
        false => Ok(()),
    }
}

/// Runs between two checks of a waiting thread: handles signals. Once the interpreter has begun to end, a
/// wait of more than a second is given up, because the thread that is waited for may be stopped for ever.
pub(crate) fn look_up(py: Python<'_>, began: Instant) -> PyResult<()> {
    py.check_signals()?;
    if ending::has_begun() && began.elapsed() >= AUDIT_PATIENCE {
        return Err(misuse("the interpreter ends: the thread that this call waits for is stopped"));
    }
    Ok(())
}
