//! `hook_late`: the last put looks for a movable page after the count has reached zero, without a
//! lock.
//!
//! Once the count is zero, no thread can take a reference, and only holders of a reference change
//! the mark. So the look needs no lock, and a put that is not the last pays nothing.

use super::{Designed, Release};
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
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) {
        let page = &machine.frames[pfn];
        if let Dropped::Last(word) = page.drop_refs(pfn, 1) {
            if page.word().has(Flags::MOVABLE) {
                machine.free_movable(pfn, word);
            } else {
                machine.free_last(pfn, word);
            }
        }
    }

    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) {
        Self::unlock_and_put(machine, state, from);
    }
}
