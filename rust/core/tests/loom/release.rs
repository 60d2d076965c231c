//! Models of each release design: claim, put, unlock and put, freeze, and the single release of a
//! movable page.

use crate::{PFN, assert_clean, join, machine, start, used};
use mmcore::machine::Machine;
use mmcore::movable::PagePool;
use mmcore::page::{Flags, Pfn};
use mmcore::release::{Hook, HookLate, Mine, Packed, Putback, Release, Split};
use mmcore::sync::PlainU64;
use mmcore::sync::loom::Model;
use std::sync::Arc;

/// A machine with a page that is on its list, and content that only the page's references protect.
struct Listed<R: Release> {
    machine: Arc<Machine<R>>,
    content: PlainU64,
    pfn: Pfn,
}

impl<R: Release> Listed<R> {
    fn new(references: u32) -> Arc<Self> {
        let machine = machine::<R>(1);
        let pfn = machine.alloc_pages(0, 0).expect("one frame");
        assert_eq!(pfn, PFN);
        machine.lru_add(pfn);
        machine.lru_drain_all();
        for _ in 1..references {
            machine.frames()[pfn].get(pfn);
        }
        Arc::new(Listed { machine, content: PlainU64::new(0), pfn })
    }

    fn change(&self) {
        self.content.set(self.content.get() + 1);
    }

    fn lock(&self) {
        self.machine.frames()[self.pfn].lock();
    }

    #[track_caller]
    fn freed(&self) {
        self.machine.lru_drain_all();
        assert_eq!(used(&self.machine), 0, "a leaked page");
        assert_clean(&self.machine);
    }
}

/// Two holders put a listed page: the page is unlinked and freed once.
fn last_put<R: Release>() {
    let shared = Listed::<R>::new(2);
    let other = start(&shared, |shared| shared.machine.put(shared.pfn));
    shared.machine.put(shared.pfn);
    join([other]);
    shared.freed();
}

/// Two isolators claim a listed page: exactly one succeeds.
fn two_claims<R: Release>() {
    let shared = Listed::<R>::new(2);
    let isolate = |shared: &Listed<R>| {
        if shared.machine.isolate_lru_page(shared.pfn) {
            shared.change();
            shared.machine.put(shared.pfn);
        }
    };
    let other = start(&shared, isolate);
    isolate(&shared);
    join([other]);
    assert_eq!(shared.content.get(), 1, "not isolated exactly once");
    shared.machine.put(shared.pfn);
    shared.machine.put(shared.pfn);
    shared.freed();
}

/// An isolation against the puts of all other holders: the last put unlinks the page if it is still
/// linked.
fn claim_against_last_put<R: Release>() {
    let shared = Listed::<R>::new(2);
    let other = start(&shared, |shared| shared.machine.put(shared.pfn));
    if shared.machine.isolate_lru_page(shared.pfn) {
        shared.machine.put(shared.pfn);
    }
    shared.machine.put(shared.pfn);
    join([other]);
    shared.freed();
}

/// A walker that has only the page's number, against the last put.
fn walker_against_last_put<R: Release>() {
    let shared = Listed::<R>::new(1);
    let walker = start(&shared, |shared| {
        if shared.machine.frames()[shared.pfn].try_get() {
            shared.machine.isolate_lru_page(shared.pfn).then(|| shared.machine.put(shared.pfn));
            shared.machine.put(shared.pfn);
        }
    });
    shared.machine.put(shared.pfn);
    join([walker]);
    shared.freed();
}

/// An isolation against the drain that links the page: the isolator must see the adder's writes.
fn claim_against_drain<R: Release>() {
    let machine = machine::<R>(1);
    let pfn = machine.alloc_pages(0, 0).expect("one frame");
    machine.frames()[pfn].get(pfn);
    let shared = Arc::new(Listed { machine, content: PlainU64::new(0), pfn });
    let adder = start(&shared, |shared| {
        shared.change();
        shared.machine.lru_add(shared.pfn);
        shared.machine.lru_drain_all();
        shared.machine.put(shared.pfn);
    });
    if shared.machine.isolate_lru_page(shared.pfn) {
        shared.change();
        shared.machine.put(shared.pfn);
    }
    shared.machine.put(shared.pfn);
    join([adder]);
    shared.freed();
}

/// Unlock and put as one operation, against a sleeper on the lock.
fn unlock_and_put<R: Release>() {
    let shared = Listed::<R>::new(2);
    shared.lock();
    let sleeper = start(&shared, |shared| {
        shared.lock();
        shared.change();
        shared.machine.unlock_and_put(shared.pfn);
    });
    shared.change();
    shared.machine.unlock_and_put(shared.pfn);
    join([sleeper]);
    assert_eq!(shared.content.get(), 2);
    shared.freed();
}

/// One holder unlocks and puts the page, the other one stores to it and puts it: the next user of the frame
/// must see the store.
fn unlock_and_put_against_put<R: Release>() {
    let shared = Listed::<R>::new(2);
    shared.lock();
    let other = start(&shared, |shared| {
        shared.change();
        shared.machine.put(shared.pfn);
    });
    shared.machine.unlock_and_put(shared.pfn);
    // The last holder has given the frame to the allocator, from which this allocation gets it.
    if let Ok(pfn) = shared.machine.alloc_pages(0, 0) {
        shared.change();
        shared.machine.put(pfn);
    }
    join([other]);
    shared.freed();
}

/// A freeze against a walker: either the walker gets its reference and the freeze fails, or the
/// freeze succeeds and the walker gets none.
fn freeze_against_walker<R: Release>() {
    let shared = Listed::<R>::new(1);
    shared.lock();
    let walker = start(&shared, |shared| {
        if shared.machine.frames()[shared.pfn].try_get() {
            shared.content.get();
            shared.machine.put(shared.pfn);
        }
    });
    let page = &shared.machine.frames()[shared.pfn];
    if shared.machine.freeze(shared.pfn, 1).is_ok() {
        shared.change();
        page.unfreeze(shared.pfn, 1);
    }
    shared.machine.unlock_and_put(shared.pfn);
    join([walker]);
    shared.freed();
}

/// The end of a successful migration against a walker: the page is freed once, by one of the two.
fn finish_against_walker<R: Release>() {
    let shared = Listed::<R>::new(1);
    assert!(shared.machine.isolate_lru_page(shared.pfn));
    shared.machine.put(shared.pfn);
    shared.machine.frames()[shared.pfn].clear(Flags::ACTIVE);
    shared.lock();
    let walker = start(&shared, |shared| {
        if shared.machine.frames()[shared.pfn].try_get() {
            shared.machine.put(shared.pfn);
        }
    });
    shared.machine.finish_migrations(std::iter::once(shared.pfn));
    join([walker]);
    shared.freed();
}

/// An owner puts a movable page while another thread isolates it and puts it back: `released` is
/// called exactly once.
fn released_once<R: Release>() {
    let machine = machine::<R>(1);
    let pool = PagePool::new(&machine).expect("one owner");
    let page = pool.add(&machine, 0).expect("one frame");
    let pfn = pool.pfn(page).expect("just added");
    let isolator = start(&machine, move |machine| {
        if machine.isolate_movable_page(pfn) {
            machine.putback_movable_page(pfn);
        }
    });
    pool.release(&machine, page).expect("a page of the pool");
    join([isolator]);
    assert_eq!(pool.census(), (0, 1), "not released exactly once");
    assert_eq!(used(&machine), 0, "a leaked page");
    assert_clean(&machine);
}

macro_rules! designs {
    ($($module:ident: $design:ident,)+ => $models:tt) => {
        /// All models under all designs.
        pub const MODELS: &[Model] = [$(designs!(@table $design $models)),+].as_flattened();
        $(
            mod $module {
                use super::MODELS;

designs!(@tests $design $models);
            }
        )+
    };
    (@table $design:ident { $($name:ident($preemptions:expr))+ }) => {
        [$(Model {
            name: concat!(stringify!($name), " ", stringify!($design)),
            preemptions: $preemptions,
            program: $name::<$design>,
        }),+]
    };
    (@tests $design:ident { $($name:ident($preemptions:expr))+ }) => {
        $(#[test] fn $name() {
            let name = concat!(stringify!($name), " ", stringify!($design));
            let model = MODELS.iter().find(|model| model.name == name);
            crate::holds(model.expect("every model is in the table"));
        })+
    };
}

designs!(putback: Putback, split: Split, hook: Hook, hook_late: HookLate, packed: Packed, mine: Mine, => {
    last_put(None)
    two_claims(None)
    claim_against_last_put(None)
    walker_against_last_put(None)
    claim_against_drain(None)
    unlock_and_put(None)
    unlock_and_put_against_put(None)
    freeze_against_walker(None)
    finish_against_walker(None)
    released_once(Some(2))
});
