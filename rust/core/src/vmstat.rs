//! What /proc/vmstat would show, for a machine and for each node.

use crate::error::{Errno, Error, Result};
use crate::lru::LruList;
use crate::machine::Machine;
use crate::release::Release;
use crate::stat::{Event, NodeItem};

impl<R: Release> Machine<R> {
    /// Counters by their names, in the order of /proc/vmstat: of one node, or (`None`) of all nodes
    /// together followed by the events, which belong to no node. In base pages where pages are
    /// counted. `nr_free_pages` counts the buddy lists; frames in per-CPU arrays are apart, as in the kernel.
    ///
    /// Exact at a quiet moment. `EINVAL` for a node that is not there.
    pub fn vmstat(&self, node: Option<usize>) -> Result<Vec<(&'static str, i64)>> {
        let nodes = match node {
            None => 0..self.nodes.len(),
            Some(node) if node < self.nodes.len() => node..node + 1,
            Some(node) => return Err(Error::new(Errno::EINVAL, format!("no node {node}"))),
        };
        let sum = |of: &dyn Fn(usize) -> i64| nodes.clone().map(of).sum::<i64>();
        let mut counters =
            vec![("nr_free_pages", sum(&|node| i64::from(self.nodes[node].zone.lock().free())))];
        for list in LruList::ALL {
            counters.push((list.name(), sum(&|node| i64::from(self.nodes[node].lruvec.lock().pages(list)))));
        }
        for &item in NodeItem::ALL {
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
}
