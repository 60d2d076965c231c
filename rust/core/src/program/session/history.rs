//! The writes and forks of threads in order, each with the first and the last step of its duration; see
//! `snapshot`.

use super::content::{Place, Version};
#[cfg(feature = "explored")]
use crate::sync::explored::{Topic, look_at, note_end};
#[cfg(not(feature = "explored"))]
use unnumbered::{Topic, look_at, note_end};

#[cfg(not(feature = "explored"))]
mod unnumbered {
    pub enum Topic {
        Writes,
        Forks,
    }

    pub fn note_end(_topic: Topic) -> Option<u32> {
        None
    }

    pub fn look_at(_topic: Topic) -> Option<u32> {
        None
    }
}

/// A span of the schedule, from step to step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    begin: u32,
    end: u32,
}

/// A write of a page.
#[derive(Clone, Debug)]
struct Written {
    space: u32,
    place: Place,
    version: Version,
    span: Span,
}

/// A fork of an address space.
#[derive(Clone, Debug)]
pub(super) struct Forked {
    pub parent: u32,
    pub child: u32,
    span: Span,
}

/// The writes and forks of a thread, or of all threads after they were joined, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    writes: Vec<Written>,
    pub forks: Vec<Forked>,
    pinned: bool,
}

/// Returns the number of the next step as the start of a write; `None` where steps have no numbers.
/// The call makes a write and a fork's end dependent steps; without it the
/// reduction would skip one of their orders.
pub(super) fn note_write_start() -> Option<u32> {
    look_at(Topic::Forks)
}

/// Returns the number of the next step as the start of a fork; `None` where steps have no numbers.
/// The call makes a fork and a write's end dependent steps; without it the
/// reduction would skip one of their orders.
pub(super) fn note_fork_start() -> Option<u32> {
    look_at(Topic::Writes)
}

impl Span {
    /// Returns true if this span had ended when the other began.
    fn before(self, other: Span) -> bool {
        self.end < other.begin
    }
}

impl History {
    pub fn wrote(&mut self, space: u32, place: Place, version: Version, begin: Option<u32>) {
        if let (Some(begin), Some(end)) = (begin, note_end(Topic::Writes)) {
            self.writes.push(Written { space, place, version, span: Span { begin, end } });
        }
    }

    pub fn forked(&mut self, parent: u32, child: u32, begin: Option<u32>) {
        if let (Some(begin), Some(end)) = (begin, note_end(Topic::Forks)) {
            self.forks.push(Forked { parent, child, span: Span { begin, end } });
        }
    }

    pub fn append(&mut self, other: &mut History) {
        self.writes.append(&mut other.writes);
        self.forks.append(&mut other.forks);
        self.pinned |= other.pinned;
    }

    /// Records that pages may be pinned from here on.
    pub fn pins(&mut self) {
        self.pinned = true;
    }

    /// Returns true if pages may ever have been pinned.
    pub fn pinned(&self) -> bool {
        self.pinned
    }

    pub fn clear(&mut self) {
        self.writes.clear();
        self.forks.clear();
        self.pinned = false;
    }

    /// Returns the write of a version at a place; `None` if the version is from before all writes.
    fn find(&self, version: Version, place: Place) -> Option<usize> {
        self.writes.iter().position(|write| write.version == version && write.place == place)
    }

    /// Returns true if `new` overwrote `old` in every order of events that fits the spans.
    fn overwritten(&self, old: Option<usize>, new: usize) -> bool {
        let Some(old) = old else { return true };
        let (before, after) = (&self.writes[old], &self.writes[new]);
        match before.version.writer() == after.version.writer() {
            true => old < new,
            false => before.span.before(after.span),
        }
    }

    /// Returns the first mistake in a child's copy, if any. `held` has the versions in the copy, by
    /// place.
    pub fn wrong(&self, fork: &Forked, held: &[(Place, Version)]) -> Option<(Place, &'static str)> {
        // Writes of the child's own process, and of the program after the threads, are no copies.
        let copied = |place: Place, version: Version| {
            let found = self.find(version, place);
            let own = found.is_some_and(|write| self.writes[write].space == fork.child);
            (!own && (found.is_some() || version.is_initial())).then_some(found)
        };
        let copies: Vec<(Place, Option<usize>)> =
            held.iter().filter_map(|&(place, version)| Some((place, copied(place, version)?))).collect();
        // The newest write of each writer in the copy.
        let newest = |writer: u8| {
            let writes = copies.iter().filter_map(|(_, write)| *write);
            writes.filter(|&write| self.writes[write].version.writer() == writer).max()
        };
        for &(place, found) in &copies {
            if found.is_some_and(|write| fork.span.before(self.writes[write].span)) {
                return Some((place, "has a write that was made after the fork"));
            }
            for (number, write) in self.writes.iter().enumerate() {
                let there = write.space == fork.parent && write.place == place;
                if !there || !self.overwritten(found, number) {
                    continue;
                }
                if write.span.before(fork.span) {
                    return Some((place, "lacks a write that was made before the fork"));
                }
                if !self.pinned && newest(write.version.writer()).is_some_and(|newest| number < newest) {
                    return Some((place, "lacks a write, but elsewhere has a later one of the same thread"));
                }
            }
        }
        None
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
    fn a_write_that_overlaps_the_fork_may_be_in_the_child_or_not() {
        let during = [(1, 0, 12, 15)];
        assert_eq!(wrong(&during, &[(0, 0, 0)]), None);
        assert_eq!(wrong(&during, &[(0, 1, 1)]), None);
        assert_eq!(wrong(&during, &[(0, 1, 1), (0, 0, 0)]), None, "a write is not one step");
    }

    #[test]
    fn a_write_before_the_fork_is_in_the_child_and_a_later_one_is_not() {
        assert!(wrong(&[(1, 0, 5, 9)], &[(0, 0, 0)]).is_some_and(|why| why.contains("before the fork")));
        assert!(wrong(&[(1, 0, 21, 29)], &[(0, 1, 1)]).is_some_and(|why| why.contains("after the fork")));
        // Another thread has overwritten the page, and may have been the later one.
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
