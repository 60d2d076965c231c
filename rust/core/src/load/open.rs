//! The switch over the loads and the release designs: builds the load and the machine that a
//! configuration asks for.

use super::compaction::Compaction;
use super::config::{Load, LoadConfig};
use super::fault::LoadError;
use super::rig::{Mounted, Rig};
use super::storm::Storm;
use super::tiering::{Policy, Tiering, Trace};
use super::zram::ZramStorm;
use crate::machine::enter_thread;
use crate::release::with_design;
use std::sync::Arc;

/// Builds a load and its machine. Tiering needs a trace.
///
/// # Errors
/// A configuration that no load can run, too little memory of the host, or a trace that does not
/// fit. [`LoadError::Interrupted`] if the caller has ended the work.
pub fn open(config: &LoadConfig, trace: Option<Trace>) -> Result<Box<dyn Rig>, LoadError> {
    open_with(config, trace, None)
}

/// Builds a load with a policy, which decides the pages that move in tiering.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    config: &LoadConfig,
    trace: Option<Trace>,
    policy: Option<Arc<dyn Policy>>,
) -> Result<Box<dyn Rig>, LoadError> {
    config.check()?;
    enter_thread()?;
    if policy.is_some() && config.load != Load::Tiering {
        let why = "a policy needs load tiering: in the other loads nobody chooses the pages that move";
        return Err(LoadError::Config(why.into()));
    }
    let design = config.choices()?.release;
    let rig: Result<Box<dyn Rig>, LoadError> = with_design!(design, R => match config.load {
        Load::Storm => Ok(Box::new(Mounted::<R, Storm>::new(config, Storm::set_up(config)?)?)),
        Load::Compaction => Ok(Box::new(Mounted::<R, Compaction>::new(config, Compaction::set_up(config)?)?)),
        Load::Zram => Ok(Box::new(Mounted::<R, ZramStorm>::new(config, ZramStorm::set_up(config)?)?)),
        Load::Tiering => {
            let trace = needed(trace)?;
            Ok(Box::new(Mounted::<R, Tiering>::new(config, Tiering::set_up(config, trace, policy)?)?))
        }
    });
    rig.map_err(LoadError::or_interrupted)
}

/// Returns the trace, or the error of a load that needs one.
pub(super) fn needed(trace: Option<Trace>) -> Result<Trace, LoadError> {
    trace.ok_or_else(|| LoadError::Config("the tiering load needs a trace".into()))
}
