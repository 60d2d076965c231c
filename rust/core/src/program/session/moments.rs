//! The states of an operation's pages at the moments of the operation, for the rules on its answer
//! ([`super::answers`]). Only the explored build keeps them.
//!
//! The states are read without steps and without locks ([`watched`](crate::sync::explored::watched)).

use crate::machine::Machine;
use crate::map::{Area, Attributes, Entry, File, Pte};
use crate::page::{Flags, Pfn, Word};
use crate::release::Release;
use crate::sync::explored::glance;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// The most pages of an operation whose states are recorded. The answers of an operation on more pages are
/// not checked.
pub(super) const MOST: usize = 64;

/// A page as an operation names it.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// A page of an area, whatever is mapped there.
    Place(Arc<Area>, u32),
    /// A page of a file, whatever frame has it.
    Slot(Arc<File>, u32),
    /// A frame.
    Frame(Pfn),
    /// A page whose state cannot be read without a lock, or that does not exist.
    Unknown,
}

/// The state of a page at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The entry; empty for a page that is not named by an area.
    pub pte: Pte,
    /// The attributes of the area's page.
    pub attributes: Attributes,
    /// The frame that is present, or in the file's slot.
    pub pfn: Option<Pfn>,
    /// The head of the page of which the frame is a part.
    pub head: Option<Pfn>,
    /// The head's word.
    pub word: Word,
    /// The frame's own word.
    pub part: Word,
    /// The number of entries that map the frame.
    pub mapcount: u32,
    /// The owner of the head.
    pub owner: u32,
    /// The head's offset in its owner.
    pub index: u32,
}

impl State {
    /// True if the entry maps a page other than the zero page.
    pub fn is_present(&self) -> bool {
        matches!(self.pte.entry(), Entry::Present { zero: false, .. })
    }

    /// True if the entry maps no page, or the zero page, and no thread holds its lock. The holder of the lock
    /// may have cleared the entry for a moment only.
    pub fn is_absent(&self) -> bool {
        !self.is_present() && !self.pte.has(Pte::LOCK)
    }

    /// True if the entry is a poisoned entry, or the frame is marked as poisoned.
    pub fn is_poisoned(&self) -> bool {
        matches!(self.pte.entry(), Entry::Hwpoison { .. }) || self.part.has(Flags::HWPOISON)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pte != Pte::NONE || self.pfn.is_none() {
            write!(f, "entry {}", self.pte)?;
        }
        if let Some(pfn) = self.pfn {
            let gap = if self.pte == Pte::NONE { "" } else { ", " };
            write!(f, "{gap}page {pfn} {}", self.word)?;
            if self.part != self.word && self.head != self.pfn {
                write!(f, " (part: {})", self.part.flags())?;
            }
        }
        Ok(())
    }
}

/// The states of all pages of an operation, in the order of the moments.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// The operation's pages, and behind them the frames that were seen behind these pages.
    subjects: Vec<Subject>,
    recorded: RefCell<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    /// The frames seen, each with the number of the subject behind which it was seen.
    frames: Vec<(usize, Pfn)>,
    /// Each state that differs from the state before it of the same subject or frame. The frames' numbers
    /// follow those of the subjects.
    states: Vec<(usize, State)>,
}

thread_local! {
    /// The memory of operations that have ended, for the next ones: a schedule has many operations, and most
    /// of them are short.
    static SPARE: RefCell<Vec<(Vec<Subject>, Recorded)>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Moments {
    fn drop(&mut self) {
        self.subjects.clear();
        let recorded = self.recorded.get_mut();
        recorded.clear();
        let memory = (std::mem::take(&mut self.subjects), std::mem::take(recorded));
        // An OS thread that is ending has given the memory back already.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().push(memory));
    }
}

impl Recorded {
    fn clear(&mut self) {
        self.frames.clear();
        self.states.clear();
    }

    /// The last state of a subject or a frame.
    fn last(&self, number: usize) -> Option<&State> {
        self.states.iter().rev().find(|(of, _)| *of == number).map(|(_, state)| state)
    }

    /// Keeps a state if it differs from the last one of the same number.
    fn keep(&mut self, number: usize, state: State) {
        if self.last(number) != Some(&state) {
            self.states.push((number, state));
        }
    }
}

impl Moments {
    /// Moments of the pages that `name` adds. No page is kept if there are too many, or if the state of none
    /// can be read.
    pub fn of(name: impl FnOnce(&mut Vec<Subject>)) -> Moments {
        let (mut subjects, recorded) = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        name(&mut subjects);
        if subjects.len() > MOST || subjects.iter().all(|subject| matches!(subject, Subject::Unknown)) {
            subjects.clear();
        }
        Moments { subjects, recorded: RefCell::new(recorded) }
    }

    /// True if no page is looked at.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// The number of pages.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Keeps the states at this moment, and forgets all earlier ones if `fresh`.
    pub fn look<R: Release>(&self, machine: &Machine<R>, fresh: bool) {
        let recorded = &mut *self.recorded.borrow_mut();
        if fresh {
            recorded.clear();
        }
        for (number, subject) in self.subjects.iter().enumerate() {
            let state = match subject {
                Subject::Unknown => continue,
                Subject::Place(area, index) => {
                    let pte = area.look(*index);
                    let pfn = match pte.entry() {
                        Entry::Present { pfn, zero: false } => Some(pfn),
                        Entry::Hwpoison { pfn } | Entry::Migration { pfn } => Some(pfn),
                        _ => None,
                    };
                    State { pte, attributes: area.attributes(*index), ..state_of(machine, pfn) }
                }
                Subject::Slot(file, index) => state_of(machine, file.cached_page(*index)),
                Subject::Frame(pfn) => state_of(machine, Some(*pfn)),
            };
            if let Some(pfn) = state.pfn
                && !matches!(subject, Subject::Frame(_))
                && !recorded.frames.contains(&(number, pfn))
            {
                recorded.frames.push((number, pfn));
            }
            recorded.keep(number, state);
        }
        for place in 0..recorded.frames.len() {
            let (number, pfn) = recorded.frames[place];
            // A state of the frame that the page itself shows is not recorded twice.
            if recorded.last(number).is_none_or(|state| state.pfn != Some(pfn)) {
                recorded.keep(self.subjects.len() + place, state_of(machine, Some(pfn)));
            }
        }
    }

    /// The first state of a page.
    pub fn first(&self, page: usize) -> Option<State> {
        let recorded = self.recorded.borrow();
        recorded.states.iter().find(|(of, _)| *of == page).map(|(_, state)| *state)
    }

    /// True if a state of a page satisfies the condition.
    pub fn ever(&self, page: usize, condition: impl Fn(&State) -> bool) -> bool {
        self.recorded.borrow().states.iter().any(|(of, state)| *of == page && condition(state))
    }

    /// True if a state of a page, or of a frame that was seen behind it, satisfies the condition.
    pub fn ever_behind(&self, page: usize, condition: impl Fn(&State) -> bool) -> bool {
        let recorded = self.recorded.borrow();
        let behind = |of: usize| {
            of == page
                || of.checked_sub(self.subjects.len()).is_some_and(|frame| recorded.frames[frame].0 == page)
        };
        recorded.states.iter().any(|(of, state)| behind(*of) && condition(state))
    }

    /// True if a state satisfies the first condition, and the same state or a later one of the page the
    /// second.
    pub fn ever_then(
        &self,
        page: usize,
        first: impl Fn(&State) -> bool,
        second: impl Fn(&State) -> bool,
    ) -> bool {
        let recorded = self.recorded.borrow();
        let mut own = recorded.states.iter().filter(|(of, _)| *of == page).map(|(_, state)| state);
        let mut later = own.by_ref().skip_while(|state| !first(state));
        later.any(second)
    }

    /// True if the states of a page can be read.
    pub fn knows(&self, page: usize) -> bool {
        !matches!(self.subjects.get(page), None | Some(Subject::Unknown))
    }

    /// True for a page of an area that maps a file.
    pub fn is_of_file(&self, page: usize) -> bool {
        matches!(self.subjects.get(page), Some(Subject::Place(area, _)) if area.file().is_some())
    }

    /// True for a page of a file that has lost its name by now.
    pub fn is_of_removed(&self, page: usize) -> bool {
        matches!(self.subjects.get(page), Some(Subject::Slot(file, _)) if glance(|| file.is_removed()))
    }

    /// True if the operation names a page twice.
    pub fn is_twice(&self, page: usize) -> bool {
        let same = |subject: &&Subject| match (subject, &self.subjects[page]) {
            (Subject::Place(other, at), Subject::Place(area, index)) => {
                Arc::ptr_eq(area, other) && at == index
            }
            (Subject::Frame(other), Subject::Frame(pfn)) => other == pfn,
            _ => false,
        };
        self.subjects.iter().filter(same).count() > 1
    }

    /// True if two of the operation's pages ever were the same page, or parts of one large page.
    pub fn share(&self, page: usize, other: usize) -> bool {
        let recorded = self.recorded.borrow();
        let heads = |page: usize| {
            recorded.states.iter().filter(move |(of, _)| *of == page).filter_map(|(_, state)| state.head)
        };
        heads(page).any(|head| heads(other).any(|another| another == head))
    }

    /// True if no frame was ever seen behind a page.
    pub fn shows_nothing(&self, page: usize) -> bool {
        !matches!(self.subjects.get(page), Some(Subject::Frame(_))) && self.frames_behind(page) == 0
    }

    /// True if the page was ever a part of a large one.
    pub fn ever_large(&self, page: usize) -> bool {
        self.ever_behind(page, |state| state.word.has(Flags::HEAD))
    }

    /// True if the frame was free, or had another page than at the first moment. Also true if the first page
    /// had no owner, because pages without an owner cannot be told apart.
    pub fn ever_another(&self, page: usize) -> bool {
        let recorded = self.recorded.borrow();
        let mut own = recorded.states.iter().filter(|(of, _)| *of == page).map(|(_, state)| state);
        let first = own.next().map_or((0, 0), |state| (state.owner, state.index));
        first.0 == 0 || own.any(|state| (state.owner, state.index) != first || state.word.count() == 0)
    }

    /// The number of frames that were seen behind a page.
    pub fn frames_behind(&self, page: usize) -> usize {
        self.recorded.borrow().frames.iter().filter(|(of, _)| *of == page).count()
    }

    /// The states of a page and of the frames that were seen behind it, in their order, as text.
    pub fn shown(&self, page: usize) -> String {
        let recorded = self.recorded.borrow();
        let mut texts: Vec<String> = Vec::new();
        for (of, state) in &recorded.states {
            let frame = of.checked_sub(self.subjects.len()).map(|frame| recorded.frames[frame]);
            match frame {
                None if *of == page => texts.push(state.to_string()),
                Some((behind, _)) if behind == page => texts.push(format!("[{state}]")),
                _ => {}
            }
        }
        texts.dedup();
        texts.join("; ")
    }
}

/// The state of a frame; an empty state if there is no such frame.
pub(super) fn state_of<R: Release>(machine: &Machine<R>, pfn: Option<Pfn>) -> State {
    let frames = machine.frames();
    let found = pfn.and_then(|pfn| Some((pfn, frames.get(pfn)?)));
    let (pte, attributes) = (Pte::NONE, Attributes::empty());
    let Some((pfn, page)) = found else {
        let none = Word(0);
        return State {
            pte,
            attributes,
            pfn: None,
            head: None,
            word: none,
            part: none,
            mapcount: 0,
            owner: 0,
            index: 0,
        };
    };
    // The page may be split or freed at this moment, and its head's number out of date.
    let head = Some(frames.head(pfn)).filter(|head| frames.get(*head).is_some()).unwrap_or(pfn);
    State {
        pte,
        attributes,
        pfn: Some(pfn),
        head: Some(head),
        word: frames[head].word(),
        part: page.word(),
        mapcount: page.mapcount(),
        owner: frames[head].owner(),
        index: frames[head].index(),
    }
}
