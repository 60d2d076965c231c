//! Decides if another round of an allocation is worth its time (`should_reclaim_retry`,
//! `should_compact_retry`).

use crate::compact::{COSTLY_ORDER, CompactPriority, CompactStatus};

/// The most rounds without progress (`MAX_RECLAIM_RETRIES`): an allocation gives up after one more.
/// The explorer needs fewer: each round is the same to it.
const RECLAIM_RETRIES: u32 = if cfg!(feature = "explored") { 1 } else { 16 };

/// Rounds after a successful compaction whose block another thread took (`MAX_COMPACT_RETRIES`).
const COMPACT_RETRIES: u32 = if cfg!(feature = "explored") { 1 } else { 16 };

/// The attempts of an allocation so far. They decide whether another round is worth its time.
#[derive(Debug)]
pub(super) struct Tries {
    order: u8,
    /// Rounds in a row that freed nothing.
    fruitless: u32,
    /// Successful compactions in a row that gave no block.
    robbed: u32,
    /// The priority of the next compaction.
    pub priority: CompactPriority,
}

impl Tries {
    pub fn new(order: u8) -> Tries {
        Tries { order, fruitless: 0, robbed: 0, priority: CompactPriority::SyncLight }
    }

    /// Notes that the balloon has given up pages: the rounds are counted from 0 again.
    pub fn relieved(&mut self) {
        self.fruitless = 0;
    }

    /// Returns true if another round of reclaim may be worthwhile. `suffices` tells whether the
    /// allocation would find a frame if all reclaimable pages were free.
    pub fn reclaim_again(&mut self, progress: bool, suffices: impl FnOnce() -> bool) -> bool {
        // Progress says little about large blocks: free memory may be in pieces.
        match progress && self.order <= COSTLY_ORDER {
            true => self.fruitless = 0,
            false => self.fruitless += 1,
        }
        self.fruitless <= RECLAIM_RETRIES && suffices()
    }

    /// Returns true if another run of compaction may be worthwhile, perhaps one that tries harder.
    /// `suffices` tells whether compaction could begin if all reclaimable pages were free.
    pub fn compact_again(&mut self, status: CompactStatus, suffices: impl FnOnce() -> bool) -> bool {
        if self.order == 0 {
            return false;
        }
        if status == CompactStatus::Skipped {
            return suffices();
        }
        let costly = self.order > COSTLY_ORDER;
        if status == CompactStatus::Success {
            // A block was made, and another thread took it.
            self.robbed += 1;
            if self.robbed <= if costly { COMPACT_RETRIES / 4 } else { COMPACT_RETRIES } {
                return true;
            }
        }
        let harder = match self.priority {
            CompactPriority::Async => Some(CompactPriority::SyncLight),
            CompactPriority::SyncLight if !costly => Some(CompactPriority::SyncFull),
            _ => None,
        };
        if let Some(harder) = harder {
            self.priority = harder;
            self.robbed = 0;
        }
        harder.is_some()
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;

    #[test]
    fn seventeen_rounds_without_progress_are_enough() {
        let mut tries = Tries::new(0);
        assert_eq!((0..).take_while(|_| tries.reclaim_again(false, || true)).count(), 16);
        assert!(tries.reclaim_again(true, || true), "progress begins anew");
        assert!(!tries.reclaim_again(true, || false), "all that can be reclaimed is too little");
        let mut large = Tries::new(4);
        assert_eq!((0..).take_while(|_| large.reclaim_again(true, || true)).count(), 16);
    }

    #[test]
    fn compaction_tries_harder_each_time_it_fails() {
        let mut tries = Tries::new(3);
        assert!(tries.compact_again(CompactStatus::Complete, || false));
        assert_eq!(tries.priority, CompactPriority::SyncFull);
        assert!(!tries.compact_again(CompactStatus::Complete, || true));
        assert!(tries.compact_again(CompactStatus::Skipped, || true), "reclaim can help");
        assert_eq!((0..).take_while(|_| tries.compact_again(CompactStatus::Success, || false)).count(), 16);
        // A costly block is not worth a scan of the whole node.
        assert!(!Tries::new(4).compact_again(CompactStatus::Deferred, || true));
        assert!(!Tries::new(0).compact_again(CompactStatus::Skipped, || true));
    }
}
