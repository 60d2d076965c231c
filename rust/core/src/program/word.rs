//! The words that a line of the language may have at each place.
//!
//! Each word type reads itself (`FromStr`), prints itself (`Display`) and describes itself
//! ([`Word::SYNTAX`]). From these the table of operations derives the parser, the printer, the
//! error messages and the random programs.

use std::fmt::{self, Display};
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A type that is written as one word of a line.
pub trait Word: FromStr + Display + 'static {
    /// The syntax of the word.
    const SYNTAX: Syntax;

    /// Calls `visit` with each thing that the word names.
    fn names(&self, _visit: &mut dyn FnMut(Thing)) {}
}

/// A thing that a program makes and names: a letter and a number.
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

/// The syntax of a word as data: for error messages, the documentation and random programs.
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
        /// The letters of things that have pages. Such a thing is named as a whole or with a list
        /// of pages.
        listed: &'static [char],
        /// Names that mean one page and take no list; a single letter among them takes a number.
        single: &'static [&'static str],
        /// True if several selections may be joined by `+`.
        sum: bool,
    },
    /// Printable ASCII without blanks, `#` and `=`.
    Token,
    /// Blocks of a zram device, as in `0-31/1:4,40`.
    Blocks,
    /// The number of random bytes of each block, as in `1500,same`.
    Sizes,
    /// A number of bytes, as in `256K`.
    Bytes,
}

impl Syntax {
    /// Completes the message "`word` should be ...".
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
            Syntax::Blocks => {
                "blocks such as 3, 0-31, 0-31/1:4 (the first of each 4), or several with `,`".into()
            }
            Syntax::Sizes => "numbers of bytes up to 4096, or `same`, with `,` between them".into(),
            Syntax::Bytes => "a number of bytes such as 4096, 256K, 1M".into(),
            Syntax::Token => "a word of letters, digits and punctuation other than # and =".into(),
        }
    }

    /// Returns the placeholder for the word in a usage line; `field` names a number or a token.
    pub(super) fn placeholder(&self, field: &str) -> String {
        match self {
            Syntax::Number { .. } | Syntax::Token | Syntax::Bytes => field.to_uppercase(),
            Syntax::Blocks => "LIST".into(),
            Syntax::Sizes => "A,B,...".into(),
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

/// Completes a single letter with a number; a longer name such as `zero0` is complete.
fn numbered(name: &str) -> String {
    if name.len() == 1 { format!("{name}0") } else { name.to_owned() }
}

/// The error for a word of the wrong kind; `Syntax::expected` describes the right kind.
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

impl Word for NonZeroU8 {
    const SYNTAX: Syntax = Syntax::Number { min: 1, max: u8::MAX as i64 };
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

/// Quotes a user's text in a message: on one line, without control characters, and shortened.
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
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $text:literal, )+ }
    )+) => { $(
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
    /// The backing of a region.
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

    /// The way in which a pin holds its pages.
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

    /// The action of `memblk` on a memory block.
    pub enum BlockAction {
        /// Takes the block offline.
        Offline = "offline",
        /// Puts the block online, in the zone that the kernel prefers.
        Online = "online",
        /// Puts the block online for movable pages.
        OnlineMovable = "online_movable",
        /// Puts the block online for any page.
        OnlineKernel = "online_kernel",
        /// Only asks for the state of the block.
        State = "state",
    }

    /// Options of `madv`.
    pub enum MadvOption {
        /// One call for each page, instead of one for each run of pages.
        Each = "each",
        /// Poison even a hole or the zero page.
        Force = "force",
    }

    /// Options of `swapon`.
    pub enum SwapOption {
        /// Compress the pages into frames of the machine itself.
        Zram = "zram",
    }

    /// Options of `zs_put`.
    pub enum PutOption {
        /// Report the pool's pages after each store.
        Each = "each",
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

    /// The way in which `phys` fails a frame.
    pub enum PhysAction {
        /// `soft_offline_page` in sysfs.
        Soft = "soft",
        /// `hard_offline_page` in sysfs.
        Hard = "hard",
        /// `hwpoison/corrupt-pfn` in debugfs.
        Corrupt = "corrupt",
    }

    /// The order in which threads see each other's stores.
    pub enum MemoryModel {
        /// The order of the steps: sequential consistency.
        Sc = "sc",
        /// The order of x86: stores wait in a buffer of their thread (x86-TSO).
        Tso = "tso",
    }

    /// On or off.
    pub enum Switch {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }

    /// The events that `trace` records.
    pub enum Tracing {
        /// The calls in order.
        On = "on",
        /// Nothing.
        Off = "off",
        /// The pages that moved, and where to, in order.
        Moves = "moves",
    }

    /// The level to which the free memory of a node may fall before an allocation waits for
    /// reclaim.
    pub enum Watermarks {
        /// No reserve: allocations use the node's last pages.
        Low = "low",
        /// The kernel's default watermarks.
        Normal = "normal",
    }

    /// Options of `layout`.
    pub enum LayoutOption {
        /// The totals alone.
        Sum = "sum",
    }

    /// The fault that `fail` arms.
    pub enum FaultKind {
        /// An allocation fails.
        NoMemory = "no_memory",
        /// A copy meets a machine check.
        CopyFailure = "copy_failure",
        /// An owner of movable pages refuses, or a device fails.
        DriverError = "driver_error",
        /// The thread has a fatal signal.
        Killed = "killed",
    }

    /// The place at which `look` finds a page.
    pub enum LookAt {
        /// A slot of the page cache.
        Cache = "cache",
        /// A slot of the swap cache.
        Swap = "swap",
        /// A page-table entry.
        Entry = "entry",
        /// The number of a frame.
        Frame = "frame",
        /// The number of a frame, and from there the areas of its owner.
        Rmap = "rmap",
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

    /// `enum compact_priority`.
    pub enum Priority {
        /// `COMPACT_PRIO_ASYNC`: easy pages alone.
        Async = "async",
        /// `COMPACT_PRIO_SYNC_LIGHT`: all pages.
        SyncLight = "sync_light",
        /// `COMPACT_PRIO_SYNC_FULL`: scans the whole node, whatever the hints and the deferral say.
        SyncFull = "sync_full",
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

/// A free word: a thread's name, a sysctl and its value, a profile field and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// Returns the word.
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
