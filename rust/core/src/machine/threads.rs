//! Slots for the threads that use machines: each thread has one, of
//! [`MAX_THREADS`](crate::sync::MAX_THREADS) in the process.
//!
//! Native code that starts threads first reserves slots for all of them, or starts none. Otherwise
//! a thread without a slot would stop the work half-way. A thread that comes from outside takes its
//! slot before its first call.

use crate::error::{Errno, Error, Result};
use crate::sync::{MAX_THREADS, ThreadSlot, claim_thread_slot};

/// Takes a slot for the calling thread, which may use machines from now on until it ends. A second
/// call changes nothing.
///
/// `EAGAIN` if all slots are taken.
pub fn enter_thread() -> Result<()> {
    if claim_thread_slot() { Ok(()) } else { Err(too_many_threads(1)) }
}

/// Reserves slots for `threads` threads that are still to begin. Each thread adopts one slot
/// ([`ThreadSlot::adopt`]).
///
/// `EAGAIN`, with nothing reserved, if fewer slots are free.
pub fn reserve_threads(threads: usize) -> Result<Vec<ThreadSlot>> {
    if threads > MAX_THREADS {
        return Err(too_many_threads(threads));
    }
    let mut slots = Vec::with_capacity(threads);
    for _ in 0..threads {
        slots.push(ThreadSlot::reserve().ok_or_else(|| too_many_threads(threads))?);
    }
    Ok(slots)
}

/// Returns the error for `wanted` more threads that find no free slot.
#[cold]
pub fn too_many_threads(wanted: usize) -> Error {
    let more = if wanted == 1 { "one more thread".into() } else { format!("{wanted} more threads") };
    Error::new(
        Errno::EAGAIN,
        format!(
            "no room for {more}: at most {MAX_THREADS} threads of a process can use machines at the same time; \
             end threads that have used one"
        ),
    )
}
