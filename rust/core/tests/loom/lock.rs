//! The page lock: exclusion, sleepers, and threads that only wait until it is free.

use crate::{PFN, join, models, start};
use mmcore::page::Page;
use mmcore::sync::{AtomicU32, Ordering, PlainU64};
use std::sync::Arc;

#[derive(Default)]
struct Locked {
    page: Page,
    content: PlainU64,
    /// A page-table entry: 1 while it says "migrating".
    entry: AtomicU32,
}

impl Locked {
    fn change(&self) {
        self.content.set(self.content.get() + 1);
    }

    /// Waits as a fault on a migration entry does.
    fn wait_for_migration(&self) {
        // Acquire pairs with the Release of `restore`, as in `Area::look`.
        let migrating = || self.entry.load(Ordering::Acquire) == 1;
        while migrating() {
            self.page.wait_unlocked(migrating);
        }
    }

    /// Ends a migration: restores the entry first, then unlocks.
    fn restore(&self) {
        // Release pairs with the Acquire above.
        self.entry.store(0, Ordering::Release);
        self.page.unlock(PFN);
    }
}

fn migrating() -> Arc<Locked> {
    let locked = Locked::default();
    assert!(locked.page.trylock());
    locked.entry.store(1, Ordering::Relaxed);
    Arc::new(locked)
}

models! {
    /// Two threads lock, change data and unlock; one may sleep meanwhile.
    two_lockers(None) {
        let shared = Arc::new(Locked::default());
        let other = start(&shared, |shared| {
            shared.page.lock();
            shared.change();
            shared.page.unlock(PFN);
        });
        shared.page.lock();
        shared.change();
        shared.page.unlock(PFN);
        join([other]);
        assert_eq!(shared.content.get(), 2);
    }

    /// Two trylocks: at most one thread at a time gets the lock.
    two_trylockers(None) {
        let shared = Arc::new(Locked::default());
        let enter = |shared: &Locked| {
            if shared.page.trylock() {
                shared.change();
                shared.page.unlock(PFN);
            }
        };
        let other = start(&shared, enter);
        enter(&shared);
        join([other]);
        assert!((1..=2).contains(&shared.content.get()));
    }

    /// The unlock wakes the sleeper that waits for it, in every interleaving.
    waiter_and_holder(None) {
        let shared = migrating();
        let waiter = start(&shared, Locked::wait_for_migration);
        shared.restore();
        join([waiter]);
    }

    /// One sleeper wants the lock, another only waits until it is free: the unlock wakes both.
    locker_and_waiter(Some(3)) {
        let shared = migrating();
        let waiter = start(&shared, Locked::wait_for_migration);
        let locker = start(&shared, |shared| {
            shared.page.lock();
            shared.change();
            shared.page.unlock(PFN);
        });
        shared.change();
        shared.restore();
        join([waiter, locker]);
        assert_eq!(shared.content.get(), 2);
    }
}
