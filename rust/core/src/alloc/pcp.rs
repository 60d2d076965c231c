//! A CPU's free frames of one node.

use crate::page::Pfn;
use crate::sync::broken;
use arrayvec::ArrayVec;

/// Most frames an array can hold.
const CAPACITY: usize = 64;

/// Free frames, last in first out. An array of numbers rather than a list through the records: the
/// records stay cold until a frame is used.
#[derive(Clone, Debug, Hash)]
pub struct Pcp {
    frames: ArrayVec<Pfn, CAPACITY>,
    /// Frames moved at once between here and the buddy lists.
    batch: usize,
    /// How many keep the array empty (`zone_pcp_disable`).
    disabled: u32,
}

impl Pcp {
    /// An empty array for a node of `frames` frames: small nodes get small batches, so that the
    /// arrays cannot hide much of them.
    pub fn for_node(frames: u32) -> Pcp {
        Pcp { frames: ArrayVec::new(), batch: (frames as usize / 64).clamp(1, CAPACITY / 2 - 1), disabled: 0 }
    }

    /// Frames held.
    #[inline]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Nothing held?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames held; for audits.
    #[inline]
    pub fn frames(&self) -> &[Pfn] {
        &self.frames
    }

    /// Takes one; `refill(want, into)` is called when there is none.
    #[inline]
    pub(super) fn take(&mut self, refill: impl FnOnce(usize, &mut ArrayVec<Pfn, CAPACITY>)) -> Option<Pfn> {
        if self.frames.is_empty() {
            refill(if self.disabled > 0 { 1 } else { self.batch }, &mut self.frames);
            // In the order in which the buddy lists gave them: neighbours one after the other.
            self.frames.reverse();
        }
        self.frames.pop()
    }

    /// Gives one; `flush` gets the oldest batch when the array is full.
    #[inline]
    pub(super) fn give(&mut self, pfn: Pfn, flush: impl FnOnce(arrayvec::Drain<'_, Pfn, CAPACITY>)) {
        if self.disabled > 0 {
            self.frames.push(pfn);
            return flush(self.frames.drain(..));
        }
        if self.frames.len() >= 2 * self.batch {
            flush(self.frames.drain(..self.batch));
        }
        self.frames.push(pfn);
    }

    /// From now on nothing stays here: a frame that is freed is on a buddy list at once. Nests.
    pub(super) fn disable(&mut self) {
        self.disabled += 1;
    }

    /// Ends one [`Pcp::disable`].
    pub(super) fn enable(&mut self) {
        if let Some(pfn) = self.frames.first() {
            broken("nothing stays in a disabled array", format_args!("frame {pfn} is in a CPU's array"));
        }
        self.disabled -= 1;
    }

    /// Does anybody keep the array empty?
    pub fn is_disabled(&self) -> bool {
        self.disabled > 0
    }

    /// Gives everything to `flush`.
    pub(super) fn flush(&mut self, flush: impl FnOnce(arrayvec::Drain<'_, Pfn, CAPACITY>)) {
        if !self.frames.is_empty() {
            flush(self.frames.drain(..));
        }
    }
}
