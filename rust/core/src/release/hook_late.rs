//! `hook_late`: look after the count has reached zero, without a lock. A question worth asking.
//!
//! Once the count is zero nobody can gain a reference, and the mark is changed by reference holders
//! alone: the look needs no lock, and puts that are not the last pay nothing.

use super::Release;
use crate::machine::Machine;
use crate::page::{Dropped, Flags, Pfn};
use crate::profile::Design;

/// Looks after the last drop.
#[derive(Debug)]
pub struct HookLate;

impl Release for HookLate {
    const DESIGN: Design = Design::HookLate;
    const LOOKS: bool = true;
    type State = ();

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
