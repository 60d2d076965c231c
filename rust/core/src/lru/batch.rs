//! The LRU batches of one CPU: pages that wait to be put on a list, moved to another, or mlocked.
//!
//! | batch | filled by | when it is drained |
//! |---|---|---|
//! | add | `lru_add` | the pages get `LRU` and go to their list |
//! | one each for rotate, deactivate-file, deactivate, lazyfree, activate | accesses, advice, ends of writeback, failed evictions | pages that are still on a list move to another |
//! | mlock | mlock, munlock, mapping into a locked area | pages go to the unevictable list, or come back |
//!
//! A batch holds one reference on each of its pages. A page in a move batch is still on its list
//! and has `LRU` set; a page in the add batch is on no list, and its `LRU` is clear.

use super::model::{self, Queues};
use crate::page::Pfn;
use crate::profile::PAGEVEC_MAX;
use crate::sync::Tallied;
use crate::sync::ops::PagevecInserts;
use arrayvec::ArrayVec;

/// The pages of one batch.
pub type Pagevec = ArrayVec<Pfn, PAGEVEC_MAX>;

/// The move that a listed page waits for. A drain takes the batches in the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LruMove {
    /// To the tail of the inactive list, because the page's writeback has ended.
    Rotate,
    /// To the inactive list, because the page of a file could not be dropped.
    DeactivateFile,
    /// To the inactive list (`MADV_COLD`).
    Deactivate,
    /// To the inactive file list, because the page's content may be thrown away (`MADV_FREE`).
    Lazyfree,
    /// To the active list.
    Activate,
}

impl LruMove {
    /// All moves, in the order of a drain.
    pub const ALL: [LruMove; 5] =
        [LruMove::Rotate, LruMove::DeactivateFile, LruMove::Deactivate, LruMove::Lazyfree, LruMove::Activate];
}

/// The change that a page in the mlock batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mlock {
    /// One more mapping locks the page.
    Lock,
    /// A fresh page, which is on no list yet, goes to the unevictable list.
    New,
    /// One mapping less locks the page.
    Unlock,
}

/// The batch of a CPU in which a page waits. One page may wait in several batches at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchKind {
    /// The add batch: the page is to be put on a list.
    Add,
    /// A move batch.
    Move(LruMove),
    /// The mlock batch.
    Mlock,
}

impl BatchKind {
    /// The number of the batch among those of a CPU.
    #[inline]
    pub(super) fn number(self) -> usize {
        match self {
            BatchKind::Add => 0,
            BatchKind::Move(which) => 1 + which as usize,
            BatchKind::Mlock => 1 + LruMove::ALL.len(),
        }
    }
}

/// The batches of one CPU, protected by its batch lock. A batch holds one reference on each of its
/// pages.
///
/// The add batch is on the hot path and is stored inline. The other batches allocate no memory
/// before their first page.
#[derive(Clone, Debug, Hash)]
pub struct Batches {
    add: Tallied<Pagevec, PagevecInserts>,
    moves: [Vec<Pfn>; LruMove::ALL.len()],
    mlock: Vec<(Pfn, Mlock)>,
    /// The explored build's model of these batches; empty elsewhere.
    model: Queues,
}

impl Default for Batches {
    fn default() -> Self {
        Batches {
            add: Tallied::new(Pagevec::new_const()),
            moves: std::array::from_fn(|_| Vec::new()),
            mlock: Vec::new(),
            model: Queues::default(),
        }
    }
}

impl Batches {
    /// Tells the model that a thread begins to drain a batch of a CPU.
    #[inline]
    pub(super) fn note_drain_start(&mut self, cpu: usize, kind: BatchKind) {
        model::note_drain_start(&mut self.model, cpu, kind.number());
    }

    /// Queues a page in the add batch. Returns true if the batch holds `capacity` pages now and
    /// must be drained.
    #[inline]
    pub(crate) fn push(&mut self, pfn: Pfn, capacity: usize) -> bool {
        self.model.queue(BatchKind::Add.number(), pfn);
        let add = self.add.op();
        add.push(pfn);
        add.len() >= capacity
    }

    /// Empties the add batch and returns its pages. The counted build counts insertions into the
    /// batch; reading and emptying it are not counted.
    #[inline]
    pub(crate) fn take_all(&mut self) -> Pagevec {
        self.add.replace(Pagevec::new_const())
    }

    /// Queues a page for a move. Returns true if that batch must be drained.
    pub(crate) fn push_move(&mut self, which: LruMove, pfn: Pfn, capacity: usize) -> bool {
        self.model.queue(BatchKind::Move(which).number(), pfn);
        let batch = &mut self.moves[which as usize];
        batch.push(pfn);
        batch.len() >= capacity
    }

    /// Empties the batch of one move.
    pub(crate) fn take_moves(&mut self, which: LruMove) -> Vec<Pfn> {
        std::mem::take(&mut self.moves[which as usize])
    }

    /// Queues a page in the mlock batch. Returns true if the batch must be drained.
    pub(crate) fn push_mlock(&mut self, pfn: Pfn, what: Mlock, capacity: usize) -> bool {
        self.model.queue(BatchKind::Mlock.number(), pfn);
        self.mlock.push((pfn, what));
        self.mlock.len() >= capacity
    }

    /// Empties the mlock batch.
    pub(crate) fn take_mlock(&mut self) -> Vec<(Pfn, Mlock)> {
        std::mem::take(&mut self.mlock)
    }

    /// Returns true if no page waits in any of the batches.
    pub fn is_empty(&self) -> bool {
        self.add.look().is_empty() && !self.has_moves()
    }

    /// Returns true if a page waits in a move batch or in the mlock batch.
    #[inline]
    pub(crate) fn has_moves(&self) -> bool {
        !self.mlock.is_empty() || self.moves.iter().any(|batch| !batch.is_empty())
    }

    /// The pages in the add batch, the oldest first.
    pub fn added(&self) -> &[Pfn] {
        self.add.look()
    }

    /// Returns true if the page waits in the add batch. The newest pages are compared first,
    /// because most callers have just added the page.
    pub(crate) fn adds(&self, pfn: Pfn) -> bool {
        self.added().iter().rev().any(|&added| added == pfn)
    }

    /// Every queued page with the batch in which it waits; for checks.
    #[cfg(feature = "explored")]
    pub(super) fn queued(&self) -> impl Iterator<Item = (Pfn, BatchKind)> + '_ {
        let added = self.added().iter().map(|&pfn| (pfn, BatchKind::Add));
        let moves = LruMove::ALL.into_iter().zip(&self.moves);
        let moves =
            moves.flat_map(|(which, pages)| pages.iter().map(move |&pfn| (pfn, BatchKind::Move(which))));
        added.chain(moves).chain(self.mlock.iter().map(|&(pfn, _)| (pfn, BatchKind::Mlock)))
    }

    /// The pages in the move batches and in the mlock batch. A page that waits in several batches
    /// appears several times.
    pub fn moving(&self) -> impl Iterator<Item = Pfn> + '_ {
        let mlock = self.mlock.iter().map(|&(pfn, _)| pfn);
        self.moves.iter().flatten().copied().chain(mlock)
    }

    /// Fresh pages in the mlock batch, which were on no list before they were mlocked.
    pub fn locked_new(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.mlock.iter().filter(|(_, what)| *what == Mlock::New).map(|&(pfn, _)| pfn)
    }
}
