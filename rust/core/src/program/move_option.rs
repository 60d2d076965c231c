//! The flags of `move`, one of which names a child.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::select::Child;
use super::word::{NotThis, Syntax, Thing, Word, quote, serde_by_text};

/// A flag of `move_pages(2)` or of the way `move` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoveOption {
    /// `MPOL_MF_MOVE_ALL` instead of `MPOL_MF_MOVE`.
    All,
    /// Every second page goes to the other node.
    Alt,
    /// The flags of the call, in place of the flags that the other options imply.
    Flags(u32),
    /// The pages of this child.
    Pid(Child),
}

impl Word for MoveOption {
    const SYNTAX: Syntax = Syntax::Options(&[
        ("all", None),
        ("alt", None),
        ("flags", Some(&<u32 as Word>::SYNTAX)),
        ("pid", Some(&<Child as Word>::SYNTAX)),
    ]);

    fn names(&self, visit: &mut dyn FnMut(Thing)) {
        if let MoveOption::Pid(child) = self {
            child.names(visit);
        }
    }
}

impl Display for MoveOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MoveOption::All => f.write_str("all"),
            MoveOption::Alt => f.write_str("alt"),
            MoveOption::Flags(flags) => write!(f, "flags={flags}"),
            MoveOption::Pid(child) => write!(f, "pid={child}"),
        }
    }
}

impl FromStr for MoveOption {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        match text.split_once('=') {
            None if text == "all" => Ok(MoveOption::All),
            None if text == "alt" => Ok(MoveOption::Alt),
            Some(("flags", value)) => value.parse().map(MoveOption::Flags).map_err(|_| NotThis),
            Some(("pid", value)) => value.parse().map(MoveOption::Pid),
            _ => Err(NotThis),
        }
    }
}

serde_by_text!(MoveOption);
