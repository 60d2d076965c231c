//! Compaction by an allocation that found no block (`try_to_compact_pages`).
//!
//! A direct run is short where it can be: it begins where the last one stopped, passes over pageblocks
//! with a skip hint, and ends as soon as a block is free. After a failed run the next runs are left out,
//! twice as many as after the failure before. The kernel also searches the free lists for pageblocks to
//! begin with (`fast_isolate_freepages`, `fast_find_migrateblock`); here the scanners go frame by frame.

use super::control::{Control, Request};
use super::result::{CompactStatus, Compacted};
use crate::error::Result;
use crate::machine::Machine;
use crate::migrate::Mode;
use crate::page::{Pfn, reckon};
use crate::pressure::state::context;
use crate::release::Release;
use crate::stat::Event;

/// The effort of a direct run (`enum compact_priority`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompactPriority {
    /// The run passes over pages for which it would have to wait, and over pageblocks of other
    /// types.
    Async,
    /// The run tries all pages. Like an asynchronous run it waits for no page lock, because the caller of
    /// the allocation may hold the lock.
    SyncLight,
    /// The run scans the whole node, whatever the skip hints say, and takes targets from any pageblock.
    SyncFull,
}

impl CompactPriority {
    /// The names that programs and reports use.
    pub const NAMES: &'static [(&'static str, CompactPriority)] = &[
        ("async", CompactPriority::Async),
        ("sync_light", CompactPriority::SyncLight),
        ("sync_full", CompactPriority::SyncFull),
    ];
}

impl<R: Release> Machine<R> {
    /// Compacts a node until a block of 2^`order` frames is free, unless recent runs have failed. A run of
    /// priority `SyncFull` is made even then.
    ///
    /// `EINVAL` for a node or an order that does not exist; `ENOMEM` of the host if it has no memory for
    /// the list of moves.
    pub fn compact_for(
        &self,
        node: usize,
        order: u8,
        priority: CompactPriority,
        trace: bool,
    ) -> Result<Compacted> {
        Ok(self.compact_and_capture(node, order, priority, (trace, false))?.0)
    }

    /// Like [`Machine::compact_for`]. With `captures` the run catches the block instead of leaving it on the
    /// lists, and the block gets its first reference.
    pub(crate) fn compact_and_capture(
        &self,
        node: usize,
        order: u8,
        priority: CompactPriority,
        (trace, captures): (bool, bool),
    ) -> Result<(Compacted, Option<Pfn>)> {
        self.may_compact(node, order)?;
        let full = priority == CompactPriority::SyncFull;
        if !full && self.nodes[node].zone.lock().compaction_mut().is_deferred(order) {
            return Ok((Compacted::not_run(CompactStatus::Deferred), None));
        }
        let mode = if priority == CompactPriority::Async { Mode::Async } else { Mode::SyncLight };
        let request = Request {
            order: Some(order),
            mode,
            whole_zone: full,
            ignore_skip_hint: full,
            direct: true,
            any_target: full,
            captures,
            ..Request::whole_node(trace)
        };
        let _compacts = self.pressure.enter(context::RECLAIMS | context::ALLOCATES);
        let (run, block) = Control::new(self, node, request).run_and_capture();
        // The kernel counts hits and misses where an allocation takes a block off the free lists. A
        // captured block does not go that way, and is counted as neither (`compaction_capture`).
        let caught = |block| {
            let block = self.hand_out_block(block, order);
            self.stats.event(Event::Pgalloc, block.map_or(0, |_| 1 << order));
            block
        };
        let run =
            run.inspect_err(|_| block.and_then(caught).into_iter().for_each(|block| self.put(block)))?;
        let mut zone = self.nodes[node].zone.lock();
        match run.status {
            CompactStatus::Success => zone.compaction_mut().succeed(order, false),
            CompactStatus::Complete | CompactStatus::PartialSkipped if mode != Mode::Async => {
                zone.compaction_mut().defer(order);
            }
            _ => {}
        }
        let block = block.and_then(caught);
        if block.is_some() {
            reckon::captured();
        }
        Ok((run, block))
    }
}
