//! TLB sections: when a flush returns, no access uses an entry that was replaced before the flush.

use crate::{join, models, start};
use mmcore::map::Tlb;
use mmcore::sync::{AtomicU64, Ordering, PlainU64};
use std::sync::Arc;

/// An entry, the frame to which it leads, and a second frame.
struct Mapping {
    tlb: Tlb,
    entry: AtomicU64,
    frames: [PlainU64; 2],
}

impl Mapping {
    fn new() -> Arc<Mapping> {
        let frames = [PlainU64::new(1), PlainU64::new(0)];
        Arc::new(Mapping { tlb: Tlb::new(), entry: AtomicU64::new(1), frames })
    }

    /// Accesses the frame through the entry, inside a section.
    fn access(&self) -> Option<u64> {
        let _section = self.tlb.enter();
        // Acquire, as in `Area::look`.
        match self.entry.load(Ordering::Acquire) {
            0 => None,
            frame => Some(self.frames[frame as usize - 1].get()),
        }
    }

    /// Replaces the entry and flushes, as a migration does; afterwards no access may use the old
    /// frame.
    fn unmap_and_take(&self) -> u64 {
        // Relaxed: this model is about the fences alone.
        self.entry.store(0, Ordering::Relaxed);
        self.tlb.flush();
        let content = self.frames[0].get();
        self.frames[0].set(99);
        content
    }
}

models! {
    /// One user and one flush: either the user sees the new entry, or the flush waits for the
    /// user's section.
    access_against_unmap(None) {
        let mapping = Mapping::new();
        let user = start(&mapping, |mapping| {
            assert!(matches!(mapping.access(), None | Some(1)), "an access to a frame that was taken");
        });
        assert_eq!(mapping.unmap_and_take(), 1);
        join([user]);
    }

    /// Two users: the flush checks the slots of both.
    two_users_against_unmap(Some(2)) {
        let mapping = Mapping::new();
        let user = |mapping: &Mapping| {
            assert!(matches!(mapping.access(), None | Some(1)), "an access to a frame that was taken");
        };
        let users = [start(&mapping, user), start(&mapping, user)];
        mapping.unmap_and_take();
        join(users);
    }

    /// Sections follow each other: a flush that began during one does not wait for the later ones.
    two_sections_against_unmap(None) {
        let mapping = Mapping::new();
        let user = start(&mapping, |mapping| {
            for _ in 0..2 {
                assert!(matches!(mapping.access(), None | Some(1)), "an access to a frame that was taken");
            }
        });
        mapping.unmap_and_take();
        join([user]);
    }

    /// The whole sequence of a migration: unmap, flush, copy, map the copy.
    access_against_move(None) {
        let mapping = Mapping::new();
        let user = start(&mapping, |mapping| {
            assert!(matches!(mapping.access(), None | Some(1)), "an access to the wrong content");
        });
        let content = mapping.unmap_and_take();
        mapping.frames[1].set(content);
        // Release, as in `EntryGuard::finish`: publishes the copy.
        mapping.entry.store(2, Ordering::Release);
        join([user]);
    }
}
