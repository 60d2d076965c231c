//! The pages of a balloon: a list in which the page that came last is the first to leave, and the
//! isolated pages beside it.
//!
//! A page keeps the number of its entry (`index` in its record), so that an isolation finds the
//! entry at once. The numbers of the entries are the links of the list.

use crate::error::{Errno, Error, Result};
use crate::memory::more_room;
use crate::page::Pfn;

/// The link of the last entry.
const END: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// The entry is unused; the link leads to the next unused one.
    Free,
    Listed,
    Isolated,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Entry {
    pfn: Pfn,
    state: State,
    prev: u32,
    next: u32,
}

/// The entries of a balloon.
#[derive(Clone, Debug, Hash)]
pub(super) struct Pages {
    entries: Vec<Entry>,
    /// The first entry of the list.
    head: u32,
    /// The first unused entry.
    free: u32,
    held: u32,
    isolated: u32,
}

impl Default for Pages {
    fn default() -> Pages {
        Pages { entries: Vec::new(), head: END, free: END, held: 0, isolated: 0 }
    }
}

impl Pages {
    /// Number of pages, on the list and isolated.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Number of isolated pages.
    pub fn isolated(&self) -> u32 {
        self.isolated
    }

    /// The number of entries, used or not.
    pub fn numbers(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The page of an entry.
    pub fn page(&self, number: u32) -> Option<Pfn> {
        let entry = self.entries.get(number as usize)?;
        (entry.state != State::Free).then_some(entry.pfn)
    }

    /// Reserves memory for `more` pages. `ENOMEM` if the process gets none.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        let unused = self.entries.len() - self.held as usize;
        if self.entries.len() + more >= END as usize {
            return Err(Error::new(Errno::ENOMEM, "a balloon cannot have so many pages"));
        }
        more_room(&mut self.entries, "the pages of a balloon", more.saturating_sub(unused))
    }

    /// Puts a page at the head of the list, and returns the number of its entry. The caller has
    /// reserved the room.
    pub fn insert(&mut self, pfn: Pfn) -> u32 {
        let entry = Entry { pfn, state: State::Free, prev: END, next: END };
        let number = match self.free {
            END => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
            free => {
                self.free = self.entries[free as usize].next;
                self.entries[free as usize] = entry;
                free
            }
        };
        self.held += 1;
        self.link(number);
        number
    }

    fn link(&mut self, number: u32) {
        let head = std::mem::replace(&mut self.head, number);
        let entry = &mut self.entries[number as usize];
        (entry.state, entry.prev, entry.next) = (State::Listed, END, head);
        if head != END {
            self.entries[head as usize].prev = number;
        }
    }

    fn unlink(&mut self, number: u32) {
        let Entry { prev, next, .. } = self.entries[number as usize];
        match prev {
            END => self.head = next,
            prev => self.entries[prev as usize].next = next,
        }
        if next != END {
            self.entries[next as usize].prev = prev;
        }
    }

    /// The state of an entry, if it is the entry of this page.
    fn state(&self, number: u32, pfn: Pfn) -> Option<State> {
        let entry = self.entries.get(number as usize)?;
        (entry.pfn == pfn).then_some(entry.state)
    }

    /// Takes a page off the list and keeps it as isolated. Returns false if it is not listed.
    pub fn isolate(&mut self, number: u32, pfn: Pfn) -> bool {
        if self.state(number, pfn) != Some(State::Listed) {
            return false;
        }
        self.unlink(number);
        self.entries[number as usize].state = State::Isolated;
        self.isolated += 1;
        true
    }

    /// Counts a page as isolated and leaves it on the list: the defect of a balloon that does not
    /// detach its page.
    pub fn count_isolated(&mut self) {
        self.isolated += 1;
    }

    /// Puts an isolated page back on the list. Returns false if it is not isolated.
    pub fn put_back(&mut self, number: u32, pfn: Pfn) -> bool {
        let isolated = self.state(number, pfn) == Some(State::Isolated);
        if isolated {
            self.link(number);
            self.isolated -= 1;
        }
        isolated
    }

    /// Replaces the isolated page `from` by the page `to`, and puts `to` on the list. Returns false if
    /// `from` is not isolated.
    pub fn replace(&mut self, number: u32, from: Pfn, to: Pfn) -> bool {
        let isolated = self.state(number, from) == Some(State::Isolated);
        if isolated {
            self.entries[number as usize].pfn = to;
            self.link(number);
            self.isolated -= 1;
        }
        isolated
    }

    /// Removes a listed page.
    pub fn remove(&mut self, number: u32) {
        self.unlink(number);
        let entry = &mut self.entries[number as usize];
        (entry.state, entry.next) = (State::Free, self.free);
        self.free = number;
        self.held -= 1;
    }

    /// The listed pages with the numbers of their entries. The page that came last is the first.
    pub fn listed(&self) -> impl Iterator<Item = (u32, Pfn)> + '_ {
        let entry = |number: u32| self.entries.get(number as usize).map(|entry| (number, *entry));
        std::iter::successors(entry(self.head), move |(_, now)| entry(now.next))
            .map(|(number, entry)| (number, entry.pfn))
    }

    /// Returns the listed page after an entry, or for `None` the first listed page. The page comes with
    /// the number of its own entry.
    pub fn after(&self, number: Option<u32>) -> Option<(u32, Pfn)> {
        let next = number.map_or(self.head, |number| self.entries[number as usize].next);
        self.entries.get(next as usize).map(|entry| (next, entry.pfn))
    }

    /// The isolated pages.
    pub fn isolated_pages(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.entries.iter().filter(|entry| entry.state == State::Isolated).map(|entry| entry.pfn)
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(pages: &Pages) -> Vec<u32> {
        pages.listed().map(|(_, pfn)| pfn.0).collect()
    }

    #[test]
    fn the_last_page_in_is_the_first_out() {
        let mut pages = Pages::default();
        let entries: Vec<u32> = (0..4).map(|pfn| pages.insert(Pfn(pfn))).collect();
        assert_eq!(frames(&pages), [3, 2, 1, 0]);
        assert!(pages.isolate(entries[2], Pfn(2)) && !pages.isolate(entries[2], Pfn(2)));
        assert_eq!((frames(&pages), pages.held(), pages.isolated()), (vec![3, 1, 0], 4, 1));
        assert!(pages.put_back(entries[2], Pfn(2)) && !pages.put_back(entries[2], Pfn(2)));
        assert_eq!(frames(&pages), [2, 3, 1, 0]);
        pages.remove(entries[3]);
        assert_eq!((frames(&pages), pages.insert(Pfn(9))), (vec![2, 1, 0], entries[3]));
    }

    #[test]
    fn an_entry_of_another_page_is_left_alone() {
        let mut pages = Pages::default();
        let entry = pages.insert(Pfn(5));
        assert!(!pages.isolate(entry, Pfn(6)) && !pages.isolate(7, Pfn(5)));
        assert!(pages.isolate(entry, Pfn(5)) && !pages.replace(entry, Pfn(6), Pfn(7)));
        assert!(pages.replace(entry, Pfn(5), Pfn(7)));
        assert_eq!((frames(&pages), pages.isolated()), (vec![7], 0));
    }

    proptest! {
        /// After any series of operations the list agrees with a plain vector.
        #[test]
        fn the_list_is_a_vector(steps in prop::collection::vec((0u8..5, 0usize..8), 0..60)) {
            let mut pages = Pages::default();
            let (mut list, mut out, mut next) = (Vec::<(u32, Pfn)>::new(), Vec::new(), 0);
            for (what, at) in steps {
                match what {
                    0 => {
                        next += 1;
                        list.insert(0, (pages.insert(Pfn(next)), Pfn(next)));
                    }
                    1 if at < list.len() => {
                        let (entry, pfn) = list.remove(at);
                        prop_assert!(pages.isolate(entry, pfn));
                        out.push((entry, pfn));
                    }
                    2 if at < out.len() => {
                        let (entry, pfn) = out.remove(at);
                        prop_assert!(pages.put_back(entry, pfn));
                        list.insert(0, (entry, pfn));
                    }
                    3 if at < out.len() => {
                        let (entry, pfn) = out.remove(at);
                        next += 1;
                        prop_assert!(pages.replace(entry, pfn, Pfn(next)));
                        list.insert(0, (entry, Pfn(next)));
                    }
                    4 if at < list.len() => pages.remove(list.remove(at).0),
                    _ => {}
                }
                prop_assert_eq!(pages.listed().collect::<Vec<_>>(), list.clone());
                prop_assert_eq!(pages.held() as usize, list.len() + out.len());
                prop_assert_eq!(pages.isolated() as usize, out.len());
            }
        }
    }
}
