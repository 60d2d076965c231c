"""Maps: the kind of each frame of a node, and pictures of them.

| file | idea |
|---|---|
| `node` | the map of one node: letters, totals, free blocks |
| `cells` | the picture of a node as rows of letters, and the colour of each letter |
| `shown` | the parts that all of these results show |
| `result` | the results: the maps of a machine, and two of them side by side |
| `steps` | a compaction, move by move, and a page to step through the moves |
| `running` | the maps of the machine that a program has used |
| `plots` | the same pictures as image files, with matplotlib |
"""

from __future__ import annotations

from mmcore._map.node import NodeMap
from mmcore._map.result import MapChange, NodeMaps
from mmcore._map.running import of_program
from mmcore._map.steps import MapSteps

__all__ = ["MapChange", "MapSteps", "NodeMap", "NodeMaps", "of_program"]
