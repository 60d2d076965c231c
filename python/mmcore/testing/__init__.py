"""Tests with Hypothesis and pytest: programs drawn, interleavings searched, machines audited.

`programs` draws what the threads do; `explore` searches how they interleave, in the core;
`schedules` draws interleavings themselves, to shrink and to teach. `PageLife` is the life of pages
on one machine, step by step, to be subclassed. The fixture `machine` comes with pytest by itself.

See `docs/testing.md`.
"""

from __future__ import annotations

from mmcore._extras import need

need("hypothesis", "mmcore.testing")

# Only after `need` has named the extra.
from mmcore.testing.life import PageLife  # noqa: E402 - see above
from mmcore.testing.search import explore, replaying  # noqa: E402 - see above
from mmcore.testing.strategies import programs, schedules  # noqa: E402 - see above

__all__ = ["PageLife", "explore", "programs", "replaying", "schedules"]
