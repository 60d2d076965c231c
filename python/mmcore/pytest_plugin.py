"""The pytest plugin: the fixtures `machine` and `paired`, and the option `--mmcore-replay`.

The entry point of the package registers the plugin. Only `--mmcore-replay` needs Hypothesis.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

import mmcore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from mmcore._paired import PairedTimes

__all__: list[str] = []

_REPLAY = "--mmcore-replay"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option `--mmcore-replay`."""
    group = parser.getgroup("mmcore", "mmcore: explored programs")
    group.addoption(
        _REPLAY,
        metavar="RACE",
        help="mmcore.testing.explore runs this schedule instead of searching: 'PROGRAM @ SCHEDULE' "
        "as a race prints it, or a file that its `save` wrote",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker `mmcore_machine`."""
    config.addinivalue_line(
        "markers",
        "mmcore_machine(**options): options of mmcore.Machine for the fixture `machine`",
    )


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[mmcore.Machine]:
    """A machine of two 1-MiB nodes; `@pytest.mark.mmcore_machine(release="packed")` sets options.

    The machine is audited at teardown, unless the test has closed it: a test that leaves a broken
    machine fails.
    """
    marker = request.node.get_closest_marker("mmcore_machine")
    options = {"nodes": ["1MiB", "1MiB"], **(marker.kwargs if marker else {})}
    made = mmcore.Machine(**options)
    yield made
    # Handles that the test dropped in reference cycles give their pages back before the audit.
    gc.collect()
    if not made.closed:
        try:
            made.audit().raise_for_findings()
        finally:
            made.close()


@pytest.fixture
def paired() -> Callable[..., PairedTimes]:
    """`paired(candidate, baseline, seconds=2)` times two callables in turns.

    The result has the interval of the ratio of their times, and `assert_at_most(0.03)`.
    """
    from mmcore._paired import paired

    return paired


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Runs the test with `explore` replaying one schedule, if `--mmcore-replay` is given."""
    what = item.config.getoption(_REPLAY)
    if what is None:
        return (yield)
    from mmcore.testing import replaying

    with replaying(what):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to the report of a race the command line that replays it."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, mmcore.errors.RaceError) and report.when == "call":
        line = error.counterexample.line
        report.sections.append(("mmcore", f"pytest {item.nodeid} {_REPLAY} '{line}'"))
    return report
