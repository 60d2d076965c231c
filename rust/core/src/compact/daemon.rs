//! Compaction in the background, one run at each call (`kcompactd`).

use super::control::{Control, Request};
use super::result::{CompactStatus, Compacted};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::migrate::Mode;
use crate::pressure::state::Wanted;
use crate::release::Release;
use crate::stat::Event;
use crate::sync::unpark_all;

impl<R: Release> Machine<R> {
    /// One run of the node's compaction daemon for a block of 2^`order` frames (`kcompactd_do_work`).
    ///
    /// `EINVAL` for a node or an order that does not exist.
    pub fn kcompactd(&self, node: usize, order: u8) -> Result<Compacted> {
        self.may_compact(node, order)?;
        self.stats.event(Event::CompactDaemonWake, 1);
        if self.nodes[node].zone.lock().compaction_mut().is_deferred(order) {
            return Ok(Compacted::not_run(CompactStatus::Deferred));
        }
        let request = Request {
            order: Some(order),
            mode: Mode::SyncLight,
            whole_zone: false,
            ignore_skip_hint: false,
            ..Request::whole_node(false)
        };
        let control = Control::new(self, node, request);
        if let Some(status) = control.not_worth_a_start() {
            // A block that was free already says nothing about the chances of a run.
            return Ok(Compacted::not_run(status));
        }
        let run = control.run()?;
        match run.status {
            CompactStatus::Success => {
                self.nodes[node].zone.lock().compaction_mut().succeed(order, false);
            }
            CompactStatus::Complete | CompactStatus::PartialSkipped => {
                // Frames in the arrays of the CPUs could not merge.
                self.drain_pcp(node);
                self.nodes[node].zone.lock().compaction_mut().defer(order);
            }
            _ => {}
        }
        self.count_daemon(&run);
        Ok(run)
    }

    /// One proactive run, if the node's fragmentation score is high (`proactive_compact_node`). Returns
    /// `None` if the score is low enough, or the proactiveness is 0.
    ///
    /// `EINVAL` for a node that does not exist.
    pub fn compact_proactively(&self, node: usize) -> Result<Option<Compacted>> {
        self.may_compact(node, 0)?;
        let proactiveness = self.compact_settings.proactiveness();
        let low = 100u32.saturating_sub(proactiveness).max(5);
        if proactiveness == 0 || self.fragmentation_score(node)? <= (low + 10).min(100) {
            return Ok(None);
        }
        let request = Request { mode: Mode::SyncLight, until_score: Some(low), ..Request::whole_node(false) };
        let run = Control::new(self, node, request).run()?;
        if self.profile.compact_daemon_counts_proactive {
            self.count_daemon(&run);
        }
        Ok(Some(run))
    }

    fn count_daemon(&self, run: &Compacted) {
        self.stats.event(Event::CompactDaemonMigrateScanned, run.migrate_scanned as i64);
        self.stats.event(Event::CompactDaemonFreeScanned, run.free_scanned as i64);
    }

    /// The share of a node's free memory that lies in blocks smaller than a pageblock, in percent
    /// (`fragmentation_score_zone`).
    ///
    /// `EINVAL` for a node that does not exist.
    pub fn fragmentation_score(&self, node: usize) -> Result<u32> {
        self.may_compact(node, 0)?;
        Ok(self.nodes[node].zone.lock().fragmentation_score(self.profile.pageblock_order))
    }

    /// The reason why an allocation of 2^`order` frames of a node would fail (`fragmentation_index`, the
    /// `extfrag` files of debugfs), in thousandths: towards 0 for lack of memory, towards 1000 because the
    /// free memory is fragmented; -1000 if it would not fail.
    ///
    /// `EINVAL` for a node or an order that does not exist.
    pub fn fragmentation_index(&self, node: usize, order: u8) -> Result<i32> {
        self.may_compact(node, order)?;
        Ok(self.nodes[node].zone.lock().fragmentation_index(order))
    }

    /// The share of a node's free memory that a request of 2^`order` frames cannot use because it lies in
    /// smaller blocks, in thousandths (`unusable_free_index`, the `extfrag` files of debugfs); 1000 if
    /// nothing is free.
    ///
    /// `EINVAL` for a node or an order that does not exist.
    pub fn unusable_index(&self, node: usize, order: u8) -> Result<u32> {
        self.may_compact(node, order)?;
        Ok(self.nodes[node].zone.lock().unusable_index(order))
    }

    /// `compaction_proactiveness`: how eagerly background runs lower the fragmentation, 20 at first.
    pub fn compaction_proactiveness(&self) -> u32 {
        self.compact_settings.proactiveness()
    }

    /// Sets `compaction_proactiveness`. Unless the new value is 0, the compacting daemons wake up and check
    /// their nodes. `EINVAL` for more than 100.
    pub fn set_compaction_proactiveness(&self, proactiveness: u32) -> Result<()> {
        if proactiveness > 100 {
            let why = format!("compaction_proactiveness is 0 to 100, not {proactiveness}");
            return Err(Error::new(Errno::EINVAL, why));
        }
        self.compact_settings.set_proactiveness(proactiveness);
        for node in self.nodes.iter().filter(|_| proactiveness > 0) {
            // The daemons check at once, however long they were to wait for their next check.
            Wanted::ask_for_check(&node.wanted.kcompactd);
            unpark_all(&node.wanted.kcompactd, || {});
        }
        Ok(())
    }
}
