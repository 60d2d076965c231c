//! A fork copies one moment of its parent's memory, whatever other threads write meanwhile.
//!
//! Each write of a thread and each fork has a span, from one step of the schedule to another. What a
//! child holds must fit a moment within the fork's span:
//!
//! * nothing that began to be written when the fork was over;
//! * nothing that had been overwritten when the fork began;
//! * of one thread's writes no later one without the earlier ones: unless pages may be pinned. A fork copies such pages
//!   itself, one after the other, and takes nobody's permission to write meanwhile (`copy_present_page`).
//!
//! Only the explored build numbers steps; elsewhere nothing is recorded.

use super::Session;
use super::actor::{Actor, Process};
use super::content::{Place, Version};
use crate::audit::Finding;
use crate::map::{AreaKind, Attributes, Entry};
use crate::memory::WORDS;
use crate::release::Release;
#[cfg(feature = "explored")]
use crate::sync::explored::{Topic, over, starts};
#[cfg(not(feature = "explored"))]
use unnumbered::{Topic, over, starts};

#[cfg(not(feature = "explored"))]
mod unnumbered {
    pub enum Topic {
        Writes,
        Forks,
    }

    pub fn over(_what: Topic) -> Option<u32> {
        None
    }

    pub fn starts(_knows: Topic) -> Option<u32> {
        None
    }
}

/// The rule.
pub const SNAPSHOT: &str = "a fork copies one moment";

/// From step to step of the schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    begin: u32,
    end: u32,
}

/// A page written.
#[derive(Clone, Debug)]
struct Written {
    space: u32,
    place: Place,
    version: Version,
    span: Span,
}

/// A space forked.
#[derive(Clone, Debug)]
struct Forked {
    parent: u32,
    child: u32,
    span: Span,
}

/// What a thread, or all of them one after the other, wrote and forked, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    writes: Vec<Written>,
    forks: Vec<Forked>,
    pinned: bool,
}

/// A write begins: the number of the next step, if steps have numbers. What was over by then is a relation
/// between steps, of which a search must know.
pub(super) fn write_begins() -> Option<u32> {
    starts(Topic::Forks)
}

/// The same of a fork.
pub(super) fn fork_begins() -> Option<u32> {
    starts(Topic::Writes)
}

impl Span {
    /// Was it over when the other began?
    fn before(self, other: Span) -> bool {
        self.end < other.begin
    }
}

impl History {
    pub fn wrote(&mut self, space: u32, place: Place, version: Version, begin: Option<u32>) {
        if let (Some(begin), Some(end)) = (begin, over(Topic::Writes)) {
            self.writes.push(Written { space, place, version, span: Span { begin, end } });
        }
    }

    pub fn forked(&mut self, parent: u32, child: u32, begin: Option<u32>) {
        if let (Some(begin), Some(end)) = (begin, over(Topic::Forks)) {
            self.forks.push(Forked { parent, child, span: Span { begin, end } });
        }
    }

    pub fn append(&mut self, other: &mut History) {
        self.writes.append(&mut other.writes);
        self.forks.append(&mut other.forks);
        self.pinned |= other.pinned;
    }

    /// Pages are about to be pinned.
    pub fn pins(&mut self) {
        self.pinned = true;
    }

    /// Were they ever?
    pub fn pinned(&self) -> bool {
        self.pinned
    }

    pub fn clear(&mut self) {
        self.writes.clear();
        self.forks.clear();
        self.pinned = false;
    }

    /// The write that a version at a place is of; `None`: what was there before all of them.
    fn find(&self, version: Version, place: Place) -> Option<usize> {
        self.writes.iter().position(|write| write.version == version && write.place == place)
    }

    /// Was `old` overwritten by `new` in any order of events that fits the spans?
    fn overwritten(&self, old: Option<usize>, new: usize) -> bool {
        let Some(old) = old else { return true };
        let (before, after) = (&self.writes[old], &self.writes[new]);
        match before.version.writer() == after.version.writer() {
            true => old < new,
            false => before.span.before(after.span),
        }
    }

    /// What is wrong with what a child holds, if anything: `held` are its versions by place.
    fn wrong(&self, fork: &Forked, held: &[(Place, Version)]) -> Option<(Place, &'static str)> {
        // What the child's own process wrote, and what the program itself did afterwards, is no copy.
        let copied = |place: Place, version: Version| {
            let found = self.find(version, place);
            let own = found.is_some_and(|write| self.writes[write].space == fork.child);
            (!own && (found.is_some() || version.is_initial())).then_some(found)
        };
        let copies: Vec<(Place, Option<usize>)> =
            held.iter().filter_map(|&(place, version)| Some((place, copied(place, version)?))).collect();
        // The newest write of each writer that the child holds.
        let newest = |writer: u8| {
            let writes = copies.iter().filter_map(|(_, write)| *write);
            writes.filter(|&write| self.writes[write].version.writer() == writer).max()
        };
        for &(place, found) in &copies {
            if found.is_some_and(|write| fork.span.before(self.writes[write].span)) {
                return Some((place, "holds what was written after the fork"));
            }
            for (number, write) in self.writes.iter().enumerate() {
                let there = write.space == fork.parent && write.place == place;
                if !there || !self.overwritten(found, number) {
                    continue;
                }
                if write.span.before(fork.span) {
                    return Some((place, "misses what was written before the fork"));
                }
                if !self.pinned && newest(write.version.writer()).is_some_and(|newest| number < newest) {
                    return Some((place, "misses what its writer wrote before what it holds elsewhere"));
                }
            }
        }
        None
    }
}

impl<R: Release> Session<R> {
    /// Looks at every child that a thread has forked and that still lives.
    pub(super) fn check_snapshots(&self, program: &Actor, findings: &mut Vec<Finding>) {
        for fork in &program.history.forks {
            let children = program.names.children.iter().filter_map(|(_, process)| process.as_ref());
            for child in children.filter(|process| process.space.id == fork.child) {
                let held = self.held_by(program, child);
                if let Some((place, wrong)) = program.history.wrong(fork, &held) {
                    let detail = format!(
                        "page {} of space {}, a copy of {}, {wrong}",
                        place.page, fork.child, fork.parent
                    );
                    findings.push(Finding { rule: SNAPSHOT, pfn: None, detail });
                }
            }
        }
    }

    /// The versions in the words of a child's pages that are still mapped, here and in its parent, and were not given
    /// up.
    fn held_by(&self, program: &Actor, child: &Process) -> Vec<(Place, Version)> {
        let mut held = Vec::new();
        // Of anonymous memory: a file has content before anybody writes.
        for (name, mapped) in
            child.regions.iter().filter(|(_, region)| matches!(region.area.kind, AreaKind::Anon { .. }))
        {
            let of_parent = program.names.regions.get(*name).or_else(|| self.names.regions.get(*name));
            let Some(of_parent) = of_parent.filter(|region| region.number == mapped.number) else { continue };
            for page in 0..mapped.area.pages() {
                // What was given up is not to be found, whenever it was written.
                let gone = |area: &crate::map::Area| {
                    area.attributes(page).contains(Attributes::UNMAPPED)
                        || self.given_up_by_a_thread(area, page)
                };
                if gone(&mapped.area) || gone(&of_parent.area) {
                    continue;
                }
                let place = Place { region: mapped.number, page };
                let word = |word| match mapped.area.look(page).entry() {
                    Entry::Present { pfn, zero: false } => {
                        place.version(word, self.machine.memory().load(pfn, word))
                    }
                    Entry::None | Entry::Present { .. } => Some(Version::NONE),
                    _ => None,
                };
                held.extend((0..WORDS).filter_map(word).map(|version| (place, version)));
            }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(page: u32) -> Place {
        Place { region: 1, page }
    }

    fn version(writer: u8, sequence: u32) -> Version {
        Version::new(writer, sequence).unwrap()
    }

    /// Writer, page and span of each write, in order; a fork from step 10 to 20.
    fn wrong(writes: &[(u8, u32, u32, u32)], held: &[(u32, u8, u32)]) -> Option<&'static str> {
        let mut history = History::default();
        for &(writer, page, begin, end) in writes {
            let sequence = 1 + history.writes.iter().filter(|w| w.version.writer() == writer).count() as u32;
            let span = Span { begin, end };
            history.writes.push(Written {
                space: 0,
                place: place(page),
                version: version(writer, sequence),
                span,
            });
        }
        let fork = Forked { parent: 0, child: 1, span: Span { begin: 10, end: 20 } };
        let held: Vec<_> = held
            .iter()
            .map(|&(page, writer, sequence)| match writer {
                0 => (place(page), Version::NONE),
                _ => (place(page), version(writer, sequence)),
            })
            .collect();
        history.wrong(&fork, &held).map(|(_, wrong)| wrong)
    }

    #[test]
    fn what_overlaps_the_fork_may_be_in_it_or_not() {
        let during = [(1, 0, 12, 15)];
        assert_eq!(wrong(&during, &[(0, 0, 0)]), None);
        assert_eq!(wrong(&during, &[(0, 1, 1)]), None);
        assert_eq!(wrong(&during, &[(0, 1, 1), (0, 0, 0)]), None, "a write is not one step");
    }

    #[test]
    fn what_was_over_is_in_it_and_what_came_later_is_not() {
        assert!(wrong(&[(1, 0, 5, 9)], &[(0, 0, 0)]).is_some_and(|why| why.contains("before the fork")));
        assert!(wrong(&[(1, 0, 21, 29)], &[(0, 1, 1)]).is_some_and(|why| why.contains("after the fork")));
        // Overwritten by somebody else, who may have been the later one.
        assert_eq!(wrong(&[(1, 0, 5, 9), (2, 0, 4, 8)], &[(0, 2, 1)]), None);
        assert!(wrong(&[(2, 0, 1, 2), (1, 0, 5, 9)], &[(0, 2, 1)]).is_some());
    }

    #[test]
    fn a_later_write_is_not_there_without_an_earlier_one() {
        let both = [(1, 0, 11, 12), (1, 1, 13, 14)];
        assert_eq!(wrong(&both, &[(0, 1, 1), (1, 0, 0)]), None);
        assert_eq!(wrong(&both, &[(0, 1, 1), (1, 1, 2)]), None);
        assert!(wrong(&both, &[(0, 0, 0), (1, 1, 2)]).is_some_and(|why| why.contains("elsewhere")));
    }
}
