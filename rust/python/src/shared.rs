//! What every Python object of one machine shares: the machine, the ledger of its handles, and the
//! rules for entering it.
//!
//! # Entering
//!
//! A call detaches from the interpreter first, then enters the gate. Calls share the gate; an audit
//! has it alone, because only a quiet machine can be audited. Nobody waits for the gate while holding
//! the interpreter, and calls do not queue behind an audit that waits: it gives up instead.
//!
//! # Never hanging
//!
//! A thread that holds a page lock, or runs a callback that the core made under one, must not wait for
//! page locks: that is the lock order of the core. Such calls are refused before anything has changed
//! ([`Waits`]). Others' page locks are waited for out here, where Ctrl-C is heard.
//!
//! # Dropped handles
//!
//! A finaliser takes no lock: it sends the handle to a list, and the next call gives it back.

use crate::errors::{Refusal, misuse};
use crate::fork;
use crate::pool::PythonOwner;
use mmcore::audit::{Handle, Ledger};
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, File, Writeback};
use mmcore::page::{Flags, Pfn};
use mmcore::release::Chosen;
use mmcore::sync::claim_thread_slot;
use parking_lot::{Mutex, RwLock};
use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::ThreadId;
use std::time::Duration;

/// How long an audit waits for others to leave the machine.
const AUDIT_PATIENCE: Duration = Duration::from_secs(1);

/// How long one look at a page lock that others hold lasts.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What a call may have to wait for inside of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Nothing that another call holds.
    Never,
    /// A migration that is under way: an access to a page between two frames.
    ForMigrations,
    /// The lock of this page.
    ForPageLock(Pfn),
    /// The locks of any pages, or writes of them to disk.
    ForPageLocks,
}

thread_local! {
    /// Callbacks into Python that this thread is inside of.
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
}

/// Runs a callback that the core makes with page locks held.
pub(crate) fn in_callback<T>(callback: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CALLBACKS.set(CALLBACKS.get() - 1);
        }
    }
    CALLBACKS.set(CALLBACKS.get() + 1);
    let _leave = Leave;
    callback()
}

/// A write to disk that has begun.
pub(crate) struct Begun {
    file: Arc<File>,
    write: Writeback,
    thread: ThreadId,
}

impl Begun {
    /// By the calling thread.
    pub fn new(file: &Arc<File>, write: Writeback) -> Begun {
        Begun { file: Arc::clone(file), write, thread: std::thread::current().id() }
    }
}

pub(crate) struct Shared {
    pub machine: Machine<Chosen>,
    pub ledger: Ledger,
    /// A process lives until it exits, whether or not somebody has a handle on it.
    pub spaces: Mutex<HashMap<u32, Arc<AddressSpace>>>,
    /// Who is called when an address space is told of a lost page, by its number.
    pub handlers: Mutex<HashMap<u32, Py<PyAny>>>,
    /// Owners in Python of movable pages.
    pub owners: Mutex<Vec<Arc<PythonOwner>>>,
    closed: AtomicBool,
    process: fork::Process,
    gate: RwLock<()>,
    /// Page locks that handles hold, and the threads that took them.
    locks: Mutex<HashMap<Pfn, ThreadId>>,
    /// Writes to disk that have begun.
    writes: Mutex<HashMap<Pfn, Begun>>,
    dropped: Sender<(Pfn, Handle)>,
    returned: Mutex<Receiver<(Pfn, Handle)>>,
    /// Handles sent and not yet received.
    waiting: AtomicUsize,
}

impl Shared {
    pub fn new(machine: Machine<Chosen>) -> Arc<Shared> {
        let (dropped, returned) = channel();
        Arc::new(Shared {
            machine,
            ledger: Ledger::default(),
            spaces: Mutex::default(),
            handlers: Mutex::default(),
            owners: Mutex::default(),
            closed: AtomicBool::new(false),
            process: fork::Process::current(),
            gate: RwLock::new(()),
            locks: Mutex::default(),
            writes: Mutex::default(),
            dropped,
            returned: Mutex::new(returned),
            waiting: AtomicUsize::new(0),
        })
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
    pub fn close(&self) {
        // Release pairs with `alive`.
        self.closed.store(true, Ordering::Release);
        if self.process.is_current() {
            // Owners often know their machine: without this nobody would ever free either.
            let owners = std::mem::take(&mut *self.owners.lock());
            owners.iter().for_each(|owner| owner.forget());
            // So do handlers.
            drop(std::mem::take(&mut *self.handlers.lock()));
        }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) || !self.process.is_current()
    }

    /// A look that takes no lock and waits for nothing.
    pub fn look<T>(&self, py: Python<'_>, look: impl FnOnce(&Shared) -> T) -> PyResult<T> {
        self.alive()?;
        // Relaxed: a handle dropped by this thread is seen; others' may as well come later.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.call(py, Waits::Never, |_| Ok(()))?;
        }
        Ok(look(self))
    }

    /// A call: checks, detaches, enters, works.
    pub fn call<T: Send>(
        &self,
        py: Python<'_>,
        waits: Waits,
        work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        self.alive()?;
        self.may_wait(py, waits)?;
        let done = py.detach(|| {
            if !claim_thread_slot() {
                return Err(Refusal::too_many_threads());
            }
            let _inside = self.gate.read_recursive();
            self.give_back_dropped(waits);
            work(self)
        });
        done.map_err(|refusal| refusal.raise(py, self))
    }

    /// Runs with nobody else inside. `EBUSY` if others do not leave.
    pub fn call_alone<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&Shared) -> T + Send) -> PyResult<T> {
        self.call(py, Waits::ForPageLocks, |_| Ok(()))?;
        let done = py.detach(|| {
            let alone = self.gate.try_write_for(AUDIT_PATIENCE);
            alone.map(|_alone| work(self)).ok_or_else(Refusal::not_quiet)
        });
        done.map_err(|refusal| refusal.raise(py, self))
    }

    /// Refuses to wait for page locks with page locks held: they may be the same.
    pub fn may_sleep(&self) -> PyResult<()> {
        if CALLBACKS.get() > 0 {
            return Err(misuse("a callback holds page locks: it must not make calls that wait for pages"));
        }
        Ok(())
    }

    /// Refuses a wait that this thread could not survive; waits for page locks that others hold.
    fn may_wait(&self, py: Python<'_>, waits: Waits) -> PyResult<()> {
        if waits == Waits::Never {
            return Ok(());
        }
        self.may_sleep()?;
        let of_interest = |pfn: &Pfn| match waits {
            Waits::ForPageLock(only) => only == *pfn,
            waits => waits == Waits::ForPageLocks,
        };
        loop {
            let others = {
                let locks = self.locks.lock();
                let me = std::thread::current().id();
                if let Some((pfn, _)) = locks.iter().find(|(pfn, thread)| **thread == me && of_interest(pfn))
                {
                    return Err(misuse(format!(
                        "this thread holds the page lock of {pfn}: give it back before a call that may wait for it"
                    )));
                }
                let writes = self.writes.lock();
                // Who waits for a page lock may wait for somebody who waits for the write's end.
                let any = waits == Waits::ForPageLocks;
                if let Some((pfn, _)) = writes.iter().find(|(_, begun)| any && begun.thread == me) {
                    return Err(misuse(format!(
                        "this thread has begun a write of page {pfn} to disk: end it before a call that may wait for it"
                    )));
                }
                locks.keys().any(of_interest) || (any && !writes.is_empty())
            };
            if !others {
                return Ok(());
            }
            py.detach(|| std::thread::sleep(LOOK_AGAIN));
            py.check_signals()?;
            self.call(py, Waits::Never, |_| Ok(()))?;
        }
    }

    /// The page lock, as a handle. False if it is not to be had now.
    pub fn try_lock_page(&self, py: Python<'_>, pfn: Pfn) -> PyResult<bool> {
        self.call(py, Waits::Never, |shared| {
            let locked = shared.machine.hold_lock(&shared.ledger, pfn)?;
            if locked {
                shared.locks.lock().insert(shared.head(pfn), std::thread::current().id());
            }
            Ok(locked)
        })
    }

    /// Does the calling thread hold this page lock? Of a large page there is one for all parts.
    pub fn holds_lock(&self, pfn: Pfn) -> bool {
        self.locks.lock().get(&self.head(pfn)) == Some(&std::thread::current().id())
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

    /// A handle was dropped without being given back: warns, and leaves it to the next call.
    pub fn abandon(&self, pfn: Pfn, handle: Handle, what: &str) {
        if self.is_closed() {
            return;
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

    fn give_back_dropped(&self, waits: Waits) {
        // Relaxed: as in `look`.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Somebody else is at it: fine.
        let Some(returned) = self.returned.try_lock() else { return };
        let mut later = Vec::new();
        while let Ok((pfn, handle)) = returned.try_recv() {
            // Back to its owner it goes under the page lock, which may be somebody's, even our own.
            let must_wait = handle == Handle::IsolatedMovable
                && (waits != Waits::ForPageLocks || self.flags(pfn).contains(Flags::LOCKED));
            if must_wait {
                later.push((pfn, handle));
                continue;
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.let_go(pfn, handle);
        }
        for handle in later {
            // The receiver is a field of the same value.
            let _ = self.dropped.send(handle);
        }
    }

    pub fn flags(&self, pfn: Pfn) -> Flags {
        self.machine.frames()[pfn].flags()
    }
}
