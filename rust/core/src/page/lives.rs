//! The lives of pages, and the references in the hands of faults: rules on threads that wait for a page. Only
//! the explored build has them.
//!
//! A page begins a life when its frame is handed out, or when it leaves the large page of which it was a
//! part, and ends it when its last reference was put and its frame goes back. A sleeper finds its queue by
//! the page's address alone. If the frame is freed and handed out again while the thread sleeps, the wake-up
//! of the next page reaches the thread. The thread would take that wake-up for its own event. The rules:
//!
//! * "a page ends without sleepers": a thread that frees a page has woken every thread that slept on it.
//! * "a page is woken in the life that it was changed in": a thread that wakes the sleepers of a page after
//!   it has changed the page keeps it alive in between.
//! * "a thread that waits for a page keeps its life": after a thread has waited for the lock of a page, or
//!   for the end of a page's write, the frame still holds the same page.
//! * "a thread that waits for a migration has no reference to its page": with such a reference the migration
//!   fails, and fails again as often as it is tried. No thread is stuck, so no other rule sees the mistake.
//!
//! Only schedules that are checked against all rules ([`Checks::All`](crate::explore::Checks::All)) follow
//! lives. In every other build the functions are empty and cost nothing.

#[cfg(not(feature = "explored"))]
mod empty;
#[cfg(feature = "explored")]
mod explored;

#[cfg(not(feature = "explored"))]
pub(crate) use empty::*;
#[cfg(feature = "explored")]
pub(crate) use explored::*;
