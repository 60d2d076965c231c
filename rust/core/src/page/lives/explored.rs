//! The lives of pages in the explored build. The books belong to the OS thread that explores, and are opened
//! anew for each schedule.

use crate::page::{Page, Pfn};
use crate::sync::explored::{ByAddress, THREADS, checks_all, sleeper_on};
use crate::sync::{broken, thread_slot};
use std::cell::{Cell, RefCell};

/// A life of a page: its number in the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life(u32);

#[derive(Debug, Default)]
struct Books {
    /// The lives of pages, by address. A page that has begun or ended no life in this schedule has life 0.
    lives: ByAddress<Life>,
    /// By thread, the pages of which the thread's last fault has taken or given up references, each with
    /// the number of references taken less those given up.
    faults: [Fault; THREADS],
}

#[derive(Debug, Default)]
struct Fault {
    in_fault: bool,
    pages: Vec<(usize, i64)>,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static BOOKS: RefCell<Books> = RefCell::default();
}

/// Closes the books and empties them, before a schedule.
pub(crate) fn clear() {
    if ON.replace(false) {
        BOOKS.with_borrow_mut(|books| {
            books.lives.clear();
            books.faults.iter_mut().for_each(|fault| fault.in_fault = false);
        });
    }
}

/// Opens the books of a schedule that is to be checked against all rules.
pub(crate) fn open() {
    ON.set(checks_all());
}

#[inline]
fn books<T: Default>(f: impl FnOnce(&mut Books) -> T) -> T {
    if ON.get() { BOOKS.with_borrow_mut(f) } else { T::default() }
}

fn address(page: &Page) -> usize {
    std::ptr::from_ref(page).addr()
}

/// The life that a page has now.
#[inline]
pub(crate) fn life_of(page: &Page) -> Life {
    books(|books| books.lives.get(&address(page)).copied().unwrap_or_default())
}

fn next(page: &Page) {
    books(|books| books.lives.entry(address(page)).or_default().0 += 1);
}

/// Tells that a page begins a life.
#[inline]
pub(crate) fn on_allocated(page: &Page) {
    next(page);
}

/// Tells that a page's last reference was put and its frame goes back.
#[inline]
#[track_caller]
pub(crate) fn on_freed(page: &Page, pfn: Pfn) {
    if !ON.get() {
        return;
    }
    if let Some(thread) = sleeper_on(page.lock_key()) {
        broken(
            "a page ends without sleepers",
            format_args!("page {pfn} is freed, and thread {thread} sleeps"),
        );
    }
    next(page);
}

/// Checks that a page whose sleepers the calling thread wakes has lived on since the thread changed it.
#[inline]
#[track_caller]
pub(crate) fn check_wake_up(page: &Page, changed_in: Life) {
    if life_of(page) != changed_in {
        broken(
            "a page is woken in the life that it was changed in",
            format_args!("the page was freed in between, and the sleepers are those of the next one"),
        );
    }
}

/// Checks that a page has lived on while the calling thread waited for it.
#[inline]
#[track_caller]
pub(crate) fn check_wait(page: &Page, slept_in: Life) {
    if life_of(page) != slept_in {
        broken(
            "a thread that waits for a page keeps its life",
            format_args!("the page was freed meanwhile, and the thread goes on with the next one"),
        );
    }
}

/// Tells that the calling thread got references.
#[inline]
pub(crate) fn took(page: &Page, references: u32) {
    count(page, references.into());
}

/// Tells that the calling thread has put references, or has given them to an entry.
#[inline]
pub(crate) fn gave(page: &Page, references: u32) {
    count(page, -i64::from(references));
}

fn count(page: &Page, references: i64) {
    books(|books| {
        let fault = &mut books.faults[thread_slot()];
        if fault.in_fault {
            let page = address(page);
            match fault.pages.iter_mut().find(|(other, _)| *other == page) {
                Some((_, sum)) => *sum += references,
                None => fault.pages.push((page, references)),
            }
        }
    });
}

/// Tells that a fault of the calling thread begins.
#[inline]
pub(crate) fn note_fault_start() {
    books(|books| {
        let fault = &mut books.faults[thread_slot()];
        fault.in_fault = true;
        fault.pages.clear();
    });
}

/// Checks a fault that is about to wait for the migration of a page.
#[inline]
#[track_caller]
pub(crate) fn awaits_migration(page: &Page, pfn: Pfn) {
    let held = books(|books| {
        let fault = &books.faults[thread_slot()];
        let pages = fault.in_fault.then_some(&fault.pages)?;
        pages.iter().find(|(other, _)| *other == address(page)).map(|(_, sum)| *sum)
    });
    if let Some(held @ 1..) = held {
        broken(
            "a thread that waits for a migration has no reference to its page",
            format_args!("page {pfn}: with {held} taken the migration fails each time that it is tried"),
        );
    }
}
