//! The user's own policy, which chooses the pages to promote and to demote after each epoch.
//!
//! ```text
//!   user threads: count hits ----> epoch over: the first migrator asks the policy
//!                                               |
//!   all migrators: take the orders, <-----------+
//!                  demotions first, batch by batch
//! ```
//!
//! With a policy no page moves for another reason: a page stays on the fast node until the policy
//! demotes it.

use super::super::fault::Finding;
use crate::machine::Machine;
use crate::map::Area;
use crate::release::Release;
use crate::sync::{AtomicU32, AtomicU64, Lock, LockClass, Ordering};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// The fast node, and the node to which pages are demoted.
pub(super) const FAST: usize = 0;
pub(super) const SLOW: usize = 1;

/// Accesses of an epoch, for each page of the trace.
const ACCESSES_PER_PAGE: u64 = 8;

/// The data that a policy gets: one number for each page of the trace.
#[derive(Clone, Copy, Debug)]
pub struct Epoch<'a> {
    /// Accesses in the epoch.
    pub hits: &'a [u32],
    /// The node where the page is; -1 before its first access and while it moves.
    pub node: &'a [i8],
    /// Epochs since the last access: 0 for a page that was used in this one.
    pub age: &'a [u32],
}

/// The decision of a policy: pages by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Pages that go to the fast node.
    pub promote: Vec<u32>,
    /// Pages that go to the slow node.
    pub demote: Vec<u32>,
}

/// A policy, asked after each epoch.
pub trait Policy: Send + Sync {
    /// Chooses the pages to move. An error ends the load and becomes its finding.
    fn decide(&self, epoch: Epoch<'_>) -> Result<Decision, String>;
}

/// Pages that are to go to a node.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub node: usize,
    pub pages: Vec<u32>,
}

/// The state of a policy that all migrators and users share.
pub(super) struct Director {
    policy: Arc<dyn Policy>,
    hits: Box<[AtomicU32]>,
    /// The number of all accesses so far.
    made: AtomicU64,
    /// The number of accesses that the policy was told of. An epoch is over when `made` is far enough ahead.
    given: AtomicU64,
    epoch: u64,
    ages: Lock<Vec<u32>>,
    orders: Lock<VecDeque<Order>>,
    failed: Lock<Option<String>>,
}

impl fmt::Debug for Director {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Director").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Director {
    pub fn new(policy: Arc<dyn Policy>, pages: u32) -> Director {
        Director {
            policy,
            hits: (0..pages).map(|_| AtomicU32::new(0)).collect(),
            made: AtomicU64::new(0),
            given: AtomicU64::new(0),
            epoch: ACCESSES_PER_PAGE * u64::from(pages),
            ages: Lock::plain(LockClass::Leaf, vec![0; pages as usize]),
            orders: Lock::plain(LockClass::Leaf, VecDeque::new()),
            failed: Lock::plain(LockClass::Leaf, None),
        }
    }

    /// Counts an access to a page.
    #[inline]
    pub fn hit(&self, page: u32) {
        // Relaxed: a count on which no other data depends; a late one belongs to the next epoch.
        self.hits[page as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds accesses, whose `hit`s were counted before. Returns the finding if the policy has
    /// failed.
    pub fn made(&self, accesses: u32) -> Result<(), Finding> {
        // Release pairs with the Acquire of `waiting`: a migrator that sees the sum also sees the
        // hits. Without it a policy could be given an epoch with some hits missing.
        self.made.fetch_add(accesses.into(), Ordering::Release);
        match &*self.failed.lock() {
            Some(why) => Err(Finding::Policy(why.clone())),
            None => Ok(()),
        }
    }

    /// Returns true if a decision is overdue. The users then wait; otherwise the host's scheduler
    /// would set the length of an epoch.
    pub fn overdue(&self) -> bool {
        self.waiting() >= 2 * self.epoch && self.failed.lock().is_none()
    }

    /// Returns the number of accesses that the policy was not given yet. The number is too low, at
    /// least 0, while a step runs of which the policy was given some hits already.
    fn waiting(&self) -> u64 {
        // Relaxed for `given`: only one thread writes it, and the users that wait for it read it
        // again. Acquire: see `made`.
        let given = self.given.load(Ordering::Relaxed);
        self.made.load(Ordering::Acquire).saturating_sub(given)
    }

    /// Asks the policy if the epoch is over and the last orders are taken. Returns false if it did
    /// not ask.
    pub fn decide<R: Release>(&self, machine: &Machine<R>, area: &Area, batch: usize) -> bool {
        if self.waiting() < self.epoch || !self.orders.lock().is_empty() || self.failed.lock().is_some() {
            return false;
        }
        // Relaxed, twice: the Acquire in `waiting` orders the hits of all finished steps before these
        // swaps. A hit of a step that still runs counts in this epoch or in the next.
        let hits: Vec<u32> = self.hits.iter().map(|hits| hits.swap(0, Ordering::Relaxed)).collect();
        self.given.fetch_add(hits.iter().map(|&hits| u64::from(hits)).sum(), Ordering::Relaxed);
        let node: Vec<i8> = (0..area.pages())
            .map(|page| machine.page_at(area, page).map_or(-1, |pfn| machine.node_of(pfn) as i8))
            .collect();
        let age = {
            let mut ages = self.ages.lock();
            for (age, &hits) in ages.iter_mut().zip(&hits) {
                *age = if hits > 0 { 0 } else { age.saturating_add(1) };
            }
            ages.clone()
        };
        // No lock is held here, because a policy may take long.
        let decided = self.policy.decide(Epoch { hits: &hits, node: &node, age: &age });
        match decided.and_then(|decision| checked(decision, area.pages())) {
            Ok(Decision { promote, demote }) => {
                let order = |node| move |pages: &[u32]| Order { node, pages: pages.to_vec() };
                let demotions = demote.chunks(batch).map(order(SLOW));
                // Demotions come first, because they make room for the promotions.
                self.orders.lock().extend(demotions.chain(promote.chunks(batch).map(order(FAST))));
            }
            Err(why) => *self.failed.lock() = Some(why),
        }
        true
    }

    /// Takes the next order.
    pub fn next(&self) -> Option<Order> {
        self.orders.lock().pop_front()
    }
}

/// Removes duplicates, and refuses numbers that no page has.
fn checked(mut decision: Decision, pages: u32) -> Result<Decision, String> {
    for list in [&mut decision.promote, &mut decision.demote] {
        if let Some(wrong) = list.iter().find(|&&page| page >= pages) {
            return Err(format!("the policy names page {wrong}, but the trace has {pages}"));
        }
        let mut seen = std::collections::HashSet::new();
        list.retain(|&page| seen.insert(page));
    }
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_names_each_page_once_in_its_order() {
        let wanted = Decision { promote: vec![3, 1, 3], demote: vec![2, 2] };
        let right = Decision { promote: vec![3, 1], demote: vec![2] };
        assert_eq!(checked(wanted.clone(), 4), Ok(right));
        assert!(checked(wanted, 3).unwrap_err().contains("page 3, but the trace has 3"));
    }
}
