//! Tables that take up memory of the host only where they are touched; under the explorer and in models,
//! plain arrays.

#[cfg(any(feature = "explored", loom))]
mod boxed;
#[cfg(not(any(feature = "explored", loom)))]
mod reserved;

#[cfg(any(feature = "explored", loom))]
pub use boxed::Table;
#[cfg(not(any(feature = "explored", loom)))]
pub use reserved::{Table, Zeroable};
