//! A user thread replays its part of the trace, and tells the migrators which slow pages are hot.

use super::place::Place;
use super::replay::{self, Part};
use crate::load::fault::Finding;
use crate::load::rig::{Counts, Member, Uses};
use crate::machine::Machine;
use crate::release::Release;
use crate::rng::Rng;
use std::sync::Arc;

/// Accesses of one step. The thread notices a stop only between two steps.
const ACCESSES: u32 = 256;
/// Touches after which a slow page is hot, counted from the last letter about the page. A touch is a
/// run of accesses to one page, so that a loop over the page counts once.
const HOT: u8 = 2;
/// The most letters of a mailbox. A letter to a full mailbox is dropped, as the kernel limits the
/// rate of its promotions.
const MAILBOX: usize = 1024;
/// The number of letters above which the migrators count as behind. The users then wait, as a
/// thread waits in a fault that promotes a page. Otherwise the host's scheduler would decide how
/// many pages a trace moves.
const BEHIND: usize = MAILBOX / 32;

/// A user thread of the load `tiering`.
#[derive(Debug)]
pub(in crate::load) struct User {
    place: Arc<Place>,
    part: Part,
    backed: bool,
    mailbox: usize,
    counts: Counts,
    /// Touches of slow pages since the last letter about them, by page.
    touched: Vec<u8>,
    last: u32,
}

impl Member for User {
    /// Does nothing, because no choice of a user is random: the trace determines its accesses.
    fn reseed(&mut self, _rng: Rng) {}
}

impl Uses for User {
    fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl User {
    pub(super) fn new(place: &Arc<Place>, me: usize, part: Part, backed: bool) -> User {
        User {
            place: Arc::clone(place),
            part,
            backed,
            mailbox: me % place.mailboxes.len(),
            counts: Counts::default(),
            touched: vec![0; place.area.pages() as usize],
            last: u32::MAX,
        }
    }

    /// Returns the number of completed passes over the part.
    pub fn passes(&self) -> u64 {
        self.part.passes()
    }

    /// Returns the part, with its position.
    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    /// Makes some accesses, unless the migrators or the policy are behind.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) -> Result<(), Finding> {
        let place = Arc::clone(&self.place);
        let director = place.director.as_ref();
        let behind = match director {
            Some(director) => director.overdue(),
            None => self.place.mailboxes[self.mailbox].lock().len() > BEHIND,
        };
        if behind {
            std::thread::yield_now();
            return Ok(());
        }
        let mut hot = Vec::new();
        let mut made = 0;
        for _ in 0..ACCESSES {
            let Some((access, number)) = self.part.next() else {
                // The hash assigns no page to this thread.
                std::thread::yield_now();
                break;
            };
            let (page, word) = (access.page(), access.word());
            let area = &self.place.area;
            if access.is_store() {
                let value = replay::value(number, page, word);
                machine.write_word(area, page, word as usize, value).map_err(Finding::refused("a store"))?;
            } else {
                let found =
                    machine.read_word(area, page, word as usize).map_err(Finding::refused("a load"))?;
                if self.backed {
                    replay::check(page, word, found)?;
                }
            }
            // A moving page and the zero page count for node 0. The next touch finds the node at
            // which the moving page has arrived.
            let node = machine.page_at(area, page).map_or(0, |pfn| machine.node_of(pfn));
            self.counts.accesses[node] += 1;
            made += 1;
            if let Some(director) = director {
                director.hit(page);
            } else if page != self.last {
                self.last = page;
                if node > 0 {
                    self.touch(page, &mut hot);
                }
            }
        }
        if let Some(director) = director {
            director.made(made)?;
        }
        if !hot.is_empty() {
            let mut mailbox = self.place.mailboxes[self.mailbox].lock();
            let room = MAILBOX.saturating_sub(mailbox.len());
            mailbox.extend(hot.into_iter().take(room));
        }
        Ok(())
    }

    fn touch(&mut self, page: u32, hot: &mut Vec<u32>) {
        let touched = &mut self.touched[page as usize];
        *touched += 1;
        if *touched == HOT {
            *touched = 0;
            hot.push(page);
        }
    }
}
