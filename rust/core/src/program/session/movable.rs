//! Owners of movable pages: making one, and releasing its pages.

use super::Session;
use super::actor::{Actor, Pool};
use super::content::pool_word;
use super::pages::nothing;
use super::process::{Outcome, check_page_count};
use super::step::{Problem, Step};
use crate::memory::WORDS;
use crate::movable::PagePool;
use crate::program::{Movable, Owner, Sel};
use crate::release::Release;
use crate::sync::stop_point;
use std::sync::Arc;

impl<R: Release> Session<R> {
    pub(super) fn movable(
        &self,
        actor: &mut Actor,
        movable: Movable,
        pages: u32,
        node: Option<u32>,
    ) -> Outcome {
        actor.no_page_lock()?;
        if self.pool(actor, movable).is_ok() {
            return Err(Problem::misuse(format!("{movable} is made already")));
        }
        let node = self.node(node.unwrap_or(0))?;
        let pool = match self.brought.get(&movable) {
            Some(owner) => PagePool::with_owner(&self.machine, Arc::clone(owner))?,
            None => PagePool::new(&self.machine)?,
        };
        let number = actor.new_number();
        let mut made = Vec::new();
        let mut failed = None;
        for page in 0..pages {
            stop_point();
            match pool.add(&self.machine, node) {
                Ok(which) => {
                    for word in 0..WORDS {
                        let value = pool_word(number, page, word);
                        pool.write(&self.machine, which, word, value)?;
                    }
                    made.push(which);
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        // The owner keeps the pages that it got, so that none is lost after a failure.
        actor.names.pools.set(movable, Pool { number, pool, pages: made.into() });
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    pub(super) fn release(&self, actor: &mut Actor, sel: &Sel<Movable>) -> Step {
        let found = check_page_count(sel.pages.iter().flatten())
            .and_then(|()| actor.no_page_lock())
            .and_then(|()| self.pool(actor, sel.of));
        let Pool { pool, pages, .. } = match found {
            Ok(found) => found,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for index in sel.indices(pages.len() as u32) {
            step.page(match pages.get(index as usize) {
                Some(&page) => pool.release(&self.machine, page).map(|()| 0).map_err(Into::into),
                None => Err(nothing(Owner::Movable(sel.of), index)),
            });
        }
        step
    }
}
