//! The switch of the mutations: it says whether a defect of the table (`crate::mutation`) is in
//! force.
//!
//! Defects exist only in the explored crate: everywhere else [`mutated`] is the constant `false` and
//! the defect is not in the machine code. In the explored crate the mutation in force belongs to the OS
//! thread that explores, so that searches of different mutations can run side by side.

use crate::mutation::Mutation;

/// Returns true if this defect is in force. A constant false in every build but the explored one.
#[cfg(not(feature = "explored"))]
#[inline(always)]
pub const fn mutated(_mutation: Mutation) -> bool {
    false
}

/// Runs `first`, then `then`; in the opposite order if the defect is in force.
#[inline(always)]
pub(crate) fn in_order(swapped: Mutation, first: impl FnOnce(), then: impl FnOnce()) {
    if mutated(swapped) {
        then();
        first();
    } else {
        first();
        then();
    }
}

#[cfg(feature = "explored")]
pub use explored::{enforce, mutated, with_mutation};

#[cfg(feature = "explored")]
mod explored {
    use crate::sync::mutation::Mutation;
    use std::cell::Cell;
    // Relaxed, in this module: a thread that puts a defect in force has set the flag itself, before it asks.
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    thread_local! {
        static IN_FORCE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// True if any OS thread has ever had a defect in force. Most processes never have one, but ask all the
    /// time, so this flag is read first.
    static ANY: AtomicBool = AtomicBool::new(false);

    /// Returns true if this defect is in force on the exploring thread.
    #[inline]
    pub fn mutated(mutation: Mutation) -> bool {
        ANY.load(Relaxed) && IN_FORCE.get() == Some(mutation)
    }

    fn replace(mutation: Option<Mutation>) -> Option<Mutation> {
        if mutation.is_some() {
            ANY.store(true, Relaxed);
        }
        IN_FORCE.replace(mutation)
    }

    /// Puts the defect in force on this OS thread for good. The thread must serve one exploration
    /// alone.
    pub fn enforce(mutation: Option<Mutation>) {
        replace(mutation);
    }

    /// Runs `work` with the defect in force on this OS thread.
    pub fn with_mutation<T>(mutation: Option<Mutation>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Mutation>);
        impl Drop for Restore {
            fn drop(&mut self) {
                IN_FORCE.set(self.0);
            }
        }
        let _restore = Restore(replace(mutation));
        work()
    }
}
