//! Which kernel a machine is: a record of named choices, with presets.
//!
//! Every difference between two kernels or designs is one field with one name, read in one place.
//! The table below is the only list: names, values, presets and sources come from it.

use std::fmt;
use std::str::FromStr;

/// A field's type: what it can be, as text.
pub trait Choice: Sized + fmt::Display + FromStr {
    /// What the field accepts, for messages.
    fn accepts() -> String;
}

impl Choice for u8 {
    fn accepts() -> String {
        "a number from 0 to 255".into()
    }
}

impl Choice for bool {
    fn accepts() -> String {
        "true or false".into()
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The value's name.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok($name::$variant),)* _ => Err(()) }
            }
        }

        impl Choice for $name {
            fn accepts() -> String {
                [$($text,)*].join(", ")
            }
        }
    };
}

choice! {
    /// How a migration ends and what a put looks at (`crate::release`). The one compile-time choice.
    Design {
        /// Put back to the LRU on success too; the batch's drain frees it.
        Putback = "putback",
        /// Success puts, failure puts back.
        Split = "split",
        /// Every put looks for a movable page before the drop, under a lock.
        Hook = "hook",
        /// The last put looks, without a lock.
        HookLate = "hook_late",
        /// Count, lock and flags in one atomic transition.
        Packed = "packed",
        /// Yours: `rust/core/src/release/mine.rs`.
        Mine = "mine",
    }
}

choice! {
    /// In which order a list of pages is migrated.
    MigrationOrder {
        /// Each page through all steps before the next.
        OneByOne = "one_by_one",
        /// Unmap a batch, flush once, move the batch.
        Batched = "batched",
    }
}

choice! {
    /// What a migration makes of a large page.
    LargeMigration {
        /// It is split first, and its parts move by themselves.
        InParts = "in_parts",
        /// It moves whole, and is split only without room for the whole.
        Whole = "whole",
    }
}

choice! {
    /// When the bytes are copied, relative to the commit of the new mapping.
    CopyOrder {
        /// Copy, then commit: an error while copying leaves everything as it was.
        BeforeCommit = "before_commit",
        /// Commit, then copy.
        AfterCommit = "after_commit",
    }
}

choice! {
    /// Whether `move_pages` and its relatives keep the batches off while they run.
    BatchesDuringMigration {
        /// Drain all once before (2016).
        DrainOnce = "drain_once",
        /// Disabled for the whole operation.
        Disabled = "disabled",
    }
}

choice! {
    /// Status of an address with nothing mapped inside a valid area.
    HoleStatus {
        /// `-EFAULT`
        Efault = "efault",
        /// `-ENOENT`
        Enoent = "enoent",
    }
}

choice! {
    /// In which order a node's pages are reclaimed, and what spares them (`crate::lru`).
    LruPolicy {
        /// An active and an inactive list with a second chance: the kernel's classic LRU.
        TwoList = "two_list",
        /// Generations and tiers: the kernel's multi-generational LRU.
        Mglru = "mglru",
        /// Oldest first, whatever was used (a textbook's).
        Fifo = "fifo",
        /// An access puts a page in front (a textbook's).
        Lru = "lru",
        /// Oldest first; a page that was accessed goes to the front instead, once (a textbook's).
        Clock = "clock",
    }
}

choice! {
    /// Under which names a kernel's probes show the protocol's calls (`crate::calls`).
    CallNames {
        /// `isolate_lru_page`, `putback_lru_page`, `folio_migrate_mapping`.
        Pages = "pages",
        /// `folio_isolate_lru`, `folio_putback_lru`, `__folio_migrate_mapping`, and the functions of a batch.
        Folios = "folios",
    }
}

choice! {
    /// Which pages get NUMA hints (`change_pte_range`). None of an area with a policy of its own, nor of a memory file,
    /// gets one in any kernel.
    HintFaults {
        /// All others that one entry maps whole: base pages, and those of the size of a huge entry.
        All = "all",
        /// As `all`, but of private mappings only base pages whose one reference is the mapping's, and of files no dirty ones.
        Sole = "sole",
        /// Large pages too; of private mappings those that one process maps and nobody may have pinned, and of files no
        /// dirty ones.
        Unshared = "unshared",
    }
}

choice! {
    /// What a pin that lasts is told of a mapping of a disk's file, which may have to write its pages at any time.
    FilePin {
        /// `EOPNOTSUPP`, shared or private, after the pages were faulted in.
        Refused = "refused",
        /// `EFAULT` for a shared mapping that is written to, before any fault; private copies can be pinned.
        SharedRefused = "shared_refused",
    }
}

choice! {
    /// When a page counts as poisoned after a soft offline.
    PoisonAccounting {
        /// On every outcome but "try again": also a page that could not move and is still in use.
        NonEagain = "non_eagain",
        /// On success alone.
        Success = "success",
        /// On success; of a page that was moved twice: by the migration and by its caller.
        Double = "double",
    }
}

choice! {
    /// What a hard failure makes of a large page that cannot be split, since somebody holds it.
    UnsplitFailure {
        /// Nothing: the poison is taken back, and it is `EBUSY`.
        Forgotten = "forgotten",
        /// It is poisoned and counted, nobody is told, and it is `EBUSY`.
        Untold = "untold",
        /// It is poisoned and counted, those who have it are told, and it is `EHWPOISON`.
        Told = "told",
    }
}

choice! {
    /// In which order soft offline flags a page in use and drops its last reference.
    PoisonOrder {
        /// The flag goes to a frame that may be somebody else's by then; it stays on its free list, and is refused
        /// when its turn comes.
        PutFirst = "put_first",
        /// The last put finds the flag and refuses the frame, on which poison keeps a reference.
        FlagFirst = "flag_first",
    }
}

macro_rules! profile {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty = [$k45:expr, $k48:expr, $k61:expr, $k612:expr, $k619:expr], $source:literal;)*) => {
        /// The choices of one machine. Build one with [`Profile::preset`] and [`Profile::set`].
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Profile {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl Profile {
            /// The choices of a kernel; see [`PRESETS`].
            pub fn preset(kernel: &str) -> Result<Profile, ProfileError> {
                let column = PRESETS.iter().position(|&name| name == kernel)
                    .ok_or_else(|| ProfileError::Kernel(kernel.into()))?;
                Ok(Profile { $($field: [$k45, $k48, $k61, $k612, $k619][column],)* })
            }

            /// Names of all fields, in documentation order.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field),)*];

            /// A field's value as text.
            pub fn get(&self, field: &str) -> Result<String, ProfileError> {
                match field {
                    $(stringify!($field) => Ok(self.$field.to_string()),)*
                    _ => Err(ProfileError::Field(field.into())),
                }
            }

            /// Sets a field from text.
            pub fn set(&mut self, field: &str, value: &str) -> Result<(), ProfileError> {
                match field {
                    $(stringify!($field) => {
                        self.$field = value.parse().map_err(|_| ProfileError::Value {
                            field: stringify!($field), value: value.into(), accepts: <$type>::accepts(),
                        })?;
                    })*
                    _ => return Err(ProfileError::Field(field.into())),
                }
                self.check()
            }

            /// What a field means and where its values come from.
            pub fn describe(field: &str) -> Option<(&'static str, &'static str)> {
                match field {
                    $(stringify!($field) => Some((concat!($($doc,)*), $source)),)*
                    _ => None,
                }
            }

            /// What a field accepts.
            pub fn accepts(field: &str) -> Option<String> {
                match field {
                    $(stringify!($field) => Some(<$type>::accepts()),)*
                    _ => None,
                }
            }
        }
    };
}

/// Kernels with a preset, oldest first. The default is `6.12`, the newest one that recordings hold
/// us to.
pub const PRESETS: &[&str] = &["4.5", "4.8", "6.1", "6.12", "6.19"];

use BatchesDuringMigration::{Disabled, DrainOnce};
use CallNames::{Folios, Pages};
use CopyOrder::{AfterCommit, BeforeCommit};
use Design::{Putback, Split};
use FilePin::{Refused, SharedRefused};
use HintFaults::{All, Sole, Unshared};
use HoleStatus::{Efault, Enoent};
use LargeMigration::{InParts, Whole};
use LruPolicy::TwoList;
use MigrationOrder::{Batched, OneByOne};
use PoisonAccounting::{NonEagain, Success};
use PoisonOrder::{FlagFirst, PutFirst};
use UnsplitFailure::{Forgotten, Told, Untold};

profile! {
    /// What ends a migration and what a put looks at.
    release: Design = [Putback, Split, Split, Split, Split],
        "lifecycle 6.6, 6.7; 6.1 and 6.12: h01 (folio_put_final inside the migration)";
    /// Pages a per-CPU LRU batch holds before it drains itself.
    pagevec: u8 = [14, 14, 15, 31, 31],
        "lifecycle 5.2; 6.1 and 6.12: h34/2";
    /// In which order pages are reclaimed, and what spares them.
    lru_policy: LruPolicy = [TwoList, TwoList, TwoList, TwoList, TwoList],
        "lifecycle 5.8; 6.1 and 6.12: h13/3 (nr_active_anon, nr_inactive_anon)";
    /// One page through all steps, or a batch unmapped, flushed once and moved.
    migration: MigrationOrder = [OneByOne, OneByOne, OneByOne, Batched, Batched],
        "lifecycle 6.2, 6.9; 6.1 and 6.12: h01/4";
    /// Large pages are split before they migrate, or move whole.
    large_migration: LargeMigration = [InParts, InParts, Whole, Whole, Whole],
        "kernel 9c670ea37947, 4.14; 6.12: l01/3";
    /// A migration splits a large page that waits to be split because one of its entries was unmapped before others, be it
    /// by an earlier migration; where it moves whole, the wait goes along.
    migration_splits_queued: bool = [false, false, false, true, true],
        "kernels 7262f208ca68 (6.11), a2e0c0668a34 (in 6.12 and later stable kernels); 6.1 and 6.12: l01/6, l17/8 (6.12; 6.1 not recorded)";
    /// Parts of nothing but zeroes become the zero page when a large page is split.
    split_frees_zeroes: bool = [false, false, false, true, true],
        "kernel b1f202060afe, 6.12; 6.1 and 6.12: l11/3, l12/3 (6.12; 6.1 not recorded)";
    /// Passes over pages that may be retried; with batches, of the asynchronous first round.
    passes: u8 = [10, 10, 10, 3, 3],
        "lifecycle 6.2; 6.1 and 6.12: h02/7";
    /// Passes of each page left over, alone and synchronously; 0 where the list is simply retried.
    sync_passes: u8 = [0, 0, 0, 7, 7],
        "lifecycle 6.2; 6.1 and 6.12: h02/7";
    /// Copy before or after the mapping is switched.
    copy: CopyOrder = [AfterCommit, AfterCommit, AfterCommit, BeforeCommit, BeforeCommit],
        "lifecycle 6.3 step 8; 6.1 and 6.12: h01/4 (folio_mc_copy before __folio_migrate_mapping)";
    /// Batches drained once before, or kept disabled during move_pages, mbind and migrate_pages.
    batches: BatchesDuringMigration = [DrainOnce, DrainOnce, Disabled, Disabled, Disabled],
        "lifecycle 5.3; 6.1 and 6.12: h01/4 (lru_cache_disable)";
    /// munmap, MADV_DONTNEED and exit begin by draining the CPU's batches, and drain them again before they free pages.
    unmap_drains: bool = [true, true, true, true, false],
        "kernel 1aa43598c03b, 6.14; 6.1: m0223/7, 6.12: g0011/9";
    /// The local batches are drained after each mapped page that was moved.
    drain_after_move: bool = [false, false, true, false, false],
        "6.1 and 6.12: h14/3 (an mlocked page drains on both)";
    /// A pin marks the page accessed, as a plain reference from the outside always does.
    pin_marks_accessed: bool = [false, false, false, true, true],
        "6.1 and 6.12: h03/4";
    /// move_pages takes a reference before it isolates, or isolates under the page-table lock.
    isolation_reference: bool = [true, true, true, false, false],
        "6.1 and 6.12: h01/4 (the count on entry into the isolation)";
    /// An accessed entry marks its page when it is dropped, even if the mapping is one for random access.
    random_marks_accessed: bool = [true, true, true, false, false],
        "6.1 and 6.12: g0011/9";
    /// A migrated page is still the first to be reclaimed when its write-back has ended (`RECLAIM`, which is `readahead`
    /// where nothing is written back).
    reclaim_mark_moves: bool = [false, false, true, true, true],
        "kernel 6aeff241fe6c, 5.7; 6.1 and 6.12: g9161/17";
    /// Which pages NUMA balancing gives a hint, and so may move to their users.
    hint_faults: HintFaults = [All, All, Sole, Unshared, Unshared],
        "kernels 859d4adc3415 (4.16), 09a913a7a947 (4.17), 80d47f5de5e3 (5.17), d2136d749d76 (6.10); 6.1 and 6.12: not recorded";
    /// Under which names the calls are shown.
    call_names: CallNames = [Pages, Pages, Pages, Folios, Folios],
        "6.1 and 6.12: h01/4";
    /// /proc/kpageflags shows `KSM` for every anonymous page: an exporter's mistake.
    kpageflags_ksm: bool = [false, false, false, true, false],
        "6.1 and 6.12: h01/2";
    /// When a soft offline counts a page as poisoned.
    poison: PoisonAccounting = [NonEagain, Success, Success, Success, Success],
        "lifecycle 6.7; 6.1 and 6.12: h16/6 (hwc_kb)";
    /// Whether soft offline flags a page before or after its last put.
    poison_order: PoisonOrder = [PutFirst, PutFirst, FlagFirst, FlagFirst, FlagFirst],
        "lifecycle 6.7; 6.1 and 6.12: h14/3 (page_handle_poison before folio_put_final)";
    /// Soft offline of a frame that is poisoned already is refused with `EBUSY`, or there is nothing left to do.
    soft_offline_again_busy: bool = [true, true, false, false, false],
        "kernel 5a2ffca3c233, 5.10; 6.1 and 6.12: h17/5";
    /// A hard failure of a frame that is poisoned already is `EHWPOISON`, and a process that has just touched it is told;
    /// or it is no error, and nobody is told.
    failure_again_tells: bool = [false, false, true, true, true],
        "kernels 47af12bae17f, a3f5d80ea401, 5.13; 6.1 and 6.12: h17/6";
    /// What a hard failure makes of a large page that cannot be split.
    unsplit_failure: UnsplitFailure = [Forgotten, Forgotten, Untold, Told, Told],
        "kernel 1a3798dececa, 6.11; 6.1 and 6.12: not recorded";
    /// A dirty page that is lost is marked `ERROR`.
    page_error_flag: bool = [true, true, true, false, false],
        "6.1 and 6.12: h26/4 (the frame's flags)";
    /// Who poisons memory with MADV_HWPOISON is told as one who has touched it: at once, whatever early kill says.
    hwpoison_action_required: bool = [false, false, false, true, true],
        "6.1 and 6.12: h21/4, h26/4 (ar_sigbus)";
    /// What a pin that lasts is told of a mapping of a disk's file.
    file_pin: FilePin = [Refused, Refused, Refused, SharedRefused, SharedRefused],
        "6.1 and 6.12: m0223/18, g0040/9";
    /// A fault of a pin that lasts lets go of its locks while it reads a disk's file, and begins again; or it keeps them,
    /// because the mappings are looked at afterwards.
    pin_faults_retry: bool = [false, false, false, true, true],
        "6.1 and 6.12: g83011/23 (folio_put_final)";
    /// Pages to and from swap count in pgpgin and pgpgout too: the device has no short way for single pages.
    swap_counts_blocks: bool = [false, false, false, true, true],
        "6.1 and 6.12: h35/6";
    /// A page of zeroes is not written to swap: a note is kept.
    swap_notes_zeroes: bool = [false, false, false, true, true],
        "6.1 and 6.12: s08-swap-zeroes/5 (pswpout)";
    /// A load that brings a page back from swap maps it writable, if it is the process's own.
    swapin_writable: bool = [false, false, false, true, true],
        "6.1 and 6.12: s01-swap-in/8";
    /// A page that is mapped from swap for the first time, into a locked area, is locked into memory.
    swapin_mlocks: bool = [true, true, true, false, false],
        "6.1 and 6.12: s01-swap-in/9";
    /// Status of a hole in a valid area.
    hole_status: HoleStatus = [Efault, Efault, Efault, Enoent, Enoent],
        "6.1 and 6.12: h05/5";
}

impl Profile {
    fn check(&self) -> Result<(), ProfileError> {
        let most = crate::lru::PAGEVEC_MAX as u8;
        if !(1..=most).contains(&self.pagevec) {
            return Err(ProfileError::Value {
                field: "pagevec",
                value: self.pagevec.to_string(),
                accepts: format!("a number from 1 to {most}"),
            });
        }
        if !(1..=100).contains(&self.passes) || self.sync_passes > 100 {
            return Err(ProfileError::Value {
                field: "passes",
                value: self.passes.to_string(),
                accepts: "a number from 1 to 100".into(),
            });
        }
        Ok(())
    }
}

impl Default for Profile {
    fn default() -> Self {
        Profile::preset("6.12").expect("the default preset exists")
    }
}

/// A profile that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No such preset.
    #[error("no profile {0:?}: choose one of {list}", list = PRESETS.join(", "))]
    Kernel(String),
    /// No such field.
    #[error("no profile field {0:?}: choose one of {list}", list = Profile::FIELDS.join(", "))]
    Field(String),
    /// Not a value of that field.
    #[error("{field} cannot be {value:?}: it accepts {accepts}")]
    Value {
        /// The field.
        field: &'static str,
        /// The text given.
        value: String,
        /// What would do.
        accepts: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_preset_reads_back_as_it_prints() {
        for kernel in PRESETS {
            let profile = Profile::preset(kernel).unwrap();
            let mut copy = Profile::default();
            for field in Profile::FIELDS {
                copy.set(field, &profile.get(field).unwrap()).unwrap();
                let (meaning, source) = Profile::describe(field).unwrap();
                assert!(!meaning.trim().is_empty() && !source.is_empty());
            }
            assert_eq!(copy, profile);
        }
    }

    #[test]
    fn a_wrong_name_or_value_says_what_would_do() {
        let mut profile = Profile::default();
        assert!(Profile::preset("5.0").unwrap_err().to_string().contains("6.12"));
        assert!(profile.set("pagevecs", "3").unwrap_err().to_string().contains("pagevec"));
        assert!(profile.set("pagevec", "0").unwrap_err().to_string().contains("1 to 31"));
        assert!(profile.set("release", "slow").unwrap_err().to_string().contains("hook_late"));
    }
}
