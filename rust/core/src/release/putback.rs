//! `putback`: one ending for success and failure. Linux 4.5.

use super::Release;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::profile::Design;

/// Every migration ends with `putback_lru_page`.
#[derive(Debug)]
pub struct Putback;

impl Release for Putback {
    const DESIGN: Design = Design::Putback;
    const LOOKS: bool = false;
    type State = ();

    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) {
        machine.put_plain(pfn);
    }

    /// The dead page travels through a batch once more: queued (+1), the isolation's reference dropped,
    /// and freed by the put that drains the batch, right after it was linked to a list.
    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, _state: &(), from: Pfn) {
        machine.frames[from].unlock(from);
        machine.putback_lru_page(from);
    }
}
