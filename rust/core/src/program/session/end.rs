//! The visible state of a session after all its threads have ended.

use super::Session;
use super::actor::{Actor, Pool};
use super::shown::{Counters, EVENTS, NODE, PageRun, Seen, runs};
use crate::page::Pfn;
use crate::release::Release;
use serde::Serialize;
use std::collections::BTreeMap;

/// The mark for the content of a page that no process maps, which is not compared.
const NOT_READ: &str = "-";

/// The pages and counters that a program leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndState {
    /// The pages behind the program's names, in runs of equal pages: regions (`r0`), regions of
    /// children (`c0.r0`), allocated pages and pages of movable owners.
    pub pages: BTreeMap<String, Vec<PageRun>>,
    /// The machine's events that are not 0.
    pub vm: Counters,
    /// Each node's counters that are not 0.
    pub nodes: Vec<Counters>,
}

impl<R: Release> Session<R> {
    /// Returns the end state, once the threads are [joined](Session::join) into `program`.
    pub fn end_state(&self, program: &Actor) -> EndState {
        let mut pages = BTreeMap::new();
        for names in [&self.names, &program.names] {
            for (region, mapped) in names.regions.iter() {
                let of = |page| self.seen(program, self.space.id, mapped, page, &mut None);
                pages.insert(region.to_string(), runs(&(0..mapped.area.pages()).map(of).collect::<Vec<_>>()));
            }
            for (name, pfn) in names.allocated.iter() {
                pages.insert(name.to_string(), runs(&[self.unmapped(*pfn)]));
            }
            for (name, Pool { pool, pages: all, .. }) in names.pools.iter() {
                // A released page has no frame.
                let frames = all.iter().filter_map(|&page| pool.pfn(page).ok());
                pages.insert(
                    name.to_string(),
                    runs(&frames.map(|pfn| self.unmapped(pfn)).collect::<Vec<_>>()),
                );
            }
        }
        for (child, process) in self.children(program) {
            for (region, mapped) in process.regions.iter() {
                let of = |page| self.seen(program, process.space.id, mapped, page, &mut None);
                let seen: Vec<_> = (0..mapped.area.pages()).map(of).collect();
                pages.insert(format!("{child}.{region}"), runs(&seen));
            }
        }
        let counted = |node, names: &[&str]| -> Counters {
            self.counted(node, names).into_iter().filter(|&(_, count)| count != 0).collect()
        };
        EndState {
            pages,
            vm: counted(None, EVENTS),
            nodes: (0..self.machine.nodes().len()).map(|node| counted(Some(node), NODE)).collect(),
        }
    }

    fn unmapped(&self, pfn: Pfn) -> Seen {
        Seen { pte: '-', page: Some(self.frame_shown(pfn, false, NOT_READ)) }
    }
}
