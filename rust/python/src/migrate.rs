//! `Machine.migrate_pages` and `Machine.reclaim_pages`: migration and reclaim of lists of pages.
//!
//! The callable `get_new_page` is called while the thread holds page locks of other pages, as
//! owners' callbacks are. Calls that would wait for a page are refused inside of it, because they
//! could deadlock.

use crate::array;
use crate::errors::{Refusal, misuse, type_error};
use crate::handles::{Isolated, PageRef};
use crate::home::MachineRef;
use crate::page::Page;
use crate::shared::{Shared, Waits, in_callback};
use crate::space::UNWRITTEN;
use crate::state;
use mmcore::audit::Handle;
use mmcore::error::{Errno, Error};
use mmcore::migrate::{Mode, NewPage, Outcome, Reason, Reclaimed};
use mmcore::page::{Flags, Pfn};
use mmcore::sync::interrupted;
use pyo3::prelude::*;
use std::collections::HashSet;

/// The number of items of a list from one check for signals to the next.
const SIGNALS_EACH: usize = 1 << 12;

/// The target of the pages.
pub(crate) enum To {
    Node(usize),
    Callable(Py<PyAny>),
}

/// An item of the list.
enum Item {
    Token(Py<Isolated>),
    Page(Pfn),
}

impl Item {
    fn pfn(&self) -> Pfn {
        match self {
            Item::Token(token) => token.get().held().pfn,
            Item::Page(pfn) => *pfn,
        }
    }

    /// The kind of handle, for a token.
    fn kind(&self) -> Option<Handle> {
        match self {
            Item::Token(token) => Some(token.get().held().kind()),
            Item::Page(_) => None,
        }
    }
}

/// The outcome for an item.
#[derive(Clone, Copy)]
enum Fate {
    NotIsolated,
    NotTried,
    Ended(Outcome),
}

struct Target<'a> {
    shared: &'a MachineRef,
    to: &'a To,
    /// The exception that the callable raised.
    raised: Option<PyErr>,
}

impl NewPage for Target<'_> {
    fn get_new_page(&mut self, src: Pfn) -> Option<Pfn> {
        let callable = match self.to {
            To::Node(node) => return fresh(self.shared, src, *node),
            // After an exception the callable is not called again.
            To::Callable(_) if self.raised.is_some() => return None,
            To::Callable(callable) => callable,
        };
        let asked = |py: Python<'_>| {
            let answer = callable.bind(py).call1((Page::new(py, self.shared, src),))?;
            self.take(py, src, &answer)
        };
        let answer = in_callback(|| Python::try_attach(asked));
        match answer? {
            Ok(page) => page,
            Err(raised) => {
                self.raised = Some(raised);
                None
            }
        }
    }

    fn wants_outcomes(&self) -> bool {
        false
    }
}

impl Target<'_> {
    /// The target page for an answer of the callable.
    fn take(&self, py: Python<'_>, src: Pfn, answer: &Bound<'_, PyAny>) -> PyResult<Option<Pfn>> {
        if answer.is_none() {
            return Ok(None);
        }
        if let Ok(reference) = answer.cast::<PageRef>() {
            return self.take_reference(src, reference.get()).map(Some);
        }
        // A `Page` has `__index__` too, but its number is no node's.
        let node = match answer.is_instance_of::<Page>() {
            true => None,
            false => answer.call_method0("__index__").and_then(|number| number.extract::<usize>()).ok(),
        };
        let node = node.ok_or_else(|| {
            type_error("get_new_page answers with a node, a reference from alloc(), or None")
        })?;
        exists(py, self.shared, node)?;
        Ok(fresh(self.shared, src, node))
    }

    /// Spends a reference to a fresh page as large as the source. The reference belongs to the migration
    /// afterwards.
    fn take_reference(&self, src: Pfn, reference: &PageRef) -> PyResult<Pfn> {
        let held = reference.held();
        if !held.shared.is(self.shared) {
            return Err(misuse("the reference belongs to another machine"));
        }
        let pfn = held.pfn;
        {
            let (page, order) =
                (&self.shared.machine.frames()[pfn], self.shared.machine.frames()[src].order());
            // A fresh page has no other holders, and no flags from an earlier use.
            let new = page.flags().difference(Flags::HEAD | Flags::WAITERS).is_empty();
            if page.count() != 1 || page.order() != order || !new {
                return Err(misuse(format!(
                    "page {pfn} is not fresh: give an unused page from alloc(order={order})"
                )));
            }
        };
        if !held.spend() {
            return Err(held.already_spent());
        }
        self.shared.ledger.remove(pfn, Handle::Ref);
        Ok(pfn)
    }
}

fn exists(py: Python<'_>, shared: &Shared, node: usize) -> PyResult<()> {
    match node < shared.machine.nodes().len() {
        true => Ok(()),
        false => Err(Refusal::from(no_node(node)).raise(py, shared)),
    }
}

fn no_node(node: usize) -> Error {
    Error::new(Errno::EINVAL, format!("no node {node}"))
}

/// Allocates a page on a node, as large as the source. `None` if the node has no such block.
fn fresh(shared: &Shared, src: Pfn, node: usize) -> Option<Pfn> {
    shared.machine.alloc_pages(node, shared.machine.frames()[src].order()).ok()
}

/// Reads the list. If one item is invalid the whole list is refused.
fn items(py: Python<'_>, shared: &MachineRef, pages: &Bound<'_, PyAny>) -> PyResult<Vec<Item>> {
    let mut items = Vec::new();
    let mut tokens = HashSet::new();
    let foreign = || misuse("the page belongs to another machine");
    for (number, page) in pages.try_iter()?.enumerate() {
        // A list runs no Python code between two items, so no signal would be handled during a long one.
        if number % SIGNALS_EACH == 0 {
            py.check_signals()?;
        }
        let page = page?;
        let item = if let Ok(token) = page.cast::<Isolated>() {
            let held = token.get().held();
            if !held.shared.is(shared) {
                return Err(foreign());
            }
            if held.is_spent() || !tokens.insert(held.pfn) {
                return Err(held.already_spent());
            }
            Item::Token(token.clone().unbind())
        } else if let Ok(page) = page.cast::<Page>() {
            if !page.get().shared.is(shared) {
                return Err(foreign());
            }
            Item::Page(page.get().number)
        } else {
            let number: u32 = page
                .extract()
                .map_err(|_| type_error("pages are isolation tokens, pages, or frame numbers"))?;
            let found = shared.machine.page(Pfn(number)).map(drop);
            found.map_err(|error| Refusal::from(error).raise(py, shared))?;
            Item::Page(Pfn(number))
        };
        items.push(item);
    }
    Ok(items)
}

/// Spends all tokens; if one is spent already, none.
fn spend(items: &[Item]) -> Result<(), Refusal> {
    let mut spent = Vec::new();
    for item in items {
        let Item::Token(token) = item else { continue };
        let held = token.get().held();
        if !held.spend() {
            spent.iter().for_each(|held: &&crate::handles::Held| held.unspend());
            return Err(Refusal::Misuse(format!(
                "the isolation token of page {} was just given back",
                held.pfn
            )));
        }
        spent.push(held);
    }
    Ok(())
}

pub(crate) fn migrate_pages<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    pages: &Bound<'py, PyAny>,
    to: To,
    mode: Mode,
    reason: Reason,
) -> PyResult<Bound<'py, PyAny>> {
    shared.alive()?;
    if let To::Node(node) = to {
        exists(py, shared, node)?;
    }
    let items = items(py, shared, pages)?;
    let (migrated, fates, raised) = shared.call(py, Waits::ForPageLocks, |inside| {
        spend(&items)?;
        let mut target = Target { shared, to: &to, raised: None };
        let (migrated, fates) = {
            let held: Vec<Option<(Pfn, Handle)>> = items
                .iter()
                .map(|item| match item {
                    Item::Token(_) => Some((item.pfn(), item.kind()?)),
                    Item::Page(_) if interrupted() => None,
                    Item::Page(pfn) => Some((*pfn, inside.machine.hold_isolated(&inside.ledger, *pfn).ok()?)),
                })
                .collect();
            let tokens: Vec<(Pfn, Handle)> = held.iter().flatten().copied().collect();
            let (migrated, outcomes) =
                inside.machine.migrate_held(&inside.ledger, &tokens, &mut target, mode, reason);
            let mut outcomes = outcomes.into_iter();
            let fates: Vec<Fate> = held
                .iter()
                .map(|held| match held {
                    None => Fate::NotIsolated,
                    Some(_) => outcomes.next().flatten().map_or(Fate::NotTried, Fate::Ended),
                })
                .collect();
            (migrated, fates)
        };
        Ok((migrated, fates, target.raised))
    })?;
    if let Some(raised) = raised {
        return Err(raised);
    }
    let status = |fate: &Fate| match *fate {
        Fate::NotIsolated | Fate::Ended(Outcome::Refused) => Errno::EBUSY.status(),
        Fate::NotTried => UNWRITTEN,
        Fate::Ended(Outcome::Moved(pfn)) => shared.machine.node_of(pfn) as i32,
        Fate::Ended(Outcome::Freed) => Errno::ENOENT.status(),
        Fate::Ended(Outcome::Again) => Errno::EAGAIN.status(),
        Fate::Ended(Outcome::NoMemory) => Errno::ENOMEM.status(),
    };
    let frame = |(item, fate): (&Item, &Fate)| match (fate, item) {
        (Fate::Ended(Outcome::Moved(pfn)), _) => i64::from(pfn.0),
        (Fate::Ended(Outcome::Freed), _) => -1,
        (_, item) => i64::from(item.pfn().0),
    };
    let status = array::filled(py, "int32", &fates.iter().map(status).collect::<Vec<_>>())?;
    let frames = array::filled(py, "int64", &items.iter().zip(&fates).map(frame).collect::<Vec<_>>())?;
    let class = py.import("mmcore._state")?.getattr("Migrated")?;
    class.call1((migrated.ret(), migrated.succeeded, status, frames))
}

pub(crate) fn reclaim_pages<'py>(
    py: Python<'py>,
    shared: &MachineRef,
    pages: &Bound<'py, PyAny>,
    to: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    shared.alive()?;
    if let Some(node) = to {
        exists(py, shared, node)?;
    }
    let items = items(py, shared, pages)?;
    if items.iter().any(|item| item.kind() == Some(Handle::IsolatedMovable)) {
        return Err(misuse("a movable page cannot be reclaimed: its content belongs to its owner"));
    }
    let Reclaimed { demoted, freed } = shared.call(py, Waits::ForPageLocks, |inside| {
        spend(&items)?;
        Ok({
            let list = items.iter().filter_map(|item| {
                let pfn = item.pfn();
                match item {
                    Item::Token(_) => {
                        inside.ledger.remove(pfn, Handle::Isolated);
                        // The token of a part isolates the whole page, which stays whole meanwhile.
                        Some(inside.machine.frames().head(pfn))
                    }
                    Item::Page(_) if interrupted() => None,
                    Item::Page(_) => inside.machine.isolate_for_reclaim(pfn),
                }
            });
            inside.machine.reclaim_isolated(list.collect(), to)
        })
    })?;
    state::named(py, "Reclaimed", (demoted, freed))
}
