//! Faults that a program puts into its own operations.

use super::Session;
#[cfg(feature = "explored")]
use super::actor::Actor;
use super::actor::NextFault;
use crate::inject::Kind;
use crate::program::FaultKind;
use crate::release::Release;
use std::num::NonZeroU8;

impl<R: Release> Session<R> {
    /// Arms a fault of the calling thread.
    pub(super) fn arm(&self, (fault, nth, times): NextFault) {
        let kind = match fault {
            FaultKind::NoMemory => Kind::NoMemory,
            FaultKind::CopyFailure => Kind::CopyFailure,
            FaultKind::DriverError => Kind::DriverError,
            FaultKind::Killed => Kind::Killed,
        };
        let one = |number: Option<NonZeroU8>| number.unwrap_or(NonZeroU8::MIN);
        self.machine.arm_next(kind, one(nth), one(times));
    }

    /// Takes back the fault that the actor has asked for, so that it does not strike.
    #[cfg(feature = "explored")]
    pub fn take_fault(&self, actor: &mut Actor) -> Option<NextFault> {
        actor.fault.take()
    }

    /// Asks for a fault in the actor's next operation that strikes `times` times in a row.
    #[cfg(feature = "explored")]
    pub fn give_fault(&self, actor: &mut Actor, fault: Option<NextFault>, times: NonZeroU8) {
        actor.fault = fault.map(|(kind, nth, _)| (kind, nth, Some(times)));
    }
}
