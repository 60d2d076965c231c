//! Pages that are freed together: one lock of the allocator serves many.

use super::{Left, Release};
use crate::machine::Machine;
use crate::page::Pfn;
use arrayvec::ArrayVec;

/// The most pages that are freed under one lock.
const MOST: usize = 64;

/// Base pages of one node whose records are reset, and whose frames wait to be given to the allocator. They
/// go there in their order, at the latest when the value is dropped.
///
/// Until then no other thread can use the frames. A caller that waited meanwhile could wait for a thread that
/// needs one of them.
pub(super) struct Freed<'a, R: Release> {
    machine: &'a Machine<R>,
    /// Whether each frame goes to the allocator before the next page is freed, as in a kernel whose calls
    /// were recorded.
    singly: bool,
    node: usize,
    frames: ArrayVec<Pfn, MOST>,
}

impl<'a, R: Release> Freed<'a, R> {
    #[inline]
    pub(super) fn new(machine: &'a Machine<R>) -> Self {
        Freed { machine, singly: machine.records_calls(), node: 0, frames: ArrayVec::new() }
    }

    /// Frees a page if a put has left that to the caller.
    #[inline]
    pub(super) fn add(&mut self, pfn: Pfn, left: Left) {
        match left {
            Left::Live => {}
            Left::Dead(word) => match self.machine.retire(pfn, word) {
                Some(0) => self.push(pfn),
                Some(order) => {
                    self.flush();
                    self.machine.free_to_allocator(pfn, order);
                }
                None => {}
            },
            Left::DeadMovable(word) => {
                self.flush();
                self.machine.free_movable(pfn, word);
            }
        }
    }

    #[inline]
    fn push(&mut self, pfn: Pfn) {
        let node = self.machine.node_of(pfn);
        if node != self.node {
            self.flush();
            self.node = node;
        }
        self.frames.push(pfn);
        if self.frames.is_full() || self.singly {
            self.flush();
        }
    }

    #[inline]
    fn flush(&mut self) {
        if !self.frames.is_empty() {
            self.machine.free_frames_to_allocator(self.node, &self.frames);
            self.frames.clear();
        }
    }
}

impl<R: Release> Drop for Freed<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // A panic here means a broken rule or a stop. No thread uses the machine afterwards.
        if !std::thread::panicking() {
            self.flush();
        }
    }
}
