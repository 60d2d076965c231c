//! The words of the language: what may stand at one place of a line.
//!
//! Every such type reads itself (`FromStr`), prints itself (`Display`) and describes itself
//! ([`Word::SYNTAX`]). The table of operations needs nothing else to parse, to print, to explain
//! a mistake and to draw random programs.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something that is written as one word of a line.
pub trait Word: FromStr + Display {
    /// What the word looks like.
    const SYNTAX: Syntax;

    /// Shows the things that the word names.
    fn names(&self, _show: &mut dyn FnMut(Thing)) {}
}

/// What a program makes and names: a letter and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thing {
    /// The letter.
    pub letter: char,
    /// The number.
    pub number: u16,
}

impl Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.letter, self.number)
    }
}

/// The look of a word, as data: for error messages, the documentation and random programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Syntax {
    /// A decimal number of these bounds, both included.
    Number {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words; those with a syntax are written `word=VALUE`.
    Options(&'static [(&'static str, Option<&'static Syntax>)]),
    /// A letter and a number.
    Name(char),
    /// Pages of things with these letters, as in `r0:0-3,7`.
    Selection {
        /// The letters of what has pages, to be named as a whole or by a list.
        listed: &'static [char],
        /// Names that stand for one page and take no list; a letter among them takes a number.
        single: &'static [&'static str],
        /// Whether several selections may be joined by `+`.
        sum: bool,
    },
    /// Printable ASCII without blanks, `#` and `=`.
    Token,
}

impl Syntax {
    /// The end of the sentence "write ...".
    pub(super) fn expected(&self) -> String {
        match self {
            Syntax::Number { min, max } => format!("a number from {min} to {max}"),
            Syntax::Choice(words) => format!("one of {}", words.join(", ")),
            Syntax::Options(_) => format!("one of {}", self.placeholder("").replace('|', ", ")),
            Syntax::Name(letter) => format!("a name such as {letter}0"),
            Syntax::Selection { listed, sum, single } => {
                let letter = listed[0];
                let others = listed[1..].iter().map(|l| format!(", {l}0"));
                let single = single.iter().map(|name| format!(", {}", numbered(name)));
                let rest: String = others.chain(single).collect();
                let sum = if *sum { format!(", {letter}0+{letter}1:2") } else { String::new() };
                format!("pages such as {letter}0, {letter}0:0-3,7{rest}{sum} (ranges ascend)")
            }
            Syntax::Token => "a word of letters, digits and punctuation other than # and =".into(),
        }
    }

    /// What stands for the word in a usage line; `field` names a number or a token.
    pub(super) fn placeholder(&self, field: &str) -> String {
        match self {
            Syntax::Number { .. } | Syntax::Token => field.to_uppercase(),
            Syntax::Choice(words) => words.join("|"),
            Syntax::Options(options) => {
                let shown = options.iter().map(|(word, value)| match value {
                    Some(value) => format!("{word}={}", value.placeholder("K")),
                    None => (*word).to_owned(),
                });
                shown.collect::<Vec<_>>().join("|")
            }
            Syntax::Name(letter) => format!("{letter}N"),
            Syntax::Selection { sum: true, .. } => "SEL[+SEL...]".into(),
            Syntax::Selection { .. } => "SEL".into(),
        }
    }
}

/// `p` is a letter that takes a number, `zero0` is a name as it is.
fn numbered(name: &str) -> String {
    if name.len() == 1 { format!("{name}0") } else { name.to_owned() }
}

/// The word is not what stands at this place; [`Syntax::expected`] says what would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotThis;

impl Display for NotThis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a word of this kind")
    }
}

impl Word for u32 {
    const SYNTAX: Syntax = Syntax::Number { min: 0, max: u32::MAX as i64 };
}

impl Word for i32 {
    const SYNTAX: Syntax = Syntax::Number { min: i32::MIN as i64, max: i32::MAX as i64 };
}

/// Words export as their text, so that JSON and the language share one notation.
macro_rules! serde_by_text {
    ($($name:ty),+) => { $(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|_| {
                    let expected = <$name as Word>::SYNTAX.expected();
                    serde::de::Error::custom(format_args!("{} is not {expected}", quote(&text)))
                })
            }
        }
    )+ };
}
pub(super) use serde_by_text;

/// A user's text within a message: on one line, without control characters, not too long.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// Defines closed sets of words.
macro_rules! choices {
    ($( $(#[$meta:meta])* pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $text:literal, )+ } )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$vmeta])* $variant, )+ }

        impl Word for $name {
            const SYNTAX: Syntax = Syntax::Choice(&[$($text),+]);
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $( $name::$variant => $text, )+ })
            }
        }

        impl FromStr for $name {
            type Err = NotThis;
            fn from_str(text: &str) -> Result<Self, NotThis> {
                match text { $( $text => Ok($name::$variant), )+ _ => Err(NotThis) }
            }
        }

        serde_by_text!($name);
    )+ };
}

choices! {
    /// What backs a region.
    pub enum Backing {
        /// Private anonymous memory.
        Anon = "anon",
        /// Shared anonymous memory.
        Shm = "shm",
        /// A shared mapping of a tmpfs file.
        Tmpfs = "tmpfs",
        /// A private mapping of a tmpfs file.
        Tmpfspriv = "tmpfspriv",
        /// A shared mapping of an ext4 file.
        File = "file",
        /// A private mapping of an ext4 file.
        Filepriv = "filepriv",
    }

    /// How a pin holds its pages.
    pub enum PinKind {
        /// One plain reference a page, as `vmsplice(2)` into a pipe takes it.
        Pipe = "pipe",
        /// `FOLL_PIN | FOLL_LONGTERM`: +1024 a page, as a registered io_uring buffer takes it.
        Longterm = "longterm",
    }

    /// The advice of `madvise(2)`.
    pub enum Advice {
        /// `MADV_COLD`
        Cold = "cold",
        /// `MADV_PAGEOUT`
        Pageout = "pageout",
        /// `MADV_DONTNEED`
        Dontneed = "dontneed",
        /// `MADV_FREE`
        Free = "free",
        /// `MADV_WILLNEED`
        Willneed = "willneed",
        /// `MADV_SOFT_OFFLINE`
        SoftOffline = "soft_offline",
        /// `MADV_HWPOISON`
        Hwpoison = "hwpoison",
    }

    /// How `madv` goes about its pages.
    pub enum MadvOption {
        /// One call a page, instead of one a run of pages.
        Each = "each",
        /// Poison a hole or the zero page all the same.
        Force = "force",
    }

    /// The flags of `mbind(2)`.
    pub enum MbindOption {
        /// `MPOL_MF_MOVE`
        Move = "move",
        /// `MPOL_MF_MOVE_ALL`
        MoveAll = "move_all",
        /// `MPOL_MF_STRICT`
        Strict = "strict",
        /// `MPOL_PREFERRED` instead of `MPOL_BIND`
        Preferred = "preferred",
    }

    /// What `phys` does to a frame.
    pub enum PhysAction {
        /// `soft_offline_page` in sysfs.
        Soft = "soft",
        /// `hard_offline_page` in sysfs.
        Hard = "hard",
        /// `hwpoison/corrupt-pfn` in debugfs.
        Corrupt = "corrupt",
    }

    /// On or off.
    pub enum Switch {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }

    /// `enum migrate_mode`.
    pub enum Mode {
        /// `MIGRATE_ASYNC`: never blocks.
        Async = "async",
        /// `MIGRATE_SYNC_LIGHT`: may block, but not on writeback.
        SyncLight = "sync_light",
        /// `MIGRATE_SYNC`: may block.
        Sync = "sync",
    }

    /// `enum migrate_reason`.
    pub enum Reason {
        /// `MR_COMPACTION`
        Compaction = "compaction",
        /// `MR_MEMORY_FAILURE`
        MemoryFailure = "memory_failure",
        /// `MR_MEMORY_HOTPLUG`
        MemoryHotplug = "memory_hotplug",
        /// `MR_SYSCALL`
        Syscall = "syscall",
        /// `MR_MEMPOLICY_MBIND`
        MempolicyMbind = "mempolicy_mbind",
        /// `MR_NUMA_MISPLACED`
        NumaMisplaced = "numa_misplaced",
        /// `MR_CONTIG_RANGE`
        ContigRange = "contig_range",
        /// `MR_LONGTERM_PIN`
        LongtermPin = "longterm_pin",
        /// `MR_DEMOTION`
        Demotion = "demotion",
    }
}

/// A flag of `move_pages(2)` or of the way `move` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoveOption {
    /// `MPOL_MF_MOVE_ALL` instead of `MPOL_MF_MOVE`.
    All,
    /// Every second page goes to the other node.
    Alt,
    /// These flags, whatever else is said.
    Flags(u32),
    /// The pages of this child.
    Pid(super::Child),
}

impl Word for MoveOption {
    const SYNTAX: Syntax = Syntax::Options(&[
        ("all", None),
        ("alt", None),
        ("flags", Some(&<u32 as Word>::SYNTAX)),
        ("pid", Some(&<super::Child as Word>::SYNTAX)),
    ]);

    fn names(&self, show: &mut dyn FnMut(Thing)) {
        if let MoveOption::Pid(child) = self {
            child.names(show);
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

/// A free word: a thread's name, a sysctl and its value, a profile field and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for Token {
    const SYNTAX: Syntax = Syntax::Token;
}

impl Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Token {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b'=';
        if !text.is_empty() && text.bytes().all(plain) { Ok(Token(text.to_owned())) } else { Err(NotThis) }
    }
}

serde_by_text!(Token);
