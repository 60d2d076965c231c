"""pytest: the fixture `machine`, audited at teardown, and `--mmcore-replay`.

Registered by its entry point; Hypothesis is not needed for it.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

import mmcore

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__: list[str] = []

_REPLAY = "--mmcore-replay"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    group = parser.getgroup("mmcore", "mmcore: explored programs")
    group.addoption(
        _REPLAY,
        metavar="RACE",
        help="mmcore.testing.explore runs this schedule instead of searching: 'PROGRAM @ SCHEDULE' "
        "as a race prints it, or a file that Counterexample.save wrote",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describes the marker."""
    config.addinivalue_line(
        "markers",
        "mmcore_machine(**options): options of mmcore.Machine for the fixture `machine`",
    )


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[mmcore.Machine]:
    """A small machine of two nodes; `@pytest.mark.mmcore_machine(release="packed")` says which.

    At teardown it is audited: a test that leaves a broken machine fails.
    """
    marker = request.node.get_closest_marker("mmcore_machine")
    options = {"nodes": ["1MiB", "1MiB"], **(marker.kwargs if marker else {})}
    made = mmcore.Machine(**options)
    yield made
    # What the test has dropped is given back first.
    gc.collect()
    if not made.closed:
        try:
            made.audit().raise_for_findings()
        finally:
            made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Lets `explore` replay, if that is asked for."""
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
    """Says how to see a race again."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, mmcore.Race) and report.when == "call":
        line = error.counterexample.line
        report.sections.append(("mmcore", f"pytest {item.nodeid} {_REPLAY} '{line}'"))
    return report
