//! Operations that give up on a page although no other thread uses it. Only the explored build checks them.
//!
//! A migration that fails is tried again only so often, and then the operation answers that the page is busy.
//! Other threads may make any attempt fail. But an operation that ran alone, on a page that nobody else held
//! at its beginning, has no such reason to give up. If it does, it has kept a reference of its own, or has
//! given up for the sake of another page, and will give up again however often it is called.

use super::Session;
use super::moments::{Moments, State};
use super::step::Step;
use crate::audit::Finding;
use crate::error::Errno;
use crate::map::Pte;
use crate::page::Flags;
use crate::program::Op;
use crate::release::Release;
use crate::sync::explored::ran_alone;

/// The rule.
const RULE: &str = "an operation that runs alone does not give up";

/// The flags of a page that may not move, or not as a whole.
const HINDERS: Flags = Flags::LOCKED
    .union(Flags::WRITEBACK)
    .union(Flags::HWPOISON)
    .union(Flags::HEAD)
    .union(Flags::TAIL)
    .union(Flags::HAS_HWPOISONED);

impl<R: Release> Session<R> {
    /// Checks an operation that has given up on a page.
    pub(super) fn gave_up(&self, op: &Op, step: &Step, moments: &Moments) -> Option<Finding> {
        let refused = |status: &Option<i32>| {
            [Errno::EBUSY, Errno::EAGAIN, Errno::EIO].iter().any(|errno| *status == Some(errno.status()))
        };
        // A page that `migrate` gets is isolated: it is off its list, and the isolation has a reference to
        // it.
        let isolated = matches!(op, Op::Migrate { .. });
        let gave_up = match op {
            Op::Move { .. } => step.ret > 0,
            Op::Migrate { .. } | Op::SoftOffline { .. } => {
                step.status.iter().any(refused) && step.errno != Some(Errno::ENOMEM)
            }
            _ => false,
        };
        let idle = |page: usize| {
            !moments.is_twice(page) && moments.first(page).is_some_and(|state| is_idle(&state, isolated))
        };
        // An operation in which a fault has struck has a reason to give up.
        if !gave_up || self.machine.next_fault() > Some(0) || !ran_alone() || !(0..moments.len()).all(idle) {
            return None;
        }
        let first = moments.first(0)?;
        let detail =
            format!("given up, but nobody else held the page, and no other thread ran; it was: {first}");
        Some(Finding { rule: RULE, pfn: first.pfn, detail })
    }
}

/// Returns true for a base page of an anonymous mapping whose only references are those of its mappings, of
/// the swap cache and, with `isolated`, of its isolation.
fn is_idle(state: &State, isolated: bool) -> bool {
    let cache = u32::from(state.word.has(Flags::SWAPCACHE));
    state.word.has(Flags::ANON)
        && !state.word.any(HINDERS)
        && state.word.has(Flags::LRU) != isolated
        && state.word.count() == state.mapcount + cache + u32::from(isolated)
        && (isolated || state.is_present())
        && !state.pte.has(Pte::LOCK)
}
