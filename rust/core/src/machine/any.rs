//! A machine whose release design is chosen when the program runs.
//!
//! The design is a compile-time parameter, so that no put pays for the choice. Whoever learns it only
//! from a profile keeps an [`AnyMachine`] and enters it with [`with_machine!`](crate::with_machine): one
//! branch a call, and everything below is compiled for the design.

use super::{Config, Machine};
use crate::error::Result;
use crate::profile::Design;
use crate::release::{Hook, HookLate, Mine, Packed, Putback, Split};

/// The one list of the designs; `$d` is a dollar sign, for the macro that the macro makes.
macro_rules! any_machine {
    ($d:tt $($design:ident)*) => {
        /// A machine of any design.
        pub enum AnyMachine {
            $(
                #[doc = concat!("Of design `", stringify!($design), "`.")]
                $design(Machine<$design>),
            )*
        }

        impl AnyMachine {
            /// Builds a machine of the design that its profile names; see [`Machine::new`].
            pub fn new(config: &Config) -> Result<AnyMachine> {
                match config.profile.release {
                    $(Design::$design => Machine::new(config).map(AnyMachine::$design),)*
                }
            }
        }

        /// Evaluates an expression with `machine` bound to the machine inside of an
        /// [`AnyMachine`](crate::machine::AnyMachine), compiled for each design.
        #[macro_export]
        macro_rules! with_machine {
            ($d any:expr, $d machine:ident => $d body:expr) => {
                match $d any {
                    $($crate::machine::AnyMachine::$design($d machine) => $d body,)*
                }
            };
        }

        /// Evaluates an expression with a type alias for the design that a value names: where a whole
        /// structure, not only a machine, is compiled for it.
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

any_machine!($ Putback Split Hook HookLate Packed Mine);

pub(crate) use with_design;
