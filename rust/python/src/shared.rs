//! State that all Python objects of one machine share: the machine, the ledger of its handles, and
//! the rules for entering the machine.
//!
//! # Entering
//!
//! A call detaches from the interpreter, then enters the gate, a readers-writer lock. Calls share
//! the gate; an audit has it alone, because only a machine without running calls can be audited. No
//! thread waits for the gate while it is attached, because a call inside of the gate may have to
//! attach for a callback. An audit that waits gives up after a while and does not block new calls.
//!
//! # Locks
//!
//! No Python code runs while a lock of this crate other than the gate is held: the code could call the
//! machine, and wait for a lock that its own thread holds. Python objects are therefore taken out of their
//! table before they are used or dropped ([`HeldObjects`]), and the other tables hold no Python objects. The
//! gate is held while the core makes callbacks. A call holds it shared, so its callbacks may make calls. An
//! audit holds it alone, so its callbacks may not. The core holds page locks during a callback, too, so calls
//! that could wait for them are refused inside of callbacks ([`Waits`]).
//!
//! # No deadlocks
//!
//! A thread that holds a page lock, or runs a callback that the core made under one, must not wait
//! for another page lock: the core's lock order forbids it. Such calls are refused before anything
//! has changed ([`Waits`]). Page locks that handles of other threads hold are waited for outside of
//! the core, where signals (Ctrl-C) are handled.
//!
//! # Dropped handles and pools
//!
//! A finaliser sends the dropped handle to a list. The next call first gives the handle back, and only then
//! checks whether it may wait, so that a dropped page lock does not block the thread that dropped it.
//! Dropped pools and devices are closed in the same way.

mod arranged;
mod enter;

use crate::errors::{Refusal, misuse};
use crate::fork;
use crate::held_objects::HeldObjects;
use crate::pressure::Background;
pub(crate) use crate::waits::{Waits, in_callback};
use crate::waits::{is_in_callback, is_in_handler};
pub(crate) use arranged::Lent;
pub(crate) use enter::look_up;
use mmcore::audit::{Handle, Ledger};
use mmcore::balloon::Balloon;
use mmcore::error::{Errno, Error};
use mmcore::layout::Arranged;
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, File, Writeback};
use mmcore::movable::{PagePool, PoolPage};
use mmcore::page::{Flags, Pfn};
use mmcore::release::Chosen;
use mmcore::sync::patiently;
use mmcore::zram::Zram;
use mmcore::zsmalloc::ZsPool;
use parking_lot::{Mutex, RwLock};
use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::ffi::CString;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::ThreadId;
use std::time::Duration;

/// A write to disk that has begun.
pub(crate) struct OpenWrite {
    file: Arc<File>,
    write: Writeback,
    /// The thread that began the write and is expected to end it; `None` if the handle was dropped.
    thread: Option<ThreadId>,
}

impl OpenWrite {
    /// A write that the calling thread has begun.
    pub fn new(file: &Arc<File>, write: Writeback) -> OpenWrite {
        OpenWrite { file: Arc::clone(file), write, thread: Some(std::thread::current().id()) }
    }
}

/// An object that a finaliser has sent to the next call.
enum Dropped {
    /// A handle that was not given back.
    Handle(Pfn, Handle),
    /// A range of frames that was not freed.
    Range(Range<Pfn>),
    /// A pool without a Python object.
    Pool(Arc<PagePool>),
    /// A page of a pool whose number no caller has got, because the call that added the page was interrupted.
    PoolPage(Arc<PagePool>, PoolPage),
    /// A pool of zsmalloc without a Python object.
    ZsPool(Arc<ZsPool>),
    /// A zram device without a Python object.
    Zram(Arc<Zram>),
    /// The number of an owner in Python whose pool has ended.
    Owner(u64),
}

/// Carries dropped objects from finalisers to the next call.
pub(crate) struct Outbox {
    dropped: Sender<Dropped>,
    /// The number of objects sent and not yet received.
    waiting: AtomicUsize,
}

impl Outbox {
    /// Sends an object to the next call. False if the machine no longer receives objects.
    fn send(&self, dropped: Dropped) -> bool {
        // Counted before the send, so that the receiver never subtracts more than was added.
        // Relaxed: the count is a hint, and the channel orders the objects.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.dropped.send(dropped).is_ok()
    }

    /// Reports that the pool of this owner has ended. Runs no Python code, because pools end inside of the
    /// core.
    pub fn forget_owner(&self, number: u64) {
        self.send(Dropped::Owner(number));
    }
}

pub(crate) struct Shared {
    pub machine: Arc<Machine<Chosen>>,
    pub ledger: Ledger,
    /// All living address spaces. A space lives until it exits, even without a Python handle on it.
    pub spaces: Mutex<HashMap<u32, Arc<AddressSpace>>>,
    /// The signal handlers of address spaces, by the space's number.
    pub handlers: HeldObjects,
    /// Owners of movable pages in Python, by number.
    pub owners: HeldObjects,
    next_owner: AtomicU64,
    /// The balloon, once a script has asked for it.
    pub balloon: Mutex<Option<Arc<Balloon>>>,
    closed: AtomicBool,
    process: fork::Process,
    pub gate: Arc<RwLock<()>>,
    /// The thread whose audit has the gate.
    auditor: Mutex<Option<ThreadId>>,
    /// The daemons.
    pub background: Background,
    /// The page locks that handles hold, and the threads that took them; `None` if the handle was dropped.
    locks: Mutex<HashMap<Pfn, Option<ThreadId>>>,
    /// Writes to disk that have begun.
    writes: Mutex<HashMap<Pfn, OpenWrite>>,
    /// The arrangements by number, and before them the last number given: no number is used twice. `None`
    /// while a call uses the arrangement ([`Lent`]).
    arranged: Mutex<(u64, HashMap<u64, Option<Arranged>>)>,
    /// Zram devices without a Python object that could not be reset, such as one that is the swap space.
    swapped_to: Mutex<Vec<Arc<Zram>>>,
    pub outbox: Arc<Outbox>,
    returned: Mutex<Receiver<Dropped>>,
}

impl Shared {
    pub fn new(machine: Machine<Chosen>) -> Shared {
        let (dropped, returned) = channel();
        Shared {
            machine: Arc::new(machine),
            ledger: Ledger::default(),
            spaces: Mutex::default(),
            handlers: HeldObjects::default(),
            owners: HeldObjects::default(),
            next_owner: AtomicU64::new(0),
            balloon: Mutex::default(),
            closed: AtomicBool::new(false),
            process: fork::Process::current(),
            gate: Arc::default(),
            auditor: Mutex::default(),
            background: Background::default(),
            locks: Mutex::default(),
            writes: Mutex::default(),
            arranged: Mutex::default(),
            swapped_to: Mutex::default(),
            outbox: Arc::new(Outbox { dropped, waiting: AtomicUsize::new(0) }),
            returned: Mutex::new(returned),
        }
    }

    /// The tables of Python objects that the machine keeps alive.
    pub fn objects(&self) -> [&HeldObjects; 2] {
        [&self.handlers, &self.owners]
    }

    /// Keeps an owner of movable pages and returns its number.
    pub fn keep_owner(&self, py: Python<'_>, methods: Py<PyAny>) -> u64 {
        // Relaxed: the addition alone makes the number unique.
        let number = self.next_owner.fetch_add(1, Ordering::Relaxed);
        self.owners.set(py, number, Some(methods));
        number
    }

    /// Refuses a closed machine, and one that a parent process has built.
    pub fn alive(&self) -> PyResult<()> {
        if !self.process.is_current() {
            return Err(misuse("this machine belongs to the parent process: build another one after fork()"));
        }
        // Acquire pairs with the Release in `close`. A call that began before `close` may end after
        // it.
        if self.closed.load(Ordering::Acquire) {
            return Err(misuse("this machine is closed"));
        }
        Ok(())
    }

    /// Refuses further calls, gives back the page locks and ends the writes of handles, and waits until the
    /// daemons have ended. Inside of a callback it does not wait, because the daemons may wait for the page
    /// locks of the callback's call. The memory is freed with the last Python object of the machine.
    pub fn close(&self, py: Python<'_>) -> PyResult<()> {
        // Release pairs with the Acquire in `alive`.
        self.closed.store(true, Ordering::Release);
        if !self.process.is_current() {
            return Ok(());
        }
        self.background.tell_to_end();
        // Handlers and owners often refer to their machine. Dropping them here ends most cycles without
        // the collector.
        self.objects().into_iter().for_each(|table| table.clear(py));
        let unlock = |shared: &Shared| {
            shared.let_go_locks();
            Ok(())
        };
        // A callback of an audit cannot enter the gate, which the audit has. The locks are then given back
        // when the machine is dropped.
        let unlocked = match self.is_within_audit() {
            true => Ok(()),
            false => self.enter(py, unlock, |_, ()| {}).map(drop),
        };
        match is_in_callback() {
            true => unlocked,
            false => self.background.stop(py).and(unlocked),
        }
    }

    /// True if this process has built the machine, and not a parent process.
    pub fn in_this_process(&self) -> bool {
        self.process.is_current()
    }

    pub fn is_closed(&self) -> bool {
        // Acquire pairs with the Release in `close`.
        self.closed.load(Ordering::Acquire) || !self.process.is_current()
    }

    /// Tries to take the page lock for a handle. False if the lock is held.
    pub fn try_lock_page(&self, py: Python<'_>, pfn: Pfn) -> PyResult<bool> {
        let try_it = |shared: &Shared| {
            let locked = shared.machine.hold_lock(&shared.ledger, pfn)?;
            if locked {
                shared.locks.lock().insert(shared.head(pfn), Some(std::thread::current().id()));
                shared.still_open()?;
            }
            Ok(locked)
        };
        self.take(py, Waits::Never, try_it, |shared, locked| {
            if locked {
                shared.give_back(pfn, Handle::Lock);
            }
        })
    }

    /// True if the calling thread's handle holds this page lock. A large page has one lock for all its parts.
    pub fn holds_lock(&self, pfn: Pfn) -> bool {
        self.locks.lock().get(&self.head(pfn)) == Some(&Some(std::thread::current().id()))
    }

    /// Pins a page by its frame number. `EAGAIN` if the page may be migrating: it is locked, and no handle
    /// holds the lock.
    pub fn try_pin(&self, pfn: Pfn) -> Result<(), Error> {
        // A handle leaves the table before its lock is released. While a handle is in the table,
        // the page is locked, and no migration has it.
        let locks = self.locks.lock();
        if locks.contains_key(&self.head(pfn)) {
            // The handle's reference keeps the page, so the pin frees nothing and calls no owner.
            return self.machine.hold_pin_locked(&self.ledger, pfn);
        }
        drop(locks);
        self.machine.hold_pin(&self.ledger, pfn)
    }

    /// The head of the page that a frame is part of.
    pub fn head(&self, pfn: Pfn) -> Pfn {
        self.machine.frames().head(pfn)
    }

    /// Records a write to disk that has begun, and returns its page.
    pub fn record_write(&self, open: OpenWrite) -> Result<Pfn, Refusal> {
        let pfn = open.write.pfn;
        self.ledger.add(pfn, Handle::Writeback);
        self.writes.lock().insert(pfn, open);
        self.still_open()?;
        Ok(pfn)
    }

    /// Ends a call that has taken a page lock, or begun a write, on a machine that was closed meanwhile.
    /// Either this look finds the machine closed, or `close` finds the lock in its table.
    fn still_open(&self) -> Result<(), Refusal> {
        if self.is_closed() {
            self.let_go_locks();
            return Err(Refusal::misuse("this machine is closed"));
        }
        Ok(())
    }

    /// Gives back the page locks, and ends the writes to disk, that handles hold on a machine that takes no
    /// more calls. The daemons, and calls that began earlier, may wait for them.
    fn let_go_locks(&self) {
        let locked: Vec<Pfn> = self.locks.lock().keys().copied().collect();
        locked.into_iter().for_each(|pfn| self.let_go(pfn, Handle::Lock));
        let written: Vec<Pfn> = self.writes.lock().keys().copied().collect();
        written.into_iter().for_each(|pfn| self.let_go(pfn, Handle::Writeback));
    }

    /// True if a write of a page of this file has begun and not ended.
    pub fn is_written(&self, file: &Arc<File>) -> bool {
        self.writes.lock().values().any(|open| Arc::ptr_eq(&open.file, file))
    }

    /// Gives a handle back.
    pub fn let_go(&self, pfn: Pfn, handle: Handle) {
        if handle == Handle::Writeback {
            let open = self.writes.lock().remove(&pfn);
            if let Some(OpenWrite { file, write, .. }) = open {
                self.ledger.remove(pfn, handle);
                self.machine.end_writeback(&file, write);
            }
            return;
        }
        // `close` may have given the lock back already.
        if handle == Handle::Lock && self.locks.lock().remove(&self.head(pfn)).is_none() {
            return;
        }
        self.machine.let_go(&self.ledger, pfn, handle);
    }

    /// Gives a movable page back to its owner and ends the token. False if the page lock is held.
    pub fn try_put_back(&self, pfn: Pfn) -> bool {
        self.machine.try_let_go_movable(&self.ledger, pfn)
    }

    /// Gives back a handle that has no Python object. A movable page goes back to its owner under the page
    /// lock. Inside of a callback, and if any thread holds the lock, this one included, a later call tries.
    pub fn give_back(&self, pfn: Pfn, handle: Handle) {
        if handle != Handle::IsolatedMovable {
            self.let_go(pfn, handle);
        } else if is_in_callback() || !self.try_put_back(pfn) {
            self.outbox.send(Dropped::Handle(pfn, handle));
        }
    }

    /// Releases a page of a pool whose number no caller has got. The pool may wait for the page lock, unless
    /// the release design's puts look for an owner. Inside of a callback, and while a handle holds the lock,
    /// such a page is left to a later call.
    pub fn release(&self, pool: &Arc<PagePool>, page: PoolPage) {
        // A page that was released already has no frame, and a pool does not release it again.
        let Ok(pfn) = pool.pfn(page) else { return };
        let locked = self.locks.lock().contains_key(&self.head(pfn));
        if !self.machine.put_looks() && (is_in_callback() || locked) {
            self.outbox.send(Dropped::PoolPage(Arc::clone(pool), page));
        } else {
            // A thread that guesses numbers may have released the page meanwhile. The error changes nothing.
            let _ = pool.release(&self.machine, page);
        }
    }

    /// Reports a handle that was dropped before it was given back: warns, and sends it to the next call.
    pub fn abandon(&self, pfn: Pfn, handle: Handle, what: &str) {
        if self.is_closed() {
            return;
        }
        // From now on the lock belongs to no thread: the thread whose next call gives it back may
        // be another one than the thread that dropped it.
        if let (Handle::Lock, Some(thread)) = (handle, self.locks.lock().get_mut(&self.head(pfn))) {
            *thread = None;
        }
        if let (Handle::Writeback, Some(open)) = (handle, self.writes.lock().get_mut(&pfn)) {
            open.thread = None;
        }
        if self.outbox.send(Dropped::Handle(pfn, handle)) {
            warn_of(&format!("{what} of page {pfn} was never given back"));
        }
    }

    /// Reports a range of frames that was dropped before it was freed: warns, and sends it to the next call.
    pub fn abandon_range(&self, range: Range<Pfn>) {
        let what = format!("the range of frames from {} on was never freed", range.start);
        if !self.is_closed() && self.outbox.send(Dropped::Range(range)) {
            warn_of(&what);
        }
    }

    /// Sends a pool without a Python object to the next call, which closes it. Its place in the machine is
    /// free again when its last page is.
    pub fn abandon_pool(&self, pool: &Arc<PagePool>) {
        if !self.is_closed() {
            self.outbox.send(Dropped::Pool(Arc::clone(pool)));
        }
    }

    /// Sends a pool of zsmalloc without a Python object to the next call, which closes it. A pool with
    /// objects stays, with a warning, because the handles of its objects may be lost.
    pub fn abandon_zs_pool(&self, pool: &Arc<ZsPool>) {
        if self.is_closed() || pool.is_closed() {
            return;
        }
        match pool.stats().objects {
            0 => _ = self.outbox.send(Dropped::ZsPool(Arc::clone(pool))),
            objects => warn_of(&format!("a pool of zsmalloc was dropped with {objects} objects, which stay")),
        }
    }

    /// Sends a zram device without a Python object to the next call, which resets it.
    pub fn abandon_zram(&self, device: &Arc<Zram>) {
        if !self.is_closed() {
            self.outbox.send(Dropped::Zram(Arc::clone(device)));
        }
    }

    /// Closes a pool, unless it has objects. While the pages of an empty zspage are locked or isolated, the
    /// pool is left to a later call.
    fn end_zs_pool(&self, pool: Arc<ZsPool>) {
        if let Err(error) = patiently(Duration::ZERO, || pool.close(&self.machine))
            && error.errno == Errno::EINTR
        {
            self.outbox.send(Dropped::ZsPool(pool));
        }
    }

    /// Resets a device. The device is left to a later call as in `end_zs_pool`. A device that is the swap
    /// space, or that another thread uses, is left until the next swapoff.
    fn end_zram(&self, device: Arc<Zram>) {
        match patiently(Duration::ZERO, || device.reset(&self.machine)) {
            Ok(()) => {}
            Err(error) if error.errno == Errno::EINTR => _ = self.outbox.send(Dropped::Zram(device)),
            Err(_) => self.swapped_to.lock().push(device),
        }
    }

    /// Sends the devices that could not be reset to the next call, which tries once more: the swap space is
    /// gone.
    pub fn swap_is_off(&self) {
        let devices = std::mem::take(&mut *self.swapped_to.lock());
        devices.into_iter().for_each(|device| _ = self.outbox.send(Dropped::Zram(device)));
    }

    /// Gives back the dropped handles and ranges, closes the dropped pools and devices, and drops the owners
    /// of pools that have ended.
    fn give_back_dropped(&self, py: Python<'_>) -> PyResult<()> {
        // Relaxed: a thread sees the objects that it dropped itself; those of other threads can wait. All of
        // them wait while a signal handler looks at a page: the call within which the handler runs may hold
        // the locks that giving them back takes.
        let waiting = self.outbox.waiting.load(Ordering::Relaxed);
        if waiting == 0 || self.is_within_audit() || is_in_handler() {
            return Ok(());
        }
        let mut owners = Vec::new();
        let receive = |shared: &Shared| {
            owners = shared.receive_dropped();
            Ok(())
        };
        let entered = self.enter(py, receive, |_, ()| {});
        // Done even if a callback was interrupted, because the owners would never be dropped
        // otherwise.
        owners.into_iter().for_each(|number| self.owners.set(py, number, None));
        entered.map(|_| ())
    }

    /// Receives the dropped objects; returns the numbers of the owners to drop.
    fn receive_dropped(&self) -> Vec<u64> {
        // The lock is released before an object is given back, which may call an owner.
        let returned: Vec<_> = self.returned.lock().try_iter().collect();
        // Relaxed: as in `give_back_dropped`. An object that is sent again is counted again.
        self.outbox.waiting.fetch_sub(returned.len(), Ordering::Relaxed);
        let mut owners = Vec::new();
        for dropped in returned {
            match dropped {
                Dropped::Handle(pfn, handle) => self.give_back(pfn, handle),
                Dropped::Range(range) => self.machine.let_go_range(&self.ledger, range),
                Dropped::Pool(pool) => pool.close(&self.machine),
                Dropped::PoolPage(pool, page) => self.release(&pool, page),
                Dropped::ZsPool(pool) => self.end_zs_pool(pool),
                Dropped::Zram(device) => self.end_zram(device),
                Dropped::Owner(number) => owners.push(number),
            }
        }
        owners
    }

    pub fn flags(&self, pfn: Pfn) -> Flags {
        self.machine.frames()[pfn].flags()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        match self.process.is_current() {
            // The daemons may wait for the lock of a handle that was dropped.
            true => self.let_go_locks(),
            // A child process has the machine, but not its threads.
            false => self.background.forget(),
        }
    }
}

/// Issues a `ResourceWarning` for a handle or a range that was not given back, or a pool that stays.
fn warn_of(what: &str) {
    Python::try_attach(|py| {
        // A finaliser may run while an exception is being raised.
        let on_its_way = PyErr::take(py);
        let text = CString::new(what).expect("numbers and names have no zero bytes");
        let category = py.get_type::<PyResourceWarning>();
        if let Err(raised) = PyErr::warn(py, &category, &text, 1) {
            raised.write_unraisable(py, None);
        }
        if let Some(error) = on_its_way {
            error.restore(py);
        }
    });
}
