"""Tables of the standard set: operations in which a fault strikes, each beside other operations.

The word `fail` makes a step of the operation after it fail: a write to a disk, a copy, an
allocation, a question to an owner. The operation then takes a path that it takes in no other
program of the set. `standard.generate` combines each failing operation of a kind with each
operation beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmcore._exploration.acts import BALLOON, COMPRESSED, MOVABLE, usual
from mmcore._exploration.kinds import IN_PIECES, PIECES, SPARSE

__all__ = ["FAULTY", "Faulty"]


@dataclass(frozen=True, slots=True)
class Faulty:
    """A kind of page for operations in which a fault strikes.

    Attributes:
        setup: the set-up.
        pages: the pages that both threads take.
        failing: threads with a fault, by name.
        beside: threads without a fault, by name.
    """

    setup: str
    pages: str
    failing: dict[str, str]
    beside: dict[str, str]


def _failing(fault: str, operations: dict[str, str]) -> dict[str, str]:
    """Returns threads whose last operation meets a fault; `fault` is the rest of a line `fail`."""

    def lines(text: str) -> str:
        *before, last = text.split("\n")
        return "\n".join([*before, f"fail {fault}", last])

    named = fault.replace(" nth=", " ").replace(" times=", " x ")
    return {f"{name} with {named}": lines(text) for name, text in operations.items()}


#: Each kind of page with the operations that fail, and those beside them. A migration that may wait
#: tries a page a second time, so that its copy fails for good only with `times=2`.
FAULTY: dict[str, Faulty] = {
    "mapped": Faulty(
        "map r0 anon 1\nwrite r0\ndrain",
        "r0",
        _failing("copy_failure", usual("move migrate"))
        | _failing("copy_failure times=2", usual("move soft_offline"))
        | _failing("no_memory", usual("move soft_offline fork"))
        | _failing("killed", usual("fork mlock")),
        usual("read write unmap fork move"),
    ),
    "two mapped": Faulty(
        "map r0 anon 2\nwrite r0\ndrain",
        "r0:0-1",
        _failing("no_memory", usual("move")) | _failing("copy_failure nth=2", usual("move")),
        usual("read write unmap isolate"),
    ),
    "shared": Faulty(
        "map r0 anon 1\nwrite r0\ndrain\nfork c0",
        "r0",
        _failing("no_memory", usual("write"))
        | _failing("copy_failure", usual("write"))
        | _failing("copy_failure times=2", {"move": "move {x} node=1 all"}),
        usual("write cwrite unmap exit pin") | {"move": "move {x} node=1 all"},
    ),
    "pinned": Faulty(
        "map r0 anon 2\nwrite r0\ndrain\npin g0 r0:1 longterm",
        "r0",
        _failing("no_memory nth=2", usual("fork")) | _failing("copy_failure", usual("fork")),
        usual("write unmap fork") | {"unpin": "unpin g0"},
    ),
    "fresh": Faulty(
        "map r0 anon 1",
        "r0",
        _failing("no_memory", usual("write mlock") | {"pin": "pin g{t} {x} longterm"}),
        usual("write unmap munlock"),
    ),
    "file": Faulty(
        "map r0 file 1\nwrite r0\ndrain",
        "r0",
        _failing("driver_error", usual("msync writeback") | {"sync": "sync"})
        | _failing("copy_failure times=2", usual("move")),
        usual("read write fwrite msync truncate drop move"),
    ),
    "on disk": Faulty(
        "map r0 file 1",
        "r0",
        _failing("driver_error", usual("read fread"))
        | _failing("no_memory", usual("write fwrite")),
        usual("read fread write truncate drop"),
    ),
    "private": Faulty(
        "map r0 filepriv 1\nread r0\ndrain",
        "r0",
        _failing("no_memory", usual("write")) | _failing("copy_failure", usual("write")),
        usual("read unmap fork fwrite truncate"),
    ),
    "reclaimed": Faulty(
        "swapon 1\nmap r0 anon 1\nwrite r0\ndrain",
        "r0",
        _failing("driver_error", usual("pageout")) | _failing("no_memory", usual("pageout")),
        usual("read write unmap fork pageout swapoff"),
    ),
    "swapped": Faulty(
        "swapon 2\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout",
        "r0",
        _failing("driver_error", usual("read write swapoff"))
        | _failing("no_memory", usual("read swapoff")),
        usual("read write unmap fork pageout swapoff"),
    ),
    "lent": Faulty(
        "swapon 1\nmap r0 anon 1\nwrite r0\ndrain\nmadv r0 pageout\nfork c0",
        "r0",
        _failing("driver_error", usual("write cread")),
        usual("read cwrite unmap exit"),
    ),
    "memory": Faulty(
        "swapon 1\nmap r0 tmpfs 1\nwrite r0\ndrain\nmadv r0 pageout",
        "r0",
        _failing("driver_error", usual("read fread swapoff")),
        usual("read fwrite truncate swapoff"),
    ),
    "large": Faulty(
        "swapon 2\nmap r0 anon 2 order=1\nwrite r0\ndrain",
        "r0:0",
        _failing("copy_failure times=2", usual("move"))
        | _failing("no_memory", usual("move pageout")),
        usual("read write unmap split"),
    ),
    "unfilled": Faulty(
        "map r0 anon 2 order=1",
        "r0:1",
        _failing("no_memory", usual("write")),
        usual("write unmap fork"),
    ),
    "tiered": Faulty(
        "swapon 1\nmap r0 anon 1\nwrite r0\ndrain",
        "r0",
        _failing("copy_failure", usual("demote"))
        | _failing("no_memory", {"numa_fault": "numa_fault {x} node=1"}),
        usual("read write unmap"),
    ),
    "movable": Faulty(
        "movable m0 1",
        "m0",
        _failing("driver_error", {"isolation": "isolate {x}", "migrate": MOVABLE["migrate"]})
        | _failing("no_memory", {"migrate": MOVABLE["migrate"]}),
        {name: MOVABLE[name] for name in ("release", "try_get", "lock", "isolate", "migrate")},
    ),
    "compacted": Faulty(
        f"{IN_PIECES}\nmap r0 anon 1\nwrite r0\n{PIECES}",
        "r0",
        _failing("copy_failure", {"compact": "compact_for node=0 order=2"}),
        usual("write unmap isolate"),
    ),
    "gathered": Faulty(
        f"machine pages=16 pageblock_order=2\nmovable m0 1\n{SPARSE}",
        "m0",
        _failing("driver_error", {"compact": "compact node=0"})
        | _failing("driver_error nth=2", {"compact": "compact node=0"}),
        {name: MOVABLE[name] for name in ("release", "try_get", "isolate")},
    ),
    "range": Faulty(
        "machine pages=8 pageblock_order=2 block=4\nmap r0 anon 1 node=1\nwrite r0\ndrain",
        "r0",
        _failing("no_memory", {"range": "alloc_range p{t} 0 2 node=1"})
        | _failing("copy_failure times=2", {"range": "alloc_range p{t} 0 2 node=1"})
        | _failing("copy_failure", {"offline": "memblk 0 offline node=1"}),
        usual("write unmap") | {"allocate": "allocate p{t} node=1\nfree p{t}"},
    ),
    "compressed": Faulty(
        "machine pages=16\nzs_open 2\nzs_put 0 size=24",
        "z0:0",
        _failing("no_memory", {"put": COMPRESSED["put"], "migrate": COMPRESSED["migrate"]}),
        {name: COMPRESSED[name] for name in ("put", "del", "check", "migrate", "compact")},
    ),
    "empty": Faulty(
        "machine pages=16\nzs_open 2",
        "z0:0",
        _failing("no_memory nth=2", {"store": "zs_put 0 size=24"})
        | _failing("no_memory nth=3", {"store": "zs_put 0 size=24"}),
        {name: COMPRESSED[name] for name in ("put", "check", "compact")},
    ),
    "balloon": Faulty(
        "inflate 1",
        "b0:0",
        _failing("no_memory", {name: BALLOON[name] for name in ("inflate", "migrate")}),
        {name: BALLOON[name] for name in ("inflate", "deflate", "isolate")},
    ),
}
