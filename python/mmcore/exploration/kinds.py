"""What the standard set is made of: kinds of pages, what threads do with them, and named threes."""

from __future__ import annotations

from mmcore.exploration import acts

__all__ = ["KINDS", "TOGETHER", "TRIPLES"]

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
        acts.MAPPED,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "fresh": (
        acts.FRESH,
        ("map r0 anon 1", "r0", "r0"),
        ("map r0 anon 2", "r0:0,1", "r0:1,0"),
    ),
    "pinned": (
        acts.PINNED,
        ("map r0 anon 1\nwrite r0\ndrain\npin g0 r0 longterm", "r0", "r0"),
        ("map r0 anon 1\nwrite r0\ndrain\nfork c0\npin g0 r0 pipe", "r0", "r0"),
    ),
    "forked": (
        acts.FORKED,
        ("map r0 anon 1\nwrite r0\ndrain\nfork c0", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain\nfork c0", "r0:0,1", "r0:1,0"),
    ),
    "file": (
        acts.FILE,
        ("map r0 file 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 file 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "cached": (
        acts.CACHED,
        ("map r0 file 1\nfread r0\ndrain", "r0", "r0"),
        ("map r0 file 1", "r0", "r0"),
    ),
    "private": (
        acts.PRIVATE,
        ("map r0 filepriv 1\nread r0\ndrain", "r0", "r0"),
        ("map r0 filepriv 2\nread r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "uncopied": (
        acts.PRIVATE,
        ("map r0 filepriv 1", "r0", "r0"),
        ("map r0 filepriv 2\nfwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "mixed": (
        acts.PRIVATE,
        ("map r0 filepriv 2\nwrite r0:0\nread r0:1\ndrain", "r0:0,1", "r0:1"),
        ("map r0 tmpfspriv 2\nwrite r0:0\nread r0:1\ndrain", "r0:0,1", "r0:1"),
    ),
    "hollow": (
        acts.HOLLOW,
        ("map r0 tmpfs 1\nread r0\ndrain", "r0", "r0"),
        ("map r0 tmpfs 2\nread r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "short": (
        acts.SHORT,
        ("machine nodes=1\nmap r0 file 1", "r0", "r0"),
        ("machine nodes=1\nmap r0 filepriv 1\nread r0\ndrain", "r0", "r0"),
    ),
    "kept": (
        acts.KEPT,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "tiered": (
        acts.TIERED,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain", "r0:0,1", "r0:1,0"),
    ),
    "failing": (
        acts.FAILING,
        ("map r0 anon 1\nwrite r0\ndrain\nframe r0", "r0", "r0"),
        ("map r0 anon 2\nwrite r0\ndrain\nframe r0", "r0:0,1", "r0:1,0"),
    ),
    "free": (
        acts.FREE,
        ("map r0 anon 1\nmap r1 anon 1\nwrite r0\ndrain\nframe r0\nunmap r0", "r0", "r0"),
        (
            "map r0 anon 2\nmap r1 anon 1\nwrite r0\ndrain\nframe r0\nunmap r0",
            "r0:0,1",
            "r0:1,0",
        ),
    ),
    "losing": (
        acts.LOSING,
        ("map r0 file 1\nwrite r0\ndrain\nframe r0", "r0", "r0"),
        ("map r0 file 2\nwrite r0\ndrain\nframe r0", "r0:0,1", "r0:1,0"),
    ),
    "dropping": (
        acts.DROPPING,
        ("map r0 file 1\nread r0\nframe r0\nmadv r0 dontneed\ndrain", "r0", "r0"),
        ("map r0 tmpfs 1\nwrite r0\nframe r0\nmadv r0 dontneed\ndrain", "r0", "r0"),
    ),
    "swapped": (
        acts.SWAPPED,
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout", "r0", "r0"),
    ),
    "aging": (
        acts.AGING,
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nreclaim 1", "r0", "r0"),
        ("map r0 file 1\nread r0\nmark_accessed r0+r0+r0\ndrain", "r0", "r0"),
    ),
    "generations": (
        acts.AGING,
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
        acts.AGING,
        ("swapon 1\nmap r0 anon 2 order=1\nwrite r0\ndrain\nreclaim 1", "r0", "r0:1"),
        ("map r0 anon 2 order=1\nmlock r0\nwrite r0\ndrain", "r0", "r0:1"),
    ),
    "unfilled": (
        acts.UNFILLED,
        ("map r0 anon 2 order=1", "r0", "r0:1"),
        ("map r0 anon 2 order=1\nwrite r0:0\nmadv r0:0 dontneed\ndrain", "r0:0", "r0"),
    ),
    "large": (
        acts.LARGE,
        ("map r0 anon 2 order=1\nwrite r0\ndrain\nframe r0", "r0:0", "r0:1"),
        ("map r0 anon 2 order=1\nwrite r0\ndrain\nframe r0\nfork c0", "r0:1", "r0:1"),
    ),
    "block": (
        acts.BLOCK,
        ("allocate p0 order=1", "p0", "p0"),
        ("allocate p0 order=1\nlru_add p0", "p0", "p0"),
    ),
    "memory": (
        acts.MEMORY,
        ("swapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain", "r0", "r0"),
        ("swapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain\nmadv r0 pageout", "r0", "r0"),
    ),
    "lent": (
        acts.LENT,
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0", "r0", "r0"),
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0\nread r0", "r0", "r0"),
    ),
    "given": (
        acts.GIVEN,
        ("map r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
        ("swapon 1\nmap r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
    ),
    "active": (
        acts.ACTIVE,
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
        acts.LOCKED,
        ("map r0 anon 1\nmlock r0\nwrite r0\ndrain\nframe r0", "r0", "r0"),
        (
            "machine cpus=1\nmap r0 anon 2\nmlock r0\nwrite r0\ndrain\nframe r0",
            "r0:0,1",
            "r0:1,0",
        ),
    ),
    "freed": (
        acts.FREED,
        ("allocate p0\nfree p0", "p0", "p0"),
        ("allocate p0\nlru_add p0\ndrain\nfree p0", "p0", "p0"),
    ),
    "leaving": (
        acts.LEAVING,
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
        acts.PREEMPTED,
        ("machine cpus=1\nmap r0 anon 1\nwrite r0\nmark_accessed r0", "r0", "r0"),
        ("machine cpus=1\nmap r0 file 1\nread r0\ndrain\nmark_accessed r0", "r0", "r0"),
    ),
    "movable": (
        acts.MOVABLE,
        ("movable m0 1", "m0", "m0"),
        ("movable m0 2", "m0:0,1", "m0:1,0"),
    ),
    "allocated": (
        acts.ALLOCATED,
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
