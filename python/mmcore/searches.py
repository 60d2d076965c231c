"""Searches of many programs: the standard set, long programs drawn at random, and known defects.

| function | explores |
|---|---|
| `standard` | all pairs of operations, exhaustively, in every release design but `mine` |
| `soak` | long programs drawn at random |
| `hunt` | for each known defect the program that finds it, with the defect switched on |

The functions take an `executor` and a `checkpoint` (docs/clusters.md); the commands
`mmcore standard`, `mmcore soak` and `mmcore hunt` call them.
"""

from __future__ import annotations

from mmcore._exploration.hunted import HuntResult, hunt
from mmcore._exploration.hunting import Defect, Hunt, Minimum, RaceSize
from mmcore._exploration.many import SoakResult, StandardResult, soak, standard
from mmcore._exploration.soak import Soaked
from mmcore._exploration.standard import Explored

__all__ = [
    "Defect",
    "Explored",
    "Hunt",
    "HuntResult",
    "Minimum",
    "RaceSize",
    "SoakResult",
    "Soaked",
    "StandardResult",
    "hunt",
    "soak",
    "standard",
]
