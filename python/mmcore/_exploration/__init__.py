"""The explorer searches, replays and shrinks the interleavings of a program in the core.

`searching` searches, `result` holds the result of a search, `pairs` the pairs of steps that a
search has interleaved, `replaying` runs one schedule again, and `calling` calls the core for all;
`text` and `timeline` show steps. `hunting` has the mutations, `standard` the standard set, `soak`
the long programs, which `guided` draws; `hunted` and `many` hold the results of their searches.
`docs/explorer.md` defines a step, states the guarantees of each search and describes the text of a
schedule.
"""

from __future__ import annotations

from mmcore._exploration.replaying import Replay, replay
from mmcore._exploration.result import Counterexample, Exploration
from mmcore._exploration.schedule import Run, Schedule
from mmcore._exploration.searching import explore, shrink
from mmcore._exploration.step import TraceStep

__all__ = [
    "Counterexample",
    "Exploration",
    "Replay",
    "Run",
    "Schedule",
    "TraceStep",
    "explore",
    "replay",
    "shrink",
]
