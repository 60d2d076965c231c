//! Two measurements of the host: the CPU time of a thread, and a bare `memcpy` of pages in memory of the
//! load's size, with which migrations are compared.

use crate::error::{Error, Result};
use crate::memory::{CopyKind, Memory, WORDS};
use crate::page::{PAGE_SIZE, Pfn};
use crate::rng::Rng;
use std::time::Duration;

/// Returns the CPU time that the calling thread has used. Unlike wall time it does not advance
/// while another thread has the processor.
pub(super) fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec` of this frame; the call writes nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every Linux has a clock for each thread");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Copies pages by libc's `memcpy` alone, from random to random places. The memory is as large as
/// that of the load. If the load fits into a cache of the processor, so do these copies; only
/// those of a load that is larger than the last-level cache are copies of cold pages. No other
/// thread of the load runs meanwhile.
#[derive(Debug)]
pub(super) struct BareCopies {
    /// Sources are the even frames, destinations the odd ones.
    memory: Memory,
    order: Vec<u32>,
    /// The position at which the next run goes on.
    next: usize,
}

impl BareCopies {
    /// Allocates `pages` sources and as many destinations, and touches all of them.
    pub fn new(pages: u32, seed: u64) -> Result<BareCopies> {
        let memory = Memory::backed(2 * pages, CopyKind::Plain)?;
        for frame in 0..2 * pages {
            Error::unless_interrupted()?;
            for word in 0..WORDS {
                memory.store(Pfn(frame), word, u64::from(frame));
            }
        }
        let mut order: Vec<u32> = (0..pages).collect();
        let mut rng = Rng::new(seed, u64::MAX);
        for at in (1..order.len()).rev() {
            order.swap(at, rng.below(at as u32 + 1) as usize);
        }
        Ok(BareCopies { memory, order, next: 0 })
    }

    /// Copies `pages` pages on the calling thread and returns its CPU time.
    pub fn run(&mut self, pages: usize) -> Duration {
        let start = thread_cpu_time();
        for _ in 0..pages {
            let from = self.order[self.next];
            // Destinations follow the reverse permutation: each is written once in a pass over all
            // sources, far from the one before.
            let to = self.order[self.order.len() - 1 - self.next];
            self.next = (self.next + 1) % self.order.len();
            self.copy(Pfn(2 * from), Pfn(2 * to + 1));
        }
        thread_cpu_time() - start
    }

    fn copy(&mut self, from: Pfn, to: Pfn) {
        let frame = |pfn| self.memory.frame(pfn).expect("backed").as_ptr();
        let (from, to) = (frame(from), frame(to).cast_mut());
        // SAFETY: both are frames of PAGE_SIZE bytes of live memory, distinct because one is even
        // and one odd. The exclusive borrow of `self` excludes all other accesses. The words are
        // atomics, which allow writes through shared references.
        unsafe {
            libc::memcpy(to.cast(), from.cast(), PAGE_SIZE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_destination_gets_its_source_in_one_round() {
        let mut copies = BareCopies::new(64, 3).unwrap();
        assert!(copies.run(64) > Duration::ZERO);
        let order = copies.order.clone();
        for at in 0..64 {
            let (from, to) = (2 * order[at], 2 * order[63 - at] + 1);
            assert_eq!(copies.memory.load(Pfn(to), 511), u64::from(from));
        }
    }

    #[test]
    fn a_sleeping_thread_uses_no_cpu_time() {
        let start = thread_cpu_time();
        std::thread::sleep(Duration::from_millis(30));
        assert!(thread_cpu_time() - start < Duration::from_millis(20));
    }
}
