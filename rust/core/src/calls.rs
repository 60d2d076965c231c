//! Records the protocol's steps one by one, as the kernel's probes would show them.
//!
//! A machine made with [`Config::calls`](crate::machine::Config::calls), or a machine that is
//! [traced](crate::machine::Machine::begin_trace), keeps every call of [`Call`] in order, each with
//! its page and with the reference count and the mapcount of the page on entry.
//! [`Machine::take_calls`](crate::machine::Machine::take_calls) takes the recorded calls. A machine
//! that was never traced has no recorder, and a call site costs one test of a word that never
//! changes.
//!
//! The last variants of [`Call`] are tracepoints of the kernel under their own names; no probe of
//! the recordings shows them.
//!
//! Each step of the core has one name. The profile's `call_names` says under which name a kernel
//! performs the step, and whether a probe can see the step in that kernel.

mod about;
pub(crate) mod call;
mod events;
mod names;
mod record;
pub(crate) mod recorder;

pub(crate) use about::Returned;
pub use call::{Call, Found, Recorded};
pub use events::{Event, events};
pub use names::{Shown, shown};
