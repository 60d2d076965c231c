//! The objects that locks protect, for the steps of a trace.
//!
//! The class alone does not tell two locks apart: a race about the batches of CPU 1 cannot be read in a trace
//! that has `pagevec lock` in each line.

use super::Session;
use super::actor::Actor;
use crate::map::AddressSpace;
use crate::release::Release;
use std::sync::Weak;

impl<R: Release> Session<R> {
    /// Returns the name of the object that the lock at `address` protects: `CPU 1`, `node 0`, `c2` for a
    /// child. `None` if the machine has one such lock, or the object has no name. `actors` have the names
    /// that the threads defined.
    pub fn holder<'a>(&self, address: usize, actors: impl IntoIterator<Item = &'a Actor>) -> Option<String> {
        let machines = self.node_at(address).or_else(|| self.cpu_at(address));
        machines.or_else(|| self.registry_at(address)).or_else(|| self.space_at(address, actors))
    }

    /// Returns the address space whose areas or faults the lock protects.
    fn space_at<'a>(&self, address: usize, actors: impl IntoIterator<Item = &'a Actor>) -> Option<String> {
        let is_of = |space: &AddressSpace| space.areas.is_at(address) || space.faults.is_at(address);
        if is_of(&self.space) {
            return Some("the program".into());
        }
        let names = std::iter::once(&self.names).chain(actors.into_iter().map(|actor| &actor.names));
        for (child, process) in names.flat_map(|names| names.children.iter()) {
            if process.as_ref().is_some_and(|process| is_of(&process.space)) {
                return Some(child.to_string());
            }
        }
        // A fork that has not ended has given its child no name yet.
        let registry = self.machine.spaces.0.lock();
        let space = registry.live.values().filter_map(Weak::upgrade).find(|space| is_of(space))?;
        Some(format!("space {}", space.id))
    }

    /// Returns the node whose free frames or LRU lists the lock protects.
    fn node_at(&self, address: usize) -> Option<String> {
        let nodes = &self.machine.nodes;
        let node = nodes.iter().position(|node| node.zone.is_at(address) || node.lruvec.is_at(address))?;
        Some(format!("node {node}"))
    }

    /// Returns the name of the things that the registry under the lock lists: a registry of the machine or of
    /// the program.
    fn registry_at(&self, address: usize) -> Option<String> {
        let machine = &self.machine;
        let registries = [
            (machine.spaces.0.is_at(address), "the address spaces"),
            (machine.swap.now.is_at(address), "the swap space"),
            (machine.failure.books.is_at(address), "the poisoned frames"),
            (machine.shrinkers.is_at(address), "the shrinkers"),
            (self.shared.is_at(address), "the program's handles"),
            (self.discarded.is_at(address), "the discarded pages"),
            (self.nonlru.is_at(address), "the balloon's and pools' pages"),
            (self.lent.is_at(address), "the lent device"),
        ];
        registries.into_iter().find_map(|(is_here, what)| is_here.then(|| what.to_owned()))
    }

    /// Returns the CPU whose batches or free frames the lock protects.
    fn cpu_at(&self, address: usize) -> Option<String> {
        self.machine.cpus.iter().enumerate().find_map(|(number, cpu)| {
            if cpu.batches.is_at(address) {
                return Some(format!("CPU {number}"));
            }
            let node = cpu.pcp.iter().position(|frames| frames.is_at(address))?;
            Some(format!("CPU {number} and node {node}"))
        })
    }
}
