//! Replacement by a machine without bytes: all pages belong to one file, which is read through the page
//! cache.
//!
//! A request for a cached page marks the page accessed. A request for another page first makes room by
//! [`Machine::reclaim`], if the memory is full, and then reads the page in: the page is allocated, inserted
//! into the cache, and added to the LRU through the CPU's batch.

use super::{Events, Finding, LoadError};
use crate::audit::Ledger;
use crate::load::fault::audited;
use crate::lru::LruList;
use crate::machine::{Config, Machine, NodeConfig, enter_thread};
use crate::map::{File, FileKind};
use crate::profile::Profile;
use crate::release::Split;
use crate::stat::{Event, NodeItem};
use std::sync::Arc;

/// Additional frames for per-CPU arrays and batches.
const SPARE: u32 = 1024;
/// The number of reclaims without a freed page after which the run gives up at a request. The first
/// reclaims may only deactivate pages.
const PATIENCE: u32 = 8;

/// A memory whose pages a machine replaces.
pub(super) struct OnMachine {
    machine: Machine<Split>,
    file: Arc<File>,
    /// The most pages that the memory holds, and the pages that it holds now.
    size: u32,
    resident: u32,
}

impl OnMachine {
    /// Makes an empty memory of `size` pages for a file of `footprint` pages.
    pub(super) fn new(profile: Profile, footprint: u32, size: u32) -> Result<OnMachine, LoadError> {
        let frames = size
            .checked_add(SPARE)
            .ok_or_else(|| LoadError::Config(format!("a memory of {size} pages is too large")))?;
        let nodes = vec![NodeConfig { frames, latency_ns: NodeConfig::LATENCY_NS }];
        let machine = Machine::new(&Config { nodes, cpus: 1, backed: false, profile, ..Config::new(1, 1) })?;
        enter_thread()?;
        let file = machine.file(FileKind::Disk, footprint)?;
        Ok(OnMachine { machine, file, size, resident: 0 })
    }

    /// Performs requests, and returns how many of them missed.
    pub(super) fn run(&mut self, requests: &[u32]) -> Result<u64, LoadError> {
        enter_thread()?;
        let mut misses = 0;
        for &page in requests {
            if !self.machine.read_cached(&self.file, page) {
                misses += 1;
                self.make_room()?;
                self.machine.read_uncached(&self.file, page, 0)?;
                self.resident += 1;
            }
        }
        Ok(misses)
    }

    fn make_room(&mut self) -> Result<(), LoadError> {
        let mut patience = PATIENCE;
        while self.resident >= self.size {
            let freed = self.machine.reclaim(0, self.resident + 1 - self.size)?;
            self.resident -= freed;
            if freed == 0 {
                patience -= 1;
                if patience == 0 {
                    return Err(LoadError::Config(format!(
                        "reclaim frees none of {} clean pages",
                        self.resident
                    )));
                }
            }
        }
        Ok(())
    }

    /// Audits the machine, ends it, and returns the counts of page events.
    pub(super) fn finish(self) -> Result<Events, Finding> {
        enter_thread().map_err(Finding::refused("the end of the run"))?;
        let machine = &self.machine;
        audited(machine, &Ledger::default())?;
        let event = |event| machine.stats().events(event);
        let item = |item| machine.stats().on_node(0, item);
        Ok(Events {
            activated: event(Event::Pgactivate),
            deactivated: event(Event::Pgdeactivate),
            scanned: event(Event::PgscanDirect),
            refaulted: item(NodeItem::WorkingsetRefaultFile),
            reactivated: item(NodeItem::WorkingsetActivateFile),
            active: machine.nodes()[0].lruvec.lock().pages(LruList::ActiveFile),
        })
    }
}
