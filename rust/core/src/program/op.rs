//! The table of operations. One row defines a variant of [`Op`], its parser, its printer, its JSON
//! and its description.
//!
//! A row reads: kind (`System` or `Step`), variant, first word, `{ positional fields }`, `[
//! key=value fields ]` and `(options)`, the words that may follow. `with "key"` distinguishes two
//! meanings of one first word: the row applies if the key is in the line, and must come before the
//! row without `with`. The variant in snake case is the operation's name in JSON. This name differs
//! from the first word only where `with` distinguishes rows.
//!
//! To add an operation, add a row here and its effect to `session`.

use std::any::Any;
use std::fmt::{self, Display};
use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use super::ParseError;
use super::blocks::{Blocks, Bytes, Sizes};
use super::line::{self, Line};
use super::move_option::MoveOption;
use super::select::{Address, Allocated, Child, Movable, Owner, PinName, Region, Sel, Store, Sum};
use super::spec::{Kind, OpSpec, Place};
use super::word::{
    Advice, Backing, BlockAction, FaultKind, LayoutOption, LookAt, MadvOption, MbindOption, Mode, PhysAction,
    PinKind, Priority, PutOption, Reason, SwapOption, Switch, Thing, Token, Tracing, Watermarks, Word, quote,
};

macro_rules! operations {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident $variant:ident = $word:literal $(with $present:literal)?
        { $($pos:ident: $pos_ty:ty),* } [ $($key:ident: $key_ty:ty),* ] $( ($opt:ident: $opt_ty:ty) )?;
    )+) => {
        /// An operation: a line of a program.
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
                        // Rust evaluates the fields in this order, so this is the order in which
                        // words are taken.
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

            /// Calls `visit` with each thing that the operation names, including the thing it
            /// makes.
            pub(super) fn names(&self, visit: &mut dyn FnMut(Thing)) {
                match self {
                    $( Op::$variant { $($pos,)* $($key,)* $($opt,)? } => {
                        $(line::names($pos, visit);)*
                        $(line::names($key, visit);)*
                        $($opt.iter().for_each(|option| option.names(visit));)?
                    } )+
                }
            }

            /// Returns the selection of pages of a region, if the operation has one.
            fn of_regions(&self) -> Option<&Sel<Region>> {
                let mut found = None;
                match self {
                    $( Op::$variant { $($pos,)* .. } => {
                        $(found = found.or(line::Slot::word($pos).and_then(as_regions));)*
                    } )+
                }
                found
            }

            /// Returns the selection of [`Op::of_regions`], to change it.
            fn of_regions_mut(&mut self) -> Option<&mut Sel<Region>> {
                let mut found = None;
                match self {
                    $( Op::$variant { $($pos,)* .. } => {
                        $(found = found.or(line::Slot::word_mut($pos).and_then(as_regions_mut));)*
                    } )+
                }
                found
            }

            fn kind(&self) -> Kind {
                match self { $( Op::$variant { .. } => Kind::$kind, )+ }
            }
        }

        /// Prints the canonical text of an operation.
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
    /// Maps a region of that many pages. The task prefers `node` while it touches the region. In
    /// anonymous memory faults make large pages of 2^`order` pages where one fits.
    System Map = "map" { region: Region, backing: Backing, pages: u32 } [node: Option<u32>, order: Option<u32>];
    /// Touches each page and fills it with a new pattern.
    System Write = "write" { pages: Sel<Region> } [];
    /// Touches each page and checks its content.
    System Read = "read" { pages: Sel<Region> } [];
    /// Lets a child write to its pages.
    System Cwrite = "cwrite" { child: Child, pages: Sel<Region> } [];
    /// Lets a child read its pages and check their content.
    System Cread = "cread" { child: Child, pages: Sel<Region> } [];
    /// Reads whole pages of the file behind the region, past the mapping.
    System Fread = "fread" { pages: Sel<Region> } [];
    /// Writes whole pages of the file behind the region, past the mapping.
    System Fwrite = "fwrite" { pages: Sel<Region> } [];
    /// Forks a child that shares the regions or copies them on write.
    System Fork = "fork" { child: Child } [];
    /// Ends a child.
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
    /// madvise(2), one call a run of pages, or with `each` one a page. `hwpoison` of a hole or of
    /// the zero page is refused unless `force`.
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
    /// Compacts one node or all: moves pages to the node's end, so that large free blocks form.
    System Compact = "compact" {} [node: Option<u32>];
    /// Writes the number to drop_caches.
    System Drop = "drop" { what: u32 } [];
    /// sync(2).
    System Sync = "sync" {} [];
    /// Waits for `ms` milliseconds.
    System Sleep = "sleep" { ms: u32 } [];
    /// Writes a sysctl of vm. This machine has `compact_unevictable_allowed`, `compaction_proactiveness` and,
    /// with `pressure=on`, `min_free_kbytes`.
    System Set = "set" { name: Token, value: Token } [];
    /// MADV_DONTNEED on all but the first `keep` of each `of` pages.
    System Punch = "punch" { region: Region } [keep: u32, of: u32];
    /// Takes the free memory of a node away.
    System Fillnode = "fillnode" { node: u32 } [];
    /// Gives the memory back that `fillnode` took.
    System Unfill = "unfill" {} [];
    /// Makes swap space; with `zram` on the device z0, or on a fresh one of that size.
    System Swapon = "swapon" { mb: u32 } [] (options: SwapOption);
    /// Takes the swap space away.
    System Swapoff = "swapoff" {} [];
    /// Makes a zram device of that many pages, z0, and writes to each: 1600 to 2880 random bytes, then one
    /// word again and again.
    System ZramFill = "zram_fill" { pages: u32 } [node: Option<u32>];
    /// Discards all but the first `keep` of each `of` pages of the device.
    System ZramPunch = "zram_punch" {} [keep: u32, of: u32];
    /// Reads the first `keep` of each `of` pages and compares them with the content that
    /// `zram_fill` wrote.
    System ZramCheck = "zram_check" {} [keep: u32, of: u32];
    /// Discards all pages of the device, and takes it away.
    System ZramFree = "zram_free" {} [];
    /// Makes a zram device of that many pages, z0, whose pool may have `limit` bytes.
    System ZsOpen = "zs_open" { pages: u32 } [algo: Option<Token>, limit: Option<Bytes>];
    /// Stores pages of which the first `size` bytes are random, or all the `same`, with frames of `node`.
    System ZsPut = "zs_put" { blocks: Blocks } [size: Sizes, node: Option<u32>] (options: PutOption);
    /// Discards pages of the device.
    System ZsDel = "zs_del" { blocks: Blocks } [];
    /// Reads pages of the device and compares them with the content that was written last.
    System ZsCheck = "zs_check" { blocks: Blocks } [];
    /// Reports the counters of the device and its zspages.
    System ZsStat = "zs_stat" {} [];
    /// Compacts the pool of the device: zs_compact().
    System ZsCompact = "zs_compact" {} [];
    /// Discards all pages of the device, and takes it away.
    System ZsClose = "zs_close" {} [];
    /// Frees the empty zspages that could not be freed at once: async_free_zspage().
    Step ZsFreeEmpty = "zs_free_empty" {} [];
    /// Shrinks or grows the machine to this size by the balloon.
    System Balloon = "balloon" { mb: u32 } [];
    /// Counts the pages of the balloon and of zsmalloc on each node.
    System Nonlru = "nonlru" {} [];
    /// Takes a memory block of a node (of the last node, if none is given) offline or puts it
    /// online; `state` only asks. A signal ends an offlining that finds no end: EINTR.
    System Memblk = "memblk" { block: u32, action: BlockAction } [node: Option<u32>];
    /// Grows or shrinks a node's pool of huge pages of `size` KiB (2048 if not given) to `n` pages, as
    /// far as there is memory.
    System Huge = "huge" {} [node: u32, n: u32, size: Option<u32>];
    /// Reports nr_isolated_anon and nr_isolated_file.
    System Isolated = "isolated" {} [];
    /// Records the ordered list of internal calls from here on, or with `moves` the pages that
    /// move; `off` ends it.
    System Trace = "trace" { switch: Option<Tracing> } [node: Option<u32>];
    /// Shows the kind of each frame of a node, one letter a frame, or with `sum` the totals alone.
    /// The frames below `from` are shown as unknown.
    System Layout = "layout" {} [node: u32, from: Option<u32>] (options: LayoutOption);
    /// Shows how fragmented the free memory of a node is, for a request of each order: debugfs's
    /// `extfrag_index` and `unusable_index`, in thousandths.
    System Extfrag = "extfrag" {} [node: u32];
    /// Writes all pages of a region, and drops those that are not on the node that it prefers: the
    /// region then holds all free memory of the node.
    System Take = "take" { region: Region } [];
    /// Lets allocations use a node to its last pages, or ends that.
    System Wmark = "wmark" { level: Watermarks } [];
    /// Allocates that many pages of the kernel's own on a node (the buffer of a pipe); `unpin`
    /// gives them back.
    System Kpages = "kpages" { pin: PinName, pages: u32 } [node: u32];

    /// Shortens the file behind the region to that many pages. Mappings of the rest are unmapped.
    Step Truncate = "truncate" { region: Region, pages: u32 } [];
    /// Begins to write a dirty page of the file behind the region to disk, and keeps the write; a
    /// thread keeps one at a time.
    Step BeginWriteback = "begin_writeback" { pages: Sel<Region> } [];
    /// Ends the writes that `begin_writeback` began: folio_end_writeback().
    Step EndWriteback = "end_writeback" { pages: Sel<Region> } [];
    /// Allocates a page of 2^`order` frames, on `node` if given. The program holds its one
    /// reference.
    Step Allocate = "allocate" { page: Allocated } [order: Option<u32>, node: Option<u32>];
    /// Allocates `count` frames from frame number `first` of a node on (of the first node, if none is
    /// given), and moves their pages away before: alloc_contig_range(). The program holds one reference to
    /// each frame.
    Step AllocRange = "alloc_range" { page: Allocated, first: u32, count: u32 } [node: Option<u32>];
    /// Puts the references that `allocate` or `alloc_range` gave, and after a split those to the parts.
    Step Free = "free" { page: Allocated } [];
    /// Compacts a node for one block of 2^`order` frames, as an allocation does if no such block is free:
    /// try_to_compact_pages(). Returns the number of pages that moved.
    Step CompactFor = "compact_for" {} [order: u32, node: Option<u32>, priority: Option<Priority>];
    /// Makes one run of a node's compaction daemon for a block of 2^`order` frames: kcompactd_do_work().
    /// Returns the number of pages that moved.
    Step Kcompactd = "kcompactd" {} [order: u32, node: Option<u32>];
    /// Makes an owner with that many movable pages, on `node` if given; it holds one reference to
    /// each.
    Step Movable = "movable" { owner: Movable, pages: u32 } [node: Option<u32>];
    /// Lets the owner put its references.
    Step Release = "release" { pages: Sel<Movable> } [];
    /// Puts up to that many pages into the balloon, from `node` first.
    Step Inflate = "inflate" { pages: u32 } [node: Option<u32>];
    /// Takes up to that many pages out of the balloon and frees them.
    Step Deflate = "deflate" { pages: u32 } [];
    /// Takes a reference to each page: folio_get().
    Step Get = "get" { pages: Sum<Owner> } [];
    /// Takes a reference to each page unless its count is zero: folio_try_get().
    Step TryGet = "try_get" { pages: Sum<Owner> } [];
    /// Puts the references that `get` or `try_get` took: folio_put().
    Step Put = "put" { pages: Sum<Owner> } [];
    /// Looks at each page without a lock, as readers of the kernel do: finds it in the page `cache`, in the
    /// `swap` cache, behind its `entry`, by the number of its `frame`, or so and along its reverse map
    /// (`rmap`); takes a reference unless its count is zero, reads its record, and puts the reference.
    Step Look = "look" { at: LookAt, pages: Sum<Owner> } [];
    /// Adds each page to its LRU list, through the pagevec: folio_add_lru().
    Step LruAdd = "lru_add" { pages: Sum<Owner> } [];
    /// Marks each page as accessed: folio_mark_accessed().
    Step MarkAccessed = "mark_accessed" { pages: Sum<Owner> } [];
    /// Frees up to that many pages of a node that were not used lately: shrink_node().
    Step Reclaim = "reclaim" { pages: u32 } [node: Option<u32>];
    /// Makes one run of a node's reclaiming daemon, for a block of 2^`order` frames if given: pages are freed
    /// until the node has as many free frames as its high watermark. Returns the number of freed pages.
    Step Kswapd = "kswapd" {} [node: Option<u32>, order: Option<u32>];
    /// Moves active pages of a node to the inactive list if that list is short: kswapd_age_node().
    Step Age = "age" {} [node: Option<u32>];
    /// Takes each page off its LRU list, or from the owner of a movable page, and keeps the token.
    Step Isolate = "isolate" { pages: Sum<Owner> } [];
    /// Spends the tokens: back to the LRU list, or to the owner.
    Step Putback = "putback" { pages: Sum<Owner> } [];
    /// Spends the tokens: migrates the pages as one batch, as migrate_pages() does.
    Step Migrate = "migrate" { pages: Sum<Owner> } [node: u32, mode: Option<Mode>, reason: Option<Reason>];
    /// A NUMA hint fault on each page by a thread that runs on `node`: the page goes there, if it
    /// may.
    Step NumaFault = "numa_fault" { pages: Sel<Region> } [node: u32];
    /// Reclaims the pages: demotes them to `node` first, where they can move there.
    Step Demote = "demote" { pages: Sel<Region> } [node: u32];
    /// Takes the frame of each page offline: soft_offline_page().
    Step SoftOffline = "soft_offline" { pages: Sum<Owner> } [];
    /// Handles the frame of each page as one whose content is lost: memory_failure().
    Step MemoryFailure = "memory_failure" { pages: Sum<Owner> } [];
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
    /// Makes a step of this thread's next operation fail: the `nth` one (1 if not given) at which a fault
    /// of this kind can strike, or `times` of them in a row. The fault ends with that operation.
    Step Fail = "fail" { fault: FaultKind } [nth: Option<NonZeroU8>, times: Option<NonZeroU8>];
    /// Checks every invariant of the machine.
    Step Audit = "audit" {} [];
}

impl Op {
    /// Returns true if a process can perform the operation. Such operations make up the script
    /// format, which also runs under a real kernel. All other operations are single steps that only
    /// code inside the kernel can perform.
    pub fn is_system_call(&self) -> bool {
        self.kind() == Kind::System
    }

    /// Returns true if the operation selects pages by the frames that they are in.
    pub(super) fn selects_frames(&self) -> bool {
        self.of_regions().is_some_and(|sel| sel.frames.is_some())
    }

    /// Returns the same operation with pages in place of frames; `pages_of` looks the pages up.
    pub(super) fn with_pages(&self, pages_of: impl FnOnce(&Sel<Region>) -> Vec<super::PageRange>) -> Op {
        let mut op = self.clone();
        if let Some(sel) = op.of_regions_mut() {
            let pages = pages_of(sel);
            *sel = Sel { of: sel.of, pages: Some(pages), frames: None };
        }
        op
    }

    /// Returns the named thing that the operation makes.
    pub(super) fn makes(&self) -> Option<Thing> {
        match *self {
            Op::Map { region, .. } => Some(region.into()),
            Op::Fork { child } => Some(child.into()),
            Op::Pin { pin, .. } | Op::Kpages { pin, .. } => Some(pin.into()),
            Op::Movable { owner, .. } => Some(owner.into()),
            Op::Allocate { page, .. } | Op::AllocRange { page, .. } => Some(page.into()),
            Op::ZsOpen { .. } | Op::ZramFill { .. } => Some(Store(0).into()),
            Op::Swapon { ref options, .. } if options.contains(&SwapOption::Zram) => Some(Store(0).into()),
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

/// The word as a selection of pages of a region, if it is one.
fn as_regions<W: Word>(word: &W) -> Option<&Sel<Region>> {
    (word as &dyn Any).downcast_ref()
}

/// [`as_regions`], to change the selection.
fn as_regions_mut<W: Word>(word: &mut W) -> Option<&mut Sel<Region>> {
    (word as &mut dyn Any).downcast_mut()
}

/// Returns the operations of the language, in the order of the table.
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
