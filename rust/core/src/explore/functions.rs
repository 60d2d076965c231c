//! Which function of the core a step stands in.

use crate::sync::explored::Place;

/// The files of the core, in order, each with its functions and the lines at which they begin, in order.
type Functions = &'static [(&'static str, &'static [(u32, &'static str)])];

/// Written by the build script of the explored crate.
static FUNCTIONS: Functions = include!(concat!(env!("OUT_DIR"), "/functions.rs"));

/// Name of the function around a place, and the place as `migrate/one.rs:120`. Outside of the core no name, and the whole
/// path: a world of the tests has functions of its own.
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
