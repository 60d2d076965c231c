"""Parts of a long call, done one after another or by the workers of an executor.

| file | idea |
|---|---|
| `parts` | does the parts and yields their results in order; does lost parts again |
| `workers` | the executor of a call: one that the caller gives, or one that mmcore makes |
| `checkpoint` | the file of results from which a later call continues |

A part is plain data, and so is its result: both cross the border of a process or of a computer. The
results are yielded in the order of the parts, so that the order in which workers end them does not
change the result of the call.
"""

from __future__ import annotations

from mmcore._spread.checkpoint import Checkpoint
from mmcore._spread.parts import STOP, Part, spread
from mmcore._spread.workers import ExecutorChoice, Workers, workers_of

__all__ = [
    "STOP",
    "Checkpoint",
    "ExecutorChoice",
    "Part",
    "Workers",
    "spread",
    "workers_of",
]
