"""The balloon of a machine: inflating, deflating, migration, and memory pressure."""

import errno

import pytest

import mmcore


def counters(machine):
    return {name: n for name, n in machine.vmstat().items() if name.startswith("balloon_")}


def managed(machine):
    return [node.managed for node in machine.nodes]


def test_pages_come_in_and_leave(machine):
    balloon = machine.balloon()
    frames = [node.frames for node in machine.nodes]
    assert (balloon.inflate(5, node=1), balloon.size, balloon.isolated) == (5, 5, 0)
    assert managed(machine) == [frames[0], frames[1] - 5]
    assert [page.node for page in balloon.pages()] == [1] * 5
    assert balloon.pages()[0].flags == ("movable",)
    assert balloon.deflate(2) == 2
    assert balloon.resize(7) == 7
    assert counters(machine) == {
        "balloon_inflate": 9,
        "balloon_deflate": 2,
        "balloon_migrate": 0,
    }
    machine.audit().raise_for_findings()
    assert balloon.deflate(99) == 7
    assert managed(machine) == frames
    machine.audit().raise_for_findings()


def test_a_machine_has_one_balloon(machine):
    machine.balloon().inflate(3)
    assert machine.balloon().size == 3
    assert "pages=3" in repr(machine.balloon())
    with pytest.raises(mmcore.errors.KernelError) as error:
        machine.balloon().inflate(1, node=9)
    assert error.value.errno == errno.EINVAL


def test_managed_pages_move_with_a_page(machine):
    balloon = machine.balloon()
    balloon.inflate(2)
    before = managed(machine)
    page = balloon.pages()[1]
    token = page.isolate()
    assert (balloon.isolated, balloon.size, len(balloon.pages())) == (1, 2, 1)
    moved = token.migrate(node=1)
    assert moved == balloon.pages()[0]
    assert managed(machine) == [before[0] + 1, before[1] - 1]
    assert counters(machine)["balloon_migrate"] == 1
    machine.audit().raise_for_findings()


def test_an_isolated_page_stays_in_the_balloon(machine):
    balloon = machine.balloon()
    balloon.inflate(2)
    token = balloon.pages()[0].isolate()
    assert balloon.deflate(2) == 1
    token.putback()
    assert balloon.deflate(2) == 1
    machine.audit().raise_for_findings()


def test_the_host_decides_whether_the_balloon_deflates_in_need():
    for deflates in (True, False):
        profile = mmcore.Profile(deflate_on_oom=deflates)
        with mmcore.Machine(nodes=["256KiB", "256KiB"], profile=profile) as machine:
            balloon = machine.balloon()
            assert balloon.inflate(999) == 128
            area = machine.address_space().mmap(4)
            if deflates:
                area[0] = 7
                assert (balloon.size, machine.vmstat()["balloon_deflate"]) == (0, 128)
            else:
                with pytest.raises(mmcore.errors.KernelError) as error:
                    area[0] = 7
                assert error.value.errno == errno.ENOMEM
                assert balloon.size == 128
            machine.audit().raise_for_findings()
