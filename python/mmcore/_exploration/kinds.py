"""Tables of the standard set: kinds of pages with their set-ups and threads, and named triples.

`standard.generate` makes the programs of the set from these tables.
"""

from __future__ import annotations

from typing import TypeAlias

from mmcore._exploration import acts

__all__ = ["KINDS", "TOGETHER", "TRIPLES"]

#: The set-up, the pages of the first thread and the pages of the second.
_Setting: TypeAlias = tuple[str, str, str]


def _same(setup: str, pages: str = "r0") -> _Setting:
    """Returns the setting in which both threads take the same pages."""
    return setup, pages, pages


def _opposite(setup: str, name: str = "r0") -> _Setting:
    """Returns the setting in which the threads take two pages in opposite order."""
    return setup, f"{name}:0,1", f"{name}:1,0"


#: Pages that lie behind the pages of a program in their node. One of them stays in the third
#: pageblock, and the free frames beside it are the targets when a compaction moves the program's
#: pages.
SPARSE = "map r1 anon 8\nwrite r1\nmadv r1:0-6 dontneed\ndrain"

#: A machine of small pageblocks, and pages that fill its first node together with one page of the
#: program. One page then stays in each pageblock: a block of four has to be made by compaction.
IN_PIECES = "machine pages=16 pageblock_order=2"
PIECES = "map r1 anon 15\nwrite r1\nmadv r1:0-2,4-6,8-10,12-14 dontneed\ndrain"

#: A machine whose nodes have two memory blocks each, of one pageblock.
_BLOCKS = "machine pages=8 pageblock_order=2 block=4"

#: Each kind of page: a table of threads, and two settings. Most kinds have one page in the first
#: setting and two in the second, which the threads take in opposite order. The other kinds:
#:
#: | kind | first setting | second setting |
#: |---|---|---|
#: | pinned | pinned for the long term | shared by a fork, pinned for a pipe |
#: | cached | in the page cache | on disk only |
#: | uncopied, short | on disk only | in the page cache |
#: | mixed, dropping | file on disk | file in tmpfs |
#: | swapped, memory | in memory | swapped out |
#: | aging, generations | anonymous, inactive | a file's, active |
#: | folded | inactive | locked by mlock |
#: | unfilled | never touched | one base page dropped by madvise |
#: | walked | base pages | large pages |
#: | large | mapped by one process | mapped by two |
#: | block, freed | on no LRU list | on an LRU list (of freed: before it was freed) |
#: | lent | swapped out | swapped out, read again by the parent |
#: | given | without swap space | with swap space |
#: | active | anonymous | a file's |
#: | locked | one page | two pages, a machine of one CPU |
#: | released | the mark sticks (6.17 and later) | the rules of 2016 |
#: | balloon | one page | two pages, the mark sticks |
#: | pressed | nothing else in memory | memory written before |
#: | leaving | on its list | on its list, an activation in the batch |
#: | compressed | today's locks of zsmalloc | the locks of 4.8 |
#: | paired | today's locks of zsmalloc | the locks of 4.8 |
#: | blockwise | anonymous | a file's |
#: | hungry | pages that go to swap, one frame in reserve | pages of a file, no reserve, one CPU |
#: | wanted | the block has an anonymous page | it has a movable page |
#: | lodged | one page in the block | two pages, the mark sticks |
#: | stowed | today's locks of zsmalloc | the locks of 4.8 |
#: | strained | a balloon that deflates | two nodes, swap on zram |
#: | preempted | in the batch for new pages | on its list, referenced |
KINDS: dict[str, tuple[dict[str, str], _Setting, _Setting]] = {
    "mapped": (
        acts.MAPPED,
        _same("map r0 anon 1\nwrite r0\ndrain"),
        _opposite("map r0 anon 2\nwrite r0\ndrain"),
    ),
    "fresh": (
        acts.FRESH,
        _same("map r0 anon 1"),
        _opposite("map r0 anon 2"),
    ),
    "pinned": (
        acts.PINNED,
        _same("map r0 anon 1\nwrite r0\ndrain\npin g0 r0 longterm"),
        _same("map r0 anon 1\nwrite r0\ndrain\nfork c0\npin g0 r0 pipe"),
    ),
    "forked": (
        acts.FORKED,
        _same("map r0 anon 1\nwrite r0\ndrain\nfork c0"),
        _opposite("map r0 anon 2\nwrite r0\ndrain\nfork c0"),
    ),
    "file": (
        acts.FILE,
        _same("map r0 file 1\nwrite r0\ndrain"),
        _opposite("map r0 file 2\nwrite r0\ndrain"),
    ),
    "written": (
        acts.WRITTEN,
        _same("map r0 file 1\nwrite r0\nmsync r0\ndrain"),
        _opposite("map r0 file 2\nwrite r0\nmsync r0\ndrain"),
    ),
    "cached": (
        acts.CACHED,
        _same("map r0 file 1\nfread r0\ndrain"),
        _same("map r0 file 1"),
    ),
    "private": (
        acts.PRIVATE,
        _same("map r0 filepriv 1\nread r0\ndrain"),
        _opposite("map r0 filepriv 2\nread r0\ndrain"),
    ),
    "uncopied": (
        acts.PRIVATE,
        _same("map r0 filepriv 1"),
        _opposite("map r0 filepriv 2\nfwrite r0\ndrain"),
    ),
    "mixed": (
        acts.PRIVATE,
        ("map r0 filepriv 2\nwrite r0:0\nread r0:1\ndrain", "r0:0,1", "r0:1"),
        ("map r0 tmpfspriv 2\nwrite r0:0\nread r0:1\ndrain", "r0:0,1", "r0:1"),
    ),
    "hollow": (
        acts.HOLLOW,
        _same("map r0 tmpfs 1\nread r0\ndrain"),
        _opposite("map r0 tmpfs 2\nread r0\ndrain"),
    ),
    "short": (
        acts.SHORT,
        _same("machine nodes=1\nmap r0 file 1"),
        _same("machine nodes=1\nmap r0 filepriv 1\nread r0\ndrain"),
    ),
    "kept": (
        acts.KEPT,
        _same("map r0 anon 1\nwrite r0\ndrain"),
        _opposite("map r0 anon 2\nwrite r0\ndrain"),
    ),
    "tiered": (
        acts.TIERED,
        _same("map r0 anon 1\nwrite r0\ndrain"),
        _opposite("map r0 anon 2\nwrite r0\ndrain"),
    ),
    "failing": (
        acts.FAILING,
        _same("map r0 anon 1\nwrite r0\ndrain\nframe r0"),
        _opposite("map r0 anon 2\nwrite r0\ndrain\nframe r0"),
    ),
    "free": (
        acts.FREE,
        _same("map r0 anon 1\nmap r1 anon 1\nwrite r0\ndrain\nframe r0\nunmap r0"),
        _opposite("map r0 anon 2\nmap r1 anon 1\nwrite r0\ndrain\nframe r0\nunmap r0"),
    ),
    "walked": (
        acts.WALKED,
        _same("map r0 anon 1\nmap r1 anon 1 node=1\nwrite r0\nwrite r1\ndrain\nframe r1\nunmap r1"),
        _same(
            "map r0 anon 2 order=1\nmap r1 anon 2 node=1 order=1\nwrite r0\nwrite r1\ndrain\n"
            "frame r1\nunmap r1"
        ),
    ),
    "losing": (
        acts.LOSING,
        _same("map r0 file 1\nwrite r0\ndrain\nframe r0"),
        _opposite("map r0 file 2\nwrite r0\ndrain\nframe r0"),
    ),
    "dropping": (
        acts.DROPPING,
        _same("map r0 file 1\nread r0\nframe r0\nmadv r0 dontneed\ndrain"),
        _same("map r0 tmpfs 1\nwrite r0\nframe r0\nmadv r0 dontneed\ndrain"),
    ),
    "swapped": (
        acts.SWAPPED,
        _same("swapon 1\nmap r0 anon 1\nwrite r0\ndrain"),
        _same("swapon 2\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout"),
    ),
    "aging": (
        acts.AGING,
        _same("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nreclaim 1"),
        _same("map r0 file 1\nread r0\nmark_accessed r0+r0+r0\ndrain"),
    ),
    "generations": (
        acts.AGING,
        _same("machine lru_policy=mglru\nswapon 1\nmap r0 anon 1\nwrite r0\ndrain\nreclaim 1"),
        _same("machine lru_policy=mglru\nmap r0 file 1\nread r0\nmark_accessed r0+r0+r0\ndrain"),
    ),
    "folded": (
        acts.AGING,
        ("swapon 2\nmap r0 anon 2 order=1\nwrite r0\ndrain\nreclaim 1", "r0", "r0:1"),
        ("map r0 anon 2 order=1\nmlock r0\nwrite r0\ndrain", "r0", "r0:1"),
    ),
    "unfilled": (
        acts.UNFILLED,
        ("map r0 anon 2 order=1", "r0:1", "r0:0"),
        ("map r0 anon 2 order=1\nwrite r0:0\nmadv r0:0 dontneed\ndrain", "r0:0", "r0"),
    ),
    "large": (
        acts.LARGE,
        ("swapon 2\nmap r0 anon 2 order=1\nwrite r0\ndrain\nframe r0", "r0:0", "r0:1"),
        ("map r0 anon 2 order=1\nwrite r0\ndrain\nframe r0\nfork c0", "r0:1", "r0:1"),
    ),
    "block": (
        acts.BLOCK,
        _same("allocate p0 order=1", "p0"),
        _same("allocate p0 order=1\nlru_add p0", "p0"),
    ),
    "memory": (
        acts.MEMORY,
        _same("swapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain"),
        _same("swapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain\nmadv r0 pageout"),
    ),
    "lent": (
        acts.LENT,
        _same("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0"),
        _same("swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0\nread r0"),
    ),
    "given": (
        acts.GIVEN,
        _same("map r0 anon 1\nwrite r0\ndrain"),
        _same("swapon 1\nmap r0 anon 1\nwrite r0\ndrain"),
    ),
    "active": (
        acts.ACTIVE,
        _same("map r0 anon 1\nwrite r0\ndrain\nmark_accessed r0\nmark_accessed r0\ndrain"),
        _same("map r0 file 1\nread r0\ndrain\nmark_accessed r0\nmark_accessed r0\ndrain"),
    ),
    "locked": (
        acts.LOCKED,
        _same("map r0 anon 1\nmlock r0\nwrite r0\ndrain\nframe r0"),
        _opposite("machine cpus=1\nmap r0 anon 2\nmlock r0\nwrite r0\ndrain\nframe r0"),
    ),
    "freed": (
        acts.FREED,
        _same("allocate p0\nfree p0", "p0"),
        _same("allocate p0\nlru_add p0\ndrain\nfree p0", "p0"),
    ),
    "leaving": (
        acts.LEAVING,
        _same("machine movable=1\nmap r0 anon 1 node=1\nwrite r0\ndrain"),
        _same(
            "machine movable=1\nmap r0 anon 1 node=1\nwrite r0\ndrain\n"
            "mark_accessed r0\nmark_accessed r0"
        ),
    ),
    "blockwise": (
        acts.BLOCKWISE,
        (f"{_BLOCKS}\nmap r0 anon 1 node=1\nwrite r0\ndrain\nframe r0", "r0", "r0"),
        (f"{_BLOCKS}\nmap r0 file 1 node=1\nwrite r0\ndrain\nframe r0", "r0", "r0"),
    ),
    "lodged": (
        acts.LODGED,
        (f"{_BLOCKS}\ninflate 1 node=1", "b0:0", "b0:0"),
        (f"{_BLOCKS} movable_mark=sticky\ninflate 2 node=1", "b0:0,1", "b0:1,0"),
    ),
    "stowed": (
        acts.STOWED,
        (f"{_BLOCKS}\nzs_open 2\nzs_put 0 size=24 node=1", "z0:0", "z0:1"),
        (
            (
                f"{_BLOCKS} zs_locking=class zspage_groups=quarters\nzs_open 2\n"
                "zs_put 0 size=24 node=1"
            ),
            "z0:2",
            "z0:0",
        ),
    ),
    "strained": (
        acts.STRAINED,
        _same(
            "machine nodes=1 pages=8 pageblock_order=2 cpus=1 pressure=on deflate_on_oom=true\n"
            "set min_free_kbytes 0\nswapon 1\nmap r0 anon 4\nwrite r0\nmap r1 anon 1\ninflate 3\n"
            "madv r0:0,2 dontneed\ndrain",
            "r0:1",
        ),
        _same(
            "machine nodes=2 pages=8 pageblock_order=2 cpus=1 pressure=on\nset min_free_kbytes 16\n"
            "swapon 1 zram\nmap r0 anon 12\nwrite r0\nmap r1 anon 1\ndrain",
            "r0:1",
        ),
    ),
    "preempted": (
        acts.PREEMPTED,
        _same("machine cpus=1\nmap r0 anon 1\nwrite r0\nmark_accessed r0"),
        _same("machine cpus=1\nmap r0 file 1\nread r0\ndrain\nmark_accessed r0"),
    ),
    "movable": (
        acts.MOVABLE,
        _same("movable m0 1", "m0"),
        _opposite("movable m0 2", "m0"),
    ),
    "compressed": (
        acts.COMPRESSED,
        ("machine pages=16\nzs_open 2\nzs_put 0 size=24", "z0:0", "z0:1"),
        (
            "machine pages=16 zs_locking=class zspage_groups=quarters\nzs_open 2\nzs_put 0 size=24",
            "z0:2",
            "z0:0",
        ),
    ),
    "paired": (
        acts.PAIRED,
        _same("machine pages=16\nzs_open 2\nzs_put 0 size=8\nzs_put 1 size=8", "z0:0"),
        _same(
            "machine pages=16 zs_locking=class zspage_groups=quarters\nzs_open 2\n"
            "zs_put 0 size=8\nzs_put 1 size=8",
            "z0:0",
        ),
    ),
    "compacted": (
        acts.COMPACTED,
        (f"machine pages=16 pageblock_order=2\nmap r0 anon 1\nwrite r0\n{SPARSE}", "r0", "r0"),
        (
            f"machine pages=16 pageblock_order=2\nmap r0 anon 2\nwrite r0\n{SPARSE}",
            "r0:0,1",
            "r0:1,0",
        ),
    ),
    "wanted": (
        acts.WANTED,
        _same(f"{IN_PIECES}\nmap r0 anon 1\nwrite r0\n{PIECES}"),
        (f"{IN_PIECES}\nmovable m0 1 node=0\n{PIECES}\nmap r0 anon 1\nwrite r0\ndrain", "r0", "r0"),
    ),
    "hungry": (
        acts.HUNGRY,
        _same(
            "machine nodes=1 pages=2 pressure=on\nset min_free_kbytes 4\nswapon 1\n"
            "map r0 anon 1\nwrite r0\nmap r1 anon 1\ndrain"
        ),
        _same(
            "machine nodes=1 pages=3 cpus=1 pressure=on\nset min_free_kbytes 0\n"
            "map r0 file 3\nread r0\nmap r1 anon 1\ndrain"
        ),
    ),
    "gathered": (
        acts.GATHERED,
        (f"machine pages=16 pageblock_order=2\nmovable m0 1\n{SPARSE}", "m0", "m0"),
        (f"machine pages=16 pageblock_order=2\nmovable m0 2\n{SPARSE}", "m0:0,1", "m0:1,0"),
    ),
    "released": (
        acts.RELEASED,
        ("machine movable_mark=sticky freed_movable_checked=false\nmovable m0 1", "m0", "m0"),
        (
            (
                "machine isolated_counts_movable=true unused_target_to_lru=true "
                "freed_movable_checked=false\nmovable m0 1"
            ),
            "m0",
            "m0",
        ),
    ),
    "balloon": (
        acts.BALLOON,
        ("inflate 1", "b0:0", "b0:0"),
        ("machine movable_mark=sticky balloon_counted=true\ninflate 2", "b0:0,1", "b0:1,0"),
    ),
    "pressed": (
        acts.PRESSED,
        (
            "machine nodes=1 pages=4 deflate_on_oom=true\nmap r0 anon 1\ninflate 4",
            "b0:0",
            "b0:0",
        ),
        (
            "machine pages=2 deflate_on_oom=true\nmap r0 anon 1\nwrite r0\ninflate 3",
            "b0:0",
            "b0:1",
        ),
    ),
    "allocated": (
        acts.ALLOCATED,
        ("allocate p0\nlru_add p0", "p0", "p0"),
        ("allocate p0\nlru_add p0\nallocate p1\nlru_add p1", "p0+p1", "p1+p0"),
    ),
}

#: Kinds of which two are combined in one program, each with pages of its own: the threads share
#: only the batches, the free lists and the LRU lists.
TOGETHER = ("mapped", "movable", "allocated")

#: Programs of three threads on one page: the kind, and the names of the threads in its table.
TRIPLES = {
    "two movers and a writer": ("mapped", "move", "move", "write"),
    "mover and two readers": ("mapped", "move", "read", "read"),
    "three locks": ("mapped", "lock", "lock", "lock"),
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
    "file: write-back, truncation and sync": ("file", "writeback", "truncate", "sync"),
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
    "compressed: mover, mover and free": ("compressed", "migrate", "migrate", "del"),
    "compressed: mover, free and store": ("compressed", "migrate", "del", "put"),
    "compressed: mover, check and compaction": ("compressed", "migrate", "check", "compact"),
    "balloon: inflation, deflation and mover": ("balloon", "inflate", "deflate", "migrate"),
    "balloon: two movers and deflation": ("balloon", "migrate", "migrate", "deflate"),
    "balloon: offline, isolator and deflation": (
        "balloon",
        "soft_offline",
        "isolate",
        "deflate",
    ),
    "pressed: allocation, isolator and deflation": ("pressed", "allocate", "isolate", "deflate"),
    "allocated: isolator, drain and free": ("allocated", "isolate", "drain", "free"),
    "allocated: addition and two drains": ("allocated", "lru_add", "drain", "drain"),
    "allocated: two references and free": ("allocated", "try_get", "try_get", "free"),
    "allocated: freeze, reference and free": ("allocated", "freeze", "try_get", "free"),
    "allocated: mover, free and drain": ("allocated", "migrate", "free", "drain"),
}
