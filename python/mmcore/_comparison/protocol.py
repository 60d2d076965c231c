"""The calls of the core that a comparison makes, with JSON as arguments and results.

The binding (`mmcore._mmcore`) implements them; the tests have a second implementation, a simulated
machine whose differences and noise are known.

The configuration of a variant, as JSON::

    {"load": "tiering" | "storm" | "compaction" | "zram",
     "kernel": "6.12",                       the preset of the profile ...
     "profile": {"release": "packed"},       ... and the fields that differ from it, all as text
     "migrators": 2,                         migrating threads; others use the memory meanwhile ...
     "alone": false,                         ... unless the migrating threads are alone
     "nodes": [{"bytes": 67108864, "latency_ns": 100.0}, ...],        none: derived by the load
     "copy": true,                           whether contents are copied (and checked)
     "memcpy": true,                         whether bare copies are timed too
     "poison_rate": 0.01,                    share of migration calls before which a frame fails
     "seed": 1,
     "command": "mmcore compare ...",        the command that repeats it, for messages
     "planted": {"slowdown": 0.03,           only in tests of the verdict: time wasted on each page,
                 "atomics": 1}}              and operations that the counting build does for each

A refused configuration raises a `ValueError` of one line; an `OverflowError` or a `MemoryError` is
a refusal too. Any other exception is a finding: lost content, or an audit with broken rules.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from mmcore._comparison.plan import Policy
    from mmcore._trace.arrays import TraceArrays

__all__ = [
    "COUNTED",
    "NOUNS",
    "Backend",
    "Hits",
    "LatencyCount",
    "Operations",
    "Rig",
    "RoundReport",
    "Stored",
]

#: The operations that `count_ops` counts for migrated pages, and under "used" for accesses, with
#: their names in reports.
COUNTED = {
    "rmw": "atomic read-modify-writes",
    "lruvec_locks": "lruvec lock acquisitions",
    "pagevec_inserts": "pagevec insertions",
    "list_ops": "list links + unlinks",
    "batch_locks": "batch locks (kernel: none)",
    "other_locks": "other lock acquisitions",
    "tlb_flushes": "TLB flushes",
}

#: The same operations in sentences.
NOUNS = {
    "rmw": "atomics",
    "lruvec_locks": "lruvec locks",
    "pagevec_inserts": "pagevec insertions",
    "list_ops": "list operations",
    "batch_locks": "batch locks",
    "other_locks": "other locks",
    "tlb_flushes": "TLB flushes",
}


class Rig(Protocol):
    """The machine of one variant, with its threads."""

    def run(self, round_seed: int, seconds: float, /) -> str:
        """Runs the load for about `seconds`; returns a `RoundReport` as JSON.

        The same seed gives every variant the same work: otherwise a round would compare different
        loads.
        """
        ...

    def finish(self) -> str:
        """Drains the machine, verifies every byte and audits; returns the checks done, as JSON."""
        ...


class Backend(Protocol):
    """The part of the core that builds rigs."""

    def LoadRig(  # noqa: N802 - a class of the binding
        self, config_json: str, trace: TraceArrays | None, policy: Policy | None = None, /
    ) -> Rig:
        """Builds the machine of a configuration; tiering takes an optional policy."""
        ...

    def count_ops(self, config_json: str, trace: TraceArrays | None, /) -> str:
        """Runs the load in the counting build.

        Returns JSON: "migrated" pages with the operations of the migrator; "accesses" of the other
        threads with theirs under "used".
        """
        ...

    def count_hits(
        self, config_json: str, trace: TraceArrays | None, policy: Policy | None = None, /
    ) -> str:
        """Replays a fixed number of accesses of a trace on one thread; returns `Hits` as JSON."""
        ...


class Operations(NamedTuple):
    """The operations of a variant in the counting build.

    Attributes:
        per_page: operations of the migrator per migrated page.
        per_access: operations of the other threads per access.
        hits: the nodes on which the accesses of a trace find their pages; None in loads without a
            trace.
    """

    per_page: dict[str, float]
    per_access: dict[str, float]
    hits: Hits | None = None


class Hits(NamedTuple):
    """The nodes on which a fixed number of accesses of a trace found their pages.

    The counts are the same in every run.

    Attributes:
        migrated: the pages that moved meanwhile.
        accesses_by_node: the number of accesses to pages on each node.
        latency_ns: the modelled latency of each node.
    """

    migrated: int
    accesses_by_node: tuple[int, ...]
    latency_ns: tuple[float, ...]

    @classmethod
    def from_json(cls, text: str) -> Hits:
        """Parses the report of `count_hits`."""
        data = json.loads(text)
        by_node, latencies = data["accesses_by_node"], data["latency_ns"]
        return cls(data["migrated"], tuple(by_node), tuple(latencies))

    @property
    def fast_share(self) -> float:
        """The share of the accesses whose page was on the first node."""
        return self.accesses_by_node[0] / sum(self.accesses_by_node)

    @property
    def ns_per_access(self) -> float:
        """The modelled latency of an access, on average."""
        pairs = zip(self.accesses_by_node, self.latency_ns, strict=True)
        return sum(count * ns for count, ns in pairs) / sum(self.accesses_by_node)


class LatencyCount(NamedTuple):
    """One bar of a histogram of the time per page, or of the time of requests.

    Attributes:
        ns: the time per page or request in nanoseconds.
        batches: the number of batches of pages, or of requests, that took this time.
    """

    ns: float
    batches: int


@dataclass(frozen=True)
class Stored:
    """The content of a zram device.

    Attributes:
        content_bytes: bytes of the content.
        compressed_bytes: bytes of the compressed content.
        pool_bytes: bytes of the pages of zsmalloc that hold it.
        same_pages: pages of which all words are the same.
        huge_pages: pages that did not compress.
    """

    content_bytes: int
    compressed_bytes: int
    pool_bytes: int
    same_pages: int
    huge_pages: int


@dataclass(frozen=True)
class RoundReport:
    """The report of one variant about one round.

    Attributes:
        wall_s: wall seconds in which pages were migrated.
        migrator_cpu_s: processor seconds of the migrating threads.
        migrated: pages migrated.
        failed: pages whose migration failed for good.
        retries: migration passes repeated for a page.
        memcpy_pages_per_s: pages that a bare libc `memcpy` copied per second on one thread, in
            memory of the load's size and within this round; 0 in rounds without such copies.
        latency_ns: histogram of the time per page, by batches.
        accesses: accesses of the trace that were replayed.
        modelled_ns: nanoseconds of these accesses at the latencies of their nodes.
        accesses_by_node: the number of accesses to pages on each node.
        user_cpu_s: processor seconds of the other threads, which use the memory.
        requests: requests for a block of a fragmented node.
        served: the requests that got their block.
        request_ns: histogram of the time of the requests.
        stored: the zram device at the end of the round; None in loads without one.
        more: keys of the core's report that this version does not know.
    """

    wall_s: float
    migrator_cpu_s: float
    migrated: int
    failed: int
    retries: int
    memcpy_pages_per_s: float
    latency_ns: tuple[LatencyCount, ...] = ()
    accesses: int = 0
    modelled_ns: float = 0.0
    accesses_by_node: tuple[int, ...] = ()
    user_cpu_s: float = 0.0
    requests: int = 0
    served: int = 0
    request_ns: tuple[LatencyCount, ...] = ()
    stored: Stored | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> RoundReport:
        """Parses a report; keys that this version does not know go into `more`."""
        data = json.loads(text)
        known = {name: data.pop(name) for name in cls.__dataclass_fields__ if name in data}
        known["accesses_by_node"] = tuple(known.get("accesses_by_node", ()))
        for name in ("latency_ns", "request_ns"):
            known[name] = tuple(map(LatencyCount._make, known.get(name, ())))
        if known.get("stored") is not None:
            known["stored"] = Stored(**known["stored"])
        known["more"] = data
        return cls(**known)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON; the keys of `more` are on the same level."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "more"}
        data["stored"] = None if self.stored is None else asdict(self.stored)
        return {**data, **self.more}

    @property
    def pages_per_s(self) -> float:
        """Pages migrated per wall second."""
        return self.migrated / self.wall_s

    @property
    def pages_per_cpu_s(self) -> float:
        """Pages migrated per processor second of the migrators; 0 if they used no time."""
        return self.migrated / self.migrator_cpu_s if self.migrator_cpu_s > 0 else 0.0

    @property
    def accesses_per_user_cpu_s(self) -> float:
        """Accesses per processor second of the threads that use the memory; 0 if none do."""
        return self.accesses / self.user_cpu_s if self.user_cpu_s > 0 else 0.0

    @property
    def accesses_per_modelled_s(self) -> float:
        """Accesses per second of modelled time."""
        return 1e9 * self.accesses / self.modelled_ns
