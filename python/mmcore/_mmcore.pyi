# The compiled core. Private: the public names are in `mmcore`.

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, ClassVar, Final, Literal, Self, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Buffer

from mmcore._events import Event
from mmcore._map import NodeMaps
from mmcore._movable import MovableOps
from mmcore._state import (
    Audit,
    Compacted,
    CompactionState,
    Evicted,
    FaultHit,
    FieldText,
    Holder,
    Migrated,
    PageState,
    Reclaimed,
    Signal,
    SwapUse,
    Watermarks,
    ZramUse,
    ZspageCount,
    ZsUse,
)
from mmcore._tables import Counters, PageStates
from mmcore.typing import (
    Advice,
    CompactPriority,
    Compressor,
    FaultKind,
    FieldValue,
    FileKind,
    Kernel,
    MigrateType,
    Mode,
    PageFlag,
    Reason,
    Zone,
)

__version__: Final[str]

def build_info() -> dict[str, str]:
    """Returns facts about this build, all as strings: ``version``, ``profile`` (``"release"`` or ``"debug"``),
    ``opt_level``, ``rustc`` (the compiler and its version) and ``target`` (the target triple)."""

def page_copy() -> str:
    """Returns the instructions by which machines copy pages on this processor: "avx512", "avx2" or "sse2" for
    streaming stores of 64, 32 or 16 bytes, or "plain" for the compiler's memcpy."""

# --- limits, and the words of choices ---

PAGE_SIZE: Final[int]
MAX_NODES: Final[int]
MAX_CPUS: Final[int]
MAX_FRAMES: Final[int]
MAX_LOAD_THREADS: Final[int]
MAX_EXPLORED_THREADS: Final[int]
MAX_STEPS: Final[int]
MAX_JOBS: Final[int]
DEFAULT_SCHEDULES: Final[int]
DEFAULT_SHRINK: Final[int]
CHOICES: Final[dict[str, tuple[str, ...]]]

# --- program ---

def parse_program(text: str) -> str:
    """Parses the text of a program and returns the program as JSON.

    Raises:
        MemoryError: if the host has no memory for a program of this length.
        ValueError: with ``(message, line, column)`` as its arguments, if the text is malformed."""

def print_program(json: str) -> str:
    """Writes a program, given as JSON, in the canonical text form.

    Raises:
        MemoryError: if the host has no memory for a program of this length.
        ValueError: if the JSON is no program."""

def program_operations() -> str:
    """The operations of the language, as a JSON list: name, first word, usage, arguments and description of
    each."""

def replay_program(
    program: str, machine: str, kernel: Sequence[tuple[int, int, bytes]] = ...
) -> str:
    """Runs a script and returns every step with the state that was visible after it, as JSON. Each entry of
    `kernel` tells which frames of a node the kernel itself uses from a step on. It has the number of the
    step, from 0, the number of the node, and one letter for each frame of the node: `.`, or for a frame of
    the kernel's own the letter of its kind.

    `InputError` if the script or the machine line is not valid, or if the script has threads."""

def run_program(program: str, machine: str, patience: float) -> str:
    """Runs a program once and returns the report as JSON. `machine` is a machine line whose fields replace those
    of the program. Threads that make no progress for `patience` seconds are stopped.

    `InputError` if the program or the machine line is not valid or cannot be run."""

def stress_program(program: str, machine: str, patience: float, seconds: float) -> str:
    """Runs a program again and again on fresh machines, until a rule breaks or `seconds` have passed, and
    returns the report as JSON. The other arguments and the errors are those of `run_program`."""

# --- traces ---

@final
class LackeyParser:
    """A parser of the output of `valgrind --tool=lackey --trace-mem=yes`, which is fed in chunks."""
    def __new__(cls) -> LackeyParser: ...
    def feed(self, chunk: bytes) -> None:
        """Parses the next chunk of the text.

        `ValueError` for a malformed line, which the message names, and if the text has ended before."""
    def finish(self) -> tuple[int, int]:
        """Ends the text and returns the number of accesses and the number of distinct pages.

        `ValueError` if the last line is malformed, or the text has ended before."""
    def take(
        self,
        ids: NDArray[np.uint32],
        writes: NDArray[np.uint8],
        page_numbers: NDArray[np.uint64],
    ) -> None:
        """Fills arrays of the lengths that `finish` returned, and frees the trace: for each access its page (as
        an index) and 1 if it wrote, and for each distinct page its number (the address divided by 4,096).

        `ValueError` if the text has not ended, or the trace was taken before."""

@final
class PolicyReplay:
    """Replays a trace over a memory with a replacement policy, in stretches."""
    def __new__(
        cls,
        profile: Profile,
        requests: NDArray[np.uint32],
        footprint: int,
        size: int,
        warm_up: int,
        /,
    ) -> PolicyReplay: ...
    def step(self, most: int, /) -> int:
        """Replays at most `most` further requests and returns the number replayed in all."""
    def finish(self) -> str:
        """Audits the machine, if there is one, and returns the counts as JSON."""

# --- machine ---

FLAGS: Final[dict[PageFlag, int]]
FRAME_KINDS: Final[dict[str, str]]
UNWRITTEN: Final[int]

def pattern_runs(letters: bytes) -> list[tuple[int, str]]:
    """Returns the runs of a layout, in order. Each run is a pair: the number of times that a pattern comes in a
    row, and the pattern, of 16 letters at most. ``b".a.a.aSS"`` gives ``[(3, ".a"), (2, "S")]``, as in the
    field ``layout`` of recordings."""

@final
class Arrangement:
    """Pages that fill a node by a layout, made by `Machine.arrange`. `close`, or the end of a ``with``
    block, frees them. If this object is dropped, the pages stay as long as the machine lives."""
    @property
    def node(self) -> int:
        """The number of the node."""
    def damaged(self) -> int | None:
        """Looks for a page whose content has changed since the arrangement wrote it. Returns the number of the
        frame into which the page was put, even if the page has moved since; ``None`` if all pages are intact,
        or the machine is unbacked. Only the first eight bytes of each page are compared. Poisoned frames and
        pages of the kernel's own are not compared.

        Raises:
            MisuseError: if the arrangement or the machine is closed; if this thread holds a page lock or has
                begun a write to disk, or is inside of a callback."""
    def close(self) -> None:
        """Frees every page of the arrangement, in whatever frame it is now, unpoisons the frames that the
        arrangement poisoned, and gives pageblocks their earlier migratetypes back. A second call does
        nothing. If a signal handler ends the call, another call frees the rest.

        Raises:
            MisuseError: if the machine is closed; if this thread holds a page lock or has begun a write to
                disk, or is inside of a callback."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Profile:
    """The behaviour of one kernel version: a mapping from the names of fields to their values. The values
    are those of a preset, except for fields that are given by name. Profiles are compared, hashed, copied and
    pickled by value.

    Args:
        kernel: the preset, one of `PRESETS`; 6.12 by default.
        fields: values of fields, by name.

    Raises:
        InputError: if there is no such preset, field or value.
        TypeError: if a value is no str, int or bool."""

    PRESETS: ClassVar[tuple[Kernel, ...]]
    def __new__(cls, *, kernel: Kernel | None = None, **fields: FieldValue) -> Self: ...
    def replace(self, **fields: FieldValue) -> Profile:
        """Returns a copy with other values of some fields.

        Raises:
            InputError: if there is no such field or value.
            TypeError: if a value is no str, int or bool."""
    @staticmethod
    def describe(field: str) -> FieldText:
        """Describes a field: its meaning and the source of its values, as a `FieldText`.

        Args:
            field: the name of the field, as in `fields`.

        Raises:
            KeyError: if there is no such field."""
    @staticmethod
    def accepts(field: str) -> str:
        """Describes the values that a field accepts, in one line.

        Args:
            field: the name of the field, as in `fields`.

        Raises:
            KeyError: if there is no such field."""
    def keys(self) -> tuple[str, ...]:
        """The names of all fields, in the order of the documentation."""
    def __getitem__(self, key: str, /) -> FieldValue: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, FieldValue]]: ...

@final
class Machine:
    """A simulated machine: nodes, CPUs, page records and counters. As a context manager it is closed at the end
    of the block.

    Args:
        nodes: the size of each node, fastest first: ``"64MiB"``, ``"1GiB:250ns"`` with a modelled latency, or
            a number of bytes; or all sizes in one text, ``"64MiB,1GiB:250ns"``. Left out: two nodes of
            64 MiB.
        movable: numbers of the nodes that hold movable pages only, like memory that will be unplugged. A
            long-term pin first moves its page off such a node, except under the profiles 4.5 and 4.8
            (profile field ``longterm_moves``).
        offline: numbers of the nodes whose memory blocks all begin offline, like a plugged memory module.
        block: the size of a memory block, the unit of `Machine.offline` and `Machine.online`: ``"128MiB"``,
            the default, or a number of bytes. A block is a whole number of pageblocks.
        cpus: the number of CPUs. Each has its own LRU batches and free frames.
        backed: ``True`` gives every page its 4,096 bytes; ``False`` models page records alone, so that large
            machines fit in the host's memory.
        pressure: ``True`` for memory pressure: nodes have watermarks, and an allocation that finds too few
            free frames reclaims and compacts before it fails. ``False``: it fails at once.
        kernel: the preset of the profile, one of `Profile.PRESETS`; 6.12 by default.
        profile: a whole profile instead of a preset, or a mapping of fields that replace those of the preset.
        fields: profile fields by name, which replace those of the preset: ``release="packed"``,
            ``pagevec=15``.

    Raises:
        InputError: for a size, number or field that no machine can have; the message says what to change.
        MemoryError: if the host has no memory for the machine.
        TypeError: if ``kernel`` is given together with a whole `Profile`, or if an argument or the value of a
            field is of another type."""
    def __new__(
        cls,
        *,
        nodes: Sequence[str | int] | None = None,
        movable: Sequence[int] = ...,
        offline: Sequence[int] = ...,
        block: str | int | None = None,
        cpus: int = 2,
        backed: bool = True,
        pressure: bool = False,
        kernel: Kernel | None = None,
        profile: Profile | None = None,
        **fields: FieldValue,
    ) -> Self: ...
    @property
    def closed(self) -> bool:
        """True if the machine is closed."""
    @property
    def profile(self) -> Profile:
        """The profile that the machine was built with."""
    @property
    def nodes(self) -> tuple[Node, ...]:
        """The machine's nodes, in order of their numbers."""
    @property
    def cpus(self) -> int:
        """The number of CPUs."""
    @property
    def backed(self) -> bool:
        """True if pages have bytes (``backed=True``)."""
    @property
    def address_spaces(self) -> tuple[AddressSpace, ...]:
        """The address spaces that have not exited."""
    def close(self) -> None:
        """Refuses further calls, gives back the page locks that handles hold, ends the writes to disk that have
        begun, and stops the daemons. Inside of a callback the call does not wait until the daemons have
        ended. The memory is freed when no Python object of the machine, such as a page or a buffer, is left.
        Closing again is no error."""
    def cpu(self, number: int) -> CpuBinding:
        """Returns a context manager that binds the thread which enters it to a CPU, until the end of the
        ``with`` block. Threads that are not bound get CPUs in the order of their first calls.

        Args:
            number: the number of the CPU, from 0.

        Raises:
            KernelError: EINVAL if there is no such CPU."""
    def page(self, pfn: int) -> Page:
        """The page with this frame number.

        Args:
            pfn: the frame number of the page, from 0.

        Raises:
            KernelError: EINVAL if the machine has no such frame."""
    def alloc(self, *, node: int = 0, order: int = 0) -> PageRef:
        """Allocates 2**order contiguous pages and returns the first reference to them. On a machine with memory
        pressure, reclaim and compaction may make room for them first.

        Args:
            node: the number of the node that gives the frames.
            order: the number of pages, as a power of two: 0 for one page, 10 at most.

        Raises:
            KernelError: ENOMEM if the node has no such free block, EINVAL if there is no such node or order."""
    def alloc_range(self, first: int, count: int) -> FrameRange:
        """Empties ``count`` frames from ``first`` on and allocates them (alloc_contig_range): their pages move
        to other frames or are dropped. Afterwards the pageblocks that hold the range are movable, whatever
        their types were. After an error too, pages that have moved stay where they are.

        Args:
            first: the number of the first frame.
            count: the number of frames. All lie in one node.

        Raises:
            KernelError: EBUSY if a page cannot move or does not move in 5 tries, or another thread empties
                one of the pageblocks; ENOMEM without a frame to move to, or for a huge page of a pool that
                cannot be replaced; EINVAL for an empty range, or one that is not in one node or not online.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def offline(self, block: int, *, node: int, rounds: int = 1000) -> None:
        """Takes a memory block of a node offline (offline_pages): its pages move to other nodes, or to other
        blocks of the node if no other node has memory. Then its frames leave the machine. A poisoned frame
        that memory failure has taken out of use does not hinder the operation.

        Args:
            block: the number of the memory block within the node, from 0.
            node: the number of the node.
            rounds: the most rounds. A round moves the pages that can move; a round that finds none takes the
                frames out of the machine, unless one is in use. The kernel repeats rounds until a signal.

        Raises:
            KernelError: EBUSY for a page that cannot move, for a pageblock that another thread empties, or
                for the last memory of the machine; EINTR after the last round: the block is still online,
                but all its pageblocks are movable, and pages may have moved; EINVAL if there is no such block
                or it is offline.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def online(self, block: int, *, node: int, zone: Zone | None = None) -> None:
        """Puts a memory block of a node online (online_pages), for any page (``zone="kernel"``) or for movable
        pages only (``zone="movable"``).

        Args:
            block: the number of the memory block within the node, from 0.
            node: the number of the node.
            zone: ``"kernel"`` or ``"movable"``. Left out, the zone is ``"movable"`` if the block lies between
                online blocks of that zone and not between those of ``"kernel"``, else ``"kernel"``
                (default_zone_for_pfn).

        Raises:
            KernelError: EHWPOISON for a block that went offline with a poisoned frame, in kernels since 6.2;
                EINVAL if there is no such block or it is online.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback.
            ValueError: if there is no such zone."""
    def address_space(self) -> AddressSpace:
        """Creates an empty address space.

        Raises:
            KernelError: EAGAIN if all numbers of address spaces are used up."""
    def file(self, size: str | int, *, kind: FileKind = "disk") -> File:
        """Creates a file of ``size`` (``"64KiB"`` or bytes, rounded up to whole pages), filled with zeroes, with
        no page cached. ``kind`` is its backing: ``"disk"``, ``"tmpfs"`` or ``"shm"`` (shared anonymous
        memory).

        Raises:
            KernelError: EINVAL for an empty file or a text that is no size, EFBIG for more than 64 GiB,
                ENOMEM for 16 TiB or more, or if the machine has as many pools, files and mappings as it can
                have.
            MemoryError: if the host has no memory for the file.
            ValueError: if there is no such kind."""
    @property
    def files(self) -> tuple[File, ...]:
        """The files of the machine. A removed file is among them while a region still maps it."""
    def sync(self) -> int:
        """Writes every dirty page of every file to disk (sync) and returns the number of pages written."""
    def reclaim(self, pages: int, *, node: int = 0) -> int:
        """Frees pages of a node that were not used lately, until ``pages`` are freed or all lists of the node
        were scanned (shrink_node). Returns the number of pages freed.

        Dirty pages of disk files are not freed. Anonymous pages and pages of memory files are freed only if
        there is swap space, except anonymous pages that ``madvise("free")`` has given up.

        Args:
            pages: the number of base pages to free.
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node."""
    def age_node(self, *, node: int = 0) -> int:
        """Ages the pages of a node (kswapd_age_node): where inactive pages are too few, some active pages become
        inactive. Returns the number of pages that did. With the policy ``mglru`` a new generation begins
        instead, and the number of used page-table entries is returned.

        Args:
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node."""
    @property
    def pressure(self) -> bool:
        """True if the machine has memory pressure (``pressure=True``): watermarks, and allocations that reclaim
        and compact before they fail."""
    @property
    def min_free_kbytes(self) -> int:
        """The reserve of the whole machine in KiB (``vm.min_free_kbytes``), from which the watermarks follow. 0
        on a machine without memory pressure, where it cannot be set.

        Raises:
            KernelError: EINVAL if it is set on a machine without memory pressure."""
    @min_free_kbytes.setter
    def min_free_kbytes(self, kbytes: int) -> None: ...
    def watermarks(self, node: int = 0) -> Watermarks:
        """The watermarks of a node, as `Watermarks`. All are 0 on a machine without memory pressure.

        Args:
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node."""
    def kswapd(self, order: int = 0, *, node: int = 0) -> int:
        """Makes one run of a node's reclaiming daemon for blocks of 2**``order`` frames (balance_pgdat): frees
        pages that were not used lately, until the node has such a block free above its high watermark, or a
        round has freed nothing. Once twice the block is freed, the run leaves the block to compaction and
        stops at the high watermark. Returns the number of pages freed. The daemons that `start_daemons`
        starts make such a run whenever an allocation wakes them.

        Args:
            order: the size of the wanted blocks, as a power of two of frames.
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node or order."""
    def start_daemons(self) -> None:
        """Starts the daemons of all nodes as threads: ``kswapd`` reclaims when allocations find little free
        memory. ``kcompactd`` compacts for large blocks; every half a second it also checks whether the node
        is more fragmented than `compaction_proactiveness` allows, and compacts then. The daemons stop when
        the machine is closed. The call does nothing if they run.

        Raises:
            KernelError: EAGAIN if fewer than two threads a node can start; no daemon runs then."""
    def stop_daemons(self) -> None:
        """Stops the daemons and waits until they have ended. Does nothing if they do not run. A daemon may wait
        for a page lock, so the call first waits until other threads' handles hold none.

        Raises:
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def drop_caches(self) -> Evicted:
        """Evicts the clean, unused pages of all files from the page cache (drop_caches). Returns the numbers of
        pages evicted and kept, as `Evicted`."""
    def compact(self, node: int = 0, *, moves: bool = False) -> Compacted:
        """Compacts a node (a write to its ``compact`` file): moves every page that can move towards the
        node's end, so that large free blocks form at its start. Movable pages outside of the LRU move
        with their owners' help. Returns a `Compacted`; with ``moves`` it lists each page that moved.

        The call ends early, with the status ``contended``, if no frame is left to move to, or if many
        pages of the node stay isolated for 100 ms.

        Args:
            node: the number of the node.
            moves: whether the result lists each page that moved.

        Raises:
            KernelError: EINVAL if there is no such node.
            MemoryError: if the host has no memory for the list of moves; pages that moved stay there.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def compact_for(
        self,
        order: int,
        *,
        node: int = 0,
        priority: CompactPriority = "sync_light",
        moves: bool = False,
    ) -> Compacted:
        """Compacts a node for one block of 2**``order`` frames, as an allocation does if none is free
        (try_to_compact_pages). The run begins where the last one stopped, and passes over pageblocks with a
        skip hint. It ends at the end of a pageblock once such a block is free. Returns a `Compacted`.

        If a run that is not asynchronous fails, the next requests are left out with the status ``deferred``:
        1 after the first failure, then 3, 7 and so on up to 63. The status is ``skipped`` if too little
        memory is free, or, for an order above 3, if the free memory is little fragmented.

        Args:
            order: the order of the block that is wanted, 10 at most.
            node: the number of the node.
            priority: the effort of the run, as ``enum compact_priority``. ``"async"`` takes pages from
                movable pageblocks only, and passes over the rest of a block of the wanted order once a page
                in it stays; ``"sync_light"`` takes pages from all pageblocks; ``"sync_full"`` does so in the
                whole node, whatever the hints and the deferral say, and moves pages to pageblocks of any
                type. No run waits for a page lock, because the thread that allocates may hold that lock.
            moves: whether the result lists each page that moved.

        Raises:
            KernelError: EINVAL if there is no such node or order.
            MemoryError: if the host has no memory for the list of moves; pages that moved stay there.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback.
            ValueError: if there is no such priority."""
    def kcompactd(self, order: int, *, node: int = 0) -> Compacted:
        """Makes one run of a node's compaction daemon for a block of 2**``order`` frames (kcompactd_do_work).
        Scans like `compact_for` with ``"sync_light"``, but works for no allocation: when the run has scanned
        the node to its end, it does not ask for the skip hints to be cleared. The counters
        ``compact_daemon_*`` of `vmstat` count the run. Returns a `Compacted`.

        Args:
            order: the size of the wanted block, as a power of two of frames, 10 at most.
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node or order.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def compact_proactively(self, node: int = 0) -> Compacted | None:
        """Compacts a node as its daemon does in the background (proactive_compact_node). The aim is a
        `fragmentation_score` of 100 less the `compaction_proactiveness`, but at least 5. If the score is more
        than 10 above the aim, the run goes on until the score has reached the aim, or the whole node was
        scanned. Returns a `Compacted`, or ``None`` if the score is lower or the proactiveness is 0.

        Args:
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def fragmentation_score(self, node: int = 0) -> int:
        """Returns the share of a node's free memory that lies in blocks smaller than a pageblock, in percent
        (fragmentation_score_zone); 0 if nothing is free.

        Args:
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node."""
    def fragmentation_index(self, order: int, *, node: int = 0) -> int:
        """Returns the reason why an allocation of 2**``order`` frames of a node would fail, in thousandths
        (``extfrag_index`` of debugfs): towards 0 for lack of memory, towards 1000 because free memory is in
        pieces; -1000 if the allocation would not fail.

        Args:
            order: the size of the block, as a power of two of frames.
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node or order."""
    def compaction_state(self, node: int = 0) -> CompactionState:
        """Returns the state that a node keeps between two runs of compaction, as a `CompactionState`: the frames
        where the scanners begin, the skip hints of the pageblocks, and how many requests are left out.

        Args:
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node."""
    @property
    def compaction_proactiveness(self) -> int:
        """The eagerness with which background compaction lowers the fragmentation
        (``vm.compaction_proactiveness``): from 0, which switches it off, to 100. 20 at first. Setting it to
        more than 0 wakes the compaction daemons.

        Raises:
            KernelError: EINVAL for more than 100."""
    @compaction_proactiveness.setter
    def compaction_proactiveness(self, proactiveness: int) -> None: ...
    @property
    def compact_unevictable_allowed(self) -> bool:
        """True if compaction moves pages of the unevictable list, such as mlocked pages
        (``vm.compact_unevictable_allowed``). True at first."""
    @compact_unevictable_allowed.setter
    def compact_unevictable_allowed(self, allowed: bool) -> None: ...
    def pageblock_types(self, node: int = 0) -> tuple[MigrateType, ...]:
        """Returns the migratetype of each pageblock of a node, such as ``"movable"``, in the order of the
        frames. A pageblock has 2**``pageblock_order`` frames (a field of the profile), 512 by default.

        Args:
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node."""
    def set_pageblock_type(self, pfn: int, kind: MigrateType) -> None:
        """Sets the migratetype of the pageblock that holds a frame (set_pageblock_migratetype). From then on the
        pageblock's free frames are on the free lists of that type.

        Args:
            pfn: the number of any frame of the pageblock.
            kind: the migratetype, such as ``"movable"``.

        Raises:
            KernelError: EINVAL if there is no such frame.
            ValueError: if there is no such type."""
    def zsmalloc(self) -> ZsPool:
        """Creates a pool of zsmalloc: objects smaller than a page, in chains of pages that can move.

        Raises:
            KernelError: ENOMEM if the machine has no room for another pool, file or mapping."""
    def zram(
        self, size: str | int, *, compressor: Compressor = "lz4", limit: str | int | None = None
    ) -> Zram:
        """Creates a compressed block device of ``size`` (``"1MiB"`` or bytes, rounded up to whole pages), whose
        pool may have ``limit`` bytes of the machine's frames (rounded up to whole pages; without a limit by
        default). ``compressor`` is ``"lz4"``, by which each page takes as many bytes as in the kernel, or
        ``"lz4_flex"``.

        Raises:
            KernelError: EINVAL for a size of 0 or above 1 TiB, for a text that is no size, or on a machine
                that is not backed; ENOMEM if the machine has no room for another pool.
            MemoryError: if the host has no memory for the table of blocks.
            ValueError: if there is no such compressor."""
    def swapon(self, size: str | int | Zram) -> None:
        """Makes a swap space of ``size`` (``"1MiB"`` or bytes, rounded up to whole pages), or of a `Zram`
        device. Reclaim writes anonymous pages and pages of memory files to it; faults read them back. A
        device compresses the pages into frames of the machine itself.

        Raises:
            KernelError: EBUSY if there is a swap space already; EINVAL for a size of 0 or of 1 TiB and more,
                a text that is no size, or a device that was reset.
            MemoryError: if the host has no memory for the swap space.
            ValueError: if the device belongs to another machine."""
    def swapoff(self) -> None:
        """Reads all swapped-out pages back, then removes the swap space.

        Raises:
            KernelError: EINVAL if there is no swap space, EBUSY if another thread is removing it, ENOMEM if
                memory has no room for its pages, EIO if its device fails. After an error the swap space stays
                in use; some of its pages may be back in memory."""
    @property
    def swap(self) -> SwapUse:
        """The swap space, as a `SwapUse`: its pages, and how many of them are in use. Both are 0 without swap
        space."""
    def page_pool(self, *, ops: MovableOps | None = None) -> PagePool:
        """Creates a pool of movable pages. ``ops`` is the pages' owner: an object with the methods of
        `MovableOps`, which a migration calls to isolate a page, move it and put it back. Without ``ops`` the
        pages may move at any time.

        Raises:
            KernelError: ENOMEM if the machine has as many pools, files and mappings as it can have."""
    def balloon(self) -> Balloon:
        """Returns the balloon of the machine. The first call makes it; a machine has at most one.

        Raises:
            KernelError: ENOMEM if the machine has as many pools, files and mappings as it can have."""
    def migrate_pages(
        self,
        pages: Iterable[Isolated | Page | int],
        get_new_page: Callable[[Page], Node | int | PageRef | None] | None = None,
        *,
        node: int | None = None,
        mode: Mode = "sync",
        reason: Reason = "syscall",
    ) -> Migrated:
        """Migrates a list of pages (migrate_pages() in the kernel) and returns a `Migrated`. The list holds
        `Isolated` tokens, or pages (`Page` or frame number) that the call isolates itself. All tokens are
        spent, even if their pages could not move.

        Args:
            pages: the tokens and pages to move.
            get_new_page: called with the old `Page` before each attempt to move it. Returns a node, a fresh
                reference from `alloc`, or ``None``, which ends the migration with ENOMEM, except for a large
                page that can be split: its parts are tried then. The migration may hold the locks of other
                pages during the call, so calls that could wait for a page are refused inside of it.
            node: the node that all pages move to, instead of ``get_new_page``.
            mode: the waits that the migration may make, as ``enum migrate_mode``.
            reason: the reason that the tracepoint shows, as ``enum migrate_reason``.

        After an exception of ``get_new_page`` the migration goes on as after ``None``, without further calls
        of it. The pages that did not move are put back, then the exception is raised here.

        Raises:
            KernelError: EINVAL for a node or a frame number that does not exist.
            MisuseError: if a token was given back already or is twice in the list, a page belongs to another
                machine, or the reference from ``get_new_page`` is not that of a fresh page of the same order.
            TypeError: for neither or both of ``get_new_page`` and ``node``, or for an item of the list or an
                answer of ``get_new_page`` that is of another type.
            ValueError: if there is no such mode or reason."""
    def reclaim_pages(
        self, pages: Iterable[Isolated | Page | int], *, demote_to: int | None = None
    ) -> Reclaimed:
        """Reclaims a list of isolated pages, whatever their recent use (shrink_folio_list), and returns a
        `Reclaimed`: the numbers of pages demoted and freed. The list holds `Isolated` tokens, which are
        spent, or pages (`Page` or frame number) that the call isolates itself; a page that it cannot isolate
        is left out. With ``demote_to`` pages are first demoted to that node, as long as it has free frames.
        Pages that were neither demoted nor freed are put back.

        Args:
            pages: the tokens, pages and frame numbers.
            demote_to: the number of the node that takes demoted pages; ``None`` for no demotion.

        Raises:
            KernelError: EINVAL for a node or a frame number that does not exist.
            MisuseError: if a token was spent or is twice in the list, a page belongs to another machine, or a
                token is that of a movable page, whose content belongs to its owner.
            TypeError: for an item of the list that is of another type."""
    def page_states(self, pfns: ArrayLike) -> PageStates:
        """The states of many pages: an array of dtype ``PAGE_STATE`` and shape (pfns,), one record for each
        frame number. Each page is read on its own, so the array is no snapshot of the machine.

        Args:
            pfns: the frame numbers, a one-dimensional array of integers.

        Raises:
            KernelError: EINVAL if the machine has no such frame.
            MemoryError: if the host has no memory for the array.
            TypeError: if the numbers are no integers.
            ValueError: if they do not have one dimension."""
    def soft_offline_page(self, page: Page | int) -> None:
        """Takes a frame out of use whose content can still be read (soft_offline_page). The content moves to
        another frame, or is dropped if it can be read from disk again; no process is killed. ``page`` is a
        `Page` or a frame number.

        Raises:
            KernelError: EBUSY, EIO or ENOMEM if the frame must stay in use, EIO also if it is offline, ENXIO
                if the machine has no such frame. The page keeps its content, but a large page may have been
                split. Under profiles with ``poison=non_eagain`` (kernel 4.5), a frame whose page cannot move
                is poisoned all the same.
            MisuseError: if the page belongs to another machine."""
    def memory_failure(
        self, page: Page | int, *, current: AddressSpace | None = None
    ) -> tuple[Signal, ...]:
        """Handles the failure of a frame whose content is lost (memory_failure). Returns the signals sent.

        A process that maps the page gets a `SigbusError` on its next access. A clean page of a disk's file,
        and a clean page of the swap cache, is read again instead. If the page was dirty or cannot be
        unmapped, a `Signal` is sent at once to ``current`` and to processes with ``early_kill``, if they map
        the page: see `AddressSpace.on_sigbus`.

        Args:
            page: the page, or the frame number of the frame that failed.
            current: the process whose access met the failure; ``None`` if no access met it.

        Raises:
            KernelError: EBUSY if the frame is still in use or its page is of no kind that can be handled,
                EHWPOISON if the frame was poisoned before, ENXIO if it is offline or does not exist. Profile
                fields change two answers: ``failure_again_tells`` that of a second failure,
                ``unsplit_failure`` that of a large page that cannot be split. The frame is poisoned even if
                the call fails, unless it is offline or such a large page under ``unsplit_failure=forgotten``.
            MisuseError: if the page or ``current`` belongs to another machine."""
    def unpoison(self, page: Page | int) -> None:
        """Removes the poison from a frame and gives the frame back to the allocator (unpoison_memory). If
        another holder has the only reference, the frame stays in use until that is put. Poisoned page-table
        entries stay poisoned.

        Args:
            page: the page, or the frame number of the poisoned frame.

        Raises:
            KernelError: EBUSY if the frame is not poisoned, or is still in use (under profiles without
                ``unpoison_refusal_told`` the call then does nothing); EIO if the frame is offline, ENXIO if
                it does not exist.
            MisuseError: if the page belongs to another machine."""
    def inject(self, kind: FaultKind, *, at: int = 0, times: int | None = 1) -> Fault:
        """Makes one step of the machine's work fail on purpose: returns a `Fault`, which can strike while its
        ``with`` block lasts.

        Args:
            kind: ``"no_memory"``, ``"copy_failure"``, ``"extra_pin"``, ``"driver_error"``, ``"poison"``,
                ``"killed"`` or ``"spurious_wakeup"``. Each kind has its own sites: the places in the code
                where it can strike.
            at: the number of the first site where the fault strikes. Sites are counted from 0, in the order
                in which the block passes them.
            times: the number of consecutive sites where the fault strikes; ``None`` for all from ``at`` on.

        Raises:
            InputError: for an unknown kind, or if ``times`` is 0."""
    def strike(
        self,
        *,
        space: AddressSpace | None = None,
        address: int | None = None,
        rate: float | None = None,
        seed: int = 0,
        hard: bool = False,
    ) -> list[int]:
        """Makes frames fail, and returns the numbers of the frames poisoned. Give a ``space`` and an
        ``address``, whose page is faulted in first (as by MADV_SOFT_OFFLINE and MADV_HWPOISON); or give a
        ``rate``, with which each frame fails that is online and not poisoned yet. Signals are sent as by
        `memory_failure`.

        Args:
            space: the address space in which the page is found.
            address: a virtual address of ``space``, in bytes.
            rate: the probability with which each frame fails, from 0 to 1.
            seed: the seed of the choice of frames.
            hard: true for failures that lose the content (`memory_failure`), false for soft offline.

        Raises:
            InputError: if ``rate`` is not from 0 to 1.
            KernelError: EFAULT if nothing is mapped at the address; the errors of `soft_offline_page` or
                `memory_failure` if the page at the address could not be taken out of use. With a rate no
                error is raised: a frame that cannot be offlined is left out.
            MisuseError: if the space belongs to another machine.
            TypeError: for other combinations of ``space``, ``address`` and ``rate``."""
    @property
    def num_poisoned_pages(self) -> int:
        """The number of poisoned frames, as the kernel counts them (HardwareCorrupted in /proc/meminfo, there in
        kB)."""
    def map(self, node: int | None = None) -> NodeMaps:
        """Reads the layout of all nodes, or of one. Returns an `mmcore.results.NodeMaps`, which holds a letter
        for each frame and prints as a picture. The free frames of a node are read at one moment, all others
        one by one without a lock.

        Args:
            node: the number of the node; ``None`` for all nodes.

        Raises:
            KernelError: EINVAL if there is no such node.
            MemoryError: if the host has no memory for the letters."""
    def arrange(
        self,
        letters: str | bytes | NDArray[np.uint8],
        *,
        types: str | bytes | NDArray[np.uint8] | None = None,
        node: int = 0,
    ) -> Arrangement:
        """Fills a fresh node, one whose frames are all free, so that each frame is what its letter says. Returns
        the `Arrangement` that keeps the pages. No other thread may use the machine meanwhile.

        Args:
            letters: a letter of `mmcore.results.FRAME_KINDS` for each frame of the node, as a text, bytes or
                an array of uint8 of shape (frames,).
            types: a letter for each pageblock's migratetype (docs/maps.md), in the same forms; left out, the
                migratetypes stay as they are.
            node: the number of the node.

        Raises:
            KernelError: EINVAL if there is no such node, for a wrong number of letters, an unknown letter, a
                kind that cannot be arranged, or more pages that wait in batches than the batches hold; EBUSY
                for a frame in use; ENOMEM if the machine has as many pools, files and mappings as it can
                have. After an error the node is as it was.
            MemoryError: if the host has no memory for the pages of the layout.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback.
            TypeError: if letters or types are of another type."""
    def drain(self, *, cpu: int | None = None) -> None:
        """Drains the LRU batches of all CPUs (lru_add_drain_all), or of one (lru_add_drain_cpu).

        Args:
            cpu: the number of the CPU; ``None`` for all CPUs.

        Raises:
            KernelError: EINVAL if there is no such CPU."""
    def vmstat(self, *, node: int | None = None) -> Counters:
        """The counters of the machine, or of one node, under the kernel's names (/proc/vmstat). Pages are
        counted in base pages. Events belong to no node, and are counters of the machine only.

        Args:
            node: the number of the node; ``None`` for the whole machine.

        Raises:
            KernelError: EINVAL for a node that does not exist."""
    def trace(self) -> Tracing:
        """Records the machine's events while a ``with`` block lasts: steps of the page protocol and the kernel's
        tracepoints."""
    def audit(self) -> Audit:
        """Checks every invariant of the machine while no other call is running. The `Audit` is a tuple of
        findings, empty if there is no error.

        Raises:
            KernelError: EBUSY if within a second other threads' calls do not end, or other threads do not
                give back the page locks that they hold.
            MemoryError: if the host has no memory for the audit.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

@final
class Fault:
    """A fault that can strike while a ``with`` block lasts, from `Machine.inject`. A *site* is a place in the
    code where a fault of this kind can strike. Each block counts the sites that the machine's threads pass,
    from 0 on. A fault has one block at a time: a second one is refused with `MisuseError`.

    The end of the block drops the references that the fault took, and handles the frames that it poisoned as
    failed, so that processes get their signals then (`AddressSpace.on_sigbus`)."""
    @property
    def kind(self) -> FaultKind:
        """The kind of the fault."""
    @property
    def at(self) -> int:
        """The number of the first site where the fault strikes."""
    @property
    def times(self) -> int | None:
        """The number of consecutive sites where the fault strikes; ``None`` for all from ``at`` on."""
    @property
    def passed(self) -> int:
        """The number of sites that were passed in the running block, or in the last one."""
    @property
    def fired(self) -> int:
        """The number of times that the fault has struck in the running block, or in the last one; 0 if the block
        did not reach site ``at``."""
    @property
    def hits(self) -> tuple[FaultHit, ...]:
        """The first 1,024 strikes, each as a `FaultHit`: the site in words and the frame number, or ``None`` if
        the site concerns no frame."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

@final
class Tracing:
    """Records a machine's events while a ``with`` block lasts, from `Machine.trace`: entries into the kernel's
    functions that handle pages, returns from them, and the kernel's tracepoints, in order. Iteration yields
    the events recorded so far, inside of the block too. Another block begins a new recording.

    A machine has one recording at a time: a second one is refused with `MisuseError`."""
    @property
    def events(self) -> list[Event]:
        """The events recorded so far, in order, as a list of `Event`.

        Raises:
            MemoryError: if events were lost because the host had no memory for them."""
    def to_chrome(self, path: str | PathLike[str] | None = None) -> str:
        """Returns the events as JSON in the Trace Event Format, which Perfetto (ui.perfetto.dev) and
        chrome://tracing open. With ``path`` the JSON is also written to that file.

        Raises:
            MemoryError: if events were lost because the host had no memory for them.
            OSError: if the file cannot be written."""
    def __iter__(self) -> Iterator[Event]: ...
    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

@final
class Node:
    """A NUMA node: a range of frames with its own lruvec and buddy allocator."""
    @property
    def number(self) -> int:
        """The node's number."""
    @property
    def base(self) -> int:
        """The number of the first frame."""
    @property
    def frames(self) -> int:
        """The number of frames."""
    @property
    def latency_ns(self) -> int:
        """The modelled access time in nanoseconds."""
    @property
    def free(self) -> int:
        """The number of free frames, in the buddy lists and in the per-CPU arrays."""
    @property
    def managed(self) -> int:
        """The number of managed pages: the online frames of the node, less those that a balloon has taken."""
    @property
    def blocks(self) -> tuple[Literal["offline"] | Zone, ...]:
        """The state of each memory block, in their order: ``"offline"``, or the zone of an online block:
        ``"kernel"`` or ``"movable"``. Empty for a node that is smaller than a block."""
    def set_huge_pages(self, count: int, *, size: str | int | None = None) -> int:
        """Grows or shrinks the node's pool of huge pages to ``count`` pages of ``size`` (``"2MiB"``, the
        default, or bytes; rounded up to whole base pages), as far as there is memory (a write to
        nr_hugepages). Returns the number of pages in the pool. A page above 4 MiB is a range of frames that
        is emptied for the pool: the pages in the range move to other frames.

        Raises:
            InputError: if ``size`` is a text that is no size, or a number of 16 TiB or more.
            KernelError: EINVAL if the size is no power of two from 8 KiB to 64 GiB."""
    def __index__(self) -> int: ...

@final
class CpuBinding:
    """Binds the thread that enters the ``with`` block to one CPU, from `Machine.cpu`. At the end of the block
    the thread's earlier binding is restored, so blocks can be nested. A block must end in the thread that
    entered it; any other thread gets a `MisuseError`."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

# --- pages and what is held on them ---

@final
class Page:
    """A frame, named by its number, as a ``struct page *`` names one in the kernel. A `Page` holds no
    reference. It can be read while the frame is free, too, and other threads may change the page between
    two reads."""
    @property
    def pfn(self) -> int:
        """The frame's number."""
    @property
    def node(self) -> int:
        """The node that the frame belongs to."""
    @property
    def refcount(self) -> int:
        """The reference count."""
    @property
    def mapcount(self) -> int:
        """The number of page-table entries that map the page."""
    @property
    def flags(self) -> tuple[PageFlag, ...]:
        """The names of the flags that are set, in lower case as the kernel's tools print them: ``uptodate``."""
    @property
    def order(self) -> int:
        """log2 of the number of base pages in the large page, or in the free block, that begins at this frame. 0
        for a base page."""
    @property
    def head(self) -> Page:
        """The head of the large page that this page is part of. The head has the count, the flags and the lock
        of the whole large page. A base page is its own head."""
    def holders(self) -> tuple[Holder, ...]:
        """The holders of references on the page, as `mmcore.results.Holder` objects. A part of a large page has
        the holders of the whole."""
    def state(self) -> PageState:
        """Reads number, node, order, count, mapcount, flags and holders in one call, as a `PageState`. Count and
        flags are those of one moment; the other values may be of another if threads change the page
        meanwhile."""
    def get(self) -> PageRef:
        """Takes a counted reference (``folio_try_get``). A reference on a part of a large page keeps the whole.

        Raises:
            KernelError: EBUSY if the page is free or frozen, ENOMEM if its count is at the limit."""
    def pin(self) -> Pin:
        """Takes a pin, as a device does: 1024 references, or 1 in kernels without counted pins (profile field
        ``pins``). The page cannot move until the pin is given back. A buffer over the pin,
        ``memoryview(pin)``, shows the page's bytes. The call waits while a migration or another operation has
        the page locked; a page lock that a handle holds is no obstacle.

        Raises:
            KernelError: EBUSY if the frame is free or frozen, or if the page moved or was freed during the
                call, and for a movable page in kernels without counted pins; ENOMEM if the count is at its
                limit.
            MisuseError: if the call would have to wait and is made inside of a callback. A callback runs
                under page locks, and the awaited lock may be one of them."""
    def isolate(self) -> Isolated:
        """Isolates the page: takes it off its LRU list (``folio_isolate_lru``), or from its owner if it is
        movable (``isolate_movable_page``). A part of a large page is isolated with the whole.

        Raises:
            KernelError: EBUSY if the page is on no list because it waits in a batch, is isolated or is free,
                or if the owner of a movable page refuses."""
    def split(self) -> None:
        """Splits the large page that this page is part of into base pages (``split_folio``). Base pages that are
        mapped nowhere are freed. A base page is left as it is. Use `PageRef.split` for a page that the script
        has allocated. Waits for the page lock.

        Raises:
            KernelError: EAGAIN if the page has references beside its mappings, such as those of handles, pins
                or batches; EBUSY if it is free, frozen or of a kind that cannot be split.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def trylock(self) -> PageLock | None:
        """Takes the page lock, with a reference that keeps the page. Never waits: returns ``None`` if the lock
        is taken, be it by this thread.

        Raises:
            KernelError: EBUSY if the page is free or frozen, ENOMEM if its count is at the limit."""
    def lock(self, *, timeout: float | None = None) -> PageLock:
        """Takes the page lock, with a reference that keeps the page. Waits while another thread has the lock.

        Args:
            timeout: the longest wait in seconds; left out, the wait has no end.

        Raises:
            KernelError: EBUSY if the page is free or frozen, ENOMEM if its count is at the limit.
            MisuseError: if this thread has the lock already, or if the lock is taken and this thread is
                inside of an owner's callback: the call that made the callback holds page locks, and waiting
                could deadlock.
            TimeoutError: if the lock was not free within ``timeout`` seconds.
            ValueError: if ``timeout`` is negative, not a number, or too large."""
    def peek(self) -> bytes:
        """Copies the 4,096 bytes of the page that is in the frame, word by word. Writes of other threads may
        come in between, as on real hardware.

        Raises:
            KernelError: EBUSY if the frame is free or frozen; ENODATA if the page has no content yet, because
                it is being filled or was only allocated; ENODEV on an unbacked machine."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...

@final
class FrameRange:
    """The frames of a contiguous range, from `Machine.alloc_range`. Each frame is a page that nobody else uses.
    As a context manager the range is freed at the end of the block; a block over a range that was freed
    before raises `MisuseError`."""
    @property
    def first(self) -> int:
        """The number of the first frame."""
    @property
    def count(self) -> int:
        """The number of frames."""
    @property
    def freed(self) -> bool:
        """True if the range was freed."""
    def free(self) -> None:
        """Gives all frames back (free_contig_range). If a signal handler raises an exception, some frames may be
        left, and another call gives them back.

        Raises:
            MisuseError: if the range was freed already."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __len__(self) -> int: ...

@final
class PageRef:
    """One counted reference, from `Page.get` or `Machine.alloc`."""
    @property
    def page(self) -> Page:
        """The page that the handle holds."""
    def put(self) -> None:
        """Drops the reference; the last one frees the page.

        Raises:
            MisuseError: if the reference was given back already."""
    def split(self) -> list[PageRef]:
        """Splits a large page into base pages (split_huge_page), if this is the only reference to it. Spends
        the reference and returns one reference to each base page, in order. A base page is not split: the
        reference is spent, and a new one is returned in its place.

        Raises:
            KernelError: EAGAIN if the page has other references; EBUSY if the reference was taken by a
                frame that is not the page's first, or if the page is of a kind that cannot be split. The
                reference stays valid.
            MisuseError: if the reference was given back already; if this thread holds a page lock or has
                begun a write to disk, or is inside of a callback."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

@final
class PageLock:
    """The page lock, from `Page.lock`, with a reference that keeps the page from being freed."""
    @property
    def page(self) -> Page:
        """The page that the handle holds."""
    def unlock(self) -> None:
        """Unlocks the page and drops the reference.

        Raises:
            MisuseError: if the lock was given back already."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

@final
class Writeback:
    """A write of a page to disk that has begun, from `File.begin_writeback`. It needs no reference: a page
    under writeback stays in the page cache."""
    @property
    def page(self) -> Page:
        """The page that the handle holds."""
    def end(self) -> None:
        """Ends the write, as the device does when it has read the page (folio_end_writeback), and wakes the
        threads that wait for the end of the write. On a backed machine the page's bytes at this moment are
        those that reach the disk.

        Raises:
            MisuseError: if the write was ended already."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

@final
class File:
    """A file with a page cache, from `Machine.file`. Python references do not keep it alive: it ends when it has
    been removed (`remove`) and no region maps it, or when the machine is closed."""
    @property
    def kind(self) -> FileKind:
        """The file's backing: ``"disk"``, ``"tmpfs"`` or ``"shm"``."""
    @property
    def pages(self) -> int:
        """The size in pages."""
    @property
    def removed(self) -> bool:
        """True if `remove` has been called."""
    @property
    def cached(self) -> int:
        """The number of the file's pages that are in the page cache."""
    def page(self, number: int = 0) -> Page | None:
        """Returns the `Page` of a cached page, without a reference to it; ``None`` if the page is not cached.

        Args:
            number: the number of the page within the file, from 0; negative numbers count from the end.

        Raises:
            IndexError: if the file has no such page."""
    def read(self, size: int, *, offset: int = 0, node: int = 0) -> bytes:
        """Reads ``size`` bytes at byte ``offset``, as ``pread(2)``. Pages that are not cached are read into
        frames of ``node``, or of another node if that has none. A page that a file without a disk never had
        reads as zeroes, and takes no frame.

        Raises:
            KernelError: EFAULT beyond the end, EINVAL for a node that does not exist, ENOMEM without a free
                frame, EBADF for a removed file, EIO for a bad frame of a file without a disk or if the disk
                or the swap space fails.
            MemoryError: if the host has no memory for the bytes.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def write(self, data: Buffer, *, offset: int = 0, node: int = 0) -> None:
        """Writes bytes at byte ``offset``, as ``pwrite(2)``. If a page fails, the pages before it are written.

        Args:
            data: the bytes to write.
            offset: the place of the first byte within the file, in bytes.
            node: the number of the node that is tried first for missing pages.

        Raises:
            KernelError: EFAULT beyond the end, EINVAL for a node that does not exist, ENOMEM without a free
                frame, EBADF for a removed file, EIO for a bad frame of a file without a disk or if the disk
                or the swap space fails.
            MemoryError: if the host has no memory for a copy of the bytes.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def sync(self, start: int = 0, stop: int | None = None) -> int:
        """Writes the dirty pages from ``start`` up to ``stop``, numbers of pages, to disk (fsync); all by
        default. Returns the number of pages written: 0 for a file without a disk.

        Raises:
            KernelError: EBADF for a removed file; EIO, once, if dirty data was lost with a bad frame or a
                failed write. The other pages are written all the same.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def begin_writeback(self, number: int = 0) -> Writeback | None:
        """Begins to write a page to disk; returns ``None`` if the page is not cached or not dirty, or if the
        file has no disk. The device reads the frame until the returned `Writeback` is ended. Until then no
        migration moves the page: one in ``sync`` mode waits for the end of the write, any other fails.

        Args:
            number: the number of the page within the file, from 0; negative numbers count from the end.

        Raises:
            IndexError: if the file has no such page.
            KernelError: EBADF for a removed file.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def evict(self, start: int = 0, stop: int | None = None) -> Evicted:
        """Evicts clean, unused pages from ``start`` up to ``stop``, numbers of pages, from the page cache
        (invalidate_mapping_pages); all by default. Returns the numbers of pages evicted and kept, as
        `Evicted`.

        Raises:
            KernelError: EBADF for a removed file.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def truncate(self, pages: int) -> None:
        """Shortens the file to ``pages`` pages (truncate_pagecache). Pages beyond the new end are dropped; they,
        and private copies of them, are unmapped from all processes. If a signal handler ends the call, the
        file may be longer than ``pages`` still.

        Raises:
            KernelError: EINVAL for more pages than the file has, EBADF for a removed file.
            MisuseError: if this thread holds a page lock or has begun a write to disk, or is inside of a
                callback."""
    def remove(self) -> None:
        """Removes the file. The file ends, with all its pages, when no region maps it any more. Removing it
        again is no error.

        Raises:
            MisuseError: while a write of one of its pages to disk has begun and not ended; if this thread
                holds a page lock or has begun a write to disk, or is inside of a callback."""
    def __len__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Pin:
    """A pin, from `Page.pin` or `Region.pin`. A buffer over the pin (`memoryview(pin)`) shows the 4,096
    bytes of the page, and can be written. The pin cannot be given back while the buffer exists, so the
    buffer never shows another page's bytes. A pin on an unbacked machine refuses a buffer with
    `BufferError`, because pages have no bytes there."""
    @property
    def page(self) -> Page:
        """The page that the handle holds."""
    def unpin(self) -> None:
        """Gives the pin back (unpin_user_page).

        Raises:
            BufferError: while a buffer over the pin exists.
            MisuseError: if the pin was given back already."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...

@final
class Isolated:
    """An isolation token: the page is off its LRU list, or taken from its owner if it is movable, and the
    token holds the isolation's reference. The token is spent once: by `put`, `putback` or `migrate`, or
    as an item of the list for `Machine.migrate_pages` or `Machine.reclaim_pages`."""
    @property
    def page(self) -> Page:
        """The page that the handle holds."""
    def put(self) -> None:
        """Drops the isolation's reference without putting the page on a list. The page is freed if nobody
        else holds it.

        Raises:
            KernelError: EBUSY for a page that is mapped, in a file or in the swap cache: off its list,
                reclaim would never find it. Use `putback`; the token stays valid.
            MisuseError: if the token was given back already; for a movable page, which its owner must get
                back."""
    def putback(self) -> None:
        """Puts the page back on its LRU list through a batch (putback_lru_page), or gives a movable page back to
        its owner (putback_movable_page).

        Raises:
            MisuseError: if the token was given back already; for a movable page also if this thread holds the
                page's lock or is inside of a callback."""
    def migrate(self, *, node: int, mode: Mode = "sync", reason: Reason = "syscall") -> Page:
        """Migrates the page to ``node`` (migrate_pages() in the kernel) and returns the page that has its
        content now. If all other users dropped the page before it moved, the old page is returned, which
        is free then.

        A call that begins spends the token in any case: a page that could not move is put back. A call
        that is refused with `MisuseError` or `ValueError` leaves the token valid.

        Args:
            node: the number of the node to which the page moves.
            mode: the waits that the migration may make, as ``enum migrate_mode``.
            reason: the reason that the tracepoint shows, as ``enum migrate_reason``.

        Raises:
            KernelError: EBUSY if the page could not move, for example because another holder had a
                reference in every pass; ENOMEM if ``node`` has no free frame; EINVAL for a node that does
                not exist, or for the reasons ``"memory_failure"`` and ``"demotion"``, which only
                `Machine.migrate_pages` takes.
            MisuseError: if the token was given back already; if the call could wait for the page's lock
                or call an owner, and this thread holds that lock or is inside of a callback.
            ValueError: if there is no such mode or reason."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *_exception: object,
    ) -> None: ...

# --- compressed content ---

@final
class ZsPool:
    """A pool of zsmalloc, from `Machine.zsmalloc`: objects smaller than a page, packed into chains of pages that
    can move. An object is named by a handle, a number that stays the same while the object moves. The handle
    of a freed object is never valid again.

    A pool that is deleted without objects is closed. A pool with objects stays until the machine is closed,
    with a `ResourceWarning`.

    All methods can be called from any thread."""
    @property
    def usage(self) -> ZsUse:
        """The use of the pool, as a `ZsUse`."""
    def put(self, content: bytes, *, node: int = 0) -> int:
        """Stores 1 to 4096 bytes in frames of ``node``, or of another node if that has none (zs_malloc), and
        returns the handle of the object.

        Args:
            content: the bytes of the object, 1 to 4096.
            node: the number of the node that gives frames first.

        Raises:
            KernelError: ENOMEM if no frame is free; EINVAL for no bytes, or a closed pool; ENOSPC for too
                many bytes, before 6.8 EINVAL; EBUSY while another thread closes the pool."""
    def get(self, handle: int) -> bytes:
        """Returns the bytes of an object.

        Args:
            handle: the handle of the object, from `put`.

        Raises:
            KernelError: EINVAL if the handle names no object."""
    def free(self, handle: int) -> None:
        """Frees an object.

        Args:
            handle: the handle of the object, from `put`.

        Raises:
            KernelError: EINVAL if the handle names no object."""
    def compact(self) -> int:
        """Moves objects out of the emptiest zspages of each class into the fullest (zs_compact), and returns the
        number of pages of the zspages that became empty; 0 if another thread is compacting the pool."""
    def zspages(self) -> list[ZspageCount]:
        """The zspages: a `ZspageCount` for each class and number of objects."""
    def pages(self) -> list[Page]:
        """The pages of all zspages at the time of the call. They can be isolated and migrated."""
    def close(self) -> None:
        """Closes the pool, which must have no object, and makes room for another pool or file. Closing again is
        no error. The call waits for page locks of the pool's pages; on kernels up to 5.16 also until no page
        of the pool is isolated.

        Raises:
            KernelError: EBUSY if there are objects, or another thread uses the pool."""
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class Zram:
    """A compressed block device, from `Machine.zram`. A block is a page of 4096 bytes. It is compressed and kept
    in frames of the machine; a page of one repeated word takes no frame. The device can be the machine's swap
    space: `Machine.swapon`. A device that is deleted is reset, as soon as it is not the swap space.

    All methods can be called from any thread."""
    @property
    def mm_stat(self) -> ZramUse:
        """The counters of the kernel's file mm_stat, as a `ZramUse`."""
    def write(self, block: int, content: bytes, *, node: int = 0) -> None:
        """Writes a block: 4096 bytes, compressed into frames of ``node``, or of another node if that has none
        (zram_write_page). After an error the block has its old content, unless a reset has discarded it.

        Args:
            block: the number of the block within the device, from 0.
            content: the 4096 bytes of the block.
            node: the number of the node that gives frames first.

        Raises:
            KernelError: ENOMEM if no frame is free, or the pool would exceed the limit; EINVAL if the device
                has no such block, or was reset or is being reset; EBUSY while the reset closes the pool;
                ETXTBSY if the device is the swap space.
            ValueError: if there are not 4096 bytes."""
    def read(self, block: int) -> bytes:
        """Returns the 4096 bytes of a block: zeroes if it was never written, or was discarded.

        Args:
            block: the number of the block within the device, from 0.

        Raises:
            KernelError: EINVAL if the device has no such block; EIO if its compressed bytes are damaged."""
    def discard(self, block: int) -> None:
        """Discards the content of a block.

        Args:
            block: the number of the block within the device, from 0.

        Raises:
            KernelError: EINVAL if the device has no such block; EBUSY if the device is the swap space."""
    def compact(self) -> int:
        """Compacts the pool of the device, as `ZsPool.compact` does, and returns the same number."""
    def zspages(self) -> list[ZspageCount]:
        """The zspages of the device's pool: a `ZspageCount` for each class and number of objects."""
    def pages(self) -> list[Page]:
        """The pages of all zspages at the time of the call. They can be isolated and migrated."""
    def reset(self) -> None:
        """Discards all blocks and closes the device, which must not be the swap space. Resetting again is no
        error. Waits as `ZsPool.close` does.

        Raises:
            KernelError: EBUSY if the device is the swap space or another thread resets it, with nothing
                changed; EBUSY if another thread uses it, when some or all blocks are discarded."""
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...

# --- movable pages ---

@final
class PagePool:
    """A pool of movable pages outside of the LRU, from `Machine.page_pool`. A page keeps its number in the pool
    when it moves to another frame. The number of a released page is used again.

    A machine has room for 65,536 pools, files and mappings at a time. An empty pool makes room when its
    Python object is deleted; a pool with pages stays, with its owner, until the last page is released."""
    @property
    def released(self) -> int:
        """The number of pages that were released and freed."""
    def add(self, *, node: int = 0) -> int:
        """Allocates a zeroed page of ``node`` and returns its number in the pool.

        Raises:
            KernelError: ENOMEM without a free page, EINVAL for a node that does not exist."""
    def release(self, number: int) -> None:
        """Releases a page. The machine's profile decides how. Under release designs whose puts look for an
        owner, the pool drops its reference, and the thread that drops the last reference calls ``released``.
        Under the other designs the pool first clears the page's movable mark under the page lock, and
        ``released`` is not called.

        Args:
            number: the number of the page within the pool, as `add` returned it.

        Raises:
            KernelError: EINVAL if the pool has no page of that number.
            MisuseError: if the call would wait for the page's lock, and this thread holds that lock or is
                inside of a callback."""
    def page(self, number: int) -> Page:
        """Returns the page's frame at the time of the call; a migration may move the page afterwards.

        Args:
            number: the number of the page within the pool.

        Raises:
            KernelError: EINVAL if the pool has no page of that number."""
    def read(self, number: int, word: int = 0) -> int:
        """Reads one word of a page.

        Args:
            number: the number of the page within the pool.
            word: the number of the word of 8 bytes within the page, from 0.

        Raises:
            KernelError: EINVAL if the pool has no page of that number.
            IndexError: if a page has no such word."""
    def write(self, number: int, word: int, value: int) -> None:
        """Writes one word of a page.

        Args:
            number: the number of the page within the pool.
            word: the number of the word of 8 bytes within the page, from 0.
            value: the new value, an unsigned number of 64 bits.

        Raises:
            KernelError: EINVAL if the pool has no page of that number.
            IndexError: if a page has no such word."""
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class Balloon:
    """The balloon of a machine, from `Machine.balloon`: pages that the machine has given back to its host, as
    virtio-balloon does. They are movable pages outside of the LRU: a migration gives the host another page
    instead.

    The profile's field ``deflate_on_oom`` decides whether an allocation of at most 8 frames that finds no
    block on any node takes up to 256 pages out of the balloon (virtballoon_oom_notify)."""
    @property
    def size(self) -> int:
        """The number of pages in the balloon, those isolated for a migration included."""
    @property
    def isolated(self) -> int:
        """The number of pages in the balloon that are isolated for a migration."""
    def inflate(self, pages: int, *, node: int = 0) -> int:
        """Puts up to ``pages`` base pages into the balloon (fill_balloon): of ``node`` as long as it has free
        frames, then of the other nodes. Returns the number of pages put in. It is smaller if the machine has
        no more free frames, or another thread has locked a fresh page by its frame number.

        Raises:
            KernelError: EINVAL if there is no such node.
            MemoryError: if the host has no memory for the list of pages; pages that came in before stay."""
    def deflate(self, pages: int) -> int:
        """Takes up to ``pages`` base pages out of the balloon and frees them (leak_balloon). The page that came
        in last leaves first. Returns the number of pages taken out. It is smaller if the balloon has fewer,
        or a page is isolated or locked."""
    def resize(self, pages: int, *, node: int = 0) -> int:
        """Inflates or deflates the balloon towards ``pages`` pages. Returns its size afterwards.

        Args:
            pages: the size to reach, in base pages.
            node: the number of the node that gives frames first.

        Raises:
            KernelError: EINVAL if the balloon is to grow and there is no such node.
            MemoryError: if the host has no memory for the list of pages; pages that came in before stay."""
    def pages(self) -> tuple[Page, ...]:
        """The pages in the balloon that are not isolated, as `Page` objects, in the order in which `deflate`
        takes them."""

@final
class ExploredPage:
    """A page of an explored program, as an owner's callback sees it. It holds no reference. Its state is that at
    the step in which the callback runs. After the callback the content can be neither read nor written, and
    no reference can be put."""
    @property
    def pfn(self) -> int:
        """The number of the frame."""
    @property
    def node(self) -> int:
        """The node that the frame belongs to."""
    @property
    def refcount(self) -> int:
        """The reference count."""
    @property
    def flags(self) -> tuple[PageFlag, ...]:
        """The names of the flags that are set."""
    def read(self, word: int = 0) -> int:
        """Reads one word of the content.

        Args:
            word: the number of the word of 8 bytes within the page, from 0.

        Raises:
            IndexError: if a page has no such word.
            MisuseError: after the callback."""
    def write(self, word: int, value: int) -> None:
        """Writes one word of the content.

        Args:
            word: the number of the word of 8 bytes within the page, from 0.
            value: the new value, an unsigned number of 64 bits.

        Raises:
            IndexError: if a page has no such word.
            MisuseError: after the callback."""
    def copy_from(self, source: ExploredPage) -> None:
        """Copies the content of another page.

        Args:
            source: the page whose content is copied.

        Raises:
            MisuseError: after the callback."""
    def put(self) -> None:
        """Puts a reference of the owner as soon as the callback returns or refuses by an `OSError`. No reference
        is put after any other exception.

        Raises:
            MisuseError: after the callback."""
    def __index__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

# --- address spaces ---

@final
class AddressSpace:
    """The memory of a process, from `Machine.address_space`. It ends with `exit`, or when the machine is closed,
    and not when the last Python reference to it is gone."""
    @property
    def id(self) -> int:
        """The number of the address space."""
    def mmap(
        self,
        size: str | int | None = None,
        *,
        node: int = 0,
        file: File | None = None,
        offset: int = 0,
        private: bool = False,
        random: bool = False,
        order: int = 0,
    ) -> Region:
        """Maps memory and returns the `Region`. ``size`` is ``"16MiB"`` or bytes, rounded up to whole pages. The
        first store to a page, or the first load of a file's page, takes a frame of ``node``, or of another
        node if that has none.

        Args:
            size: the size of the region; by default the part of the file from ``offset`` to its end.
            file: the file to map; anonymous memory by default.
            offset: the first byte of the file to map, a multiple of 4,096.
            private: stores go to private copies of the pages, and leave the file as it is.
            random: accesses are in no order (MADV_RANDOM), and do not count as use of the page (except under
                profiles with ``random_marks_accessed``).
            order: for anonymous memory: faults allocate large pages of 2**order base pages where one fits.

        Raises:
            InputError: if ``offset`` is no multiple of 4,096.
            KernelError: EINVAL for a size of 0 or a text that is no size, and for a node, an order or a part
                of the file that does not exist; ENOMEM for more anonymous or private pages than the machine
                has frames, or if the machine has as many regions as it can have; EBADF for a removed file;
                ESRCH after `exit`.
            MisuseError: if the file belongs to another machine.
            TypeError: for ``offset``, ``private`` or ``random`` without a file, for ``order`` with a file,
                or for anonymous memory without a size."""
    def fork(self) -> AddressSpace:
        """Forks the process: the child shares this space's pages until one of the two writes to them (copy on
        write).

        Raises:
            KernelError: ENOMEM if a page that may be pinned cannot be copied, or has as many references as it
                can have; EAGAIN if all numbers of address spaces are used up; ESRCH after `exit`."""
    def exit(self) -> None:
        """Unmaps everything and ends the address space; nothing can be mapped afterwards. Ending it again is no
        error. If a signal handler ends the call, another call unmaps the rest.

        Raises:
            MisuseError: if the call may wait for a page lock, and this thread holds one or is inside of a
                callback."""
    def migrate_pages(self, source: int, target: int) -> int:
        """Moves all pages of the process from node ``source`` to node ``target`` (migrate_pages(2)), also those
        that other processes map. Returns the number of pages that could not be moved.

        Raises:
            KernelError: EINVAL if ``target`` does not exist, or ``source`` is a number that no node can have
                (a node ``source`` that does not exist has no pages); ENOMEM without a free frame on
                ``target``."""
    def numa_fault(self, address: int, node: int) -> int:
        """Handles a NUMA hint fault at an address, by a thread that runs on ``node`` (do_numa_page). If the
        policy allows, the page migrates to ``node``, without waiting. Returns the node of the page
        afterwards.

        Args:
            address: the virtual address, in bytes.
            node: the number of the node of the thread.

        Raises:
            KernelError: EFAULT if no page is mapped there, EINVAL for a node that does not exist."""
    @property
    def early_kill(self) -> bool:
        """True if the process gets its signal as soon as a page is lost (PR_MCE_KILL_EARLY), and not only when
        it accesses the page."""
    @early_kill.setter
    def early_kill(self, early: bool, /) -> None: ...
    def on_sigbus(self, handler: Callable[[Signal], object] | None) -> None:
        """Calls ``handler`` with each `Signal` that a memory failure sends to the process: see
        `Machine.memory_failure`. A later access to the lost page calls no handler, it raises `SigbusError`.
        ``None`` removes the handler. Without a handler signals are ignored.

        Raises:
            TypeError: if ``handler`` is neither a callable nor ``None``."""
    def page_at(self, address: int) -> Page | None:
        """Returns the page that is mapped at an address; ``None`` if there is none.

        Args:
            address: the virtual address, in bytes."""
    def move_pages(
        self, addresses: ArrayLike, nodes: ArrayLike, *, move_all: bool = False
    ) -> NDArray[np.int32]:
        """Moves the pages at ``addresses`` (in bytes) to ``nodes`` (one for each address, or one for all) as
        ``move_pages(2)`` does. Returns the status of each page, as an array of int32 and shape (addresses,):
        its node, a negative errno, or `UNWRITTEN` where the kernel does not write the entry.

        ``move_all`` also moves pages that several processes map (MPOL_MF_MOVE_ALL).

        Raises:
            KernelError: ENODEV for a node that does not exist or has no memory online, or ENOMEM if a node
                has no free frame; pages before the failure may have moved.
            MemoryError: if the host has no memory for the list or the statuses; nothing has moved then.
            TypeError: if addresses or nodes are no integers.
            ValueError: if there are not as many nodes as addresses, or the values have more than one
                dimension."""
    def query_pages(self, addresses: ArrayLike) -> NDArray[np.int32]:
        """Returns the node of the page at each of ``addresses`` (in bytes), or a negative errno, as
        ``move_pages(2)`` without nodes does: an array of int32 and shape (addresses,).

        Raises:
            MemoryError: if the host has no memory for the statuses.
            TypeError: if the addresses are no integers.
            ValueError: if they do not have one dimension."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Region:
    """A mapped range of addresses, from `AddressSpace.mmap`. Indices and slices count bytes, which are read and
    written through the page table as the process would. In the methods ``number``, ``start`` and ``stop``
    count pages."""
    @property
    def address(self) -> int:
        """The address of the first byte."""
    @property
    def pages(self) -> int:
        """The size in pages."""
    @property
    def space(self) -> AddressSpace:
        """The address space of the region."""
    @property
    def file(self) -> File | None:
        """The mapped file; ``None`` for anonymous memory."""
    def addresses(self) -> NDArray[np.uint64]:
        """The addresses of the pages in bytes, as an array of uint64 and shape (pages,)."""
    def page(self, number: int = 0) -> Page:
        """Returns the `Page` that a page number is mapped to, without a reference to it.

        Args:
            number: the number of the page within the region, from 0.

        Raises:
            IndexError: if the region has no such page.
            KernelError: ENOENT if no frame is mapped there. The first store maps one, and in a file's mapping
                the first load. While a migration moves the page, and while the page is swapped out, no frame
                is mapped."""
    def fault(self, number: int = 0, *, write: bool = True) -> None:
        """Handles one page fault of a load, or of a store.

        Args:
            number: the number of the page within the region, from 0.
            write: true for a store, false for a load.

        Raises:
            KernelError: EFAULT if nothing is mapped there, ENOMEM without a free frame, EIO if the disk or
                the swap space fails.
            SigbusError: EHWPOISON for a bad frame.
            IndexError: if the region has no such page."""
    def pin(self, number: int = 0, *, write: bool = True) -> Pin:
        """Pins a page as ``pin_user_pages`` does with FOLL_LONGTERM. The page is faulted in first. In memory for
        movable pages only, the page then moves to another node before it is pinned (except under profiles
        without ``longterm_moves``).

        Args:
            number: the number of the page within the region, from 0.
            write: true if the holder will write to the page.

        Raises:
            IndexError: if the region has no such page.
            KernelError: EFAULT if nothing is mapped there or the frame is bad; ENOMEM without a frame to
                fault the page in, if the page cannot move to another node, or if its count is at the limit;
                EAGAIN if other threads had the page isolated at each attempt; EIO if the disk or the swap
                space fails; EFAULT or EOPNOTSUPP, by the kernel's version, for a pin for writing of a shared
                mapping of a disk's file."""
    def read_into(self, buffer: Buffer, *, offset: int = 0) -> None:
        """Fills a buffer with the bytes at byte ``offset``.

        Args:
            buffer: a writable buffer; as many bytes are read as it has.
            offset: the place of the first byte within the region, in bytes.

        Raises:
            KernelError: EFAULT if part of the bytes is outside of the region or unmapped, ENOMEM without a
                frame, EIO if the disk or the swap space fails.
            MemoryError: if the host has no memory for a copy of the bytes.
            SigbusError: if a frame is poisoned.
            TypeError: if the buffer is read-only."""
    def msync(self, start: int = 0, stop: int | None = None) -> int:
        """Writes the dirty pages from ``start`` up to ``stop`` of a shared file mapping to disk (msync with
        MS_SYNC), all by default. Returns the number of pages written: 0 for other memory.

        Raises:
            KernelError: EIO, once, if dirty data was lost with a failed frame or a failed write; EBADF if the
                file was removed; ENOMEM if part of the range is not mapped."""
    def madvise(self, advice: Advice, start: int = 0, stop: int | None = None) -> None:
        """Gives advice about the pages from ``start`` up to ``stop`` (madvise), all by default: ``"cold"``,
        ``"pageout"``, ``"dontneed"``, ``"free"`` or ``"willneed"``.

        Args:
            advice: the advice.
            start: the number of the first page within the region.
            stop: the number of the page behind the last one; ``None`` for the end of the region.

        Raises:
            KernelError: EINVAL for a range that is empty or beyond the region, for locked memory (except
                ``"willneed"``), and for ``"free"`` of a file's memory; ENOMEM if part of the range is not
                mapped. The parts before the error are done, and those after a hole too.
            ValueError: if there is no such advice."""
    def mlock(self, start: int = 0, stop: int | None = None) -> None:
        """Locks the pages from ``start`` up to ``stop`` into memory (mlock), all by default. Missing pages are
        faulted in, and reclaim leaves locked pages alone.

        Raises:
            KernelError: EINVAL for a range that is empty or beyond the region; ENOMEM if part of the range is
                not mapped, or there is no free frame; EFAULT for a poisoned page; EIO if the disk or the swap
                space fails. Pages before the error may be locked."""
    def munlock(self, start: int = 0, stop: int | None = None) -> None:
        """Unlocks the pages from ``start`` up to ``stop`` (munlock), all by default, so that reclaim can take
        them.

        Raises:
            KernelError: EINVAL for a range that is empty or beyond the region; ENOMEM if part of the range is
                not mapped: the pages before the hole are unlocked then."""
    def mbind(
        self,
        node: int,
        start: int = 0,
        stop: int | None = None,
        *,
        preferred: bool = False,
        move: bool = False,
        move_all: bool = False,
        strict: bool = False,
    ) -> None:
        """Sets the node policy of the pages from ``start`` up to ``stop`` (mbind), all by default: ``node``
        alone, or with ``preferred`` another node if ``node`` has no free frame.

        Args:
            move: move pages from other nodes to ``node``, if this process alone maps them.
            move_all: move pages that other processes map, too.
            strict: fail if a page stays on another node (without a flag to move, only under profiles with
                ``mbind_strict_checks``).

        Raises:
            KernelError: EIO if ``strict`` is set and a page stays on another node; EINVAL for a node that
                does not exist, or a range that is empty or beyond the region; EFAULT if part of the range is
                not mapped."""
    def unmap(self, start: int = 0, stop: int | None = None) -> None:
        """Unmaps the pages from ``start`` up to ``stop`` (munmap), all by default. Pages that are not mapped are
        skipped.

        Raises:
            KernelError: EINVAL for a range that is empty or beyond the region."""
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    @overload
    def __setitem__(self, key: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Any, /) -> None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class LoadRig:
    """A load on a machine, run in rounds."""
    def __new__(
        cls,
        config_json: str,
        trace: tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint16]] | None = None,
        policy: Callable[..., object] | None = None,
        /,
    ) -> LoadRig: ...
    def run(self, round_seed: int, seconds: float, /) -> str:
        """Runs one round of ``seconds``, a day at most, and returns its report as JSON. An exception of a signal
        handler ends the round, which has no report then; the load can be run again. An exception of the
        policy ends the load, and is raised here.

        Raises:
            MisuseError: if another thread runs this load.
            RuntimeError: if the machine has broken a rule, now or in an earlier round.
            ValueError: if the load has finished, the time is out of range, or the host has no threads."""
    def finish(self) -> str:
        """Verifies the content, audits the machine, frees everything and returns the report as JSON. An
        exception of a signal handler ends the verification; the load can be finished again. The errors are
        those of `run`."""

def count_ops(
    config_json: str,
    trace: tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint16]] | None = None,
    /,
) -> str:
    """Counts the operations of a load (atomic read-modify-writes, fences, locks and the like) in the counting
    build, and returns the numbers as JSON. The load runs on one thread with one migrator, until 10,000 pages
    have migrated or 40,000 calls were made. The errors are those of `LoadRig`."""

def count_hits(
    config_json: str,
    trace: tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint16]] | None = None,
    policy: Callable[..., object] | None = None,
    /,
) -> str:
    """Counts on which nodes a fixed number of a trace's accesses find their pages, and returns the numbers as
    JSON. The accesses are those of the whole trace, within two bounds: at least 2**21, for which a shorter
    trace is repeated, and at most 2**25. A policy may choose the pages that move. The errors are those of
    `LoadRig`."""

def count_puts(config_json: str, /) -> str:
    """Counts the operations of 1,000 puts that leave a reference and of 1,000 last puts, under the release
    design of a configuration, in the counting build. Returns the sums as JSON. ValueError if the machine
    cannot be built."""

# --- exploration ---

@final
class Stop:
    """A flag that makes explorations stop. Any thread can set it. A signal, in contrast, is handled in the main
    thread alone, and so ends only an exploration that the main thread waits for."""
    def __new__(cls) -> Stop: ...
    def set(self) -> None:
        """Makes the explorations that were given this flag stop."""

def explore(
    program: str,
    options: str,
    seconds: float | None = None,
    stop: Stop | None = None,
    owners: dict[str, MovableOps] | None = None,
) -> str:
    """Searches the schedules of a program and returns the report as JSON. The search ends early after `seconds`,
    or when `stop` is set. An exception raised by a signal handler carries the report so far. `owners` are
    Python owners of movable pages, by their names in the program.

    Raises:
        MemoryError: if the host has no memory or no thread for the search.
        RuntimeError: if the explorer itself fails.
        ValueError: if the program or the options are not valid, or the program cannot be set up."""

def parse_schedule(text: str) -> bytes:
    """Parses a schedule's text into one byte for each step: the number of its thread.

    Raises:
        InputError: if the text is malformed, or the schedule has more than 2**24 steps."""

def print_schedule(threads: bytes) -> str:
    """Returns a schedule as text, such as ``0x12,1x3,0``, from the number of the thread of each step."""

def replay(
    program: str, schedule: str, options: str, owners: dict[str, MovableOps] | None = None
) -> str:
    """Runs one schedule of a program and returns as JSON its steps, and the rule that it breaks, if any. An
    exception raised by a signal handler does not end the schedule: it is raised at the end, and carries the
    result. The errors are those of `explore`."""

def shrink(
    program: str, schedule: str, options: str, owners: dict[str, MovableOps] | None = None
) -> str:
    """Shrinks a program and a schedule that break a rule. Returns the counterexample as JSON, or `null` if no
    rule is broken. An exception raised by a signal handler carries the smallest counterexample so far. The
    errors are those of `explore`."""

def minimum(program: str, rule: str, options: str, limit: int) -> str:
    """Finds the smallest race by which a program, or a part of the program, breaks `rule`. Returns the race as
    JSON, or `null` if there is none with at most two preemptions. `limit` is the most schedules of one search
    of a part. The program may have at most 64 operations of threads, and 64 others. An exception raised by a
    signal handler carries no result. The errors are those of `explore`."""

def outcomes(program: str, options: str, seconds: float | None = None) -> str:
    """Collects all outcomes of a program's schedules, as JSON. The search ends early after `seconds`. An
    exception raised by a signal handler carries the outcomes found so far. The errors are those of `explore`,
    and ValueError also if the program's set-up breaks a rule."""

def mutations() -> list[tuple[str, str, str]]:
    """Returns the defects that can be planted in the explored core (mutations), each as its name, its origin and
    a description."""
