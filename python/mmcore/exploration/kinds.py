"""What the standard set is made of: kinds of pages, what threads do with them, and named threes."""

from __future__ import annotations

__all__ = ["KINDS", "TOGETHER", "TRIPLES"]

#: What threads do: name, and the lines, in which {x} stands for the pages and {t} for the thread's
#: number. What a thread takes it gives back.
_ANY = {
    "get": "get {x}\nput {x}",
    "try_get": "try_get {x}\nput {x}",
    "lock": "lock {x}\nunlock {x}",
    "trylock": "trylock {x}\nunlock {x}",
    "isolate": "isolate {x}\nputback {x}",
    "migrate": "isolate {x}\nmigrate {x} node=1",
    "drain": "drain",
    "drain_cpu": "drain cpu=0",
}

_MAPPED = {
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "pin": "pin g{t} {x} longterm\nunpin g{t}",
    "move": "move {x} node=1",
    "query": "query {x}",
    "allocate": "allocate p{t}\nfree p{t}",
} | _ANY

#: With a child that shares the pages.
_FORKED = {
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "exit": "exit c0",
    "cread": "cread c0 {x}",
    "cwrite": "cwrite c0 {x}",
    "pin": "pin g{t} {x} longterm\nunpin g{t}",
    "get": "get {x}\nput {x}",
    "move": "move {x} node=1 all",
}

#: On memory that nobody has touched yet.
_FRESH = {
    name: _MAPPED[name] for name in ("read", "write", "unmap", "fork", "pin", "move", "query")
} | {"mlock": "mlock {x}", "fillnode": "fillnode 1\nunfill", "drain": "drain"}

#: On pages that a pin holds from the beginning; nobody may give it back, or somebody does.
_PINNED = {
    name: _MAPPED[name]
    for name in ("read", "write", "unmap", "fork", "pin", "move", "isolate", "migrate", "drain")
} | {"unpin": "unpin g0"}

#: On a file's pages.
_FILE = {
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "fread": "fread {x}",
    "fwrite": "fwrite {x}",
    "msync": "msync {x}",
    "writeback": "begin_writeback {x}\nend_writeback {x}",
    "sync": "sync",
    "truncate": "truncate r0 0",
    "drop": "drop 1",
    "pageout": "madv {x} pageout",
    "move": "move {x} node=1",
    "get": "get {x}\nput {x}",
    "lock": "lock {x}\nunlock {x}",
    "isolate": "isolate {x}\nputback {x}",
    "migrate": "isolate {x}\nmigrate {x} node=1",
    "drain": "drain",
}

#: On a file's pages that nobody maps yet.
_CACHED = {
    name: _FILE[name]
    for name in (
        "read",
        "write",
        "fread",
        "fwrite",
        "writeback",
        "truncate",
        "drop",
        "get",
        "isolate",
        "migrate",
    )
}

#: On a private mapping of a file.
_PRIVATE = {
    name: _FILE[name]
    for name in ("read", "write", "unmap", "fork", "fwrite", "truncate", "drop", "move")
}

#: Where a process wants its memory, and how it wants it kept.
_KEPT = {
    "mlock": "mlock {x}",
    "munlock": "munlock {x}",
    "cold": "madv {x} cold",
    "pageout": "madv {x} pageout",
    "free": "madv {x} free",
    "dontneed": "madv {x} dontneed",
    "punch": "punch r0 keep=0 of=1",
    "move": "move {x} node=1",
    "mbind": "mbind {x} node=1 move",
    "migrate_pages": "migrate from=0 to=1",
    "fillnode": "fillnode 1\nunfill",
    "mark_accessed": "mark_accessed {x}",
    "activate": "mark_accessed {x}\nmark_accessed {x}\ndrain",
    "read": "read {x}",
    "write": "write {x}",
    "fork": "fork c{t}",
    "unmap": "unmap {x}",
    "isolate": "isolate {x}\nputback {x}",
    "drain": "drain",
}

#: Pages between a fast node and a slow one.
_TIERED = {
    "numa_fault": "numa_fault {x} node=1",
    "demote": "demote {x} node=1",
    "pageout": _KEPT["pageout"],
} | {
    name: _MAPPED[name]
    for name in ("read", "write", "unmap", "fork", "pin", "move", "get", "lock", "isolate", "drain")
}

#: Frames that fail, and what may go on meanwhile.
_FAILING = {
    "soft_offline": "madv {x} soft_offline",
    "hwpoison": "madv {x} hwpoison",
    "phys_soft": "phys soft {x}",
    "phys_hard": "phys hard {x}",
    "unpoison": "unpoison {x}",
    "earlykill": "earlykill on",
    "move": "move {x} node=1",
    "read": "read {x}",
    "write": "write {x}",
    "get": "get {x}\nput {x}",
    "isolate": "isolate {x}\nputback {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "allocate": "allocate p{t}\nfree p{t}",
    "drain": "drain",
}

#: The same to frames that are free.
_FREE = {
    "phys_soft": "phys soft {x}",
    "phys_hard": "phys hard {x}",
    "unpoison": "unpoison {x}",
    "write": "write r1",
    "allocate": "allocate p{t}\nfree p{t}",
    "large": "allocate p{t} order=1\nfree p{t}",
}

#: The same to a file's pages.
_LOSING = {
    "soft_offline": "madv {x} soft_offline",
    "phys_hard": "phys hard {x}",
    "unpoison": "unpoison {x}",
    "write": "write {x}",
    "fread": "fread {x}",
    "fwrite": "fwrite {x}",
    "msync": "msync {x}",
    "drop": "drop 1",
    "truncate": "truncate r0 0",
    "move": "move {x} node=1",
    "get": "get {x}\nput {x}",
}

#: The same to a file's pages that nobody maps.
_DROPPING = _LOSING | {"phys_soft": "phys soft {x}", "reclaim": "reclaim 1"}

#: With a swap space: pages that may go there, or are there.
_SWAPPED = {name: _KEPT[name] for name in ("pageout", "free", "dontneed", "mlock")} | {
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "again": "read {x}\ndrain\nmadv {x} pageout",
    "willneed": "madv {x} willneed",
    "move": "move {x} node=1",
    "swapoff": "swapoff",
    "swapon": "swapon 1",
}

#: What keeps frames free, over pages that nobody has used lately, or that are active.
_AGING = {
    "reclaim": "reclaim 1",
    "age": "age",
    "mark_accessed": "mark_accessed {x}",
    "pageout": "madv {x} pageout",
    "mlock": "mlock {x}",
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "move": "move {x} node=1",
    "get": "get {x}\nput {x}",
    "isolate": "isolate {x}\nputback {x}",
    "drain": "drain",
}

#: On a large page: all of it, or its second part.
_LARGE = {
    "split": "split {x}",
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "pin": "pin g{t} {x} longterm\nunpin g{t}",
    "move": "move {x} node=1",
    "get": "get {x}\nput {x}",
    "try_get": "try_get {x}\nput {x}",
    "isolate": "isolate {x}\nputback {x}",
    "soft_offline": "madv {x} soft_offline",
    "phys_hard": "phys hard {x}",
    "dontneed": "madv {x} dontneed",
    "pageout": "madv {x} pageout",
    "drain": "drain",
}

#: On a large page that somebody has allocated.
_BLOCK = {
    "split": "split {x}",
    "free": "{free}",
    "lru_add": "lru_add {x}",
    "get": "get {x}\nput {x}",
    "try_get": "try_get {x}\nput {x}",
    "trylock": "trylock {x}\nunlock {x}",
    "isolate": "isolate {x}\nputback {x}",
    "allocate": "allocate p{t} order=1\nfree p{t}",
    "drain": "drain",
}

#: On a large page that is to be: a fault may fill all of it, or a part.
_UNFILLED = {
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "mlock": "mlock {x}",
    "dontneed": "madv {x} dontneed",
    "move": "move r0 node=1",
    "mbind": "mbind {x} node=1",
}

#: On the only node of a machine, which may have no frame left.
_SHORT = {
    "fillnode": "fillnode 0\nunfill",
    "read": "read {x}",
    "write": "write {x}",
    "fread": "fread {x}",
    "fork": "fork c{t}",
    "unmap": "unmap {x}",
    "mlock": "mlock {x}",
    "reclaim": "reclaim 1",
    "soft_offline": "madv {x} soft_offline",
    "drain": "drain",
}

#: On pages of a memory file that were read, not written.
_HOLLOW = {name: _FILE[name] for name in ("read", "write", "unmap", "fork", "fread", "fwrite")} | {
    "dontneed": "madv {x} dontneed",
    "drop": "drop 1",
    "truncate": "truncate r0 0",
    "move": "move {x} node=1",
}

#: On pages of a memory file system, with a swap space.
_MEMORY = {
    name: _FILE[name]
    for name in (
        "read",
        "write",
        "fread",
        "fwrite",
        "pageout",
        "truncate",
        "unmap",
        "fork",
        "drop",
        "move",
        "isolate",
        "migrate",
    )
} | {"swapoff": "swapoff", "willneed": "madv {x} willneed"}

#: In the swap space, with a child that shares it.
_LENT = {
    name: _FORKED[name] for name in ("read", "write", "unmap", "fork", "exit", "cread", "cwrite")
} | {
    "rewrite": "read {x}\nwrite {x}",
    "willneed": "madv {x} willneed",
    "pageout": "madv {x} pageout",
    "move": "move {x} node=1 all",
    "swapoff": "swapoff",
}

#: On memory that is given up and used again; what is isolated may stay so.
_GIVEN = {
    "dontneed": "madv {x} dontneed\nread {x}",
    "rewritten": "madv {x} dontneed\nwrite {x}",
    "free": "madv {x} free\nread {x}",
    "refilled": "madv {x} free\ndrain\nwrite {x}",
    "pageout": "madv {x} pageout",
    "read": "read {x}",
    "write": "write {x}",
    "fork": "fork c{t}",
    "move": "move {x} node=1",
    "held": "isolate {x}",
}

#: On pages of an active list.
_ACTIVE = {
    name: _KEPT[name]
    for name in (
        "cold",
        "pageout",
        "free",
        "mlock",
        "mark_accessed",
        "unmap",
        "isolate",
        "drain",
    )
} | {"move": "move {x} node=1"}

#: On memory that is locked.
_LOCKED = {
    name: _KEPT[name]
    for name in ("munlock", "read", "write", "fork", "unmap", "pageout", "isolate", "drain")
} | {
    "move": "move {x} node=1",
    "migrate": "isolate {x}\nmigrate {x} node=1",
    "phys_hard": "phys hard {x}",
}

#: On a frame that was freed, and what may be made of it.
_FREED = {
    "try_get": "try_get {x}\nput {x}",
    "allocate": "allocate p{t}\nfree p{t}",
    "lru_add": "allocate p{t}\nlru_add p{t}\nfree p{t}",
    "movable": "movable m{t} 1\nrelease m{t}",
    "moved": "movable m{t} 1\nisolate m{t}\nmigrate m{t} node=1",
    "drain": "drain",
}

#: On pages of a node that is only for movable pages: a lasting pin moves them off first.
_LEAVING = {
    "pin": "pin g{t} {x} longterm\nunpin g{t}",
    "activate": "mark_accessed {x}\nmark_accessed {x}",
    "mlock": "mlock {x}",
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "move": "move {x} node=0",
    "get": "get {x}\nput {x}",
    "isolate": "isolate {x}\nputback {x}",
    "drain": "drain",
}

#: Threads of one CPU, which share its batches: one is preempted, the other runs.
_PREEMPTED = {
    name: _KEPT[name]
    for name in (
        "mark_accessed",
        "mlock",
        "munlock",
        "cold",
        "pageout",
        "write",
        "unmap",
        "isolate",
        "drain",
    )
} | {
    "relisted": "mlock {x}\nisolate {x}\nputback {x}",
    "demote": "demote {x} node=1",
    "move": "move {x} node=1",
}

_MOVABLE = {"release": "release {x}"} | _ANY

_ALLOCATED = {
    "lru_add": "allocate p{t}\nlru_add p{t}\nfree p{t}",
    "free": "{free}",
    "freeze": "freeze {x} refs=1\nunfreeze {x} refs=1",
} | _ANY

#: Kind of page: operations, the set-up for one page and for two (of "pinned": for a pin, and for a
#: reference that fork shares; of "cached": in the cache, and on disk alone; of "swapped" and
#: "memory": still there, and swapped out; of "aging": old and anonymous, and active and of a file;
#: of "large": of one process, and of two; of "block": on no list, and on one; of "lent": away, and
#: read by the parent; of "leaving": on its list, and waiting in a batch too; of "given": without
#: swap, and with it; of "active": anonymous, and a file's; of "preempted": in the batch, and on its
#: list), the pages of the first thread and of the second. On two pages both threads take both, in
#: opposite order. Of "dropping": of a disk, and in memory; of "mixed": of a disk, and in memory; of
#: "short": on disk, and mapped; of "generations": as of "aging"; of "folded": old, and locked; of
#: "unfilled": untouched, and given up; of "locked": on one CPU the second time.
KINDS: dict[str, tuple[dict[str, str], tuple[str, str, str], tuple[str, str, str]]] = {
    "mapped": (
        _MAPPED,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "fresh": (
        _FRESH,
        ("map r0 anon 1", "r0", "r0"),
        ("map r0 anon 2", "r0:0,1", "r0:1,0"),
    ),
    "pinned": (
        _PINNED,
        ("map r0 anon 1\nwrite r0\ndrain\npin g0 r0 longterm", "r0", "r0"),
        ("map r0 anon 1\nwrite r0\ndrain\nfork c0\npin g0 r0 pipe", "r0", "r0"),
    ),
    "forked": (
        _FORKED,
        ("map r0 anon 1\nwrite r0\ndrain\nfork c0", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain\nfork c0", "r0:0,1", "r0:1,0"),
    ),
    "file": (
        _FILE,
        ("map r0 file 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 file 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "cached": (
        _CACHED,
        ("map r0 file 1\nfread r0\ndrain", "r0", "r0"),
        ("map r0 file 1", "r0", "r0"),
    ),
    "private": (
        _PRIVATE,
        ("map r0 filepriv 1\nread r0\ndrain", "r0", "r0"),
        ("map r0 filepriv 2\nread r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "uncopied": (
        _PRIVATE,
        ("map r0 filepriv 1", "r0", "r0"),
        ("map r0 filepriv 2\nfwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "mixed": (
        _PRIVATE,
        ("map r0 filepriv 2\nwrite r0:0\nread r0:1\ndrain", "r0:0,1", "r0:1"),
        ("map r0 tmpfspriv 2\nwrite r0:0\nread r0:1\ndrain", "r0:0,1", "r0:1"),
    ),
    "hollow": (
        _HOLLOW,
        ("map r0 tmpfs 1\nread r0\ndrain", "r0", "r0"),
        ("map r0 tmpfs 2\nread r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "short": (
        _SHORT,
        ("machine nodes=1\nmap r0 file 1", "r0", "r0"),
        ("machine nodes=1\nmap r0 filepriv 1\nread r0\ndrain", "r0", "r0"),
    ),
    "kept": (
        _KEPT,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "tiered": (
        _TIERED,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "failing": (
        _FAILING,
        ("map r0 anon 1\nwrite r0\ndrain\nframe r0", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain\nframe r0", "r0:0,1", "r0:1,0"),
    ),
    "free": (
        _FREE,
        ("map r0 anon 1\nmap r1 anon 1\nwrite r0\ndrain\nframe r0\nunmap r0", "r0", "r0"),
        (
            "map r0 anon 2\nmap r1 anon 1\nwrite r0\ndrain\nframe r0\nunmap r0",
            "r0:0,1",
            "r0:1,0",
        ),
    ),
    "losing": (
        _LOSING,
        ("map r0 file 1\nwrite r0\ndrain\nframe r0", "r0", "r0"),
        ("map r0 file 2\nwrite r0\ndrain\nframe r0", "r0:0,1", "r0:1,0"),
    ),
    "dropping": (
        _DROPPING,
        ("map r0 file 1\nread r0\nframe r0\nmadv r0 dontneed\ndrain", "r0", "r0"),
        ("map r0 tmpfs 1\nwrite r0\nframe r0\nmadv r0 dontneed\ndrain", "r0", "r0"),
    ),
    "swapped": (
        _SWAPPED,
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout", "r0", "r0"),
    ),
    "aging": (
        _AGING,
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nreclaim 1", "r0", "r0"),
        ("map r0 file 1\nread r0\nmark_accessed r0+r0+r0\ndrain", "r0", "r0"),
    ),
    "generations": (
        _AGING,
        (
            "machine lru_policy=mglru\nswapon 1\nmap r0 anon 1\nwrite r0\ndrain\nreclaim 1",
            "r0",
            "r0",
        ),
        (
            "machine lru_policy=mglru\nmap r0 file 1\nread r0\nmark_accessed r0+r0+r0\ndrain",
            "r0",
            "r0",
        ),
    ),
    "folded": (
        _AGING,
        ("swapon 1\nmap r0 anon 2 order=1\nwrite r0\ndrain\nreclaim 1", "r0", "r0:1"),
        ("map r0 anon 2 order=1\nmlock r0\nwrite r0\ndrain", "r0", "r0:1"),
    ),
    "unfilled": (
        _UNFILLED,
        ("map r0 anon 2 order=1", "r0", "r0:1"),
        ("map r0 anon 2 order=1\nwrite r0:0\nmadv r0:0 dontneed\ndrain", "r0:0", "r0"),
    ),
    "large": (
        _LARGE,
        ("map r0 anon 2 order=1\nwrite r0\ndrain\nframe r0", "r0:0", "r0:1"),
        ("map r0 anon 2 order=1\nwrite r0\ndrain\nframe r0\nfork c0", "r0:1", "r0:1"),
    ),
    "block": (
        _BLOCK,
        ("allocate p0 order=1", "p0", "p0"),
        ("allocate p0 order=1\nlru_add p0", "p0", "p0"),
    ),
    "memory": (
        _MEMORY,
        ("swapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain", "r0", "r0"),
        ("swapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain\nmadv r0 pageout", "r0", "r0"),
    ),
    "lent": (
        _LENT,
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0", "r0", "r0"),
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0\nread r0", "r0", "r0"),
    ),
    "given": (
        _GIVEN,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
    ),
    "active": (
        _ACTIVE,
        (
            "map r0 anon 1\nwrite r0\ndrain\nmark_accessed r0\nmark_accessed r0\ndrain",
            "r0",
            "r0",
        ),
        (
            "map r0 file 1\nread r0\ndrain\nmark_accessed r0\nmark_accessed r0\ndrain",
            "r0",
            "r0",
        ),
    ),
    "locked": (
        _LOCKED,
        ("map r0 anon 1\nmlock r0\nwrite r0\ndrain\nframe r0", "r0", "r0"),
        (
            "machine cpus=1\nmap r0 anon 2\nmlock r0\nwrite r0\ndrain\nframe r0",
            "r0:0,1",
            "r0:1,0",
        ),
    ),
    "freed": (
        _FREED,
        ("allocate p0\nfree p0", "p0", "p0"),
        ("allocate p0\nlru_add p0\ndrain\nfree p0", "p0", "p0"),
    ),
    "leaving": (
        _LEAVING,
        ("machine movable=1\nmap r0 anon 1 node=1\nwrite r0\ndrain", "r0", "r0"),
        (
            (
                "machine movable=1\nmap r0 anon 1 node=1\nwrite r0\ndrain\n"
                "mark_accessed r0\nmark_accessed r0"
            ),
            "r0",
            "r0",
        ),
    ),
    "preempted": (
        _PREEMPTED,
        ("machine cpus=1\nmap r0 anon 1\nwrite r0\nmark_accessed r0", "r0", "r0"),
        ("machine cpus=1\nmap r0 file 1\nread r0\ndrain\nmark_accessed r0", "r0", "r0"),
    ),
    "movable": (
        _MOVABLE,
        ("movable m0 1", "m0", "m0"),
        ("movable m0 2", "m0:0,1", "m0:1,0"),
    ),
    "allocated": (
        _ALLOCATED,
        ("allocate p0\nlru_add p0", "p0", "p0"),
        ("allocate p0\nlru_add p0\nallocate p1\nlru_add p1", "p0+p1", "p1+p0"),
    ),
}

#: Kinds whose pages meet in the batches, the free lists and the LRU alone.
TOGETHER = ("mapped", "movable", "allocated")

#: Three threads on one page.
TRIPLES = {
    "two movers and a writer": ("mapped", "move", "move", "write"),
    "mover, fork and writer": ("mapped", "move", "fork", "write"),
    "mover, unmap and reader": ("mapped", "move", "unmap", "read"),
    "mover, unmap and reference": ("mapped", "move", "unmap", "get"),
    "mover, pin and fork": ("mapped", "move", "pin", "fork"),
    "isolators and unmap": ("mapped", "isolate", "isolate", "unmap"),
    "isolator, mover and fork": ("mapped", "isolate", "move", "fork"),
    "mover, lock and drain": ("mapped", "move", "lock", "drain"),
    "fork, unmap and writer": ("mapped", "fork", "unmap", "write"),
    "mover, child's exit and writer": ("forked", "move", "exit", "write"),
    "mover and two writers": ("forked", "move", "write", "cwrite"),
    "unmap, exit and mover": ("forked", "unmap", "exit", "move"),
    "file: mover, truncation and reader": ("file", "move", "truncate", "fread"),
    "file: mover, unmap and write-back": ("file", "move", "unmap", "writeback"),
    "file: writer, write-back and drop": ("file", "write", "writeback", "drop"),
    "demotion, hint fault and writer": ("tiered", "demote", "numa_fault", "write"),
    "offline, mover and writer": ("failing", "soft_offline", "move", "write"),
    "offline, hard failure and unpoison": ("failing", "phys_soft", "phys_hard", "unpoison"),
    "offline, unmap and allocation": ("failing", "phys_soft", "unmap", "allocate"),
    "hard failure, mover and reader": ("failing", "phys_hard", "move", "read"),
    "hard failure, fork and writer": ("failing", "phys_hard", "fork", "write"),
    "hard failure, isolator and unpoison": ("failing", "phys_hard", "isolate", "unpoison"),
    "free: offline, hard failure and allocation": ("free", "phys_soft", "phys_hard", "allocate"),
    "free: hard failure, unpoison and allocation": ("free", "phys_hard", "unpoison", "large"),
    "losing: hard failure, writer and sync": ("losing", "phys_hard", "write", "msync"),
    "losing: hard failure, truncation and reader": ("losing", "phys_hard", "truncate", "fread"),
    "large: split, writer and fork": ("large", "split", "write", "fork"),
    "large: split, reference and unmap": ("large", "split", "try_get", "unmap"),
    "large: mover, split and reader": ("large", "move", "split", "read"),
    "large: mover, unmap and fork": ("large", "move", "unmap", "fork"),
    "large: hard failure, unmap and split": ("large", "phys_hard", "unmap", "split"),
    "movable: two isolators and release": ("movable", "isolate", "isolate", "release"),
    "movable: mover, release and reference": ("movable", "migrate", "release", "try_get"),
    "movable: two movers and release": ("movable", "migrate", "migrate", "release"),
    "movable: lock, release and reference": ("movable", "lock", "release", "try_get"),
    "allocated: isolator, drain and free": ("allocated", "isolate", "drain", "free"),
    "allocated: addition and two drains": ("allocated", "lru_add", "drain", "drain"),
    "allocated: two references and free": ("allocated", "try_get", "try_get", "free"),
    "allocated: freeze, reference and free": ("allocated", "freeze", "try_get", "free"),
    "allocated: mover, free and drain": ("allocated", "migrate", "free", "drain"),
}
