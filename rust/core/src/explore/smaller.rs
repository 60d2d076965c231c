//! Smaller programs: a program with one part removed or simplified.
//!
//! Operations are simplified as data (their JSON), so that a new operation shrinks without code
//! here. Lists of pages lose entries, ranges get shorter, numbers of pages decrease, and orders and
//! options are removed.

use super::program_world::ProgramWorld;
use super::{
    Adapt, Budget, Executed, Explorer, Options, Schedule, Shrinkable, Shrunk, same_steps, shrink_program,
};
use crate::machine::Config;
use crate::program::{Defaults, MachineSpec, MemoryModel, Op, Program, SetupError};
use crate::sync::explored::FIRST_BUFFER;
use serde_json::Value;
use std::ops::Range;

/// A program that can be set up, with the machine that it asks for.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub program: Program,
    pub config: Config,
    pub cpus: Vec<usize>,
}

impl Case {
    /// A case of `program`.
    pub fn new(program: &Program) -> Result<Case, SetupError> {
        let (config, cpus) = program.configured(&MachineSpec::default(), &Defaults::EXPLORE)?;
        Ok(Case { program: program.clone(), config, cpus })
    }

    /// The world of the program after its set-up; `None` if the program cannot be set up.
    pub fn world(&self) -> Option<ProgramWorld> {
        ProgramWorld::new(&self.program, &self.config, &self.cpus).ok()
    }

    /// Shrinks program and schedule together; `None` if the schedule breaks no rule.
    pub fn shrunk(
        &self,
        schedule: &Schedule,
        options: Options,
        budget: Budget<'_>,
    ) -> Option<(Case, Shrunk)> {
        let found = shrink_program(self.clone(), schedule, options, budget)?;
        Some((found.program, Shrunk { runs: found.runs, ..found.shrunk }))
    }

    /// The executed schedule with its measures; `None` if it breaks no rule.
    pub fn measured(&self, schedule: &Schedule, options: Options) -> Option<Shrunk> {
        let measured = Explorer::with_options(self.world()?, options).shrink(schedule, 1)?;
        Some(Shrunk { runs: 0, minimal: false, ..measured })
    }
}

impl Shrinkable for Case {
    type World = ProgramWorld;

    fn build(&self) -> Option<ProgramWorld> {
        self.world()
    }

    fn smaller(&self) -> Vec<(Self, Adapt)> {
        cases(smaller(&self.program))
    }

    fn longest(&self) -> usize {
        let mut program = self.program.clone();
        (0..sections(&program)).map(|at| section(&mut program, at).len()).max().unwrap_or(0)
    }

    fn without(&self, operations: usize) -> Vec<(Self, Adapt)> {
        cases(without(&self.program, operations, self.longest()))
    }
}

/// The programs that have a valid machine.
fn cases(programs: Vec<(Program, Adapt)>) -> Vec<(Case, Adapt)> {
    programs.into_iter().filter_map(|(program, adapt)| Some((Case::new(&program).ok()?, adapt))).collect()
}

/// The program without one of its threads.
fn without_thread(program: &Program, thread: usize) -> (Program, Adapt) {
    let mut smaller = program.clone();
    smaller.threads.remove(thread);
    let threads = program.threads.len();
    let adapt = move |steps: &[Executed]| {
        // A number beyond the threads is that of a thread's store buffer.
        let owner = |step: &Executed| match usize::from(step.thread) {
            buffer if buffer >= threads => buffer - FIRST_BUFFER,
            thread => thread,
        };
        let others = steps.iter().filter(|step| owner(step) != thread);
        Schedule::new(others.map(|step| step.thread - u8::from(owner(step) > thread)))
    };
    (smaller, Box::new(adapt))
}

/// The programs that each lack `size` neighbouring operations. A section of at most `size` operations is
/// removed as a whole, but only if no section is longer than `size`: otherwise an earlier call with a
/// larger size has removed it.
fn without(program: &Program, size: usize, longest: usize) -> Vec<(Program, Adapt)> {
    let mut all: Vec<(Program, Adapt)> = Vec::new();
    for at in 0..sections(program) {
        let len = section(&mut program.clone(), at).len();
        if len <= size {
            match at < program.threads.len() {
                _ if len == 0 || size < longest => {}
                true if program.threads.len() > 1 => all.push(without_thread(program, at)),
                true => {}
                false => all.push(without_operations(program, at, 0..len)),
            }
            continue;
        }
        // The last operations are removed first, because later operations need earlier ones.
        for begin in (0..len).step_by(size.max(1)).rev() {
            all.push(without_operations(program, at, begin..len.min(begin + size)));
        }
    }
    all
}

/// The program without some operations of a section. The adapted schedule loses their steps.
fn without_operations(program: &Program, at: usize, range: Range<usize>) -> (Program, Adapt) {
    let mut smaller = program.clone();
    section(&mut smaller, at).drain(range.clone());
    let of_it =
        move |step: &&Executed| usize::from(step.thread) == at && range.contains(&(step.operation as usize));
    let adapt = move |steps: &[Executed]| {
        Schedule::new(steps.iter().filter(|step| !of_it(step)).map(|step| step.thread))
    };
    (smaller, Box::new(adapt))
}

/// The programs that are smaller by one removal or simplification, those that remove most first.
fn smaller(program: &Program) -> Vec<(Program, Adapt)> {
    let mut all: Vec<(Program, Adapt)> = Vec::new();
    if program.threads.len() > 1 {
        all.extend((0..program.threads.len()).map(|thread| without_thread(program, thread)));
    }
    if !program.finally.is_empty() {
        all.push((Program { finally: Vec::new(), ..program.clone() }, Box::new(same_steps)));
    }
    for at in 0..sections(program) {
        // The last operations are removed first, because later operations need earlier ones.
        for op in (0..section(&mut program.clone(), at).len()).rev() {
            all.push(without_operations(program, at, op..op + 1));
        }
    }
    let mut same = |smaller: Program| all.push((smaller, Box::new(same_steps)));
    for at in 0..sections(program) {
        for op in 0..section(&mut program.clone(), at).len() {
            for simpler in simpler(&section(&mut program.clone(), at)[op]) {
                let mut smaller = program.clone();
                section(&mut smaller, at)[op] = simpler;
                same(smaller);
            }
        }
    }
    for machine in simpler_machines(program.machine.as_ref()) {
        same(Program { machine: Some(machine), ..program.clone() });
    }
    for thread in 0..program.threads.len() {
        if program.threads[thread].cpu.is_some() {
            let mut smaller = program.clone();
            smaller.threads[thread].cpu = None;
            same(smaller);
        }
    }
    all
}

fn sections(program: &Program) -> usize {
    program.threads.len() + 2
}

/// The operations of a section. The sections are the threads, then `finally`, then the set-up.
fn section(program: &mut Program, at: usize) -> &mut Vec<Op> {
    let threads = program.threads.len();
    match at {
        at if at < threads => &mut program.threads[at].ops,
        at if at == threads => &mut program.finally,
        _ => &mut program.setup,
    }
}

/// Smaller machines: fewer frames, CPUs, nodes.
fn simpler_machines(machine: Option<&MachineSpec>) -> Vec<MachineSpec> {
    let machine = machine.cloned().unwrap_or_default();
    let pages = machine.pages.iter().copied().max().unwrap_or(Defaults::EXPLORE.pages);
    let cpus = machine.cpus.unwrap_or(Defaults::EXPLORE.cpus);
    let nodes = machine.nodes.unwrap_or(Defaults::EXPLORE.nodes);
    let mut simpler = Vec::new();
    if nodes > 1 && machine.pages.len() <= 1 {
        simpler.push(MachineSpec { nodes: Some(nodes - 1), ..machine.clone() });
    }
    if cpus > 1 {
        simpler.push(MachineSpec { cpus: Some(cpus - 1), ..machine.clone() });
    }
    if machine.memory == Some(MemoryModel::Tso) {
        simpler.push(MachineSpec { memory: None, ..machine.clone() });
    }
    if !machine.movable.is_empty() {
        simpler.push(MachineSpec { movable: Vec::new(), ..machine.clone() });
    }
    if pages > 1 {
        simpler.push(MachineSpec { pages: vec![pages / 2], ..machine.clone() });
    }
    simpler
}

/// Simpler variants of an operation.
fn simpler(op: &Op) -> Vec<Op> {
    let Ok(Value::Object(fields)) = serde_json::to_value(op) else { return Vec::new() };
    let mut simpler = Vec::new();
    for (name, value) in &fields {
        for value in simpler_values(name, value) {
            let mut fields = fields.clone();
            fields.insert(name.clone(), value);
            // A variant that is no valid operation is skipped.
            simpler.extend(serde_json::from_value::<Op>(Value::Object(fields)).ok().filter(|new| new != op));
        }
    }
    simpler
}

fn simpler_values(name: &str, value: &Value) -> Vec<Value> {
    match value {
        // A number of pages: one page, or one page less.
        Value::Number(number) if name == "pages" => match number.as_u64() {
            Some(pages) if pages > 1 => vec![1.into(), (pages - 1).into()],
            _ => Vec::new(),
        },
        // An optional order is removed. A node, a mode or a reason is kept: without it the operation
        // would be another one.
        Value::Number(_) if name == "order" => vec![Value::Null],
        // A sum of selections, or a list of options: without one item, or with one item simplified.
        Value::Array(items) if items.iter().all(|item| !item.is_array()) => {
            let without = (0..items.len()).map(|at| {
                let mut items = items.clone();
                items.remove(at);
                Value::Array(items)
            });
            let changed = (0..items.len()).flat_map(|at| {
                simpler_values("", &items[at]).into_iter().map(move |item| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                })
            });
            without
                .filter(|left| name == "options" || left.as_array().is_some_and(|a| !a.is_empty()))
                .chain(changed)
                .collect()
        }
        // A selection: fewer ranges, or shorter ones.
        Value::Object(selection) => {
            let Some(Value::Array(ranges)) = selection.get("pages") else { return Vec::new() };
            let mut lists = Vec::new();
            for at in 0..ranges.len() {
                if ranges.len() > 1 {
                    let mut fewer = ranges.clone();
                    fewer.remove(at);
                    lists.push(fewer);
                }
                if ranges[at][0] != ranges[at][1] {
                    for end in [0, 1] {
                        let mut shorter = ranges.clone();
                        shorter[at] = Value::Array(vec![ranges[at][end].clone(), ranges[at][end].clone()]);
                        lists.push(shorter);
                    }
                }
            }
            let with = |list| {
                let mut selection = selection.clone();
                selection.insert("pages".into(), Value::Array(list));
                Value::Object(selection)
            };
            lists.into_iter().map(with).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse;

    fn texts(text: &str) -> Vec<String> {
        smaller(&parse(text).unwrap()).into_iter().map(|(program, _)| program.to_string()).collect()
    }

    #[test]
    fn each_removal_and_simplification_is_tried() {
        let text = "map r0 anon 2\nthread A\n  get r0:0-1\n  put r0\nthread B\n  move r0:0,1 node=1 all\n";
        let all = texts(text);
        for expected in [
            "map r0 anon 2\nthread B\n  move r0:0,1 node=1 all\n",
            "map r0 anon 2\nthread A\n  put r0\nthread B\n  move r0:0,1 node=1 all\n",
            "thread A\n  get r0:0-1\n  put r0\nthread B\n  move r0:0,1 node=1 all\n",
            "map r0 anon 2\nthread A\n  get r0:0-1\n  put r0\nthread B\n  move r0:0,1 node=1\n",
            "map r0 anon 2\nthread A\n  get r0:1\n  put r0\nthread B\n  move r0:0,1 node=1 all\n",
            "map r0 anon 2\nthread A\n  get r0:0-1\n  put r0\nthread B\n  move r0:1 node=1 all\n",
            "map r0 anon 1\nthread A\n  get r0:0-1\n  put r0\nthread B\n  move r0:0,1 node=1 all\n",
        ] {
            assert!(all.iter().any(|text| text == expected), "{expected}\nis not among\n{}", all.join("\n"));
        }
        assert!(!all.iter().any(|other| other == text), "each is smaller");
    }

    #[test]
    fn the_steps_of_an_operation_go_with_it() {
        let program = parse("thread A\n  drain\n  drain\nthread B\n  drain").unwrap();
        let shorter = parse("thread A\n  drain\nthread B\n  drain").unwrap();
        let (_, adapt) = smaller(&program).into_iter().rev().find(|(left, _)| *left == shorter).unwrap();
        let steps = [(0, 0), (0, 0), (1, 0), (0, 1), (1, 0)];
        let steps = steps.map(|(thread, operation)| Executed { thread, operation });
        assert_eq!(adapt(&steps).to_string(), "1,0,1");
    }

    #[test]
    fn a_schedule_follows_its_threads() {
        let program = parse("thread A\n  drain\nthread B\n  drain\nthread C\n  drain").unwrap();
        let (_, adapt) = &smaller(&program)[1];
        let steps = [0, 1, 1, 1, 2, 1, 0].map(|thread| Executed { thread, operation: 0 });
        assert_eq!(adapt(&steps).to_string(), "0,1,0");
    }
}
