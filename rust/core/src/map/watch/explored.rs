//! The watch of the explored build: it remembers for each thread an entry that the thread has taken away and
//! not flushed yet.

use crate::map::pte::{Entry, Pte};
use crate::page::{Pfn, reckon};
use crate::sync::explored::{THREADS, thread_slot};
use std::cell::Cell;

thread_local! {
    /// For each thread of the schedule, the frame of an entry that the thread has taken away and not flushed
    /// yet. An operation that is abandoned by its schedule leaves a value behind, so each operation begins
    /// with none.
    static UNFLUSHED: [Cell<Option<Pfn>>; THREADS] = const { [const { Cell::new(None) }; THREADS] };
}

fn change(to: Option<Pfn>) -> Option<Pfn> {
    UNFLUSHED.with(|all| all.get(thread_slot()).and_then(|own| own.replace(to)))
}

/// Records that an entry was replaced. A flush is due if the old entry allows an access to a frame that the
/// new one does not allow, or a store that leaves no mark. The zero page is no such frame: its content stays
/// what it was.
pub(in crate::map) fn replaced(old: Pte, new: Pte) {
    let Entry::Present { pfn, zero: false } = old.entry() else { return };
    let stays = new.entry() == (Entry::Present { pfn, zero: false });
    if stays && new.has(Pte::WRITE) && !old.has(Pte::WRITE) {
        reckon::made_writable();
    }
    let lost = |bit| old.has(bit) && !new.has(bit);
    if !stays || lost(Pte::WRITE) || lost(Pte::DIRTY) {
        change(Some(pfn));
    }
}

/// Records a flush by the calling thread.
pub(in crate::map) fn flushed() {
    change(None);
}

/// Forgets, at the beginning of an operation, the entry that the calling thread has taken away before.
pub(crate) fn note_operation_start() {
    change(None);
}

/// The frame of an entry that the calling thread has taken away, and not flushed, in the operation that is
/// about to end.
pub(crate) fn unflushed() -> Option<Pfn> {
    change(None)
}
