//! What a step is, and who decides on the next one.

/// What a step does. Everything not listed is no step: [`PlainU64`](super::PlainU64) accesses
/// under protection, statistics, and whatever threads do for themselves.
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
    /// A look at plain data that is racy on purpose.
    Peek,
    /// A write of plain data (no step of its own; appears among a step's accesses only).
    PlainWrite,
    /// Word that something began or ended ([`begins`](super::begins); no step of its own): in whatever order
    /// such words come, all of them are heard.
    Note,
    /// Taking a lock (for writing), waiting for it.
    Lock,
    /// Letting a lock go.
    Unlock,
    /// Trying for a lock.
    TryLock,
    /// Taking a lock for reading.
    ReadLock,
    /// Letting a lock taken for reading go.
    ReadUnlock,
    /// Going to sleep on a word.
    Park,
    /// Waking up.
    Wake,
    /// Waking others.
    Unpark,
    /// Waiting until a word satisfies a condition, and reading it.
    Wait,
}

impl Kind {
    /// Does the step leave all shared state as it was?
    #[inline]
    pub fn reads_only(self) -> bool {
        matches!(self, Kind::Load | Kind::Peek | Kind::Wait)
    }

    /// Does it touch no shared object at all?
    #[inline]
    pub fn is_local(self) -> bool {
        matches!(self, Kind::Fence | Kind::Wake)
    }

    /// The name in traces.
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
        }
    }
}

/// One step as the running schedule logs it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Step {
    /// Address of the object, zero for a fence.
    pub address: usize,
    /// Who.
    pub thread: u8,
    /// What.
    pub kind: Kind,
}

/// An access that belongs to a step without being one: plain writes, and what runs under a
/// parking queue's lock.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Number of steps executed before it: it belongs to the step before, if any.
    pub after: u32,
    /// Who.
    pub thread: u8,
    /// What.
    pub kind: Kind,
    /// Where.
    pub address: usize,
}

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

/// What a strategy sees when it is asked.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Number of the step to be executed.
    pub step: u32,
    /// Who executed the last one; nobody before the first.
    pub current: Option<usize>,
    /// Who can go on. Never empty.
    pub runnable: Threads,
    /// Who has not ended.
    pub alive: Threads,
}

impl View {
    /// The rule that completes every schedule: the wanted thread if it is runnable, else the
    /// current one, else the lowest.
    #[inline]
    pub fn fall_back(&self, wanted: Option<usize>) -> usize {
        let runnable = |t: &usize| *t < super::THREADS && self.runnable & 1 << *t != 0;
        wanted
            .filter(runnable)
            .or(self.current.filter(runnable))
            .unwrap_or(self.runnable.trailing_zeros() as usize)
    }
}

/// A strategy's answer.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Who goes on. If not runnable, [`View::fall_back`] decides.
    pub thread: usize,
    /// Ask again at this step, or when the thread cannot go on. Steps in between cost next to
    /// nothing.
    pub until: u32,
}

/// Decides who goes on.
pub trait Strategy {
    /// Called before step `view.step`, unless an earlier choice still holds or only one thread is
    /// left.
    fn choose(&mut self, view: View) -> Choice;
}
