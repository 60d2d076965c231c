//! Mutations: real defects, put back at the place where the kernel (or a rejected design) had them.
//!
//! They exist only in the explored crate: everywhere else [`mutated`] is the constant `false` and
//! the defect is not in the machine code. In the explored crate the mutation in force belongs to the OS
//! thread that explores, so that searches of different mutations can run side by side.

macro_rules! mutations {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $origin:literal;)*) => {
        /// One defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mutation { $($(#[doc = $doc])* $variant,)* }

        impl Mutation {
            /// All of them.
            pub const ALL: &'static [Mutation] = &[$(Mutation::$variant,)*];

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Mutation::$variant => $name,)* }
            }

            /// Where the defect was: a kernel commit, or a design.
            pub const fn origin(self) -> &'static str {
                match self { $(Mutation::$variant => $origin,)* }
            }

            /// What is wrong, in one sentence.
            pub const fn defect(self) -> &'static str {
                match self { $(Mutation::$variant => concat!($($doc,)*).trim_ascii(),)* }
            }

            /// The mutation of that name.
            pub fn from_name(name: &str) -> Option<Mutation> {
                Mutation::ALL.iter().copied().find(|mutation| mutation.name() == name)
            }
        }
    };
}

mutations! {
    /// The put of `hook` looks for a movable page before the drop, without the lock that keeps the look stable.
    HookWithoutLock = "hook-without-lock", "release design `hook`";
    /// A migrated movable page is subtracted from `nr_isolated_*`, to which it was never added.
    MovableInIsolated = "movable-in-nr-isolated", "6afcf8ef0ca0";
    /// A demoted page is subtracted from `nr_isolated_*` by the migration and by reclaim.
    DemotionCountedTwice = "demotion-counted-twice", "35e41024c4c2";
    /// Putback asks whether a movable page *can be* isolated instead of whether it *was*, and puts it on the LRU.
    MovablePutOnLru = "movable-put-on-lru", "117aad1e9e4d";
    /// Draining the per-CPU free frames trusts a look at the count while a refill is adding to it.
    PcpCountUnlocked = "pcp-count-unlocked", "66eca1021a42";
    /// A look into the page cache trusts its reference without a second look at the slot.
    CacheNotRechecked = "cache-not-rechecked", "lifecycle 3.2, `filemap_get_folio`";
    /// An unmap tells a file's page of its dirty entry before the flush instead of after it.
    DirtyBeforeFlush = "dirty-before-flush", "5df397dec7c4";
}

/// Is this defect in force? A constant in every build but the explored one.
#[cfg(not(feature = "explored"))]
#[inline(always)]
pub const fn mutated(_mutation: Mutation) -> bool {
    false
}

#[cfg(feature = "explored")]
pub use explored::{enforce, mutated, with_mutation};

#[cfg(feature = "explored")]
mod explored {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static IN_FORCE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Is this defect in force on the exploring thread?
    #[inline]
    pub fn mutated(mutation: Mutation) -> bool {
        IN_FORCE.get() == Some(mutation)
    }

    /// From here on this OS thread, which is there for one exploration alone, has the defect.
    pub fn enforce(mutation: Option<Mutation>) {
        IN_FORCE.set(mutation);
    }

    /// Runs `work` with the defect in force on this OS thread.
    pub fn with_mutation<T>(mutation: Option<Mutation>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Mutation>);
        impl Drop for Restore {
            fn drop(&mut self) {
                IN_FORCE.set(self.0);
            }
        }
        let _restore = Restore(IN_FORCE.replace(mutation));
        work()
    }
}
