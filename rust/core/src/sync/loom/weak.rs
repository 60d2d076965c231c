//! One ordering made weaker.
//!
//! A model that holds shows little as long as it is not known whether it *can* fail. So every ordering
//! stronger than Relaxed that a model executes is a [`Site`], and the same model can be run with that
//! site weakened: an ordering that is needed makes some model fail, one that is not needed is found.

use super::super::Ordering;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::Location;

/// The half of an ordering that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// What was released is not seen.
    Acquire,
    /// What came before is not released.
    Release,
    /// The place in the single order of sequentially consistent fences; acquire and release stay.
    SeqCst,
    /// All of a fence.
    Fence,
}

/// A place in the source with an ordering stronger than Relaxed, and one half of it.
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
    /// What is weakened.
    pub half: Half,
}

thread_local! {
    /// What the models of this OS thread weaken.
    static WEAK: Cell<Option<Site>> = const { Cell::new(None) };
    /// The sites met, while they are looked for.
    static MET: RefCell<Option<BTreeSet<Site>>> = const { RefCell::new(None) };
}

/// Runs `f` with `site` weakened in every model that it runs on this OS thread.
pub fn weakened<T>(site: Site, f: impl FnOnce() -> T) -> T {
    let before = WEAK.replace(Some(site));
    let result = f();
    WEAK.set(before);
    result
}

/// The sites that the models run by `f` execute.
pub fn sites_of(f: impl FnOnce()) -> BTreeSet<Site> {
    MET.with(|met| *met.borrow_mut() = Some(BTreeSet::new()));
    f();
    MET.with(|met| met.borrow_mut().take()).unwrap_or_default()
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

/// The ordering to use where `asked` is written at `at`. `None` for a fence that is taken away.
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
    MET.with(|met| {
        if let Some(met) = met.borrow_mut().as_mut() {
            met.extend(halves.iter().map(|&half| site(half)));
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
