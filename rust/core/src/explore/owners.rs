//! Owners of movable pages that a caller brings along, such as objects of Python, in explored programs.
//!
//! An owner's callback runs on the host's stack: a coroutine's stack is too small for an interpreter,
//! and is unknown to the interpreter. The callback belongs to the step before it, so no other thread
//! runs meanwhile. That step changes a word of the owner, so that the search knows that the order of
//! any two callbacks of one owner matters.
//!
//! The journal that undoes a schedule does not hold the state of an owner. So before each schedule the
//! owner itself goes back to its state after the set-up ([`Callbacks::begin`]).
//!
//! Replays need owners that answer alike in equal schedules. The answers of a schedule are kept, and
//! compared when a schedule is run twice ([`differing`]).

use crate::error::Errno;
use crate::migrate::Mode;
use crate::movable::{PageView, PoolOwner};
use crate::page::Pfn;
use crate::program::Movable;
use crate::sync::explored::on_host;
use crate::sync::{AtomicU64, Ordering, broken};
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The rule that a callback raises no exception, except one that refuses.
pub const RAISES: &str = "an owner's callback does not raise";

/// The question that a callback answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// May the page be isolated?
    Isolate(Pfn),
    /// May the page move from the first frame to the second?
    Migrate(Pfn, Pfn, Mode),
    /// The isolated page is back.
    Putback(Pfn),
    /// The last reference of the page is gone.
    Released(Pfn),
    /// The audit asks for the pages that the owner has.
    Held,
}

/// The answer of a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes. Also the answer to a notice, such as a putback.
    Yes,
    /// Yes, and the owner has copied the content itself.
    Copied,
    /// No.
    No(Errno),
    /// These pages; `None` if the owner keeps no account.
    Pages(Option<Vec<Pfn>>),
    /// The callback raised an exception, with this text.
    Raised(String),
}

/// The callbacks of an owner that a caller brought along.
pub trait Callbacks: Send + Sync {
    /// Answers a question; `view` shows the machine. Returns the answer, and the pages of which the
    /// owner puts a reference.
    fn ask(&self, question: Question, view: &dyn PageView) -> (Answer, Vec<Pfn>);

    /// Keeps the present state. Each schedule begins in this state.
    fn settle(&self);

    /// Goes back to the kept state.
    fn begin(&self);
}

/// Makes the owners of a world, by the names that the program gives them.
pub trait Owners: Send + Sync {
    /// A fresh owner of this name; `None` if the caller brought none. An error is one line.
    fn owner(&self, name: &str) -> Result<Option<Box<dyn Callbacks>>, String>;
}

thread_local! {
    static IN_FORCE: RefCell<Option<Arc<dyn Owners>>> = const { RefCell::new(None) };
}

/// Makes this OS thread build its worlds with these owners. The thread must serve one exploration only.
pub fn bring_owners(owners: Option<Arc<dyn Owners>>) {
    IN_FORCE.set(owners);
}

/// The owners of this OS thread, for threads that it starts.
pub(super) fn brought() -> Option<Arc<dyn Owners>> {
    IN_FORCE.with_borrow(Clone::clone)
}

/// A fresh owner of this name, if the caller brought one.
pub(super) fn fresh(name: Movable) -> Result<Option<Arc<Brought>>, String> {
    let Some(owners) = brought() else { return Ok(None) };
    let callbacks = owners.owner(&name.to_string())?;
    Ok(callbacks.map(|callbacks| {
        let (asked, answers) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Brought { name, callbacks, asked, answers })
    }))
}

/// The name of an owner, and the questions that it was asked in one schedule, with its answers.
pub(super) type Answers = (Movable, Vec<(Question, Answer)>);

/// An owner that a caller brought along, in one world.
pub(super) struct Brought {
    name: Movable,
    callbacks: Box<dyn Callbacks>,
    /// Changed before each callback.
    asked: AtomicU64,
    /// Questions and answers of the present schedule, under a lock of the standard library: its use is no
    /// step of the schedule.
    answers: Mutex<Vec<(Question, Answer)>>,
}

impl fmt::Debug for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner of {}", self.name)
    }
}

impl Brought {
    /// Keeps the state after the set-up.
    pub fn settle(&self) {
        self.callbacks.settle();
    }

    /// Begins a schedule.
    pub fn begin(&self) {
        self.callbacks.begin();
        self.log().clear();
    }

    /// The owner's name in traces, if `address` is that of its word.
    pub fn label(&self, address: usize) -> Option<String> {
        (std::ptr::from_ref(&self.asked).addr() == address).then(|| format!("callbacks of {}", self.name))
    }

    /// The owner's name, with the questions and answers of the last schedule.
    pub fn answers(&self) -> Answers {
        (self.name, self.log().clone())
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Vec<(Question, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, question: Question, view: &dyn PageView) -> (Answer, Vec<Pfn>) {
        // Relaxed: one OS thread runs a world; the step only tells the search of the dependency.
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, puts) = on_host(|| self.callbacks.ask(question, view));
        self.log().push((question, answer.clone()));
        if let Answer::Raised(what) = &answer {
            broken(RAISES, format_args!("{}: {question}: {what}", self.name));
        }
        puts.iter().for_each(|&pfn| view.put(pfn));
        (answer, puts)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Isolate(pfn) => write!(f, "isolate(page {pfn})"),
            Question::Migrate(from, to, _) => write!(f, "migrate(page {from}, page {to})"),
            Question::Putback(pfn) => write!(f, "putback(page {pfn})"),
            Question::Released(pfn) => write!(f, "released(page {pfn})"),
            Question::Held => f.write_str("held()"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Yes => f.write_str("yes"),
            Answer::Copied => f.write_str("copied"),
            Answer::No(errno) => write!(f, "no ({errno})"),
            Answer::Pages(None) => f.write_str("no account"),
            Answer::Pages(Some(pages)) => {
                write!(f, "pages {:?}", pages.iter().map(|pfn| pfn.0).collect::<Vec<_>>())
            }
            Answer::Raised(what) => write!(f, "an exception ({what})"),
        }
    }
}

impl PoolOwner for Brought {
    fn isolate(&self, view: &dyn PageView, pfn: Pfn) -> bool {
        matches!(self.ask(Question::Isolate(pfn), view).0, Answer::Yes)
    }

    fn migrate(&self, view: &dyn PageView, from: Pfn, to: Pfn, mode: Mode) -> Result<bool, Errno> {
        match self.ask(Question::Migrate(from, to, mode), view).0 {
            Answer::No(errno) => Err(errno),
            answer => Ok(answer == Answer::Copied),
        }
    }

    fn putback(&self, view: &dyn PageView, pfn: Pfn) {
        self.ask(Question::Putback(pfn), view);
    }

    fn released(&self, view: &dyn PageView, pfn: Pfn) {
        self.ask(Question::Released(pfn), view);
    }

    fn held(&self, view: &dyn PageView) -> Option<Vec<Pfn>> {
        match self.ask(Question::Held, view).0 {
            Answer::Pages(pages) => pages,
            _ => None,
        }
    }
}

/// Compares the answers of all owners in two runs of one schedule: tells the first question that got two
/// answers.
pub(super) fn differing(first: &[Answers], second: &[Answers]) -> Option<String> {
    for ((name, before), (_, after)) in first.iter().zip(second) {
        let at = (0..before.len().max(after.len())).find(|&at| before.get(at) != after.get(at));
        let Some(at) = at else { continue };
        let shown = |answers: &[(Question, Answer)]| match answers.get(at) {
            Some((question, answer)) => format!("{question} gave {answer}"),
            None => "there was no such call".into(),
        };
        return Some(format!(
            "the owner of {name} is not deterministic: when one schedule ran twice, in call {} {}, then {}; \
             an owner may depend only on its own state and on what the calls show",
            at + 1,
            shown(before),
            shown(after),
        ));
    }
    None
}
