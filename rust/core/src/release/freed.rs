//! Pages that are freed together: one lruvec lock and one lock of the allocator serve many.

use super::{Left, Release};
use crate::calls::Call;
use crate::machine::Machine;
use crate::page::{Flags, Pfn, Word};
use arrayvec::ArrayVec;

/// The most pages that are freed under one lock.
const MOST: usize = 64;

/// Pages whose counts are zero, with the words that their drops found. They leave their lists together, and
/// their frames go to the allocator in their order, at the latest when the value is dropped.
///
/// Until then no other thread can use the frames. A caller that waited meanwhile could wait for a thread that
/// needs one of them.
pub(super) struct Freed<'a, R: Release> {
    machine: &'a Machine<R>,
    /// True while the machine records its calls: each page is then freed before the next one is, as in the
    /// recorded kernels.
    singly: bool,
    dead: ArrayVec<(Pfn, Word), MOST>,
}

impl<'a, R: Release> Freed<'a, R> {
    #[inline]
    pub(super) fn new(machine: &'a Machine<R>) -> Self {
        Freed { machine, singly: machine.records_calls(), dead: ArrayVec::new() }
    }

    /// Frees a page if a put has left that to the caller.
    #[inline]
    pub(super) fn add(&mut self, pfn: Pfn, left: Left) {
        match left {
            Left::Live => {}
            Left::Dead(word) => {
                self.dead.push((pfn, word));
                if self.dead.is_full() || self.singly {
                    self.free();
                }
            }
            Left::DeadMovable(word) => {
                self.free();
                self.machine.free_movable(pfn, word);
            }
        }
    }

    #[inline]
    fn free(&mut self) {
        let machine = self.machine;
        if self.singly {
            self.dead.iter().for_each(|&(pfn, _)| machine.calls_on(Call::PutFinal, pfn));
        }
        if self.dead.len() > 1 {
            let listed = self.dead.iter().filter(|(_, word)| word.has(Flags::LRU));
            listed.for_each(|&(pfn, _)| machine.frames.prefetch_neighbours(pfn));
        }
        machine.lru_unlink_dead(&self.dead);
        let mut frames = ArrayVec::<Pfn, MOST>::new();
        let mut node = 0;
        for (pfn, _) in self.dead.drain(..) {
            let on = machine.node_of(pfn);
            // A large page goes to the buddy lists at once, and so do its good frames if one is poisoned.
            // So the frames before it are given first.
            if machine.frames[pfn].order() > 0 || on != node {
                give(machine, node, &mut frames);
                node = on;
            }
            match machine.retire(pfn) {
                Some(0) => frames.push(pfn),
                Some(order) => machine.free_to_allocator(pfn, order),
                None => {}
            }
        }
        give(machine, node, &mut frames);
    }
}

/// Gives frames of a node to the allocator.
#[inline]
fn give<R: Release>(machine: &Machine<R>, node: usize, frames: &mut ArrayVec<Pfn, MOST>) {
    if !frames.is_empty() {
        machine.free_frames_to_allocator(node, frames);
        frames.clear();
    }
}

impl<R: Release> Drop for Freed<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // A panic here means a broken rule or a stop. No thread uses the machine afterwards.
        if !std::thread::panicking() && !self.dead.is_empty() {
            self.free();
        }
    }
}
