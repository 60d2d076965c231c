//! `hook`: every put looks for a movable page before it drops. The kernel's developers
//! considered this design in 2016 and rejected it.
//!
//! The mark must not change between the look and the drop. Otherwise an owner could clear its mark
//! and free its own state in between, and `released` would run for an owner that is gone. So a put
//! looks and drops under a lock, which [`Hook::mark`](Release::mark) takes too. That lock is the
//! design's cost: every put in the system pays for it.

use super::{Designed, Left, Release};
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::{Dropped, Flags, Pfn};
use crate::profile::Design;
use crate::sync::{Lock, LockClass, Mutation, mutated};
use crossbeam_utils::CachePadded;

/// Number of locks, which the puts and marks of all pages share.
const STRIPES: usize = if cfg!(any(feature = "explored", loom)) { 4 } else { 256 };

/// The design that looks before the drop, under a striped lock.
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

impl Designed for Hook {
    const DESIGN: Design = Design::Hook;
    type State = Stripes;
    type Driver = dyn MovableOps<Self>;
}

impl Release for Hook {
    const LOOKS: bool = true;

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, stripes: &Stripes, pfn: Pfn) -> Left {
        let page = &machine.frames[pfn];
        let (movable, dropped) = {
            let _stable = (!mutated(Mutation::HookWithoutLock)).then(|| stripes.of(pfn).lock());
            (page.word().has(Flags::MOVABLE), page.drop_refs(pfn, 1))
        };
        match dropped {
            Dropped::Last(word) if movable => Left::DeadMovable(word),
            other => other.into(),
        }
    }

    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, stripes: &Stripes, from: Pfn) -> Left {
        Self::unlock_and_put(machine, stripes, from)
    }

    fn mark<M: Release>(machine: &Machine<M>, stripes: &Stripes, pfn: Pfn, movable: bool) {
        let _stable = stripes.of(pfn).lock();
        let page = &machine.frames[pfn];
        match movable {
            true => page.publish(Flags::MOVABLE),
            false => {
                page.clear(Flags::MOVABLE);
            }
        }
    }
}
