//! `hook`: every put looks for a movable page before it drops. Considered and rejected in 2016.
//!
//! The look must be stable against the drop: between "is it movable?" and "was that the last
//! reference?" an owner could take its mark away and free its own state, and `released` would run
//! for an owner that is gone. So both happen under a lock that [`Hook::mark`](Release::mark) takes
//! too. That lock is what the design costs every put in the system.

use super::Release;
use crate::machine::Machine;
use crate::page::{Dropped, Flags, Pfn};
use crate::profile::Design;
use crate::sync::{Lock, LockClass, Mutation, mutated};
use crossbeam_utils::CachePadded;

/// Locks that puts and marks of different pages share.
const STRIPES: usize = if cfg!(any(feature = "explored", loom)) { 4 } else { 256 };

/// Looks before the drop, under a striped lock.
#[derive(Debug)]
pub struct Hook;

/// The striped locks.
#[derive(Debug)]
pub struct Stripes(Box<[CachePadded<Lock<()>>]>);

impl Default for Stripes {
    fn default() -> Self {
        Stripes((0..STRIPES).map(|_| CachePadded::new(Lock::plain(LockClass::Hook, ()))).collect())
    }
}

impl Stripes {
    fn of(&self, pfn: Pfn) -> &Lock<()> {
        &self.0[pfn.index() % STRIPES]
    }
}

impl Release for Hook {
    const DESIGN: Design = Design::Hook;
    const LOOKS: bool = true;
    type State = Stripes;

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, stripes: &Stripes, pfn: Pfn) {
        let page = &machine.frames[pfn];
        let (movable, dropped) = {
            let _stable = (!mutated(Mutation::HookWithoutLock)).then(|| stripes.of(pfn).lock());
            (page.word().has(Flags::MOVABLE), page.drop_refs(pfn, 1))
        };
        match dropped {
            Dropped::Live => {}
            Dropped::Last(word) if movable => machine.free_movable(pfn, word),
            Dropped::Last(word) => machine.free_last(pfn, word),
        }
    }

    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, stripes: &Stripes, from: Pfn) {
        Self::unlock_and_put(machine, stripes, from);
    }

    fn mark<M: Release>(machine: &Machine<M>, stripes: &Stripes, pfn: Pfn, movable: bool) {
        let _stable = stripes.of(pfn).lock();
        let page = &machine.frames[pfn];
        match movable {
            true => page.set(Flags::MOVABLE),
            false => page.clear(Flags::MOVABLE),
        };
    }
}
