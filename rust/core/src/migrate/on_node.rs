//! Destinations on one node, allocated together where that changes nothing but the cost.

use super::NewPage;
use crate::alloc::pages::TOGETHER;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use arrayvec::ArrayVec;

/// The source of destinations on one node.
pub(crate) struct OnNode<'a, R: Release> {
    machine: &'a Machine<R>,
    node: usize,
    /// Pages that were allocated for the next sources, the first one last.
    ready: ArrayVec<Pfn, TOGETHER>,
}

impl<R: Release> Machine<R> {
    /// A source of destinations that are all on `node`, as large as their sources.
    pub(crate) fn on_node(&self, node: usize) -> OnNode<'_, R> {
        OnNode { machine: self, node, ready: ArrayVec::new() }
    }
}

impl<R: Release> NewPage for OnNode<'_, R> {
    #[inline]
    fn expect(&mut self, pages: usize) {
        if self.ready.is_empty() {
            self.ready = self.machine.alloc_together(self.node, pages);
            self.ready.reverse();
        }
    }

    #[inline]
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        match self.machine.frames[src].order() {
            0 => self.ready.pop().or_else(|| self.machine.alloc_pages(self.node, 0).ok()),
            order => self.machine.alloc_pages(self.node, order).ok(),
        }
    }

    #[inline]
    fn wants_outcomes(&self) -> bool {
        false
    }
}

/// Frees the pages that were not asked for, because another thread has changed a source meanwhile. They go
/// back in the opposite order, so that the array of free frames is as before.
impl<R: Release> Drop for OnNode<'_, R> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ready.iter().for_each(|&pfn| self.machine.put(pfn));
        }
    }
}
