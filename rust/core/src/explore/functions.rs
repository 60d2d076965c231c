//! The function of the core that a step belongs to.

use crate::sync::explored::Place;

/// The core's files in order, each with its functions and their first lines, in order.
type Functions = &'static [(&'static str, &'static [(u32, &'static str)])];

/// The build script of the explored crate writes this table.
static FUNCTIONS: Functions = include!(concat!(env!("OUT_DIR"), "/functions.rs"));

/// The name of the function around a place, and the place as `migrate/one.rs:120`. A place outside
/// of the core has no name and its whole path, because a test's world has functions of its own.
pub(super) fn at(place: Place) -> (Option<&'static str>, String) {
    let (path, line) = (place.file(), place.line());
    let of_core = path.rsplit_once("core/src/").and_then(|(_, file)| {
        let at = FUNCTIONS.binary_search_by_key(&file, |(file, _)| file).ok()?;
        Some((file, FUNCTIONS[at].1))
    });
    let Some((file, functions)) = of_core else { return (None, format!("{path}:{line}")) };
    let after = functions.partition_point(|(begin, _)| *begin <= line);
    (after.checked_sub(1).map(|at| functions[at].1), format!("{file}:{line}"))
}
