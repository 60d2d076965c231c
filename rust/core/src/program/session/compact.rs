//! Compaction and its settings.

use super::Session;
use super::actor::Actor;
use super::process::Outcome;
use super::step::{Problem, Step};
use crate::alloc::watermark::default_min_free_kbytes;
use crate::compact::{CompactPriority, Compacted};
use crate::error::{Errno, Error};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::program::{Priority, Watermarks};
use crate::release::Release;

impl<R: Release> Session<R> {
    /// Compacts a node, or every node.
    pub(super) fn compact(&self, actor: &Actor, node: Option<u32>) -> Outcome<Vec<(Pfn, Pfn)>> {
        // Migrations wait for page locks.
        actor.no_page_lock()?;
        let nodes = match node {
            Some(node) => self.node(node)?..self.node(node)? + 1,
            None => 0..self.machine.nodes().len(),
        };
        let mut moves = Vec::new();
        for node in nodes {
            moves.extend(self.machine.compact(node, true)?.moves);
        }
        Ok(moves)
    }

    /// Compacts a node for one block.
    pub(super) fn compact_for(
        &self,
        actor: &Actor,
        order: u32,
        node: Option<u32>,
        priority: Option<Priority>,
    ) -> Step {
        let priority = match priority.unwrap_or(Priority::SyncLight) {
            Priority::Async => CompactPriority::Async,
            Priority::SyncLight => CompactPriority::SyncLight,
            Priority::SyncFull => CompactPriority::SyncFull,
        };
        self.run_for(actor, order, node, |machine, node, order| {
            machine.compact_for(node, order, priority, true)
        })
    }

    /// Makes one run of the compaction daemon.
    pub(super) fn kcompactd(&self, actor: &Actor, order: u32, node: Option<u32>) -> Step {
        self.run_for(actor, order, node, Machine::kcompactd)
    }

    fn run_for(
        &self,
        actor: &Actor,
        order: u32,
        node: Option<u32>,
        run: impl Fn(&Machine<R>, usize, u8) -> crate::error::Result<Compacted>,
    ) -> Step {
        // Migrations wait for page locks. The core refuses an order that does not exist.
        let node = actor.no_page_lock().and_then(|()| self.node(node.unwrap_or(0)));
        let order = u8::try_from(order).unwrap_or(u8::MAX);
        match node.and_then(|node| Ok(run(&self.machine, node, order)?)) {
            Ok(run) => Step { ret: run.migrated.into(), moves: run.moves, ..Step::default() },
            Err(problem) => Step::refused(problem),
        }
    }

    /// Lets allocations use a node to its last pages, or restores the watermarks. On a machine without memory
    /// pressure allocations always use the last pages.
    pub(super) fn watermarks(&self, level: Watermarks) -> Outcome {
        if self.machine.has_pressure() {
            let frames = u64::from(self.machine.frames().len());
            self.machine.set_min_free_kbytes(match level {
                Watermarks::Low => 0,
                Watermarks::Normal => default_min_free_kbytes(frames),
            })?;
        }
        Ok(())
    }

    /// Writes a file of `/proc/sys/vm`.
    pub(super) fn set_sysctl(&self, actor: &Actor, name: &str, value: &str) -> Outcome {
        // Migrations wait for page locks.
        actor.no_page_lock()?;
        match name {
            "compact_unevictable_allowed" => {
                let allowed = match value {
                    "0" => false,
                    "1" => true,
                    _ => {
                        let why = format!("{name} is 0 or 1, not {value}");
                        return Err(Error::new(Errno::EINVAL, why).into());
                    }
                };
                self.machine.set_compact_unevictable_allowed(allowed);
                Ok(())
            }
            "compaction_proactiveness" => {
                // A value that is no number is refused like a number that is too large.
                let proactiveness = value.parse().unwrap_or(u32::MAX);
                self.machine.set_compaction_proactiveness(proactiveness)?;
                // The write wakes the compaction daemons of all nodes.
                for node in 0..self.machine.nodes().len() {
                    self.machine.compact_proactively(node)?;
                }
                Ok(())
            }
            "min_free_kbytes" => {
                let kbytes = value.parse().map_err(|_| {
                    Error::new(Errno::EINVAL, format!("{name} is a number of KiB, not {value}"))
                })?;
                Ok(self.machine.set_min_free_kbytes(kbytes)?)
            }
            _ => Err(Problem::Unsupported("this machine does not have this sysctl")),
        }
    }
}
