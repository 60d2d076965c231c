//! `split`: a migration ends with a put on success, and with a putback on failure, as in
//! Linux since 4.8.

use super::{Designed, Left, Release};
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::Pfn;
use crate::profile::Design;

/// The design in which success ends with a put, and failure with a putback.
#[derive(Debug)]
pub struct Split;

impl Designed for Split {
    const DESIGN: Design = Design::Split;
    type State = ();
    type Driver = dyn MovableOps<Self>;
}

impl Release for Split {
    const LOOKS: bool = false;

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) -> Left {
        machine.frames[pfn].drop_refs(pfn, 1).into()
    }

    /// The isolation's reference is the last one, so the page is freed here and enters no batch.
    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) -> Left {
        Self::unlock_and_put(machine, state, from)
    }
}
