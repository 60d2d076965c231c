//! The design that the profile names, asked for at each step of a design: one branch more, and everything is compiled
//! once. For machines that are scripted, explored or counted, where a branch costs nothing that anybody looks at; what is
//! timed is compiled for its design.

use super::{Hook, HookLate, Mine, Packed, Putback, Release, Split};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::profile::Design;

/// Any of the designs.
#[derive(Debug)]
pub struct Chosen;

/// The one list of the designs; `$d` is a dollar sign, for the macro that the macro makes.
macro_rules! designs {
    ($d:tt $($design:ident $state:ident,)*) => {
        /// What each design keeps for a machine that may be of any.
        #[derive(Default)]
        pub struct States {
            $($state: <$design as Release>::State,)*
        }

        impl Release for Chosen {
            // Of a machine whose profile does not say.
            const DESIGN: Design = Design::Split;
            const LOOKS: bool = Split::LOOKS;
            type State = States;

            fn serves(_design: Design) -> bool {
                true
            }

            #[inline]
            fn looks(design: Design) -> bool {
                match design {
                    $(Design::$design => $design::LOOKS,)*
                }
            }

            #[inline]
            fn put<M: Release>(machine: &Machine<M>, states: &States, pfn: Pfn) {
                match machine.profile.release {
                    $(Design::$design => $design::put(machine, &states.$state, pfn),)*
                }
            }

            #[inline]
            fn claim<M: Release>(machine: &Machine<M>, pfn: Pfn) -> bool {
                match machine.profile.release {
                    $(Design::$design => $design::claim(machine, pfn),)*
                }
            }

            #[inline]
            fn freeze<M: Release>(machine: &Machine<M>, pfn: Pfn, expected: u32) -> Result<(), u32> {
                match machine.profile.release {
                    $(Design::$design => $design::freeze(machine, pfn, expected),)*
                }
            }

            #[inline]
            fn unlock_and_put<M: Release>(machine: &Machine<M>, states: &States, pfn: Pfn) {
                match machine.profile.release {
                    $(Design::$design => $design::unlock_and_put(machine, &states.$state, pfn),)*
                }
            }

            #[inline]
            fn finish<M: Release>(machine: &Machine<M>, states: &States, from: Pfn) {
                match machine.profile.release {
                    $(Design::$design => $design::finish(machine, &states.$state, from),)*
                }
            }

            #[inline]
            fn mark<M: Release>(machine: &Machine<M>, states: &States, pfn: Pfn, movable: bool) {
                match machine.profile.release {
                    $(Design::$design => $design::mark(machine, &states.$state, pfn, movable),)*
                }
            }
        }

        /// Evaluates an expression with a type alias for the design that a value names: what is timed is compiled for
        /// each.
        #[cfg(not(any(loom, feature = "explored", feature = "counted")))]
        macro_rules! with_design {
            ($d design:expr, $d alias:ident => $d body:expr) => {
                match $d design {
                    $($crate::profile::Design::$design => {
                        type $d alias = $crate::release::$design;
                        $d body
                    })*
                }
            };
        }
    };
}

designs! {
    $
    Putback putback,
    Split split,
    Hook hook,
    HookLate hook_late,
    Packed packed,
    Mine mine,
}

/// Nothing is timed in the other builds.
#[cfg(feature = "counted")]
macro_rules! with_design {
    ($design:expr, $alias:ident => $body:expr) => {{
        let _: $crate::profile::Design = $design;
        type $alias = $crate::release::Chosen;
        $body
    }};
}

#[cfg(not(any(loom, feature = "explored")))]
pub(crate) use with_design;
