//! `mine`: your own design. A commented copy of `split` to start from.
//!
//! `make try DESIGN=mine` builds incrementally, audits, explores the standard set and compares with
//! `split`. The trait's provided methods (`claim`, `freeze`, `unlock_and_put`, `mark`) are the kernel's
//! sequence; override one to try another. What every design must keep:
//!
//! * Exactly one caller sees the count reach zero, and it alone frees.
//! * Nothing is read from the page after the drop, unless the drop was the last.
//! * If `LOOKS`, the owner's `released` runs exactly once for a page that dies with its mark set.

use super::Release;
use crate::machine::Machine;
use crate::page::{Dropped, Pfn};
use crate::profile::Design;

/// Yours.
#[derive(Debug)]
pub struct Mine;

impl Release for Mine {
    // The name under which profiles, the command line and reports know the design.
    const DESIGN: Design = Design::Mine;

    // Set this if your put looks for movable pages: owners then put without clearing their mark.
    const LOOKS: bool = false;

    // What your design keeps for each machine, such as a table of locks.
    type State = ();

    // The hot path: every reference in the machine is dropped here.
    #[inline]
    fn put<M: Release>(machine: &Machine<M>, _state: &(), pfn: Pfn) {
        if let Dropped::Last(word) = machine.frames[pfn].drop_refs(pfn, 1) {
            // The count is zero: unlink from the LRU, check, reset, give to the allocator.
            machine.free_last(pfn, word);
        }
    }

    // A migration succeeded: `from` is locked, unmapped, replaced, and holds the isolation's reference.
    #[inline]
    fn finish<M: Release>(machine: &Machine<M>, state: &(), from: Pfn) {
        Self::unlock_and_put(machine, state, from);
    }
}
