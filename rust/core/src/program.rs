//! The text language for everything that is done to a machine.
//!
//! ```text
//! machine nodes=2 pages=8     # optional: what the program needs
//! map r0 anon 1               # set-up, in order
//! write r0
//! drain
//! thread A                    # then the threads, at once
//!   move r0 node=1
//! thread B
//!   madv r0:0 soft_offline
//! finally                     # when all threads have ended
//!   read r0
//! ```
//!
//! [`parse`] gives plain data, a [`Program`]; it prints back to the same text (`Display`) but for
//! comments, blanks and the order of `key=value` words, and it exports as JSON. `docs/programs.md`
//! is the reference of the language.
//!
//! | file | idea |
//! |---|---|
//! | `op` | the table of operations, and [`Op`] made from it |
//! | `word`, `select` | what may stand at one place of a line |
//! | `line` | a line taken apart into words, and errors that point at one |
//! | `parse` | sections, the machine line |
//! | `spec` | the table as data |
//! | `json` | the export |
//! | `session` | a machine set up for a program, and what each operation does to it |
//! | `setup` | from the `machine` line to a machine |
//! | `names` | what is named must have been made |
//! | `refused` | operations that were never done |
//! | `run`, `crew`, `watch` | programs on real threads, and who watches over them |
//! | `replay` | a script, step by step, with everything that a recording of a real kernel has |
//! | `caught` | the core's panics as results |
//!
//! All up to `json` is the language alone.

#[cfg(not(feature = "explored"))]
mod ballast;
#[cfg(not(feature = "explored"))]
mod caught;
#[cfg(not(feature = "explored"))]
mod crew;
mod json;
mod line;
mod names;
mod op;
mod parse;
mod refused;
#[cfg(not(feature = "explored"))]
pub mod replay;
#[cfg(not(feature = "explored"))]
pub mod run;
mod select;
pub mod session;
mod setup;
mod spec;
#[cfg(not(feature = "explored"))]
mod watch;
mod word;

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

pub use json::{JsonError, SCHEMA};
pub use op::{Op, operations};
pub use parse::parse;
pub use refused::Refused;
pub use select::{
    Address, Allocated, Child, Movable, Owner, PageRange, PinName, Region, Sel, Selectable, Sum,
};
pub use setup::{Defaults, SetupError};
pub use spec::{ArgSpec, OpSpec, Place};
pub use word::{
    Advice, Backing, MadvOption, MbindOption, Mode, MoveOption, NotThis, PhysAction, PinKind, Reason, Switch,
    Syntax, Token, Word,
};

/// A program: set-up, threads, and what comes after them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// `# own-boot` in the first line: under a real kernel the program asks for a boot of its own.
    #[serde(default)]
    pub boot: Option<Boot>,
    /// The machine that the program asks for.
    #[serde(default)]
    pub machine: Option<MachineSpec>,
    /// What is done first, in order.
    #[serde(default)]
    pub setup: Vec<Op>,
    /// What is then done at once.
    #[serde(default)]
    pub threads: Vec<Thread>,
    /// What is done when all threads have ended.
    #[serde(default)]
    pub finally: Vec<Op>,
}

/// How a real kernel is to be booted for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Whether each node has its usual mapped file pages beside the program's; `no-ballast` says no.
    pub ballast: bool,
}

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thread {
    /// Its name; no two threads share one.
    pub name: Token,
    /// The CPU that it runs on, if the program says so.
    #[serde(default)]
    pub cpu: Option<u32>,
    /// What it does, in order.
    pub ops: Vec<Op>,
}

/// The `machine` line. What it does not say is the runner's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// How many nodes.
    #[serde(default)]
    pub nodes: Option<u32>,
    /// Frames of each node: none if not said, one number for all, or one a node.
    #[serde(default)]
    pub pages: Vec<u32>,
    /// How many CPUs.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Nodes that are only for movable pages.
    #[serde(default)]
    pub movable: Vec<u32>,
    /// Which kernel's profile.
    #[serde(default)]
    pub kernel: Option<Token>,
    /// Fields of the profile to change, by name, such as `release` or `pagevec`.
    #[serde(default)]
    pub profile: BTreeMap<Token, Token>,
}

impl Program {
    /// Every operation, in the order of the text.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        let threads = self.threads.iter().flat_map(|thread| &thread.ops);
        self.setup.iter().chain(threads).chain(&self.finally)
    }

    /// Whether a real kernel can run this: one sequence of system calls, without sections.
    pub fn is_script(&self) -> bool {
        let sections = !self.threads.is_empty() || !self.finally.is_empty() || self.machine.is_some();
        !sections && self.setup.iter().all(Op::is_system_call)
    }
}

/// Canonical text: [`parse`] of it is the same program.
impl Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(boot) = &self.boot {
            writeln!(f, "# own-boot{}", if boot.ballast { "" } else { " no-ballast" })?;
        }
        if let Some(machine) = &self.machine {
            writeln!(f, "{machine}")?;
        }
        self.setup.iter().try_for_each(|op| writeln!(f, "{op}"))?;
        for thread in &self.threads {
            write!(f, "thread {}", thread.name)?;
            thread.cpu.map_or(Ok(()), |cpu| write!(f, " cpu={cpu}"))?;
            writeln!(f)?;
            thread.ops.iter().try_for_each(|op| writeln!(f, "  {op}"))?;
        }
        if !self.finally.is_empty() {
            writeln!(f, "finally")?;
        }
        self.finally.iter().try_for_each(|op| writeln!(f, "  {op}"))
    }
}

impl Display for MachineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("machine")?;
        self.nodes.map_or(Ok(()), |nodes| write!(f, " nodes={nodes}"))?;
        for (i, pages) in self.pages.iter().enumerate() {
            write!(f, "{}{pages}", if i == 0 { " pages=" } else { "," })?;
        }
        self.cpus.map_or(Ok(()), |cpus| write!(f, " cpus={cpus}"))?;
        for (i, node) in self.movable.iter().enumerate() {
            write!(f, "{}{node}", if i == 0 { " movable=" } else { "," })?;
        }
        self.kernel.as_ref().map_or(Ok(()), |kernel| write!(f, " kernel={kernel}"))?;
        self.profile.iter().try_for_each(|(field, value)| write!(f, " {field}={value}"))
    }
}

/// The text is no program: where, and what to write instead, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}
