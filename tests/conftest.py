"""Machines for tests: each must be quiet and clean when its test ends."""

import gc

import pytest

import mmcore

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


@pytest.fixture(params=DESIGNS)
def machine(request, build):
    """A small machine of each release design."""
    return build(release=request.param)


@pytest.fixture
def plain(build):
    """A small machine of the default design."""
    return build()
