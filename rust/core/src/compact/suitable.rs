//! Decides if a node has enough free memory to compact, and if its free memory is in pieces
//! (`compaction_suitable`).

use crate::alloc::zone::Zone;

/// The largest order that an allocation is expected to find without much work
/// (`PAGE_ALLOC_COSTLY_ORDER`).
pub(crate) const COSTLY_ORDER: u8 = 3;

/// Compaction for a block above `COSTLY_ORDER` is left out if the fragmentation index is 0 to this number:
/// the allocation would fail for lack of memory, not because the memory is in pieces (`extfrag_threshold`).
const EXTFRAG_THRESHOLD: i32 = 500;

/// Compaction for a block starts only if more frames than these are free: a watermark, and twice the frames
/// of the block. The pages in the way of the block need as many targets, and while pages are copied both are
/// in use (`compact_gap`).
pub(crate) fn free_to_compact(zone: &Zone, order: u8) -> u32 {
    let marks = zone.watermarks();
    let mark = if order > COSTLY_ORDER { marks.low } else { marks.min };
    mark.saturating_add(2 << order)
}

/// Returns true if compaction can make a block: enough memory is free, and for a large block the free memory
/// is in pieces rather than too little.
pub(crate) fn is_compaction_suitable(zone: &Zone, order: u8) -> bool {
    let scarce =
        || order > COSTLY_ORDER && (0..=EXTFRAG_THRESHOLD).contains(&zone.fragmentation_index(order));
    zone.free() > free_to_compact(zone, order) && !scarce()
}
