"""What threads of the standard set do to pages, by kind of page."""

from __future__ import annotations

__all__ = [
    "ACTIVE",
    "AGING",
    "ALLOCATED",
    "ANY",
    "BLOCK",
    "CACHED",
    "DROPPING",
    "FAILING",
    "FILE",
    "FORKED",
    "FREE",
    "FREED",
    "FRESH",
    "GIVEN",
    "HOLLOW",
    "KEPT",
    "LARGE",
    "LEAVING",
    "LENT",
    "LOCKED",
    "LOSING",
    "MAPPED",
    "MEMORY",
    "MOVABLE",
    "PINNED",
    "PREEMPTED",
    "PRIVATE",
    "SHORT",
    "SWAPPED",
    "TIERED",
    "UNFILLED",
]

#: What threads do: name, and the lines, in which {x} stands for the pages and {t} for the thread's
#: number. What a thread takes it gives back.
ANY = {
    "get": "get {x}\nput {x}",
    "try_get": "try_get {x}\nput {x}",
    "lock": "lock {x}\nunlock {x}",
    "trylock": "trylock {x}\nunlock {x}",
    "isolate": "isolate {x}\nputback {x}",
    "migrate": "isolate {x}\nmigrate {x} node=1",
    "drain": "drain",
    "drain_cpu": "drain cpu=0",
}

MAPPED = {
    "read": "read {x}",
    "write": "write {x}",
    "unmap": "unmap {x}",
    "fork": "fork c{t}",
    "pin": "pin g{t} {x} longterm\nunpin g{t}",
    "move": "move {x} node=1",
    "query": "query {x}",
    "allocate": "allocate p{t}\nfree p{t}",
} | ANY

#: With a child that shares the pages.
FORKED = {
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
FRESH = {
    name: MAPPED[name] for name in ("read", "write", "unmap", "fork", "pin", "move", "query")
} | {"mlock": "mlock {x}", "fillnode": "fillnode 1\nunfill", "drain": "drain"}

#: On pages that a pin holds from the beginning; nobody may give it back, or somebody does.
PINNED = {
    name: MAPPED[name]
    for name in ("read", "write", "unmap", "fork", "pin", "move", "isolate", "migrate", "drain")
} | {"unpin": "unpin g0"}

#: On a file's pages.
FILE = {
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
CACHED = {
    name: FILE[name]
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
PRIVATE = {
    name: FILE[name]
    for name in ("read", "write", "unmap", "fork", "fwrite", "truncate", "drop", "move")
}

#: Where a process wants its memory, and how it wants it kept.
KEPT = {
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
TIERED = {
    "numa_fault": "numa_fault {x} node=1",
    "demote": "demote {x} node=1",
    "pageout": KEPT["pageout"],
} | {
    name: MAPPED[name]
    for name in ("read", "write", "unmap", "fork", "pin", "move", "get", "lock", "isolate", "drain")
}

#: Frames that fail, and what may go on meanwhile.
FAILING = {
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
FREE = {
    "phys_soft": "phys soft {x}",
    "phys_hard": "phys hard {x}",
    "unpoison": "unpoison {x}",
    "write": "write r1",
    "allocate": "allocate p{t}\nfree p{t}",
    "large": "allocate p{t} order=1\nfree p{t}",
}

#: The same to a file's pages.
LOSING = {
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
DROPPING = LOSING | {"phys_soft": "phys soft {x}", "reclaim": "reclaim 1"}

#: With a swap space: pages that may go there, or are there.
SWAPPED = {name: KEPT[name] for name in ("pageout", "free", "dontneed", "mlock")} | {
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
AGING = {
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
LARGE = {
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
BLOCK = {
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
UNFILLED = {
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
SHORT = {
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
HOLLOW = {name: FILE[name] for name in ("read", "write", "unmap", "fork", "fread", "fwrite")} | {
    "dontneed": "madv {x} dontneed",
    "drop": "drop 1",
    "truncate": "truncate r0 0",
    "move": "move {x} node=1",
}

#: On pages of a memory file system, with a swap space.
MEMORY = {
    name: FILE[name]
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
LENT = {
    name: FORKED[name] for name in ("read", "write", "unmap", "fork", "exit", "cread", "cwrite")
} | {
    "rewrite": "read {x}\nwrite {x}",
    "willneed": "madv {x} willneed",
    "pageout": "madv {x} pageout",
    "move": "move {x} node=1 all",
    "swapoff": "swapoff",
}

#: On memory that is given up and used again; what is isolated may stay so.
GIVEN = {
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
ACTIVE = {
    name: KEPT[name]
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
LOCKED = {
    name: KEPT[name]
    for name in ("munlock", "read", "write", "fork", "unmap", "pageout", "isolate", "drain")
} | {
    "move": "move {x} node=1",
    "migrate": "isolate {x}\nmigrate {x} node=1",
    "phys_hard": "phys hard {x}",
}

#: On a frame that was freed, and what may be made of it.
FREED = {
    "try_get": "try_get {x}\nput {x}",
    "allocate": "allocate p{t}\nfree p{t}",
    "lru_add": "allocate p{t}\nlru_add p{t}\nfree p{t}",
    "movable": "movable m{t} 1\nrelease m{t}",
    "moved": "movable m{t} 1\nisolate m{t}\nmigrate m{t} node=1",
    "drain": "drain",
}

#: On pages of a node that is only for movable pages: a lasting pin moves them off first.
LEAVING = {
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
PREEMPTED = {
    name: KEPT[name]
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

MOVABLE = {"release": "release {x}"} | ANY

ALLOCATED = {
    "lru_add": "allocate p{t}\nlru_add p{t}\nfree p{t}",
    "free": "{free}",
    "freeze": "freeze {x} refs=1\nunfreeze {x} refs=1",
} | ANY
