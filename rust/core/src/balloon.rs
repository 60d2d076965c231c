//! The balloon: memory that a guest gives back to its host (lifecycle 7.4).
//!
//! *Inflating* allocates pages and gives them to the host, *deflating* takes them back and frees
//! them. The guest may not touch a page in the balloon, so its content does not matter: a migration
//! gives the host another page in its place. Balloon pages are the simplest movable pages outside of
//! the LRU, and were the first.
//!
//! ```text
//!            inflate: mark, list, tell the host          isolate: off the list, counted
//!   allocated ------------------------------> listed ------------------------------> isolated
//!             <------------------------------        <------------------------------   |
//!            deflate: unmark, tell the host, put         putback                       | migrate
//!                                             listed <--- the new page ----------------+
//! ```
//!
//! A machine has at most one balloon, as a kernel has one driver for a type of pages.
//!
//! # Locks
//!
//! Page lock, then the balloon lock (`Host`), then the lock of the list (`Pages`). A migration holds
//! the locks of both pages, so it only tries the balloon lock. Deflating walks the list, so it holds
//! the list's lock when it comes to a page, and only tries the page lock.
//!
//! # What can go wrong
//!
//! * An allocation that finds no frame deflates the balloon and takes the balloon lock for that. Inflating
//!   therefore allocates before it takes the lock, or it would wait for itself (kernel c7cdff0e8647).
//! * A page of the balloon migrates to another node. The managed pages of both nodes change with it, or
//!   deflating adds to a node from which inflating never subtracted (kernel 63341ab03706).
//! * An isolated page must be off the list, or deflating frees it under the migration.
//! * The host must have taken note before a page is freed: otherwise it takes the memory of a page that is
//!   in use again.
//!
//! | file | idea |
//! |---|---|
//! | `pages` | the list of pages, as plain data |
//! | `inflate` | inflating, deflating, and giving pages back to an allocation |
//! | `ops` | the contract with the core: isolate, migrate, putback; and the audit |

mod inflate;
mod ops;
mod pages;

use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::{Lock, LockClass, Ordering};
use pages::Pages;
use std::sync::Arc;

/// The host's knowledge of a balloon.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Host {
    /// The number of pages that the host has: those given to it, less those taken back.
    pages: u32,
}

/// The balloon of a machine.
#[derive(Debug)]
pub struct Balloon {
    id: OwnerId,
    /// One thread at a time talks to the host (`balloon_lock`).
    host: Lock<Host>,
    /// The pages (`pages_lock`).
    pages: Lock<Pages>,
}

impl Balloon {
    /// Gives `machine` a balloon, empty. `EBUSY` if it has one, `ENOMEM` if no owner slot is free.
    pub fn new<R: Release>(machine: &Machine<R>) -> Result<Arc<Balloon>> {
        machine.may_allocate("owner slot")?;
        let (id, balloon) = machine.owners.insert_with(|id| {
            let host = Lock::plain(LockClass::Balloon, Host::default());
            let pages = Lock::plain(LockClass::Driver, Pages::default());
            let balloon = Arc::new(Balloon { id, host, pages });
            Ok((Owner::Movable(balloon.clone()), (id, balloon)))
        })?;
        // Release pairs with the Acquire of `ask_balloon`: an allocation that finds the id finds the
        // owner in its slot.
        let first = machine.balloon.compare_exchange(0, id.0, Ordering::Release, Ordering::Relaxed);
        if first.is_err() {
            machine.owners.remove(id);
            return Err(Error::new(Errno::EBUSY, "the machine has a balloon already, and can have only one"));
        }
        Ok(balloon)
    }

    /// The number of pages in the balloon, those isolated for a migration included.
    pub fn size(&self) -> u32 {
        self.pages.lock().held()
    }

    /// The number of pages that are isolated for a migration.
    pub fn isolated(&self) -> u32 {
        self.pages.lock().isolated()
    }

    /// The frame of a page, by the page's number in the balloon. A page that moves keeps its number.
    /// `None` if the balloon has no page of this number.
    pub fn page(&self, number: u32) -> Option<Pfn> {
        self.pages.lock().page(number)
    }

    /// One more than the largest number that a page of the balloon can have.
    pub fn numbers(&self) -> u32 {
        self.pages.lock().numbers()
    }

    /// The pages in the balloon that are not isolated, in the order in which deflating takes them.
    pub fn listed(&self) -> Vec<Pfn> {
        self.pages.lock().listed().map(|(_, pfn)| pfn).collect()
    }
}
