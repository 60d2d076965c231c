//! `split`: put and putback are two meanings. Linux since 4.8.

use super::Release;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::profile::Design;

/// Success ends with a put, failure with a putback.
#[derive(Debug)]
pub struct Split;

impl Release for Split {
    const DESIGN: Design = Design::Split;
    const LOOKS: bool = false;
    type State = ();

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) {
        machine.put_plain(pfn);
    }

    /// The isolation's reference is the last one: the page is freed here, not by a batch.
    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) {
        Self::unlock_and_put(machine, state, from);
    }
}
