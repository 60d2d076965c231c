//! Operations on several pages, cut into operations on one page each: a call on a range of pages is many
//! single calls, between which other threads run.

use super::turns::Unit;
use crate::program::{Advice, Backing, MoveOption, Op, PageRange, Program, Region, Sel};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The most parts of an operation. An operation on more pages is not cut.
const MOST: usize = 8;

/// The units of a program's threads.
pub fn units(program: &Program) -> Vec<Vec<Unit>> {
    let (sizes, files) = (sizes(program), files(program));
    // Only an isolation notices whether a page waits in a batch. Without one, drains need no units.
    let isolates =
        program.threads.iter().flat_map(|thread| &thread.ops).any(|op| matches!(op, Op::Isolate { .. }));
    let of = |ops: &Vec<Op>| {
        let mut units: Vec<Unit> = Vec::new();
        for (number, op) in ops.iter().enumerate() {
            if isolates && drains(op) {
                units.push(Unit { op: number, part: (0, 0), does: Some(Op::Drain {}) });
            }
            let parts = parts(op, &sizes, &files);
            let all = parts.len();
            units.extend(parts.into_iter().enumerate().map(|(part, op)| Unit {
                op: number,
                part: (part, all),
                does: Some(op),
            }));
        }
        let keeps = |op: &Op| {
            matches!(
                op,
                Op::Lock { .. }
                    | Op::Trylock { .. }
                    | Op::Freeze { .. }
                    | Op::BeginWriteback { .. }
                    | Op::Isolate { .. }
            )
        };
        if ops.iter().any(keeps) {
            units.push(Unit { op: ops.len(), part: (0, 1), does: None });
        }
        units
    };
    program.threads.iter().map(|thread| of(&thread.ops)).collect()
}

/// Operations that drain the batches, and then take their pages one by one.
fn drains(op: &Op) -> bool {
    matches!(
        op,
        Op::Move { .. }
            | Op::Mbind { .. }
            | Op::Unmap { .. }
            | Op::Mlock { .. }
            | Op::Madv { .. }
            | Op::Pin { .. }
    )
}

/// The names of regions that map a file.
fn files(program: &Program) -> Vec<Region> {
    let file = |op: &Op| match op {
        Op::Map { region, backing, .. } if *backing != Backing::Anon => Some(*region),
        _ => None,
    };
    program.ops().filter_map(file).collect()
}

/// The number of pages of each region and of each owner, by its name.
fn sizes(program: &Program) -> HashMap<String, u32> {
    let mut sizes = HashMap::new();
    for op in program.ops() {
        match op {
            Op::Map { region, pages, .. } => drop(sizes.insert(region.to_string(), *pages)),
            Op::Movable { owner, pages, .. } => drop(sizes.insert(owner.to_string(), *pages)),
            _ => {}
        }
    }
    sizes
}

fn parts(op: &Op, sizes: &HashMap<String, u32>, files: &[Region]) -> Vec<Op> {
    let whole = || vec![op.clone()];
    match op {
        // One call makes one pin of all pages.
        Op::Pin { .. } => return whole(),
        // The unmap of a whole region also removes its file.
        Op::Unmap { pages } if pages.pages.is_none() && files.contains(&pages.of) => return whole(),
        // With `alt` every second page goes to another node, so the target depends on the page's place.
        Op::Move { options, .. } if options.contains(&MoveOption::Alt) => return whole(),
        Op::Punch { region, keep, of } => {
            let size = sizes.get(&region.to_string()).copied().unwrap_or(u32::MAX);
            if size as usize > MOST || *of == 0 {
                return whole();
            }
            let page = |page| PageRange { first: page, last: page };
            return (0..size)
                .filter(|page| page % of >= *keep)
                .map(|number| Op::Madv {
                    pages: Sel { of: *region, pages: Some(vec![page(number)]), frames: None },
                    advice: Advice::Dontneed,
                    options: Vec::new(),
                })
                .collect();
        }
        _ => {}
    }
    let Ok(value) = serde_json::to_value(op) else { return whole() };
    let mut pages = Vec::new();
    let all = match &value["pages"] {
        Value::Array(all) => all.clone(),
        one @ Value::Object(_) => vec![one.clone()],
        _ => return whole(),
    };
    for sel in &all {
        let Some(name) = sel["of"].as_str() else { return whole() };
        if sel.get("frames").is_some_and(|frames| !frames.is_null()) {
            return whole();
        }
        let single = name.starts_with('p') || name == "zero0";
        let ranges = match (&sel["pages"], sizes.get(name)) {
            (Value::Null, _) if single => {
                pages.push(sel.clone());
                continue;
            }
            (Value::Null, Some(0)) => return whole(),
            (Value::Null, Some(size)) => vec![(0, u64::from(*size) - 1)],
            (Value::Array(ranges), _) => {
                ranges.iter().filter_map(|range| Some((range[0].as_u64()?, range[1].as_u64()?))).collect()
            }
            _ => return whole(),
        };
        for (first, last) in ranges {
            if last.saturating_sub(first) > MOST as u64 {
                return whole();
            }
            pages.extend((first..=last).map(|page| json!({ "of": name, "pages": [[page, page]] })));
        }
    }
    if pages.len() < 2 || pages.len() > MOST {
        return whole();
    }
    let sum = value["pages"].is_array();
    let part = |page: Value| {
        let mut part = value.clone();
        part["pages"] = if sum { json!([page]) } else { page };
        serde_json::from_value(part).ok()
    };
    let parts: Option<Vec<Op>> = pages.into_iter().map(part).collect();
    parts.unwrap_or_else(whole)
}
