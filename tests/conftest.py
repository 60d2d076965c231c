"""Settings of all tests, and fixtures with machines, which are audited at the end of a test."""

import gc
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import mmcore

# Helpers beside the tests are importable.
sys.path.insert(0, str(Path(__file__).parent))

# No deadline: other load on the host must not fail a test.
settings.register_profile("mmcore", deadline=None)
settings.load_profile("mmcore")

DESIGNS = ["putback", "split", "hook", "hook_late", "packed", "mine"]


def pytest_addoption(parser):
    parser.addoption("--design", help="run only the tests whose machine has this release design")


def pytest_configure(config):
    design = config.getoption("--design")
    if design not in (None, *DESIGNS):
        raise pytest.UsageError(f"--design {design}: no such design; there are {DESIGNS}")


def pytest_collection_modifyitems(config, items):
    design = config.getoption("--design")
    if design is None:
        return
    # A word for `-k` would also take tests that have it in another word of their name.
    chosen = [item for item in items if design in parameters(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_collection_finish():
    """Takes the collected tests out of the sight of the garbage collector.

    `build` collects garbage after each test, and a pass over the objects of thousands of tests
    takes half a second.
    """
    gc.collect()
    gc.freeze()


def parameters(item):
    """The texts with which a parametrised test is called; none of another test."""
    called = getattr(item, "callspec", None)
    values = [] if called is None else called.params.values()
    return [value for value in values if isinstance(value, str)]


@pytest.fixture
def build():
    """Builds machines, and audits every one that is still open at the end."""
    machines = []

    def make(**options):
        machine = mmcore.Machine(**{"nodes": ["1MiB", "1MiB"], **options})
        machines.append(machine)
        return machine

    yield make
    gc.collect()
    # The objects that are left live longer than a test. The next collections skip them: some
    # thousand tests later each of them would take a third of a second.
    gc.freeze()
    for machine in machines:
        if not machine.closed:
            machine.audit().raise_for_findings()
            machine.close()


@pytest.fixture
def unraisable(monkeypatch):
    """The exceptions that Python could only report as unraisable."""
    caught = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: caught.append(info.exc_type))
    return caught


@pytest.fixture(params=DESIGNS)
def machine(request, build):
    """A small machine of each release design."""
    return build(release=request.param)


@pytest.fixture
def plain(build):
    """A small machine of the default design."""
    return build()
