//! Weakens one ordering of the source at a time, to see which model needs the ordering.
//!
//! A model that passes shows little unless it *can* fail. So every ordering stronger than Relaxed
//! that a model executes is a [`Site`], and the same model can be run with that site weakened. A
//! needed ordering makes some model fail; an ordering that can be weakened without a failure is not
//! needed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::atomic::Ordering;

/// The half of an ordering that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// The operation no longer acquires: values published by the matching release may be missed.
    Acquire,
    /// The operation no longer releases: writes before it are not published.
    Release,
    /// The fence leaves the single order of sequentially consistent fences; it still acquires and
    /// releases.
    SeqCst,
    /// The fence is left out.
    Fence,
}

/// A place in the source with an ordering stronger than Relaxed, and one half of this ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Source file, as the compiler names it.
    pub file: &'static str,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// The operation: `load`, `compare_exchange_weak`, `fence` ...
    pub operation: &'static str,
    /// The ordering, as written in the source.
    pub ordering: &'static str,
    /// The half that is weakened.
    pub half: Half,
}

thread_local! {
    /// The site that the models of this OS thread weaken.
    static WEAK: Cell<Option<Site>> = const { Cell::new(None) };
    /// The executed sites, while `sites_of` collects them.
    static COLLECTED: RefCell<Option<BTreeSet<Site>>> = const { RefCell::new(None) };
}

/// Runs `f` with `site` weakened in every model that it runs on this OS thread.
pub fn weakened<T>(site: Site, f: impl FnOnce() -> T) -> T {
    let before = WEAK.replace(Some(site));
    let result = f();
    WEAK.set(before);
    result
}

/// Returns the sites that the models run by `f` execute.
pub fn sites_of(f: impl FnOnce()) -> BTreeSet<Site> {
    COLLECTED.with(|sites| *sites.borrow_mut() = Some(BTreeSet::new()));
    f();
    COLLECTED.with(|sites| sites.borrow_mut().take()).unwrap_or_default()
}

const fn name(order: Ordering) -> &'static str {
    match order {
        Ordering::Acquire => "Acquire",
        Ordering::Release => "Release",
        Ordering::AcqRel => "AcqRel",
        Ordering::SeqCst => "SeqCst",
        _ => "Relaxed",
    }
}

/// Returns the ordering to use where the source at `at` asks for `asked`; `None` for a fence that
/// is left out.
#[inline]
pub(super) fn order(
    asked: Ordering,
    operation: &'static str,
    at: &'static Location<'static>,
) -> Option<Ordering> {
    if asked == Ordering::Relaxed {
        return Some(asked);
    }
    let site = |half| Site {
        file: at.file(),
        line: at.line(),
        column: at.column(),
        operation,
        ordering: name(asked),
        half,
    };
    let halves: &[Half] = match (operation, asked) {
        ("fence", Ordering::SeqCst) => &[Half::SeqCst, Half::Fence],
        ("fence", _) => &[Half::Fence],
        (_, Ordering::Acquire) => &[Half::Acquire],
        (_, Ordering::Release) => &[Half::Release],
        _ => &[Half::Acquire, Half::Release],
    };
    COLLECTED.with(|sites| {
        if let Some(sites) = sites.borrow_mut().as_mut() {
            sites.extend(halves.iter().map(|&half| site(half)));
        }
    });
    let Some(weak) = WEAK.get() else { return Some(asked) };
    if weak != site(weak.half) {
        return Some(asked);
    }
    match (weak.half, asked) {
        (Half::Fence, _) => None,
        (Half::SeqCst, _) | (_, Ordering::SeqCst) => Some(Ordering::AcqRel),
        (Half::Acquire, Ordering::AcqRel) => Some(Ordering::Release),
        (Half::Release, Ordering::AcqRel) => Some(Ordering::Acquire),
        (Half::Acquire | Half::Release, _) => Some(Ordering::Relaxed),
    }
}
