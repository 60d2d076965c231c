//! `hook_late`: the last put looks for a movable page after the count has reached zero, without a
//! lock.
//!
//! Once the count is zero, no thread can take a reference, and only holders of a reference change
//! the mark. So the look needs no lock, and a put that is not the last pays nothing.

use super::{Designed, Left, Release};
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::{Dropped, Flags, Pfn};
use crate::profile::Design;

/// The design that looks after the last drop.
#[derive(Debug)]
pub struct HookLate;

impl Designed for HookLate {
    const DESIGN: Design = Design::HookLate;
    type State = ();
    type Driver = dyn MovableOps<Self>;
}

impl Release for HookLate {
    const LOOKS: bool = true;

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) -> Left {
        let page = &machine.frames[pfn];
        match page.drop_refs(pfn, 1) {
            Dropped::Last(word) if page.word().has(Flags::MOVABLE) => Left::DeadMovable(word),
            other => other.into(),
        }
    }

    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) -> Left {
        Self::unlock_and_put(machine, state, from)
    }
}
