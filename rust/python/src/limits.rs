//! The limits of the core and the words that it accepts, in one list for Python.

use crate::state::flag_names;
use mmcore::alloc::MigrateType;
use mmcore::audit::Holder;
use mmcore::compact::{CompactPriority, CompactStatus};
use mmcore::hotplug::ZoneKind;
use mmcore::inject::Kind;
use mmcore::load;
use mmcore::machine::{MAX_CPUS, MAX_FRAMES, MAX_NODES};
use mmcore::map::{Advice, FileKind};
use mmcore::migrate::{Mode, Reason};
use mmcore::page::{Flags, PAGE_SIZE};
use mmcore::profile::{Design, LruPolicy, PRESETS};
use mmcore::zram::Compressor;
use mmcore_explored::explore::{Kind as StepKind, MAX_JOBS, MAX_STEPS, Request, SCHEDULES, SHRINK, THREADS};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("PAGE_SIZE", PAGE_SIZE)?;
    module.add("MAX_NODES", MAX_NODES)?;
    module.add("MAX_CPUS", MAX_CPUS)?;
    module.add("MAX_FRAMES", MAX_FRAMES)?;
    module.add("MAX_LOAD_THREADS", load::MAX_THREADS)?;
    module.add("MAX_EXPLORED_THREADS", THREADS)?;
    module.add("MAX_STEPS", MAX_STEPS)?;
    module.add("MAX_JOBS", MAX_JOBS)?;
    module.add("DEFAULT_SCHEDULES", SCHEDULES)?;
    module.add("DEFAULT_SHRINK", SHRINK)?;
    module.add("CHOICES", choices(module.py())?)
}

/// The words that each choice can have, in the order of the documentation. `mmcore.typing` repeats them for
/// type checkers.
fn choices(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    fn first<T>(names: &[(&'static str, T)]) -> Vec<&'static str> {
        names.iter().map(|(name, _)| *name).collect()
    }
    let choices = PyDict::new(py);
    for (choice, words) in [
        ("Advice", first(Advice::NAMES)),
        ("Checks", Request::CHECKS.to_vec()),
        ("CompactPriority", first(CompactPriority::NAMES)),
        ("CompactStatus", first(CompactStatus::NAMES)),
        ("Compressor", first(Compressor::NAMES)),
        ("FaultKind", first(Kind::NAMES)),
        ("FileKind", first(FileKind::NAMES)),
        ("HolderKind", Holder::KINDS.to_vec()),
        ("Kernel", PRESETS.to_vec()),
        ("Load", load::Load::NAMES.to_vec()),
        ("MemoryModel", Request::MEMORIES.to_vec()),
        ("MigrateType", first(MigrateType::NAMES)),
        ("Mode", first(Mode::NAMES)),
        ("Policy", LruPolicy::ALL.iter().map(|policy| policy.name()).collect()),
        ("Reason", first(Reason::NAMES)),
        ("Release", Design::ALL.iter().map(|design| design.name()).collect()),
        ("Search", Request::SEARCHES.to_vec()),
        ("StepKind", StepKind::ALL.iter().map(|kind| kind.name()).collect()),
        ("Zone", first(ZoneKind::NAMES)),
    ] {
        choices.set_item(choice, PyTuple::new(py, words)?)?;
    }
    choices.set_item("PageFlag", PyTuple::new(py, flag_names(Flags::all()))?)?;
    Ok(choices)
}
