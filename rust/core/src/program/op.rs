//! The table of operations. One row is a variant of [`Op`], its parser, its printer, its JSON and
//! its description.
//!
//! A row reads: who can do it (`System` or `Step`), variant, first word, `{ positional fields }`,
//! `[ key=value fields ]` and `(options)`, the words that may follow. `with "key"` tells apart two
//! meanings of one first word: the row is meant if that key is in the line. Such a row stands
//! before the other. The variant in snake case is the operation's name in JSON, so it differs
//! from the first word only there.
//!
//! To add an operation, add a row here and its meaning to the interpreter.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::ParseError;
use super::line::{self, Line};
use super::select::{Address, Allocated, Child, Movable, Owner, PinName, Region, Sel, Sum};
use super::spec::{Kind, OpSpec, Place};
use super::word::{
    Advice, Backing, MadvOption, MbindOption, Mode, MoveOption, PhysAction, PinKind, Reason, Switch, Thing,
    Token, Word, quote,
};

macro_rules! operations {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident $variant:ident = $word:literal $(with $present:literal)?
        { $($pos:ident: $pos_ty:ty),* } [ $($key:ident: $key_ty:ty),* ] $( ($opt:ident: $opt_ty:ty) )?;
    )+) => {
        /// One operation: a line of a program.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
        #[allow(missing_docs, reason = "the row's text says what its fields mean")]
        pub enum Op {
            $(
                $(#[doc = $doc])+
                $variant {
                    $($pos: $pos_ty,)*
                    $($key: $key_ty,)*
                    $(#[serde(default)] $opt: Vec<$opt_ty>,)?
                },
            )+
        }

        /// Every operation, in the order of the table.
        const TABLE: &[OpSpec] = &[
            $(OpSpec {
                variant: stringify!($variant),
                word: $word,
                args: &[
                    $(line::describe::<$pos_ty>(stringify!($pos), Place::Positional),)*
                    $(line::describe::<$key_ty>(stringify!($key), Place::Key),)*
                    $(line::describe_options::<$opt_ty>(stringify!($opt)),)?
                ],
                kind: Kind::$kind,
                doc: &[$($doc),+],
            },)+
        ];

        impl Op {
            /// Reads the operation of a line.
            pub(super) fn from_line(mut line: Line<'_>) -> Result<Op, ParseError> {
                let mut rows = TABLE.iter();
                $(
                    let row = rows.next();
                    if line.head.text == $word $(&& line.has_key($present))? {
                        line.operation = row;
                        // The fields are evaluated, so the words are taken, in this order.
                        let op = Op::$variant {
                            $($pos: line.positional(stringify!($pos))?,)*
                            $($key: line.key(stringify!($key))?,)*
                            $($opt: line.options::<$opt_ty>()?,)?
                        };
                        line.finish()?;
                        return Ok(op);
                    }
                )+
                Err(unknown(&line))
            }

            /// Shows what the operation names, what it makes included.
            pub(super) fn names(&self, show: &mut dyn FnMut(Thing)) {
                match self {
                    $( Op::$variant { $($pos,)* $($key,)* $($opt,)? } => {
                        $(line::names($pos, show);)*
                        $(line::names($key, show);)*
                        $($opt.iter().for_each(|option| option.names(show));)?
                    } )+
                }
            }

            fn kind(&self) -> Kind {
                match self { $( Op::$variant { .. } => Kind::$kind, )+ }
            }
        }

        /// Canonical text.
        impl Display for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Op::$variant { $($pos,)* $($key,)* $($opt,)? } => {
                        f.write_str($word)?;
                        $(line::print_positional($pos, f)?;)*
                        $(line::print_key(stringify!($key), $key, f)?;)*
                        $(line::print_options($opt, f)?;)?
                    } )+
                }
                Ok(())
            }
        }
    };
}

operations! {
    /// Maps a region of that many pages. The task prefers `node` while it touches the region. In anonymous memory
    /// faults make large pages of 2^`order` pages where one fits.
    System Map = "map" { region: Region, backing: Backing, pages: u32 } [node: Option<u32>, order: Option<u32>];
    /// Touches each page and fills it with a new pattern.
    System Write = "write" { pages: Sel<Region> } [];
    /// Touches each page and checks what it holds.
    System Read = "read" { pages: Sel<Region> } [];
    /// A child writes.
    System Cwrite = "cwrite" { child: Child, pages: Sel<Region> } [];
    /// A child reads.
    System Cread = "cread" { child: Child, pages: Sel<Region> } [];
    /// Reads whole pages of the file behind the region, past the mapping.
    System Fread = "fread" { pages: Sel<Region> } [];
    /// Writes whole pages of the file behind the region, past the mapping.
    System Fwrite = "fwrite" { pages: Sel<Region> } [];
    /// Forks a child that shares the regions or copies them on write.
    System Fork = "fork" { child: Child } [];
    /// The child ends.
    System Exit = "exit" { child: Child } [];
    /// Pins pages: `pipe` takes one plain reference a page, `longterm` pins (+1024 a page).
    System Pin = "pin" { pin: PinName, pages: Sel<Region>, kind: PinKind } [];
    /// Gives a pin back.
    System Unpin = "unpin" { pin: PinName } [];
    /// mlock(2).
    System Mlock = "mlock" { pages: Sel<Region> } [];
    /// munlock(2).
    System Munlock = "munlock" { pages: Sel<Region> } [];
    /// munmap(2).
    System Unmap = "unmap" { pages: Sel<Region> } [];
    /// msync(2) with MS_SYNC.
    System Msync = "msync" { pages: Sel<Region> } [];
    /// One move_pages(2) to `node`. `all` is MPOL_MF_MOVE_ALL, `alt` sends every second page to the
    /// other node, `flags` replaces the flags, `pid` moves a child's pages.
    System Move = "move" { pages: Sum<Address> } [node: i32] (options: MoveOption);
    /// move_pages(2) without nodes: asks where the pages are.
    System Query = "query" { pages: Sum<Address> } [];
    /// mbind(2), MPOL_BIND unless `preferred`.
    System Mbind = "mbind" { pages: Sel<Region> } [node: u32] (options: MbindOption);
    /// migrate_pages(2) from node to node, with MPOL_MF_MOVE_ALL.
    System MigratePages = "migrate" with "from" {} [from: u32, to: u32, pid: Option<Child>];
    /// madvise(2), one call a run of pages, or with `each` one a page. `hwpoison` of a hole or of the
    /// zero page is refused unless `force`.
    System Madv = "madv" { pages: Sel<Region>, advice: Advice } [] (options: MadvOption);
    /// Remembers the frames behind the pages, for `phys` after an unmap.
    System Frame = "frame" { pages: Sel<Region> } [];
    /// Takes the frames offline, or poisons them, by their physical address.
    System Phys = "phys" { action: PhysAction, pages: Sel<Region> } [];
    /// Unpoisons the frames last offlined or poisoned behind the pages.
    System Unpoison = "unpoison" { pages: Sel<Region> } [];
    /// PR_MCE_KILL: early kill on or off.
    System Earlykill = "earlykill" { switch: Switch } [];
    /// Drains the pagevecs of one CPU: lru_add_drain_cpu().
    Step DrainCpu = "drain" with "cpu" {} [cpu: u32];
    /// Drains the pagevecs of all CPUs: lru_add_drain_all().
    System Drain = "drain" {} [];
    /// Compacts one node or all.
    System Compact = "compact" {} [node: Option<u32>];
    /// Writes the number to drop_caches.
    System Drop = "drop" { what: u32 } [];
    /// sync(2).
    System Sync = "sync" {} [];
    /// Waits.
    System Sleep = "sleep" { ms: u32 } [];
    /// Writes a sysctl of vm.
    System Set = "set" { name: Token, value: Token } [];
    /// MADV_DONTNEED on all but the first `keep` of each `of` pages.
    System Punch = "punch" { region: Region } [keep: u32, of: u32];
    /// Takes the free memory of a node away.
    System Fillnode = "fillnode" { node: u32 } [];
    /// Ends `fillnode`.
    System Unfill = "unfill" {} [];
    /// Makes swap space.
    System Swapon = "swapon" { mb: u32 } [];
    /// Takes the swap space away.
    System Swapoff = "swapoff" {} [];
    /// Stores that many compressible pages in zsmalloc.
    System ZramFill = "zram_fill" { pages: u32 } [node: Option<u32>];
    /// Frees all but the first `keep` of each `of` of them.
    System ZramPunch = "zram_punch" {} [keep: u32, of: u32];
    /// Checks what is left of them.
    System ZramCheck = "zram_check" {} [keep: u32, of: u32];
    /// Frees them.
    System ZramFree = "zram_free" {} [];
    /// Shrinks or grows the machine to this size by the balloon.
    System Balloon = "balloon" { mb: u32 } [];
    /// Counts the movable pages that are on no LRU list.
    System Nonlru = "nonlru" {} [];
    /// Reports nr_isolated_anon and nr_isolated_file.
    System Isolated = "isolated" {} [];
    /// Records the ordered list of internal calls from here on; `off` ends it.
    System Trace = "trace" { switch: Option<Switch> } [];

    /// Shortens the file behind the region to that many pages; whoever maps the rest is unmapped.
    Step Truncate = "truncate" { region: Region, pages: u32 } [];
    /// Begins to write a dirty page of the file behind the region to disk, and keeps the write; a thread keeps
    /// one at a time.
    Step BeginWriteback = "begin_writeback" { pages: Sel<Region> } [];
    /// Ends the writes that `begin_writeback` began: folio_end_writeback().
    Step EndWriteback = "end_writeback" { pages: Sel<Region> } [];
    /// Allocates a page of 2^`order` frames, on `node` if given. The program holds its one reference.
    Step Allocate = "allocate" { page: Allocated } [order: Option<u32>, node: Option<u32>];
    /// Puts the reference that `allocate` gave.
    Step Free = "free" { page: Allocated } [];
    /// Makes an owner with that many movable pages, on `node` if given; it holds one reference to each.
    Step Movable = "movable" { owner: Movable, pages: u32 } [node: Option<u32>];
    /// The owner puts its references.
    Step Release = "release" { pages: Sel<Movable> } [];
    /// Takes a reference to each page: folio_get().
    Step Get = "get" { pages: Sum<Owner> } [];
    /// Takes a reference to each page unless its count is zero: folio_try_get().
    Step TryGet = "try_get" { pages: Sum<Owner> } [];
    /// Puts the references that `get` or `try_get` took: folio_put().
    Step Put = "put" { pages: Sum<Owner> } [];
    /// Adds each page to its LRU list, through the pagevec: folio_add_lru().
    Step LruAdd = "lru_add" { pages: Sum<Owner> } [];
    /// folio_mark_accessed().
    Step MarkAccessed = "mark_accessed" { pages: Sum<Owner> } [];
    /// Frees up to that many pages of a node that nobody has used lately: shrink_node().
    Step Reclaim = "reclaim" { pages: u32 } [node: Option<u32>];
    /// Moves active pages of a node to the inactive list where that is short: kswapd_age_node().
    Step Age = "age" {} [node: Option<u32>];
    /// Takes each page off its LRU list, or from the owner of a movable page, and keeps the token.
    Step Isolate = "isolate" { pages: Sum<Owner> } [];
    /// Spends the tokens: back to the LRU list, or to the owner.
    Step Putback = "putback" { pages: Sum<Owner> } [];
    /// Spends the tokens: migrates the pages as one batch, as migrate_pages() does.
    Step Migrate = "migrate" { pages: Sum<Owner> } [node: u32, mode: Option<Mode>, reason: Option<Reason>];
    /// A NUMA hint fault on each page by a thread that runs on `node`: the page goes there, if it may.
    Step NumaFault = "numa_fault" { pages: Sel<Region> } [node: u32];
    /// Reclaims the pages, which go to `node` first, if they can.
    Step Demote = "demote" { pages: Sel<Region> } [node: u32];
    /// Splits the large page that each is part of into base pages: split_folio().
    Step Split = "split" { pages: Sum<Owner> } [];
    /// Takes each page lock, sleeping if it must.
    Step Lock = "lock" { pages: Sum<Owner> } [];
    /// Takes each page lock that is free.
    Step Trylock = "trylock" { pages: Sum<Owner> } [];
    /// Gives the page locks back that `lock` or `trylock` took.
    Step Unlock = "unlock" { pages: Sum<Owner> } [];
    /// Freezes each page whose count is `refs`: folio_ref_freeze().
    Step Freeze = "freeze" { pages: Sum<Owner> } [refs: u32];
    /// Unfreezes the pages that `freeze` froze, to this count: folio_ref_unfreeze().
    Step Unfreeze = "unfreeze" { pages: Sum<Owner> } [refs: u32];
    /// Checks every invariant of the machine.
    Step Audit = "audit" {} [];
}

impl Op {
    /// Whether a process can do this: the operation is of the script format that also runs under a
    /// real kernel. What is none is a single step that only code inside the kernel can do.
    pub fn is_system_call(&self) -> bool {
        self.kind() == Kind::System
    }

    /// What the operation makes and gives a name to.
    pub(super) fn makes(&self) -> Option<Thing> {
        match *self {
            Op::Map { region, .. } => Some(region.into()),
            Op::Fork { child } => Some(child.into()),
            Op::Pin { pin, .. } => Some(pin.into()),
            Op::Movable { owner, .. } => Some(owner.into()),
            Op::Allocate { page, .. } => Some(page.into()),
            _ => None,
        }
    }
}

/// Reads one operation, as it stands in one line of a program.
impl std::str::FromStr for Op {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let single = |message: &str| ParseError { line: 1, column: 1, message: message.into() };
        if text.lines().nth(1).is_some() {
            return Err(single("one operation is expected here; read several lines as a program"));
        }
        match Line::split(1, text) {
            Some(line) => Op::from_line(line),
            None => Err(single("an operation is expected here, such as `drain`")),
        }
    }
}

/// The operations of the language, in the order of the table.
pub fn operations() -> &'static [OpSpec] {
    TABLE
}

fn unknown(line: &Line<'_>) -> ParseError {
    let word = line.head.text;
    let near = operations()
        .iter()
        .map(|spec| (strsim::damerau_levenshtein(spec.word, word), spec.word))
        .filter(|&(distance, known)| distance * 2 < known.len())
        .min();
    let advice = match near {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => "write an operation such as `map r0 anon 1`, or `thread NAME`, or `finally`".into(),
    };
    line.error(line.head.column, format_args!("{} is no operation; {advice}", quote(word)))
}
