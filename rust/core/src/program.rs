//! The text language for operations on a machine.
//!
//! ```text
//! machine nodes=2 pages=8     # optional: the machine that the program needs
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
//! [`parse`] turns the text into plain data, a [`Program`]. A program prints back to the same text
//! (`Display`), except for comments, blanks and the order of `key=value` words, and it exports as
//! JSON. `docs/programs.md` is the reference of the language.
//!
//! | file | idea |
//! |---|---|
//! | `op` | the table of operations, and the type [`Op`] that is made from the table |
//! | `word`, `select`, `blocks`, `move_option` | the words that a line may have at each place |
//! | `line` | a line split into words, and errors that point at one of the words |
//! | `parse` | the sections of a text, and its `machine` line |
//! | `spec` | the table as data |
//! | `json` | the export |
//! | `session` | a machine set up for a program, and the effect of each operation on it |
//! | `setup` | from the `machine` line to a machine |
//! | `names` | the check that each name is defined before its use |
//! | `refused` | operations that never had an effect |
//! | `run`, `crew`, `watch` | programs on real threads, and the watch that stops threads without progress |
//! | `report` | the options and the results of a run on real threads |
//! | `replay` | a script, step by step, with all observables of a recording of a real kernel |
//! | `ballast` | file pages that fill a part of each node during a replay |
//! | `caught` | panics of the core, turned into results |
//! | `interruptions` | the test that each operation can end at each of its questions |
//!
//! The files up to `json` are the language alone.

#[cfg(not(feature = "explored"))]
mod ballast;
mod blocks;
#[cfg(not(feature = "explored"))]
mod caught;
#[cfg(not(feature = "explored"))]
mod crew;
#[cfg(all(test, not(any(feature = "explored", loom))))]
mod interruptions;
mod json;
mod line;
mod move_option;
mod names;
mod op;
mod parse;
mod refused;
#[cfg(not(feature = "explored"))]
pub mod replay;
#[cfg(not(feature = "explored"))]
mod report;
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

pub use blocks::{BlockRange, BlockSize, Blocks, Bytes, Sizes};
pub use json::{JsonError, SCHEMA};
pub use move_option::MoveOption;
pub use op::{Op, operations};
pub use parse::parse;
pub(crate) use refused::NO_SITE;
pub use refused::Refused;
pub use select::{
    Address, Allocated, BalloonName, Child, FrameRange, Movable, Owner, PageRange, PinName, Region, Sel,
    Selectable, Store, Sum,
};
pub use setup::{Defaults, SetupError};
pub use spec::{ArgSpec, OpSpec, Place};
pub use word::{
    Advice, Backing, BlockAction, FaultKind, LayoutOption, LookAt, MadvOption, MbindOption, MemoryModel,
    Mode, NotThis, PhysAction, PinKind, Priority, PutOption, Reason, SwapOption, Switch, Syntax, Token,
    Tracing, Watermarks, Word,
};

/// A program: the set-up, the threads, and the operations after them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The boot that the program asks for under a real kernel: `# own-boot` in the first line.
    #[serde(default)]
    pub boot: Option<Boot>,
    /// The machine that the program asks for.
    #[serde(default)]
    pub machine: Option<MachineSpec>,
    /// The operations of the set-up, in order.
    #[serde(default)]
    pub setup: Vec<Op>,
    /// The threads, which run at the same time after the set-up.
    #[serde(default)]
    pub threads: Vec<Thread>,
    /// The operations that follow when all threads have ended.
    #[serde(default)]
    pub finally: Vec<Op>,
}

/// The boot of a real kernel for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// True if each node also holds mapped file pages that do not belong to the program, as it does
    /// by default; false for `no-ballast`.
    pub ballast: bool,
}

/// A thread of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thread {
    /// The thread's name, which no other thread of the program has.
    pub name: Token,
    /// The CPU that the thread runs on; `None` lets the runner choose.
    #[serde(default)]
    pub cpu: Option<u32>,
    /// The thread's operations, in order.
    pub ops: Vec<Op>,
}

/// The `machine` line. The runner chooses the values that the line leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// The number of nodes.
    #[serde(default)]
    pub nodes: Option<u32>,
    /// The frames of each node: empty if not given, one number for all nodes, or one for each.
    #[serde(default)]
    pub pages: Vec<u32>,
    /// The number of CPUs.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// The nodes that are only for movable pages.
    #[serde(default)]
    pub movable: Vec<u32>,
    /// The nodes whose memory blocks begin offline.
    #[serde(default)]
    pub offline: Vec<u32>,
    /// The frames of a memory block.
    #[serde(default)]
    pub block: Option<u32>,
    /// On if allocations that find no frame reclaim and compact.
    #[serde(default)]
    pub pressure: Option<Switch>,
    /// The order in which the explorer's threads see each other's stores.
    #[serde(default)]
    pub memory: Option<MemoryModel>,
    /// The kernel whose profile the machine has.
    #[serde(default)]
    pub kernel: Option<Token>,
    /// Fields of the profile to change, by name, such as `release` or `pagevec`.
    #[serde(default)]
    pub profile: BTreeMap<Token, Token>,
}

impl Program {
    /// Returns every operation, in the order of the text.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        let threads = self.threads.iter().flat_map(|thread| &thread.ops);
        self.setup.iter().chain(threads).chain(&self.finally)
    }

    /// Returns true if a real kernel can run the program: it is one sequence of system calls,
    /// without a `machine` line, threads and `finally`.
    pub fn is_script(&self) -> bool {
        let sections = !self.threads.is_empty() || !self.finally.is_empty() || self.machine.is_some();
        !sections && self.setup.iter().all(Op::is_system_call)
    }
}

/// Prints the canonical text, from which [`parse`] makes an equal program.
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
        for (i, node) in self.offline.iter().enumerate() {
            write!(f, "{}{node}", if i == 0 { " offline=" } else { "," })?;
        }
        self.block.map_or(Ok(()), |block| write!(f, " block={block}"))?;
        self.pressure.map_or(Ok(()), |pressure| write!(f, " pressure={pressure}"))?;
        self.memory.map_or(Ok(()), |memory| write!(f, " memory={memory}"))?;
        self.kernel.as_ref().map_or(Ok(()), |kernel| write!(f, " kernel={kernel}"))?;
        self.profile.iter().try_for_each(|(field, value)| write!(f, " {field}={value}"))
    }
}

/// The error for a text that is no program: the place, the mistake and its remedy, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// The number of the line, from 1.
    pub line: usize,
    /// The place in the line, in characters, from 1.
    pub column: usize,
    /// The mistake and its remedy.
    pub message: String,
}
