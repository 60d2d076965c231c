"""Operations of the threads in the standard set: one table for each kind of page.

`kinds` combines the entries of a table in pairs and triples; each entry is one thread. The order
of a table is the order of its programs in the set.
"""

from __future__ import annotations

__all__ = [
    "ACTIVE",
    "AGING",
    "ALLOCATED",
    "ANY",
    "BALLOON",
    "BLOCK",
    "CACHED",
    "COMPACTED",
    "COMPRESSED",
    "DROPPING",
    "FAILING",
    "FILE",
    "FORKED",
    "FREE",
    "FREED",
    "FRESH",
    "GATHERED",
    "GIVEN",
    "HOLLOW",
    "HUNGRY",
    "KEPT",
    "LARGE",
    "LEAVING",
    "LENT",
    "LOCKED",
    "LOSING",
    "MAPPED",
    "MEMORY",
    "MOVABLE",
    "PAIRED",
    "PINNED",
    "PREEMPTED",
    "PRESSED",
    "PRIVATE",
    "RELEASED",
    "SHORT",
    "SWAPPED",
    "TIERED",
    "UNFILLED",
    "WALKED",
    "WANTED",
    "WRITTEN",
    "usual",
]

#: Threads that several tables have: the keys are names of threads, the values their program lines.
#: {x} stands for the pages, {t} for the thread's number. A thread gives back the references, locks
#: and pages that it takes; otherwise the audit at the end would count them as lost.
_USUAL = {
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "exit": "exit c0",
    "cread": "cread c0 {x}",
    "cwrite": "cwrite c0 {x}",
    "query": "query {x}",
    "fread": "fread {x}",
    "fwrite": "fwrite {x}",
    "msync": "msync {x}",
    "writeback": "begin_writeback {x}\nend_writeback {x}",
    "truncate": "truncate r0 0",
    "drop": "drop 1",
    "get": "get {x}\nput {x}",
    "try_get": "try_get {x}\nput {x}",
    "lock": "lock {x}\nunlock {x}",
    "trylock": "trylock {x}\nunlock {x}",
    "pin": "pin g{t} {x} longterm\nunpin g{t}",
    "isolate": "isolate {x}\nputback {x}",
    "migrate": "isolate {x}\nmigrate {x} node=1",
    "move": "move {x} node=1",
    "demote": "demote {x} node=1",
    "split": "split {x}",
    "mlock": "mlock {x}",
    "munlock": "munlock {x}",
    "mark_accessed": "mark_accessed {x}",
    "drain": "drain",
    "drain_cpu": "drain cpu=0",
    "reclaim": "reclaim 1",
    "allocate": "allocate p{t}\nfree p{t}",
    "lru_add": "allocate p{t}\nlru_add p{t}\nfree p{t}",
    "fillnode": "fillnode 1\nunfill",
    "cold": "madv {x} cold",
    "pageout": "madv {x} pageout",
    "free": "madv {x} free",
    "dontneed": "madv {x} dontneed",
    "willneed": "madv {x} willneed",
    "swapoff": "swapoff",
    "soft_offline": "madv {x} soft_offline",
    "phys_soft": "phys soft {x}",
    "phys_hard": "phys hard {x}",
    "unpoison": "unpoison {x}",
    "look_cache": "look cache {x}",
    "look_swap": "look swap {x}",
    "look_entry": "look entry {x}",
    "look_frame": "look frame {x}",
    "looks": "look entry {x}\nlook rmap {x}",
    "look_caches": "look cache {x}\nlook swap {x}",
}


def usual(names: str) -> dict[str, str]:
    """Returns the table of the threads that `_USUAL` has under these names, in this order."""
    return {name: _USUAL[name] for name in names.split()}


#: Threads for pages of every kind.
ANY = usual("get try_get lock trylock isolate migrate drain drain_cpu")

#: Threads for pages that a process maps.
MAPPED = usual("read write unmap fork pin move query allocate looks") | ANY

#: Threads for pages that parent and child share after a fork; the child is `c0`.
FORKED = usual("read write unmap fork exit cread cwrite pin get") | {"move": "move {x} node=1 all"}

#: Threads for mapped memory without pages: the first access allocates them.
FRESH = usual("read write unmap fork pin move query mlock munlock fillnode drain look_entry")

#: Threads for pages that the set-up has pinned with `g0`; the thread `unpin` gives the pin back.
PINNED = usual("read write unmap fork pin move isolate migrate drain") | {"unpin": "unpin g0"}

#: Threads for a file's pages that a process maps.
FILE = (
    usual("read write unmap fork fread fwrite msync writeback")
    | {"sync": "sync"}
    | usual("truncate drop pageout move get lock isolate migrate drain")
    | {"look": "look cache {x}\nlook rmap {x}"}
)

#: Threads for a file's pages that no process has touched through its mapping.
CACHED = usual("read write fread fwrite writeback truncate drop get isolate migrate look_cache")

#: Threads for the pages of a private file mapping, which a write copies.
PRIVATE = usual("read write unmap fork fwrite truncate drop move look_entry")

#: Threads that set policies and give advice: mlock, madvise, mbind, migration to another node.
KEPT = (
    usual("mlock munlock cold pageout free dontneed")
    | {"punch": "punch r0 keep=0 of=1"}
    | usual("move")
    | {"mbind": "mbind {x} node=1 move", "migrate_pages": "migrate from=0 to=1"}
    | usual("fillnode mark_accessed")
    | {"activate": "mark_accessed {x}\nmark_accessed {x}\ndrain"}
    | usual("read write fork unmap isolate drain")
)

#: Threads that promote and demote pages between a fast node and a slow one.
TIERED = {"numa_fault": "numa_fault {x} node=1"} | usual(
    "demote pageout read write unmap fork pin move get lock isolate drain"
)

#: Threads that report a frame as failed, and threads that use its page meanwhile.
FAILING = (
    usual("soft_offline")
    | {"hwpoison": "madv {x} hwpoison"}
    | usual("phys_soft phys_hard unpoison")
    | {"earlykill": "earlykill on"}
    | usual("move read write get isolate unmap fork allocate drain look_frame")
)

#: Threads that report a free frame as failed, and threads that allocate meanwhile.
FREE = (
    usual("phys_soft phys_hard unpoison")
    | {"write": "write r1"}
    | usual("allocate")
    | {"large": "allocate p{t} order=1\nfree p{t}"}
    | usual("look_frame")
)

#: Threads that use a free frame of node 1, which the region `r1` had: migrations to it,
#: allocations, and looks at it by its number.
WALKED = (
    usual("look_frame")
    | {"look": "look frame r1"}
    | usual("move migrate demote unmap split")
    | {
        "taken": "allocate p{t} node=1\nfree p{t}",
        "large": "allocate p{t} node=1 order=1\nfree p{t}",
    }
)

#: Threads that report the frame of a file's page as failed, and threads that use the file.
LOSING = usual("soft_offline phys_hard unpoison write fread fwrite msync drop truncate move get")

#: Threads for pages of a shared mapping of a file that were written to disk: the next store faults.
WRITTEN = (
    usual("read write fwrite msync writeback")
    | {"rotated": "begin_writeback {x}\nmadv {x} pageout\nend_writeback {x}\ndrain"}
    | usual("mlock truncate move get drop unmap phys_hard")
)

#: `LOSING` for pages that are in the page cache and in no page table: reclaim can free them.
DROPPING = LOSING | usual("phys_soft reclaim")

#: Threads for pages that can be swapped out, or are.
SWAPPED = (
    usual("pageout free dontneed mlock read write unmap fork")
    | {"again": "read {x}\ndrain\nmadv {x} pageout"}
    | {"anew": "madv {x} dontneed\nwrite {x}\nmadv {x} pageout"}
    | usual("willneed move swapoff")
    | {"swapon": "swapon 1"}
    | usual("look_swap")
)

#: Threads that age and reclaim pages, for pages of the inactive and of the active lists.
AGING = (
    usual("reclaim")
    | {"age": "age"}
    | usual("mark_accessed pageout mlock read write unmap fork move get isolate drain")
)

#: Threads for a large page of two base pages: {x} is the page, or one of its base pages.
LARGE = usual(
    "split read write unmap fork pin move get try_get isolate soft_offline phys_hard dontneed"
    " pageout drain look_frame"
) | {"activate": "mark_accessed {x}\nmark_accessed {x}\ndrain"}

#: Threads for a large page that `allocate` made; no process maps it.
BLOCK = (
    usual("split")
    | {"free": "{free}", "lru_add": "lru_add {x}"}
    | usual("get try_get trylock isolate")
    | {"allocate": "allocate p{t} order=1\nfree p{t}"}
    | usual("drain look_frame")
)

#: Threads for memory that a fault can fill with a large page or with base pages.
UNFILLED = usual("read write unmap fork mlock dontneed") | {
    "move": "move r0 node=1",
    "mbind": "mbind {x} node=1",
}

#: Threads for a machine of one node, which `fillnode` leaves without a free frame.
SHORT = {"fillnode": "fillnode 0\nunfill"} | usual(
    "read write fread fork unmap mlock reclaim soft_offline drain"
)

#: Threads for pages of a tmpfs file that were read but never written.
HOLLOW = usual("read write unmap fork fread fwrite dontneed drop truncate move")

#: Threads for pages of a tmpfs file on a machine with swap space.
MEMORY = usual(
    "read write fread fwrite pageout truncate unmap fork drop move isolate migrate swapoff willneed"
    " look_caches"
)

#: Threads for pages in the swap space, which parent and child share after a fork.
LENT = (
    usual("read write unmap fork exit cread cwrite")
    | {"rewrite": "read {x}\nwrite {x}"}
    | usual("willneed pageout")
    | {"move": "move {x} node=1 all"}
    | usual("swapoff look_swap")
)

#: Threads that drop memory with madvise and use it again; `held` leaves its page isolated.
GIVEN = (
    {
        "dontneed": "madv {x} dontneed\nread {x}",
        "rewritten": "madv {x} dontneed\nwrite {x}",
        "free": "madv {x} free\nread {x}",
        "refilled": "madv {x} free\ndrain\nwrite {x}",
    }
    | usual("pageout read write fork move")
    | {"held": "isolate {x}"}
)

#: Threads for pages on an active list.
ACTIVE = usual("cold pageout free mlock mark_accessed unmap isolate drain move")

#: Threads for memory that mlock has locked.
LOCKED = usual("munlock read write fork unmap pageout isolate drain move migrate phys_hard")

#: Threads for a freed frame: a late reference, and a new page in the same frame.
FREED = (
    usual("try_get allocate lru_add")
    | {
        "movable": "movable m{t} 1\nrelease m{t}",
        "moved": "movable m{t} 1\nisolate m{t}\nmigrate m{t} node=1",
    }
    | usual("drain look_frame")
)

#: Threads for pages of a node for movable pages only: a long-term pin first moves them off it.
LEAVING = (
    usual("pin")
    | {"activate": "mark_accessed {x}\nmark_accessed {x}"}
    | usual("mlock read write unmap fork")
    | {"move": "move {x} node=0"}
    | usual("get isolate drain")
)

#: Threads for a page whose memory block is taken offline, or whose frame becomes part of a range.
BLOCKWISE = {
    "offline": "memblk 0 offline node=1\nmemblk 0 online node=1",
    "range": "alloc_range p{t} 0 2 node=1\nfree p{t}",
    "huge": "huge node=1 n=1 size=8\nhuge node=1 n=0 size=8",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "pin": "pin g{t} {x} longterm\nunpin g{t}",
    "move": "move {x} node=0",
    "try_get": "try_get {x}\nput {x}",
    "phys_soft": "phys soft {x}",
    "phys_hard": "phys hard {x}",
    "allocate": "allocate p{t} node=1\nfree p{t}",
}

#: Threads that share one CPU and its batches: one runs while the other is preempted.
PREEMPTED = (
    usual("mark_accessed mlock munlock cold pageout write unmap isolate drain")
    | {"relisted": "mlock {x}\nisolate {x}\nputback {x}"}
    | usual("demote move")
)

#: Threads for movable pages of an owner outside the LRU.
MOVABLE = {"release": "release {x}"} | ANY | usual("look_frame")

#: Threads for movable pages whose frames may fail, under profile fields of older kernels.
RELEASED = {name: MOVABLE[name] for name in ("release", "try_get", "isolate", "migrate")} | {
    "soft_offline": "soft_offline {x}",
    "memory_failure": "memory_failure {x}",
}

#: Threads for pages in the balloon.
BALLOON = {name: ANY[name] for name in ("trylock", "isolate", "migrate")} | {
    "inflate": "inflate 1",
    "deflate": "deflate 1",
    "soft_offline": "soft_offline {x}",
    "memory_failure": "memory_failure {x}",
}

#: Threads for a machine without a free frame, whose balloon deflates for allocations.
PRESSED = {name: BALLOON[name] for name in ("inflate", "deflate", "isolate")} | {
    "grow": "balloon 1",
    "nonlru": "nonlru",
    "allocate": "allocate p{t}\nfree p{t}",
    "write": "write r0",
}

#: Threads for pages that `allocate` made and no process maps.
ALLOCATED = (
    usual("lru_add") | {"free": "{free}", "freeze": "freeze {x} refs=1\nunfreeze {x} refs=1"} | ANY
)

#: Threads for the pages of a zspage, in which the objects of two blocks of a zram device lie.
COMPRESSED = {
    "put": "zs_put 1 size=24",
    "overwrite": "zs_put 0 size=24",
    "check": "zs_check 0-1",
    "del": "zs_del 0",
    "compact": "zs_compact",
    "isolate": "isolate {x}\nputback {x}",
    "migrate": "isolate {x}\nmigrate {x} node=1",
    "lock": "lock {x}\nunlock {x}",
    "free_empty": "zs_del 0\nzs_free_empty",
    "close": "zs_close",
}

#: Threads for the page of a zspage in which the objects of two blocks lie as a whole.
PAIRED = {
    name: COMPRESSED[name]
    for name in ("put", "check", "del", "compact", "isolate", "migrate", "free_empty")
} | {"overwrite": "zs_put 0 size=8"}

#: Threads that compact the node, and threads that use its pages meanwhile.
COMPACTED = {
    "compact": "compact node=0",
    "forbid": "set compact_unevictable_allowed 0",
    "soft_offline": "madv {x} soft_offline",
    "mlock": "mlock {x}",
} | {
    name: MAPPED[name] for name in ("write", "unmap", "fork", "pin", "move", "isolate", "allocate")
}

#: Threads that want memory on a full machine with memory pressure, and threads that use its pages.
HUNGRY = {
    "write": "write r1",
    "kswapd": "kswapd",
} | usual("read allocate pageout unmap")

#: Threads that want a block of four pages, which a direct run or the daemon has to make first.
WANTED = {
    "direct": "compact_for node=0 order=2",
    "asynchronous": "compact_for node=0 order=2 priority=async",
    "daemon": "kcompactd node=0 order=2",
    "take": "allocate p{t} node=0 order=2\nfree p{t}",
} | {name: MAPPED[name] for name in ("write", "unmap", "isolate")}

#: Threads that compact the node, and threads that use movable pages: the scanner asks their owner.
GATHERED = {"compact": "compact node=0"} | {
    name: MOVABLE[name] for name in ("release", "try_get", "lock", "isolate", "migrate")
}

#: Threads that want the frames of a memory block as a whole, or compact its node.
_WHOLE = {name: BLOCKWISE[name] for name in ("offline", "range", "huge")} | {
    "compact": "compact node=1",
}

#: Threads that want a memory block which has pages of the balloon.
LODGED = (
    _WHOLE
    | {name: BALLOON[name] for name in ("inflate", "deflate", "isolate")}
    | {
        "migrate": "isolate {x}\nmigrate {x} node=0",
    }
)

#: Threads that want a memory block which has pages of a zspage.
STOWED = (
    _WHOLE
    | {name: COMPRESSED[name] for name in ("put", "check", "del", "isolate")}
    | {
        "migrate": "isolate {x}\nmigrate {x} node=0",
        "squeeze": "zs_compact",
    }
)

#: Threads that want a block of two pages on a machine with memory pressure, the daemons of the
#: node, and threads that use and free its pages.
STRAINED = {
    "take": "allocate p{t} order=1\nfree p{t}",
    "kswapd": "kswapd order=1",
    "kcompactd": "kcompactd order=1",
    "write": "write r1",
    "isolate": "isolate {x}\nputback {x}",
    "unmap": "unmap {x}",
}
