//! The design [`Chosen`] reads at each step which design the profile names, and does the step of that
//! design. This costs one branch, but the code is compiled only once. `Chosen` serves machines that are
//! scripted, explored or counted, where a branch does not matter. Machines that are timed are compiled for
//! their design.

use super::{Designed, Hook, HookLate, Left, Mine, Packed, Putback, Release, Split};
use crate::machine::Machine;
use crate::movable::ops::MovableOps;
use crate::page::Pfn;
use crate::profile::Design;

/// The design that stands for all others and chooses at run time.
#[derive(Debug)]
pub struct Chosen;

/// Generates the states of all designs, and each function that chooses among the designs, from one list. A
/// new design is therefore one line of the list. `$d` is a dollar sign, for the macro that this macro
/// defines.
macro_rules! designs {
    ($d:tt $($design:ident $state:ident,)*) => {
        /// The states of all designs, for a machine that may be of any design.
        #[derive(Default)]
        pub struct States {
            $($state: <$design as Designed>::State,)*
        }

        impl Designed for Chosen {
            // The design of a machine whose profile names none.
            const DESIGN: Design = Design::Split;
            type State = States;
            type Driver = dyn MovableOps<Self>;

            fn serves(_design: Design) -> bool {
                true
            }
        }

        impl Release for Chosen {
            const LOOKS: bool = Split::LOOKS;

            #[inline]
            fn looks(design: Design) -> bool {
                match design {
                    $(Design::$design => $design::LOOKS,)*
                }
            }

            #[inline]
            fn put<M: Release>(machine: &Machine<M>, states: &States, pfn: Pfn) -> Left {
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
            fn unlock_and_put<M: Release>(machine: &Machine<M>, states: &States, pfn: Pfn) -> Left {
                match machine.profile.release {
                    $(Design::$design => $design::unlock_and_put(machine, &states.$state, pfn),)*
                }
            }

            #[inline]
            fn finish<M: Release>(machine: &Machine<M>, states: &States, from: Pfn) -> Left {
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

        /// Evaluates an expression with a type alias for the design that a value names. The expression is
        /// compiled once for each design: timed code must not choose at run time.
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

/// The counted build times nothing, so it compiles the expression for `Chosen` alone.
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
