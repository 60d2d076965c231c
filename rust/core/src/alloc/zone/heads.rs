//! Prefetches the records of single free frames before they are taken off their list.
//!
//! To take many frames off a list is to follow a chain: the record of each frame names the next frame. A
//! record that is not in the cache must arrive before the next one can be asked for. So each record also
//! names the frame [`AHEAD`] places further on, in its `private`. A frame that leaves the head of its list
//! starts the loading of that frame's record.
//!
//! The name is a hint, on which nothing but the cache depends. A frame that merges with its buddy leaves the
//! middle of the list. Records before that frame then name a frame that is 17 places further on, not 16.

use crate::page::{Frames, Pfn};

/// The distance, in frames of a list, between a frame that is taken and the one that is prefetched.
const AHEAD: usize = 16;

/// Stands for no frame in a record's `private`. The first frame of a machine is never prefetched.
pub(super) const NO_FRAME: u32 = 0;

/// The first [`AHEAD`] frames of a list.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    /// A ring; the head of the list is at `at`, modulo its length.
    frames: [u32; AHEAD],
    at: usize,
}

impl Heads {
    pub(super) const NONE: Heads = Heads { frames: [NO_FRAME; AHEAD], at: 0 };

    /// Notes a new head of the list. Returns the frame that its record is to name, or [`NO_FRAME`].
    #[inline]
    pub(super) fn push(&mut self, pfn: Pfn) -> u32 {
        // Modelled memory has no cache, and there the name would be a part of the state.
        if cfg!(any(feature = "explored", loom)) {
            return NO_FRAME;
        }
        self.at = self.at.wrapping_add(1);
        std::mem::replace(&mut self.frames[self.at % AHEAD], pfn.0)
    }

    /// Notes that the head `pfn` leaves the list, and prefetches the record of the frame that it names.
    #[inline]
    pub(super) fn pop(&mut self, frames: &Frames, pfn: Pfn) {
        // Without names there is nothing to prefetch, and to read one would be a step.
        if cfg!(any(feature = "explored", loom)) {
            return;
        }
        let ahead = frames[pfn].private();
        self.frames[self.at % AHEAD] = ahead;
        self.at = self.at.wrapping_sub(1);
        if ahead != NO_FRAME {
            frames.prefetch(Pfn(ahead));
        }
    }
}

#[cfg(all(test, not(any(feature = "explored", loom))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// While frames join and leave a list at its head only, each names the frame `AHEAD` places
        /// further on.
        #[test]
        fn a_head_names_the_frame_that_is_taken_later(steps in prop::collection::vec(any::<bool>(), 1..400)) {
            let frames = Frames::new(401).unwrap();
            let mut heads = Heads::NONE;
            let mut list: Vec<Pfn> = Vec::new();
            for (number, joins) in (1..).zip(steps) {
                if joins {
                    let ahead = heads.push(Pfn(number));
                    let place = list.len().checked_sub(AHEAD);
                    prop_assert_eq!(ahead, place.map_or(NO_FRAME, |place| list[place].0));
                    frames[Pfn(number)].set_extra(0, ahead);
                    list.push(Pfn(number));
                } else if let Some(pfn) = list.pop() {
                    heads.pop(&frames, pfn);
                }
            }
        }
    }
}
