//! A CPU's LRU batches.
//!
//! | batch | filled by | when it is drained |
//! |---|---|---|
//! | add | `lru_add` | the pages get `LRU` and go to their list |
//! | a move each for rotate, deactivate-file, deactivate, lazyfree, activate | marks and advice | pages that still are on a list move to another |
//! | mlock | mlock, munlock, mapping into a locked area | pages go to the unevictable list, or come back |
//!
//! Each page in a batch holds a reference of the batch. A page in a move batch is still on its list and
//! has `LRU`; one in the add batch is not.

use crate::page::Pfn;
use crate::sync::Tallied;
use crate::sync::ops::PagevecInserts;
use arrayvec::ArrayVec;

/// Pages a batch can hold at most; the profile says how many it does hold.
pub const PAGEVEC_MAX: usize = 31;

/// The pages of one batch.
pub type Pagevec = ArrayVec<Pfn, PAGEVEC_MAX>;

/// What a page that is on a list waits for. In the order in which a drain takes the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LruMove {
    /// To the tail of the inactive list: its writeback has ended.
    Rotate,
    /// To the inactive list: a file page that could not be dropped.
    DeactivateFile,
    /// To the inactive list (`MADV_COLD`).
    Deactivate,
    /// To the inactive file list: its content may be thrown away (`MADV_FREE`).
    Lazyfree,
    /// To the active list.
    Activate,
}

impl LruMove {
    /// All of them, in the order of a drain.
    pub const ALL: [LruMove; 5] =
        [LruMove::Rotate, LruMove::DeactivateFile, LruMove::Deactivate, LruMove::Lazyfree, LruMove::Activate];
}

/// What a page in the mlock batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mlock {
    /// To be counted as locked once more.
    Lock,
    /// To be put on the unevictable list, coming from no list.
    New,
    /// To be counted as locked once less.
    Unlock,
}

/// The batches of one CPU, under its batch lock. Each page in one holds a reference of the batch.
///
/// The add batch is the hot one and lies in place. The others have no memory until they are used.
#[derive(Clone, Debug, Hash)]
pub struct Batches {
    add: Tallied<Pagevec, PagevecInserts>,
    moves: [Vec<Pfn>; LruMove::ALL.len()],
    mlock: Vec<(Pfn, Mlock)>,
}

impl Default for Batches {
    fn default() -> Self {
        Batches {
            add: Tallied::new(Pagevec::new_const()),
            moves: std::array::from_fn(|_| Vec::new()),
            mlock: Vec::new(),
        }
    }
}

impl Batches {
    /// Queues a page; true if the batch holds `capacity` pages now and must be drained.
    #[inline]
    pub(crate) fn push(&mut self, pfn: Pfn, capacity: usize) -> bool {
        let add = self.add.op();
        add.push(pfn);
        add.len() >= capacity
    }

    /// Empties the add batch. Not an insertion: the look is free, so is the leaving.
    #[inline]
    pub(crate) fn take_all(&mut self) -> Pagevec {
        let pages = self.add.look().clone();
        self.add = Tallied::new(Pagevec::new_const());
        pages
    }

    /// Queues a page for a move; true if that batch must be drained.
    pub(crate) fn push_move(&mut self, which: LruMove, pfn: Pfn, capacity: usize) -> bool {
        let batch = &mut self.moves[which as usize];
        batch.push(pfn);
        batch.len() >= capacity
    }

    /// Empties the batch of one move.
    pub(crate) fn take_moves(&mut self, which: LruMove) -> Vec<Pfn> {
        std::mem::take(&mut self.moves[which as usize])
    }

    /// Queues a page for the unevictable list, or away from it; true if the batch must be drained.
    pub(crate) fn push_mlock(&mut self, pfn: Pfn, what: Mlock, capacity: usize) -> bool {
        self.mlock.push((pfn, what));
        self.mlock.len() >= capacity
    }

    /// Empties the mlock batch.
    pub(crate) fn take_mlock(&mut self) -> Vec<(Pfn, Mlock)> {
        std::mem::take(&mut self.mlock)
    }

    /// Nothing queued?
    pub fn is_empty(&self) -> bool {
        self.add.look().is_empty() && !self.has_moves()
    }

    /// Is anything queued but pages to add?
    #[inline]
    pub(crate) fn has_moves(&self) -> bool {
        !self.mlock.is_empty() || self.moves.iter().any(|batch| !batch.is_empty())
    }

    /// The pages waiting to be added.
    pub fn added(&self) -> &[Pfn] {
        self.add.look()
    }

    /// Is the page waiting to be added? The newest first: who asks has often just added it.
    pub(crate) fn adds(&self, pfn: Pfn) -> bool {
        self.added().iter().rev().any(|&added| added == pfn)
    }

    /// Everything that waits, and for what; for checks.
    #[cfg(feature = "explored")]
    pub(super) fn queued(&self) -> impl Iterator<Item = (Pfn, super::watch::For)> + '_ {
        use super::watch::For;
        let added = self.added().iter().map(|&pfn| (pfn, For::Add));
        let moves = LruMove::ALL.into_iter().zip(&self.moves);
        let moves = moves.flat_map(|(which, pages)| pages.iter().map(move |&pfn| (pfn, For::Move(which))));
        added.chain(moves).chain(self.mlock.iter().map(|&(pfn, _)| (pfn, For::Mlock)))
    }

    /// The pages waiting for anything else; a page may wait for several things.
    pub fn moving(&self) -> impl Iterator<Item = Pfn> + '_ {
        let mlock = self.mlock.iter().map(|&(pfn, _)| pfn);
        self.moves.iter().flatten().copied().chain(mlock)
    }

    /// Pages whose place is the mlock batch: locked before they were on any list.
    pub fn locked_new(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.mlock.iter().filter(|(_, what)| *what == Mlock::New).map(|&(pfn, _)| pfn)
    }
}
