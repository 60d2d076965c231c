//! Watermarks: the free frames of a node that allocations leave to others (`struct zone`,
//! `_watermark`).

use crate::page::PAGE_SIZE;

/// The watermark below which an allocation does not take a node's free frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Floor {
    /// `low`: for an allocation that has not waited yet. Below it reclaim starts in the background.
    Low,
    /// `min`: for an allocation that may reclaim pages itself.
    Min,
    /// None: for allocations of threads that reclaim. They need a few frames to free many.
    None,
}

/// The three watermarks of a node, in frames. All are 0 on a machine without memory pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Watermarks {
    /// Below this, only threads that reclaim get frames.
    pub min: u32,
    /// Below this, reclaim starts in the background.
    pub low: u32,
    /// At this, reclaim in the background stops.
    pub high: u32,
}

impl Watermarks {
    /// The watermarks of a node of `frames` frames that keeps `min` of them in reserve
    /// (`__setup_per_zone_wmarks`, of 4.6 and later): the distance between two watermarks is a
    /// quarter of the reserve or a thousandth of the node, whichever is more.
    pub fn new(min: u32, frames: u32) -> Watermarks {
        const SCALE: u32 = 1000;
        let distance = (min / 4).max(frames / SCALE);
        let low = min.saturating_add(distance);
        Watermarks { min, low, high: low.saturating_add(distance) }
    }

    /// The frames that an allocation leaves.
    #[inline]
    pub fn level(&self, floor: Floor) -> u32 {
        match floor {
            Floor::Low => self.low,
            Floor::Min => self.min,
            Floor::None => 0,
        }
    }
}

/// KiB in a frame.
const KIB: u32 = (PAGE_SIZE / 1024) as u32;

/// The reserve of a machine of so many frames, in KiB (`calculate_min_free_kbytes`): four times the
/// root of its size, from 128 KiB to 256 MiB. A machine of less than 16 MiB, on which hardly any kernel
/// runs, keeps the 32nd part of its frames instead, so that a tiny machine is not all reserve.
pub fn default_min_free_kbytes(frames: u64) -> u32 {
    let size = frames * u64::from(KIB);
    let root = (size * 16).isqrt() as u32;
    root.clamp(128, 256 << 10).min((size / 32) as u32)
}

/// A node's share of a reserve of `kbytes` KiB on a machine of `total` frames.
pub fn share_of_node(kbytes: u32, frames: u32, total: u64) -> u32 {
    (u64::from(kbytes / KIB) * u64::from(frames) / total.max(1)).min(u64::from(frames)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_that_of_a_kernel() {
        // 4 GiB in one zone: a reserve of 8 MiB, and the watermarks are a thousandth of the node apart.
        let kbytes = default_min_free_kbytes(1 << 20);
        assert_eq!(kbytes, 8192);
        let min = share_of_node(kbytes, 1 << 20, 1 << 20);
        assert_eq!(Watermarks::new(min, 1 << 20), Watermarks { min: 2048, low: 3096, high: 4144 });
        // 256 MiB: the distance is a quarter of the reserve.
        let kbytes = default_min_free_kbytes(1 << 16);
        assert_eq!(kbytes, 2048);
        assert_eq!(Watermarks::new(512, 1 << 16), Watermarks { min: 512, low: 640, high: 768 });
    }

    #[test]
    fn small_machines_keep_most_of_their_frames() {
        assert_eq!(default_min_free_kbytes(4), 0);
        assert_eq!(share_of_node(default_min_free_kbytes(64), 64, 64), 2);
        assert_eq!(share_of_node(u32::MAX, 8, 16), 8);
    }
}
