//! The array of free frames that a CPU keeps of one node.

use crate::page::Pfn;
use crate::sync::broken;
use arrayvec::ArrayVec;

/// The most frames that an array can hold.
const CAPACITY: usize = 64;

/// Free frames, last in, first out. The array holds frame numbers and is no list through the
/// records, so that a frame's record stays cold until the frame is used.
#[derive(Clone, Debug, Hash)]
pub struct Pcp {
    frames: ArrayVec<Pfn, CAPACITY>,
    /// Number of frames that move together between the array and the buddy lists.
    batch: usize,
    /// Number of [`Pcp::disable`] in force (`zone_pcp_disable`).
    disabled: u32,
    /// True if some pageblock of the node is not movable, so that not every frame may come here.
    picky: bool,
    /// True if a freed frame needs a closer look: `disabled` or `picky`. So the free of a frame makes
    /// one test instead of two.
    guarded: bool,
}

impl Pcp {
    /// An empty array for a node of `frames` frames. Small nodes get small batches, so that the
    /// arrays cannot keep a large part of the node's frames.
    pub fn for_node(frames: u32) -> Pcp {
        let batch = (frames as usize / 64).clamp(1, CAPACITY / 2 - 1);
        Pcp { frames: ArrayVec::new(), batch, disabled: 0, picky: false, guarded: false }
    }

    /// Number of frames in the array.
    #[inline]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Returns true if the array is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames in the array; for audits.
    #[inline]
    pub fn frames(&self) -> &[Pfn] {
        &self.frames
    }

    /// Takes a frame. If the array is empty, `refill(want, into)` fills it first.
    #[inline]
    pub(super) fn take(&mut self, refill: impl FnOnce(usize, &mut ArrayVec<Pfn, CAPACITY>)) -> Option<Pfn> {
        if self.frames.is_empty() {
            refill(if self.disabled > 0 { 1 } else { self.batch }, &mut self.frames);
            // The frames are reversed, so that they are handed out in the order in which the buddy
            // lists gave them: neighbours one after the other.
            self.frames.reverse();
        }
        self.frames.pop()
    }

    /// Puts a frame into the array. If the array is full, `flush` gets the oldest batch first. If the
    /// array is disabled, or takes only frames of movable pageblocks and `is_movable` returns false,
    /// `flush` gets the frame instead of the array.
    #[inline]
    pub(super) fn give(&mut self, pfn: Pfn, is_movable: impl FnOnce() -> bool, flush: impl Fn(&[Pfn])) {
        if self.guarded && (self.disabled > 0 || !is_movable()) {
            return flush(&[pfn]);
        }
        if self.frames.len() >= 2 * self.batch {
            flush(&self.frames[..self.batch]);
            self.frames.drain(..self.batch);
        }
        self.frames.push(pfn);
    }

    /// Adds a frame that the next [`Pcp::take`] hands out. Returns false if the array is full or
    /// disabled.
    pub(super) fn stage(&mut self, pfn: Pfn) -> bool {
        self.disabled == 0 && self.frames.try_push(pfn).is_ok()
    }

    /// Keeps the array empty from now on: a frame that is freed goes to a buddy list at once. Calls
    /// nest.
    pub(super) fn disable(&mut self) {
        self.disabled += 1;
        self.guarded = true;
    }

    /// Ends one [`Pcp::disable`].
    pub(super) fn enable(&mut self) {
        if let Some(pfn) = self.frames.first() {
            broken("nothing stays in a disabled array", format_args!("frame {pfn} is in a CPU's array"));
        }
        self.disabled -= 1;
        self.guarded = self.disabled > 0 || self.picky;
    }

    /// Takes only frames of movable pageblocks from now on, or every frame again. The array has one
    /// list where the kernel has one for each migratetype.
    pub(super) fn take_movable_only(&mut self, only: bool) {
        self.picky = only;
        self.guarded = self.disabled > 0 || only;
    }

    /// Returns true while the array is kept empty.
    pub fn is_disabled(&self) -> bool {
        self.disabled > 0
    }

    /// Empties the array into `flush`.
    pub(super) fn flush(&mut self, flush: impl FnOnce(&[Pfn])) {
        if !self.frames.is_empty() {
            flush(&self.frames);
            self.frames.clear();
        }
    }
}
