//! A release design as a type: the parts that a machine needs to be built. The work of the design
//! is the trait [`Release`](super::Release) above.

use crate::profile::Design;

/// A type that stands for a release design, or for the choice of one at run time
/// ([`Chosen`](super::Chosen)): the one compile-time parameter of a machine.
pub trait Designed: Sized + Send + Sync + 'static {
    /// The design's name in profiles.
    const DESIGN: Design;

    /// The design's state for each machine.
    type State: Default + Send + Sync;

    /// The type under which a machine of the design keeps an owner of movable pages: a `dyn
    /// MovableOps` that takes such machines.
    type Driver: ?Sized + Send + Sync;

    /// Returns true if a machine of this type can be of a design.
    fn serves(design: Design) -> bool {
        design == Self::DESIGN
    }
}
