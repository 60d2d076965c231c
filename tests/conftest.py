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
