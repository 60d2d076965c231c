//! Choices that Python writes as strings.

use mmcore::alloc::MigrateType;
use mmcore::compact::CompactPriority;
use mmcore::hotplug::ZoneKind;
use mmcore::map::{Advice, FileKind};
use mmcore::migrate::{Mode, Reason};
use mmcore::zram::Compressor;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

fn choose<T: Copy>(what: &str, name: &str, choices: &[(&'static str, T)]) -> PyResult<T> {
    let found = choices.iter().find(|(known, _)| *known == name);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        PyValueError::new_err(format!("no {what} {name:?}: choose one of {}", known.join(", ")))
    })
}

pub(crate) fn mode(name: &str) -> PyResult<Mode> {
    choose("mode", name, Mode::NAMES)
}

/// The word for a mode.
pub(crate) fn of_mode(mode: Mode) -> &'static str {
    Mode::NAMES.iter().find(|(_, known)| *known == mode).map_or("sync", |(name, _)| name)
}

pub(crate) fn reason(name: &str) -> PyResult<Reason> {
    choose("reason", name, Reason::NAMES)
}

pub(crate) fn migrate_type(name: &str) -> PyResult<MigrateType> {
    choose("type of pageblock", name, MigrateType::NAMES)
}

pub(crate) fn compact_priority(name: &str) -> PyResult<CompactPriority> {
    choose("priority", name, CompactPriority::NAMES)
}

pub(crate) fn compressor(name: &str) -> PyResult<Compressor> {
    choose("compressor", name, Compressor::NAMES)
}

pub(crate) fn advice(name: &str) -> PyResult<Advice> {
    choose("advice", name, Advice::NAMES)
}

pub(crate) fn file_kind(name: &str) -> PyResult<FileKind> {
    choose("kind of file", name, FileKind::NAMES)
}

/// The word for a kind of file.
pub(crate) fn of_file_kind(kind: FileKind) -> &'static str {
    FileKind::NAMES.iter().find(|(_, known)| *known == kind).map_or("disk", |(name, _)| name)
}

pub(crate) fn zone(name: &str) -> PyResult<ZoneKind> {
    choose("zone", name, ZoneKind::NAMES)
}

/// The word for a zone.
pub(crate) fn of_zone(zone: ZoneKind) -> &'static str {
    ZoneKind::NAMES.iter().find(|(_, known)| *known == zone).map_or("kernel", |(name, _)| name)
}
