//! What every Python object of one machine shares: the machine, the ledger of its handles, and the
//! rules for entering it.
//!
//! # Entering
//!
//! A call detaches from the interpreter first, then enters the gate. Calls share the gate; an audit
//! has it alone, because only a quiet machine can be audited. Nobody waits for the gate while holding
//! the interpreter, and calls do not queue behind an audit that waits: it gives up instead.
//!
//! # Locks
//!
//! Nothing of Python's runs under a lock of ours: what is a Python object leaves its table first ([`Kept`]), and the
//! other tables have none. The gate is shared by a call while the core makes callbacks, as page locks are held then:
//! what a callback may not wait for is refused ([`Waits`]).
//!
//! # Never hanging
//!
//! A thread that holds a page lock, or runs a callback that the core made under one, must not wait for
//! page locks: that is the lock order of the core. Such calls are refused before anything has changed
//! ([`Waits`]). Others' page locks are waited for out here, where Ctrl-C is heard.
//!
//! # Dropped handles
//!
//! A finaliser sends the handle to a list, and the next call gives it back, before it looks whether it may wait: what
//! a thread has dropped does not stand in its own way.

use crate::ending;
use crate::errors::{Refusal, misuse};
use crate::fork;
use crate::kept::Kept;
use crate::waits::{LOOK_AGAIN, PATIENCE, is_in_callback, take_raised};
pub(crate) use crate::waits::{Waits, in_callback};
use mmcore::audit::{Handle, Ledger};
use mmcore::error::{Errno, Error};
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, File, Writeback};
use mmcore::page::{Flags, Pfn};
use mmcore::release::Chosen;
use mmcore::sync::{claim_thread_slot, patiently};
use parking_lot::{Mutex, RwLock};
use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// How long an audit waits for others to leave the machine.
const AUDIT_PATIENCE: Duration = Duration::from_secs(1);

/// A write to disk that has begun.
pub(crate) struct Begun {
    file: Arc<File>,
    write: Writeback,
    /// Who ends it; nobody if its handle was dropped.
    thread: Option<ThreadId>,
}

impl Begun {
    /// By the calling thread.
    pub fn new(file: &Arc<File>, write: Writeback) -> Begun {
        Begun { file: Arc::clone(file), write, thread: Some(std::thread::current().id()) }
    }
}

pub(crate) struct Shared {
    pub machine: Machine<Chosen>,
    pub ledger: Ledger,
    /// A process lives until it exits, whether or not somebody has a handle on it.
    pub spaces: Mutex<HashMap<u32, Arc<AddressSpace>>>,
    /// Who is called when an address space is told of a lost page, by its number.
    pub handlers: Kept,
    /// Owners in Python of movable pages, in order of their coming.
    pub owners: Kept,
    next_owner: AtomicU64,
    closed: AtomicBool,
    process: fork::Process,
    gate: RwLock<()>,
    /// Page locks that handles hold, and the threads that took them; nobody for a handle that was dropped.
    locks: Mutex<HashMap<Pfn, Option<ThreadId>>>,
    /// Writes to disk that have begun.
    writes: Mutex<HashMap<Pfn, Begun>>,
    dropped: Sender<(Pfn, Handle)>,
    returned: Mutex<Receiver<(Pfn, Handle)>>,
    /// Handles sent and not yet received.
    waiting: AtomicUsize,
}

impl Shared {
    pub fn new(machine: Machine<Chosen>) -> Shared {
        let (dropped, returned) = channel();
        Shared {
            machine,
            ledger: Ledger::default(),
            spaces: Mutex::default(),
            handlers: Kept::default(),
            owners: Kept::default(),
            next_owner: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            process: fork::Process::current(),
            gate: RwLock::new(()),
            locks: Mutex::default(),
            writes: Mutex::default(),
            dropped,
            returned: Mutex::new(returned),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The Python objects that the machine keeps.
    pub fn objects(&self) -> [&Kept; 2] {
        [&self.handlers, &self.owners]
    }

    /// Keeps an owner of movable pages, and returns its number.
    pub fn keep_owner(&self, py: Python<'_>, methods: Py<PyAny>) -> u64 {
        // Relaxed: a number that nobody else gets.
        let number = self.next_owner.fetch_add(1, Ordering::Relaxed);
        self.owners.set(py, number, Some(methods));
        number
    }

    /// Is the machine open, and this the process that built it?
    pub fn alive(&self) -> PyResult<()> {
        if !self.process.is_current() {
            return Err(misuse("this machine belongs to the parent process: build another one after fork()"));
        }
        // Acquire pairs with `close`; a call that began before it may still end after it.
        if self.closed.load(Ordering::Acquire) {
            return Err(misuse("this machine is closed"));
        }
        Ok(())
    }

    /// Refuses further calls. The memory lives as long as buffers over it do.
    pub fn close(&self, py: Python<'_>) {
        // Release pairs with `alive`.
        self.closed.store(true, Ordering::Release);
        if self.process.is_current() {
            // Handlers and owners often know their machine: most need no collector then.
            self.objects().into_iter().for_each(|kept| kept.clear(py));
        }
    }

    /// Was the machine built here, and not by a parent process?
    pub fn in_this_process(&self) -> bool {
        self.process.is_current()
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) || !self.process.is_current()
    }

    /// A look that takes no lock and waits for nothing.
    pub fn look<T>(&self, py: Python<'_>, look: impl FnOnce(&Shared) -> T) -> PyResult<T> {
        self.alive()?;
        self.give_back_dropped(py)?;
        Ok(look(self))
    }

    /// A call: checks, detaches, enters, works.
    pub fn call<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        self.may_enter(py, waits)?;
        self.enter(py, work)?.map_err(|refusal| refusal.raise(py, self))
    }

    /// A call that can be made again where it was: while it waits for a migration or a page lock, it comes out here now
    /// and then to look at signals. `work` remembers what is done.
    pub fn call_again<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        mut work: impl FnMut(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        let began = Instant::now();
        loop {
            self.may_enter(py, waits)?;
            match self.enter(py, |shared| patiently(PATIENCE, || work(shared)))? {
                Err(Refusal::Kernel(Error { errno: Errno::EINTR, .. })) => look_up(py, began)?,
                done => return done.map_err(|refusal| refusal.raise(py, self)),
            }
        }
    }

    /// Runs with nobody else inside. `EBUSY` if others do not leave, or do not give page locks back.
    pub fn call_alone<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&Shared) -> T + Send) -> PyResult<T> {
        let deadline = Instant::now() + AUDIT_PATIENCE;
        self.alive()?;
        self.give_back_dropped(py)?;
        self.may_wait(py, Waits::ForPageLocks, Some(deadline))?;
        let mut work = Some(work);
        loop {
            let done = py.detach(|| {
                let _alone = self.gate.try_write_for(PATIENCE)?;
                let work = work.take()?;
                Some(work(self))
            });
            if let Some(done) = done {
                return Ok(done);
            }
            py.check_signals()?;
            if Instant::now() >= deadline {
                return Err(Refusal::not_quiet().raise(py, self));
            }
        }
    }

    /// What each call begins with.
    fn may_enter(&self, py: Python<'_>, waits: Waits) -> PyResult<()> {
        self.alive()?;
        self.give_back_dropped(py)?;
        self.may_wait(py, waits, None)
    }

    /// Detaches, enters the gate, works. An audit that has the gate is waited for with an ear for signals.
    fn enter<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<Result<T, Refusal>> {
        let mut work = Some(work);
        loop {
            let done = py.detach(|| {
                if !claim_thread_slot() {
                    return Some(Err(Refusal::too_many_threads()));
                }
                let _inside = self.gate.try_read_recursive_for(PATIENCE)?;
                let work = work.take()?;
                Some(work(self))
            });
            match done {
                // A callback was interrupted. What the call did stays done; no verb that gives a handle has called an
                // owner by the time it has one.
                Some(done) => return take_raised().map_or(Ok(done), Err),
                None => py.check_signals()?,
            }
        }
    }

    /// Refuses to wait for page locks with page locks held: they may be the same.
    pub fn may_sleep(&self) -> PyResult<()> {
        if is_in_callback() {
            return Err(misuse("a callback holds page locks: it must not make calls that wait for pages"));
        }
        Ok(())
    }

    /// Refuses a wait that this thread could not survive; waits for page locks that others hold, until the deadline
    /// if there is one: then `EBUSY`.
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

    /// Does another thread hold what such a call may have to wait for? Why it must not, if this one does.
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
        // Who waits for a page lock may wait for somebody who waits for the write's end.
        let any = waits == Waits::ForPageLocks;
        if let Some((pfn, _)) = writes.iter().find(|(_, begun)| any && begun.thread == me) {
            return Err(format!(
                "this thread has begun a write of page {pfn} to disk: end it before a call that may wait for it"
            ));
        }
        Ok(locks.keys().any(of_interest) || (any && !writes.is_empty()))
    }

    /// The page lock, as a handle. False if it is not to be had now.
    pub fn try_lock_page(&self, py: Python<'_>, pfn: Pfn) -> PyResult<bool> {
        self.call(py, Waits::Never, |shared| {
            let locked = shared.machine.hold_lock(&shared.ledger, pfn)?;
            if locked {
                shared.locks.lock().insert(shared.head(pfn), Some(std::thread::current().id()));
            }
            Ok(locked)
        })
    }

    /// Does the calling thread hold this page lock? Of a large page there is one for all parts.
    pub fn holds_lock(&self, pfn: Pfn) -> bool {
        self.locks.lock().get(&self.head(pfn)) == Some(&Some(std::thread::current().id()))
    }

    /// A pin by frame number; `EAGAIN` while a migration may have the page.
    pub fn try_pin(&self, pfn: Pfn) -> Result<(), Error> {
        // A handle gives its lock back after it has left the table: as long as it is there, no migration has the page.
        let locks = self.locks.lock();
        if locks.contains_key(&self.head(pfn)) {
            // Its reference keeps the page, so nothing is freed here, and no owner called.
            return self.machine.hold_pin_locked(&self.ledger, pfn);
        }
        drop(locks);
        self.machine.hold_pin(&self.ledger, pfn)
    }

    /// The head of the page that a frame is part of.
    pub fn head(&self, pfn: Pfn) -> Pfn {
        self.machine.frames().head(pfn)
    }

    /// Keeps a write to disk that has begun, and says of which page it is.
    pub fn begun(&self, begun: Begun) -> Pfn {
        let pfn = begun.write.pfn;
        self.ledger.add(pfn, Handle::Writeback);
        self.writes.lock().insert(pfn, begun);
        pfn
    }

    /// Has a write of a page of this file begun?
    pub fn is_written(&self, file: &Arc<File>) -> bool {
        self.writes.lock().values().any(|begun| Arc::ptr_eq(&begun.file, file))
    }

    /// Gives a handle back.
    pub fn let_go(&self, pfn: Pfn, handle: Handle) {
        if handle == Handle::Writeback {
            let begun = self.writes.lock().remove(&pfn);
            if let Some(Begun { file, write, .. }) = begun {
                self.ledger.remove(pfn, handle);
                self.machine.end_writeback(&file, write);
            }
            return;
        }
        if handle == Handle::Lock {
            self.locks.lock().remove(&self.head(pfn));
        }
        self.machine.let_go(&self.ledger, pfn, handle);
    }

    /// Gives a token of a movable page back to the owner, if the page lock is free; false if not.
    pub fn try_put_back(&self, pfn: Pfn) -> bool {
        self.machine.try_let_go_movable(&self.ledger, pfn)
    }

    /// A handle was dropped without being given back: warns, and leaves it to the next call.
    pub fn abandon(&self, pfn: Pfn, handle: Handle, what: &str) {
        if self.is_closed() {
            return;
        }
        // Nobody's from now on: whoever is about to give it back need not be the thread that has dropped it.
        if let (Handle::Lock, Some(thread)) = (handle, self.locks.lock().get_mut(&self.head(pfn))) {
            *thread = None;
        }
        if let (Handle::Writeback, Some(begun)) = (handle, self.writes.lock().get_mut(&pfn)) {
            begun.thread = None;
        }
        // Before the send, so that nobody receives what is not counted. Relaxed: a hint.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.dropped.send((pfn, handle)).is_err() {
            return;
        }
        Python::try_attach(|py| {
            // A finaliser may run while an exception is on its way.
            let on_its_way = PyErr::take(py);
            let text = CString::new(format!("{what} of page {pfn} was never given back"))
                .expect("numbers and names have no zero bytes");
            let category = py.get_type::<PyResourceWarning>();
            if let Err(raised) = PyErr::warn(py, &category, &text, 1) {
                raised.write_unraisable(py, None);
            }
            if let Some(error) = on_its_way {
                error.restore(py);
            }
        });
    }

    /// Gives back what was dropped.
    fn give_back_dropped(&self, py: Python<'_>) -> PyResult<()> {
        // Relaxed: a handle dropped by this thread is seen; others' may as well come later.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        self.enter(py, |shared| {
            shared.receive_dropped();
            Ok(())
        })
        .map(|_| ())
    }

    fn receive_dropped(&self) {
        // Out of the lock first: an owner may be called.
        let returned: Vec<_> = self.returned.lock().try_iter().collect();
        for (pfn, handle) in returned {
            // Back to its owner it goes under the page lock, which may be somebody's, even our own.
            let given_back = match handle {
                Handle::IsolatedMovable => !is_in_callback() && self.try_put_back(pfn),
                _ => {
                    self.let_go(pfn, handle);
                    true
                }
            };
            if given_back {
                // Relaxed: as in `give_back_dropped`.
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            } else {
                // The receiver is a field of the same value.
                let _ = self.dropped.send((pfn, handle));
            }
        }
    }

    pub fn flags(&self, pfn: Pfn) -> Flags {
        self.machine.frames()[pfn].flags()
    }
}

/// What a thread does between two looks at what it waits for: it hears signals, and does not wait for ever for
/// threads that an interpreter which ends has stopped.
pub(crate) fn look_up(py: Python<'_>, began: Instant) -> PyResult<()> {
    py.check_signals()?;
    if ending::has_begun() && began.elapsed() >= AUDIT_PATIENCE {
        return Err(misuse("the interpreter ends: the thread that this call waits for will not go on"));
    }
    Ok(())
}
