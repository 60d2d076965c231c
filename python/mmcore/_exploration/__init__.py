"""The explorer searches, replays and shrinks the interleavings of a program in the core.

`searching` calls the core, `result` holds the result of a search, `text` and `timeline` show its
steps. `hunting` has the mutations, `standard` the standard set, `soak` the long programs; `hunted`
and `many` hold the results of searching them. `docs/explorer.md` defines a step, states the
guarantees of each search and describes the text of a schedule.
"""

from __future__ import annotations

from mmcore._exploration.result import Counterexample, Exploration, Replay
from mmcore._exploration.schedule import Run, Schedule
from mmcore._exploration.searching import explore, replay, shrink
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
