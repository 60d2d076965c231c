//! The counters of /proc/vmstat, for a machine and for each node.

use crate::error::{Errno, Error, Result};
use crate::lru::LruList;
use crate::machine::Machine;
use crate::release::Release;
use crate::stat::{Event, NodeItem};

/// The number of node counters, at the head of [`NodeItem::ALL`], that tell where allocations were
/// served. /proc/vmstat shows them before the lists.
const ALLOCATIONS: usize = 3;

impl<R: Release> Machine<R> {
    /// The counters with their names, in the order of /proc/vmstat. For a node these are the node's
    /// counters. For `None` they are the sums over all nodes, followed by the events, which belong
    /// to no node. Pages are counted in base pages. `nr_free_pages` counts the buddy lists without
    /// the frames in per-CPU arrays, as in the kernel.
    ///
    /// The numbers are exact while no other thread uses the machine. `EINVAL` for a node that does
    /// not exist.
    pub fn vmstat(&self, node: Option<usize>) -> Result<Vec<(&'static str, i64)>> {
        let nodes = match node {
            None => 0..self.nodes.len(),
            Some(node) if node < self.nodes.len() => node..node + 1,
            Some(node) => return Err(Error::new(Errno::EINVAL, format!("no node {node}"))),
        };
        let sum = |of: &dyn Fn(usize) -> i64| nodes.clone().map(of).sum::<i64>();
        let mut counters =
            vec![("nr_free_pages", sum(&|node| i64::from(self.nodes[node].zone.lock().free())))];
        let (allocations, items) = NodeItem::ALL.split_at(ALLOCATIONS);
        for &item in allocations {
            counters.push((item.name(), sum(&|node| self.stats.on_node(node, item))));
        }
        for list in LruList::ALL {
            counters.push((list.name(), sum(&|node| i64::from(self.nodes[node].lruvec.lock().pages(list)))));
        }
        for &item in items {
            counters.push((item.name(), sum(&|node| self.stats.on_node(node, item))));
        }
        if node.is_none() {
            counters.extend(Event::ALL.iter().map(|&event| (event.name(), self.stats.events(event))));
        }
        Ok(counters)
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use crate::machine::{Config, Machine};
    use crate::release::Split;
    use crate::stat::Event;

    #[test]
    fn a_machine_is_the_sum_of_its_nodes_and_the_events() {
        let machine = Machine::<Split>::new(&Config::new(2, 64)).unwrap();
        let pfn = machine.alloc_pages(1, 3).unwrap();
        let value = |node, name| {
            let all = machine.vmstat(node).unwrap();
            all.into_iter().find(|&(counter, _)| counter == name).map(|(_, value)| value)
        };
        assert_eq!(value(Some(0), "nr_free_pages"), Some(64));
        assert_eq!(value(Some(1), "nr_free_pages"), Some(56));
        assert_eq!(value(None, "nr_free_pages"), Some(120));
        assert_eq!((value(None, "pgalloc"), value(Some(1), "pgalloc")), (Some(8), None));
        machine.put(pfn);
        assert!(machine.vmstat(Some(2)).is_err());
    }

    #[test]
    fn an_allocation_is_a_hit_or_a_miss_of_its_node_and_foreign_to_the_one_that_was_asked() {
        let machine = Machine::<Split>::new(&Config::new(2, 16)).unwrap();
        let names = ["numa_hit", "numa_miss", "numa_foreign"];
        let on = |node| {
            let all = machine.vmstat(node).unwrap();
            names.map(|name| all.iter().find(|&&(counter, _)| counter == name).unwrap().1)
        };
        let mut pages: Vec<_> = (0..20).map(|_| machine.alloc_pages_near(0, 0).unwrap()).collect();
        assert_eq!((on(Some(0)), on(Some(1))), ([16, 0, 4], [0, 4, 0]));
        // An allocation that accepts one node alone fails when this node is full, and counts
        // nothing.
        assert!(machine.alloc_pages(0, 0).is_err());
        pages.push(machine.alloc_pages(1, 2).unwrap());
        assert_eq!((on(Some(1)), on(None)), ([1, 4, 0], [17, 4, 4]));
        assert_eq!(machine.stats().events(Event::Pgalloc), 24);
        assert!(machine.vmstat(None).unwrap().iter().position(|&(name, _)| name == "numa_hit") == Some(1));
        pages.into_iter().for_each(|pfn| machine.put(pfn));
    }
}
