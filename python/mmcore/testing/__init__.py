"""Tools for tests with Hypothesis and pytest: generated programs, searches, audited machines.

`programs` draws the operations of threads; `explore` searches their interleavings in the core;
`schedules` draws single interleavings. `PageLife` is a stateful test of one machine, to be
subclassed. The fixture `machine` needs no import: the pytest plugin provides it.

See `docs/testing.md`.
"""

from __future__ import annotations

from mmcore._extras import need

need("hypothesis", "mmcore.testing")

# After `need`: without Hypothesis these imports would fail with an error that names no extra.
from mmcore.testing._life import PageLife  # noqa: E402 - see above
from mmcore.testing._search import explore, replaying  # noqa: E402 - see above
from mmcore.testing._strategies import programs, schedules  # noqa: E402 - see above

__all__ = ["PageLife", "explore", "programs", "replaying", "schedules"]
