//! A fault in one operation of one thread, which the line `fail` of a program asks for.
//!
//! A [plan](super::plan) counts the sites of all threads together, so the order of the threads decides in
//! which thread its fault strikes. The fault of a thread counts the sites of that thread alone, within one
//! operation, and ends with that operation; so it strikes at the same place of the operation in whatever
//! order the threads run. The explorer needs this for serial answers: it runs the same operations one after
//! the other, and they must meet the same faults. The kernel has such a count for each task, too
//! (`/proc/self/fail-nth`, `should_fail_ex`).

use super::Kind;
use super::armed::{Armed, ArmedFaults};
use crate::machine::Machine;
use crate::release::design::Designed;
use std::num::NonZeroU8;

/// The number by which the fault of a thread knows its kind; `None` for a kind that does what another thread
/// could do at a step: a program has operations for that.
fn number(kind: Kind) -> Option<u8> {
    match kind {
        Kind::NoMemory => Some(1),
        Kind::CopyFailure => Some(2),
        Kind::DriverError => Some(3),
        Kind::Killed => Some(4),
        Kind::ExtraPin | Kind::Poison | Kind::SpuriousWakeup => None,
    }
}

impl<R: Designed> Machine<R> {
    /// Arms a fault of the calling thread: it strikes at the `nth` site of its kind that the thread passes,
    /// from 1, and at the sites after that, `times` in all. A fatal signal stays. The fault replaces one that
    /// is armed already, and lasts until [`Machine::end_next_fault`].
    ///
    /// # Panics
    /// If faults of this kind strike at steps.
    pub fn arm_next(&self, kind: Kind, nth: NonZeroU8, times: NonZeroU8) {
        let kind = number(kind).expect("a kind that strikes at sites of a thread");
        let armed = Armed { kind, ahead: nth.get() - 1, times: times.get(), struck: 0 };
        self.next_faults.get_or_init(ArmedFaults::new).set(armed);
    }

    /// Returns how often the fault of the calling thread has struck; `None` if none is armed.
    pub fn next_fault(&self) -> Option<u8> {
        let armed = self.next_faults.get()?.mine();
        (armed.kind != 0).then_some(armed.struck)
    }

    /// Returns true if the fault of the calling thread is of this kind, and has struck.
    pub fn has_struck(&self, kind: Kind) -> bool {
        let armed = self.next_faults.get().map(ArmedFaults::mine);
        armed.is_some_and(|armed| Some(armed.kind) == number(kind) && armed.struck != 0)
    }

    /// Ends the fault of the calling thread. Returns how often it has struck; `None` if none was armed.
    pub fn end_next_fault(&self) -> Option<u8> {
        let struck = self.next_fault()?;
        self.next_faults.get()?.set(Armed::default());
        Some(struck)
    }

    /// Passes a site of the calling thread; returns true if the fault of its operation strikes.
    #[inline]
    pub(crate) fn next_strikes(&self, kind: Kind) -> bool {
        let passes = |faults: &ArmedFaults| {
            number(kind).is_some_and(|number| faults.passes(number, kind == Kind::Killed))
        };
        self.next_faults.get().is_some_and(passes)
    }
}
