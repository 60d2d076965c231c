//! `putback`: a migration ends in the same way on success and on failure, as in Linux 4.5.

use super::{Designed, Left, Release};
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::Pfn;
use crate::profile::Design;

/// The design in which every migration ends with `putback_lru_page`.
#[derive(Debug)]
pub struct Putback;

impl Designed for Putback {
    const DESIGN: Design = Design::Putback;
    type State = ();
    type Driver = dyn MovableOps<Self>;
}

impl Release for Putback {
    const LOOKS: bool = false;

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) -> Left {
        machine.frames[pfn].drop_refs(pfn, 1).into()
    }

    /// The old page goes through a batch once more, although it has no users. It is queued
    /// (+1), and the isolation's reference is dropped. The put of the drain frees it, right after
    /// the drain has linked it to a list.
    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, _state: &(), from: Pfn) -> Left {
        machine.frames[from].unlock(from);
        machine.putback_lru_page(from);
        Left::Live
    }
}
