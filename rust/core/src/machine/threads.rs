//! Threads that use machines: each has a slot, of which there are [`MAX_THREADS`](crate::sync::MAX_THREADS).
//!
//! Native code that starts threads reserves their slots first, all or none, so that no thread stops half-way because
//! it got none. A thread that comes from outside asks for its own before its first call.

use crate::error::{Errno, Error, Result};
use crate::sync::{MAX_THREADS, ThreadSlot, claim_thread_slot};

/// The calling thread may use machines from now on, until it ends. Harmless the second time.
///
/// `EAGAIN` if too many threads do.
pub fn enter_thread() -> Result<()> {
    if claim_thread_slot() { Ok(()) } else { Err(too_many_threads(1)) }
}

/// Slots for `threads` threads that are still to begin: each adopts one ([`ThreadSlot::adopt`]).
///
/// `EAGAIN`, with nothing reserved, if there are not so many.
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

/// Why `wanted` more threads cannot use machines.
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
