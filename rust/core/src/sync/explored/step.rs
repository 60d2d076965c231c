//! The kinds of steps, and the strategy that chooses the thread for the next one.

/// The kind of a step. All other actions are no steps: [`PlainU64`](super::PlainU64) accesses
/// under protection, statistics, and computations on a thread's own data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Atomic load.
    Load,
    /// Atomic store.
    Store,
    /// Atomic exchange.
    Swap,
    /// Atomic compare-exchange, successful or not.
    Cas,
    /// Atomic add or subtract.
    Add,
    /// Atomic and / or.
    Bits,
    /// Fence.
    Fence,
    /// A read of plain data that may race with a write, on purpose.
    Peek,
    /// A write of plain data. No step of its own; appears only among a step's accesses.
    PlainWrite,
    /// A note that an event began or ended ([`begin_pending`](super::begin_pending)). No step of
    /// its own. Two notes commute: a later look sees both, in whatever order they came.
    Note,
    /// Taking a lock, or a readers-writer lock for writing; the step waits until the lock is free.
    Lock,
    /// Releasing a lock.
    Unlock,
    /// Trying to take a lock without waiting.
    TryLock,
    /// Taking a lock for reading.
    ReadLock,
    /// Releasing a lock that was taken for reading.
    ReadUnlock,
    /// Going to sleep on a word.
    Park,
    /// Waking up.
    Wake,
    /// Waking others.
    Unpark,
    /// Waiting until a word satisfies a condition, and reading it.
    Wait,
    /// A store leaves its thread's buffer: from now on all threads see it.
    Leave,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: &'static [Kind] = &[
        Kind::Load,
        Kind::Store,
        Kind::Swap,
        Kind::Cas,
        Kind::Add,
        Kind::Bits,
        Kind::Fence,
        Kind::Peek,
        Kind::PlainWrite,
        Kind::Note,
        Kind::Lock,
        Kind::Unlock,
        Kind::TryLock,
        Kind::ReadLock,
        Kind::ReadUnlock,
        Kind::Park,
        Kind::Wake,
        Kind::Unpark,
        Kind::Wait,
        Kind::Leave,
    ];

    /// Returns true if the step leaves all shared state as it was.
    #[inline]
    pub fn reads_only(self) -> bool {
        matches!(self, Kind::Load | Kind::Peek | Kind::Wait)
    }

    /// Returns true if the step touches no shared object at all.
    #[inline]
    pub fn is_local(self) -> bool {
        matches!(self, Kind::Fence | Kind::Wake)
    }

    /// Returns the name in traces.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Load => "load",
            Kind::Store => "store",
            Kind::Swap => "swap",
            Kind::Cas => "cas",
            Kind::Add => "add",
            Kind::Bits => "bits",
            Kind::Fence => "fence",
            Kind::Peek => "peek",
            Kind::PlainWrite => "write",
            Kind::Note => "note",
            Kind::Lock => "lock",
            Kind::Unlock => "unlock",
            Kind::TryLock => "try-lock",
            Kind::ReadLock => "read-lock",
            Kind::ReadUnlock => "read-unlock",
            Kind::Park => "park",
            Kind::Wake => "wake",
            Kind::Unpark => "unpark",
            Kind::Wait => "wait",
            Kind::Leave => "leave",
        }
    }
}

const _: () = assert!(Kind::ALL.len() == Kind::Leave as usize + 1, "a kind is missing in the list");

/// A step in the running schedule's log.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Step {
    /// Address of the object, zero for a fence.
    pub address: usize,
    /// The thread that executed the step; for [`Kind::Leave`] the number of the buffer.
    pub thread: u8,
    /// The kind of the step.
    pub kind: Kind,
}

impl Step {
    /// Returns the thread whose step or buffer this is.
    pub fn owner(&self) -> usize {
        let thread = usize::from(self.thread);
        if self.kind == Kind::Leave { thread - FIRST_BUFFER } else { thread }
    }
}

/// An access that belongs to a step without being one: a plain write, a note or a look at notes, or an
/// access under a parking queue's lock.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The number of steps that were executed before the access. The access belongs to the last of
    /// these steps, if any.
    pub after: u32,
    /// The thread that executed the access.
    pub thread: u8,
    /// The kind of the access.
    pub kind: Kind,
    /// The address of the object.
    pub address: usize,
}

/// The most threads of a schedule.
pub const THREADS: usize = 8;

/// The number under which the buffer of thread 0 is chosen, and the most threads of a schedule with store
/// buffers.
pub const FIRST_BUFFER: usize = THREADS / 2;

/// A set of threads, a bit each.
pub type Threads = u8;

/// Iterates over the threads of a set, lowest first.
#[inline]
pub fn threads_in(set: Threads) -> impl Iterator<Item = usize> {
    let mut left = set;
    std::iter::from_fn(move || {
        let thread = (left != 0).then(|| left.trailing_zeros() as usize)?;
        left &= left - 1;
        Some(thread)
    })
}

/// The state that a strategy sees when it chooses. With store buffers, `current` and `runnable` also
/// name buffers, by the numbers from [`FIRST_BUFFER`] on.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Number of the step to be executed.
    pub step: u32,
    /// The thread that executed the last step; `None` before the first.
    pub current: Option<usize>,
    /// The threads that can execute their next step. Never empty.
    pub runnable: Threads,
    /// The threads that have not ended.
    pub alive: Threads,
}

impl View {
    /// Completes every choice: returns the wanted thread if it is runnable, else the current one,
    /// else the lowest runnable one.
    #[inline]
    pub fn fall_back(&self, wanted: Option<usize>) -> usize {
        let runnable = |t: &usize| *t < THREADS && self.runnable & 1 << *t != 0;
        wanted
            .filter(runnable)
            .or(self.current.filter(runnable))
            .unwrap_or(self.runnable.trailing_zeros() as usize)
    }
}

/// A strategy's choice.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The thread to run. If it is not runnable, [`View::fall_back`] decides.
    pub thread: usize,
    /// The step at which the strategy is asked again; earlier if the thread has to wait. Steps in
    /// between take the hook's fast path.
    pub until: u32,
}

/// Chooses the thread for the next step.
pub trait Strategy {
    /// Chooses the thread for step `view.step`. No call is made while an earlier choice still holds
    /// or only one thread is left.
    fn choose(&mut self, view: View) -> Choice;
}
