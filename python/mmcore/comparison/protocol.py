"""What `compare` asks of the core: a few calls, with JSON in between.

The binding implements it (`mmcore._mmcore`); the tests implement it with a simulated machine whose
differences and noise are known.

The configuration of a variant, as JSON::

    {"load": "tiering" | "storm",
     "kernel": "6.12",                       the preset of the profile ...
     "profile": {"release": "packed"},       ... and the fields that differ from it, all as text
     "migrators": 2,                         threads that migrate; the load adds its users of memory
     "nodes": [{"bytes": 67108864, "latency_ns": 100.0}, ...],        none: derived by the load
     "copy": true,                           whether contents are copied (and checked)
     "seed": 1,
     "command": "mmcore compare ...",        what repeats it, for messages
     "planted": {"slowdown": 0.03}}          only in tests of the verdict: wasted time a page

A refused configuration is a `ValueError` with one line. Any other exception is a finding: an audit
that is not clean, content that was lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmcore.comparison.plan import Policy

__all__ = ["COUNTED", "Backend", "Rig", "RoundReport", "TraceArrays"]

#: The page of each access, whether it writes (0 or 1), and its thread.
TraceArrays = tuple["NDArray[np.uint32]", "NDArray[np.uint8]", "NDArray[np.uint16]"]

#: What `count_ops` counts beside "migrated", and what a report calls it.
COUNTED = {
    "rmw": "atomic read-modify-writes",
    "lruvec_locks": "lruvec lock acquisitions",
    "pagevec_inserts": "pagevec insertions",
    "list_ops": "list links + unlinks",
    "batch_locks": "batch locks (kernel: none)",
}


class Rig(Protocol):
    """One variant's machine with its threads."""

    def run(self, round_seed: int, seconds: float, /) -> str:
        """Drives the load for about `seconds`; returns a `RoundReport` as JSON.

        The same seed asks every variant for the same work, so that a round compares like with like.
        """
        ...

    def finish(self) -> str:
        """Drains the machine, verifies every byte and audits; returns what was checked, as JSON."""
        ...


class Backend(Protocol):
    """Where rigs come from."""

    def LoadRig(  # noqa: N802 - a class of the binding
        self, config_json: str, trace: TraceArrays | None, policy: Policy | None = None, /
    ) -> Rig:
        """Builds a machine for the configuration; for tiering perhaps with a policy."""
        ...

    def count_ops(self, config_json: str, trace: TraceArrays | None, /) -> str:
        """Runs the load in the counting build; returns "migrated" and operation counts, as JSON."""
        ...


@dataclass(frozen=True)
class RoundReport:
    """What one variant did in one round.

    Attributes:
        wall_s: elapsed seconds while pages were migrated.
        migrator_cpu_s: processor seconds of the migrating threads.
        migrated: pages migrated.
        failed: pages whose migration failed for good.
        retries: migration passes repeated for a page.
        memcpy_pages_per_s: cold pages that a bare libc `memcpy` copied a second on one thread,
            measured within this round; 0 in rounds without such copies.
        latency_ns: histogram of time a page, batch by batch: (nanoseconds, count).
        accesses: accesses of the program that the load replayed.
        modelled_ns: what these would have cost at the nodes' latencies.
        accesses_by_node: the accesses by the node where the page was.
    """

    wall_s: float
    migrator_cpu_s: float
    migrated: int
    failed: int
    retries: int
    memcpy_pages_per_s: float
    latency_ns: tuple[tuple[float, int], ...] = ()
    accesses: int = 0
    modelled_ns: float = 0.0
    accesses_by_node: tuple[int, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> RoundReport:
        """Reads a report; keys that this version does not know are kept in `more`."""
        data = json.loads(text)
        known = {name: data.pop(name) for name in cls.__dataclass_fields__ if name in data}
        known["accesses_by_node"] = tuple(known.get("accesses_by_node", ()))
        known["latency_ns"] = tuple((value, count) for value, count in known.get("latency_ns", ()))
        known["more"] = data
        return cls(**known)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `more` on the same level."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "more"}
        return {**data, **self.more}

    @property
    def pages_per_s(self) -> float:
        """Pages migrated a second of wall time."""
        return self.migrated / self.wall_s

    @property
    def pages_per_cpu_s(self) -> float:
        """Pages migrated a second of the migrators' processor time; 0 if they had nothing to do."""
        return self.migrated / self.migrator_cpu_s if self.migrator_cpu_s > 0 else 0.0

    @property
    def accesses_per_modelled_s(self) -> float:
        """Accesses in a second of modelled time."""
        return 1e9 * self.accesses / self.modelled_ns
