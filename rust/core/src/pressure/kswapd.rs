//! Reclaim in the background (`kswapd`), one run at each call.

use super::state::{Effort, Want, Wanted, context};
use crate::alloc::pageblock::MigrateType;
use crate::error::Result;
use crate::lru::SWAP_CLUSTER_MAX;
use crate::machine::Machine;
use crate::map::Reclaimer;
use crate::page::{MAX_ORDER, reckon};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Ordering, stop_point, unpark_all};

/// Runs in a row without a freed page after which the daemon is not woken any more
/// (`MAX_RECLAIM_RETRIES`).
const HOPELESS: u32 = 16;

impl<R: Release> Machine<R> {
    /// One run of a node's reclaiming daemon for blocks of 2^`order` frames (`balance_pgdat`): frees
    /// pages that were not used lately until the node's free frames reach the high watermark. Returns
    /// the number of pages freed. A run that has freed twice as many frames as the wanted block needs
    /// leaves the making of the block to compaction, and wakes the compacting daemon at its end.
    ///
    /// `EINVAL` for a node or an order that does not exist.
    pub fn kswapd(&self, node: usize, order: u8) -> Result<u32> {
        self.may_compact(node, order)?;
        reckon::note_daemon_start();
        let freed = self.balance(node, order);
        reckon::note_daemon_end();
        freed
    }

    /// Performs the run of [`Machine::kswapd`].
    fn balance(&self, node: usize, order: u8) -> Result<u32> {
        let wanted = &self.nodes[node].wanted;
        let _reclaims = self.pressure.enter(context::RECLAIMS);
        self.stats.event(Event::Pageoutrun, 1);
        let (mut freed, mut goal) = (0, order);
        // The loop ends: each round frees a page or is the last.
        loop {
            stop_point();
            // Frames in the arrays of the CPUs are not counted as free.
            self.drain_pcp(node);
            let Some(missing) = self.missing(node, goal) else { break };
            let now = self.reclaim_by(node, missing.max(SWAP_CLUSTER_MAX), Reclaimer::Kswapd)?;
            freed += now;
            if now == 0 {
                break;
            }
            if freed >= 2 << order {
                // Enough frames are free. To make a block of them is the work of compaction.
                goal = 0;
            }
        }
        let balanced = self.missing(node, goal).is_none();
        // Relaxed: the number of failures is a hint, which orders nothing.
        match freed {
            0 if !balanced => _ = wanted.failures.fetch_add(1, Ordering::Relaxed),
            _ => wanted.failures.store(0, Ordering::Relaxed),
        }
        if balanced || self.is_hopeless(node) {
            // If a direct run of compaction has scanned the node to its end, the hints are cleared before
            // the daemon sleeps, and the next run scans the whole node again.
            self.nodes[node].zone.lock().reset_skip_hints();
            if goal < order {
                // Enough memory for a block is free, but fragmented.
                self.wake_kcompactd(node, order);
            }
        }
        Ok(freed)
    }

    /// Returns true if so many runs in a row have freed nothing that the daemon is not woken any more.
    fn is_hopeless(&self, node: usize) -> bool {
        // Relaxed: as in `kswapd`.
        self.nodes[node].wanted.failures.load(Ordering::Relaxed) >= HOPELESS
    }

    /// The number of frames that must become free until the node has a block's worth of free frames above
    /// its high watermark, or 1 if the node has the frames but no block; `None` if nothing is missing
    /// (`pgdat_balanced`).
    fn missing(&self, node: usize, order: u8) -> Option<u32> {
        let found = &self.nodes[node];
        let zone = found.zone.lock();
        let goal = zone.watermarks().high.saturating_add(1 << order).min(found.blocks.online());
        match goal.saturating_sub(zone.free()) {
            0 => (order > 0 && !zone.would_serve(order, MigrateType::Movable)).then_some(1),
            missing => Some(missing),
        }
    }

    /// Wakes the reclaiming daemons of the nodes that may serve an allocation (`wake_all_kswapds`). A node
    /// without memory has no daemon. Where reclaim is hopeless or nothing is missing, an allocation that does
    /// not reclaim itself wakes the compacting daemon instead, if it wants more than one frame.
    pub(crate) fn wake_kswapds(&self, want: Want) {
        for node in self.nodes_for(want).filter(|&node| self.nodes[node].blocks.online() > 0) {
            let wanted = &self.nodes[node].wanted;
            if self.is_hopeless(node) || self.missing(node, want.order).is_none() {
                if want.effort == Effort::NoWait && want.order > 0 {
                    self.wake_kcompactd(node, want.order);
                }
            } else if Wanted::raise(&wanted.kswapd, want.order) {
                unpark_all(&wanted.kswapd, || {});
            }
        }
    }

    /// Wakes the compacting daemon of a node (`wakeup_kcompactd`).
    fn wake_kcompactd(&self, node: usize, order: u8) {
        let word = &self.nodes[node].wanted.kcompactd;
        if Wanted::raise(word, order) {
            unpark_all(word, || {});
        }
    }

    /// Takes the order that waits for a node's reclaiming daemon. No order waits after the call.
    pub fn take_wanted_kswapd(&self, node: usize) -> Option<u8> {
        Wanted::take(&self.nodes.get(node)?.wanted.kswapd).map(|order| order.min(MAX_ORDER))
    }

    /// Takes the order that waits for a node's compacting daemon. No order waits after the call.
    pub fn take_wanted_kcompactd(&self, node: usize) -> Option<u8> {
        Wanted::take(&self.nodes.get(node)?.wanted.kcompactd).map(|order| order.min(MAX_ORDER))
    }

    /// Notes that an allocation has freed pages of a node: the daemon is worth waking again.
    pub(super) fn note_progress(&self, node: usize) {
        // Relaxed: as in `kswapd`.
        let failures = &self.nodes[node].wanted.failures;
        if failures.load(Ordering::Relaxed) > 0 {
            failures.store(0, Ordering::Relaxed);
        }
    }
}
