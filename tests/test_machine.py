"""`Machine`, `Node`, `Profile`: the parts of a machine, its counters, its end."""

import contextlib
import errno
import gc
import os
import pickle
import threading

import numpy as np
import pytest

import mmcore


def test_nodes_are_consecutive_ranges_of_frames(build):
    machine = build(nodes=["64MiB", "1GiB:250ns", 8192])
    assert [(node.base, node.frames, node.latency_ns) for node in machine.nodes] == [
        (0, 16384, 100),
        (16384, 262144, 250),
        (278528, 2, 100),
    ]
    assert [node.number for node in machine.nodes] == [0, 1, 2]
    assert machine.nodes[2].free == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nodes": []}, "1 to 8 nodes"),
        ({"nodes": ["1MiB"] * 9}, "1 to 8 nodes"),
        ({"nodes": ["6KiB"]}, "whole pages"),
        ({"nodes": ["64"]}, "64MiB"),
        ({"nodes": [0]}, "no frames"),
        ({"nodes": ["2TiB"]}, "more than"),
        ({"cpus": 0}, "1 to 64 CPUs"),
        ({"cpus": 65}, "1 to 64 CPUs"),
        ({"kernel": "5.0"}, "6.12"),
        ({"release": "slow"}, "hook_late"),
        ({"pagevec": 0}, "1 to 31"),
        ({"pagevecs": 15}, "pagevec"),
    ],
)
def test_a_machine_that_cannot_be_says_what_would_do(options, says):
    with pytest.raises(mmcore.errors.InputError, match=says):
        mmcore.Machine(**options)


def test_a_machine_takes_the_choices_of_a_kernel_and_fields_over_them(build):
    machine = build(kernel="6.1", release="packed")
    assert machine.profile["release"] == "packed"
    assert machine.profile["pagevec"] == 15
    assert machine.profile == mmcore.Profile(kernel="6.1", release="packed")
    assert build(profile=machine.profile).profile == machine.profile
    with pytest.raises(TypeError):
        mmcore.Machine(kernel="6.1", profile=machine.profile)


def test_sizes_may_be_one_text_as_on_the_command_line(build):
    sizes = [(node.frames, node.latency_ns) for node in build(nodes="1MiB, 2MiB:250ns").nodes]
    assert sizes == [
        (node.frames, node.latency_ns) for node in build(nodes=["1MiB", "2MiB:250ns"]).nodes
    ]
    for wrong in ("", "1MiB,", "much"):
        with pytest.raises(mmcore.errors.InputError, match="64MiB"):
            mmcore.Machine(nodes=wrong)


def test_a_profile_may_be_whole_or_fields_over_a_preset(build):
    fields = build(kernel="6.1", profile={"pagevec": 7, "split_poisons": True}).profile
    assert fields == mmcore.Profile(kernel="6.1", pagevec=7, split_poisons=True)
    with pytest.raises(TypeError, match="choose a preset with kernel"):
        mmcore.Machine(profile="6.1")
    with pytest.raises(mmcore.errors.InputError, match="no_such_field"):
        mmcore.Machine(profile={"no_such_field": 1})


@pytest.mark.parametrize("nodes", [64, [1.5], [-1], [2**70], [None], {"a": 1}])
def test_what_is_no_list_of_sizes_is_refused_in_words(nodes):
    with pytest.raises((TypeError, mmcore.errors.InputError)) as refusal:
        mmcore.Machine(nodes=nodes)
    assert "64MiB" in str(refusal.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mmcore.explore(3), "program must be"),
        (lambda: mmcore.run(3), "program must be"),
        (lambda: mmcore.diff(3, kernel=("6.1", "6.12")), "program must be"),
        (lambda: mmcore.compare(vary=3), "vary takes"),
    ],
)
def test_a_program_or_a_choice_of_another_type_is_refused_in_words(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_a_profile_is_a_mapping_of_every_field():
    profile = mmcore.Profile()
    assert profile == mmcore.Profile(kernel="6.12")
    assert len(profile) == len(dict(profile)) == len(profile.keys())
    for field, value in dict(profile).items():
        meaning, source = mmcore.Profile.describe(field)
        assert meaning
        assert source
        assert mmcore.Profile.accepts(field)
        assert profile.replace(**{field: value}) == profile
    assert profile.replace(drain_after_move=True)["drain_after_move"] is True
    assert "release" in profile
    assert "nonsense" not in profile
    with pytest.raises(KeyError):
        profile["nonsense"]
    with pytest.raises(TypeError):
        mmcore.Profile(pagevec=1.5)


def test_vmstat_counts_frames_of_nodes_and_events_of_the_machine(machine):
    before = machine.vmstat()
    with machine.alloc(node=1, order=3):
        assert machine.vmstat(node=1)["nr_free_pages"] == 248
        assert machine.vmstat(node=0)["nr_free_pages"] == 256
    after = machine.vmstat()
    assert after["nr_free_pages"] == before["nr_free_pages"] == 512
    assert after["pgalloc"] - before["pgalloc"] == after["pgfree"] - before["pgfree"] == 8
    assert "pgalloc" not in machine.vmstat(node=0)
    with pytest.raises(mmcore.errors.KernelError) as refused:
        machine.vmstat(node=2)
    assert refused.value.errno == errno.EINVAL


def test_a_bound_thread_uses_the_batches_of_its_cpu(plain):
    region = plain.address_space().mmap("64KiB")
    with plain.cpu(1):
        region[0] = 1
        with plain.cpu(0):
            region[4096] = 1
        region[8192] = 1
    batches = [str(region.page(page).holders()[-1]) for page in range(3)]
    assert batches == ["batch of CPU 1", "batch of CPU 0", "batch of CPU 1"]
    plain.drain(cpu=1)
    assert ["lru" in region.page(page).flags for page in range(3)] == [True, False, True]


def test_cpus_that_are_not_there_are_refused(plain):
    for call in (lambda: plain.cpu(2), lambda: plain.drain(cpu=2)):
        with pytest.raises(mmcore.errors.KernelError) as refused:
            call()
        assert refused.value.errno == errno.EINVAL
    binding = plain.cpu(0)
    with pytest.raises(mmcore.errors.MisuseError):
        binding.__exit__()


def test_page_states_are_one_row_a_page(plain):
    region = plain.address_space().mmap("16KiB")
    region[0] = 1
    page = region.page()
    states = plain.page_states([page.pfn, 511])
    assert states.dtype == mmcore.results.PAGE_STATE
    assert states["pfn"].tolist() == [page.pfn, 511]
    assert states["refcount"].tolist() == [page.refcount, 0]
    assert states["mapcount"].tolist() == [1, 0]
    assert states["node"].tolist() == [0, 1]
    assert states["flags"][0] == sum(mmcore.results.FLAGS[flag] for flag in page.flags)
    assert plain.page_states([]).shape == (0,)
    assert plain.page_states(np.arange(512, dtype=np.uint16))["refcount"].sum() == page.refcount
    for wrong in ([512], [-1], [2**40]):
        with pytest.raises(mmcore.errors.KernelError):
            plain.page_states(wrong)
    for wrong in ([1.5], ["a"], [None], [2**70]):
        with pytest.raises(TypeError):
            plain.page_states(wrong)
    with pytest.raises(ValueError, match="one dimension"):
        plain.page_states([[1]])


def test_a_closed_machine_refuses_every_call(build):
    machine = build()
    ref = machine.alloc()
    page = ref.page
    space = machine.address_space()
    region = space.mmap("4KiB")
    with machine as same:
        assert same is machine
    machine.close()
    assert machine.closed
    for call in (
        machine.alloc,
        machine.audit,
        machine.vmstat,
        machine.drain,
        machine.address_space,
        machine.__enter__,
        lambda: machine.page(0),
        lambda: machine.address_spaces,
        lambda: page.refcount,
        lambda: page.flags,
        page.get,
        page.pin,
        page.isolate,
        page.lock,
        page.trylock,
        page.holders,
        page.state,
        ref.put,
        space.fork,
        space.exit,
        lambda: space.mmap("4KiB"),
        lambda: space.move_pages([0], 0),
        lambda: region[0],
    ):
        with pytest.raises(mmcore.errors.MisuseError, match="closed"):
            call()
    assert "closed" in repr(page)
    assert "closed" in repr(machine)


def test_handles_may_outlive_their_machine(build):
    machine = build()
    with machine.alloc() as ref:
        machine.close()
    assert "given back" not in repr(ref)


def test_a_buffer_keeps_the_memory_of_a_closed_machine(build):
    machine = build()
    region = machine.address_space().mmap("4KiB")
    region[0:5] = b"hello"
    view = memoryview(region.pin())
    machine.close()
    del machine, region
    gc.collect()
    assert bytes(view[:5]) == b"hello"
    view[0] = 0x4A
    assert bytes(view[:5]) == b"Jello"


def test_after_a_fork_the_child_is_refused(plain):
    ref = plain.alloc()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        verdict = b"no error"
        try:
            plain.audit()
        except mmcore.errors.MisuseError as error:
            verdict = b"refused" if "fork" in str(error) else b"another error"
        try:
            del ref  # a finaliser in the child does not wait
            with mmcore.Machine(nodes=["1MiB"]) as own:
                own.alloc().put()
        except Exception:  # noqa: BLE001 - whatever is raised is what the test looks at
            verdict = b"its own machine fails"
        os.write(write, verdict)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"refused"
    os.close(read)
    os.close(write)
    ref.put()


def test_more_threads_than_a_machine_has_room_for_are_refused(plain):
    barrier = threading.Barrier(301)
    done = threading.Event()
    results = []

    def use():
        try:
            plain.alloc().put()
            results.append("done")
        except mmcore.errors.KernelError as error:
            results.append(errno.errorcode[error.errno])
        barrier.wait()
        done.wait()

    threads = [threading.Thread(target=use) for _ in range(300)]
    for thread in threads:
        thread.start()
    barrier.wait()
    assert set(results) == {"done", "EAGAIN"}
    done.set()
    for thread in threads:
        thread.join()
    plain.alloc().put()


def test_threads_work_at_once_and_an_audit_waits_for_a_quiet_moment(machine):
    region = machine.address_space().mmap("256KiB")
    region[:] = bytes(256 * 1024)
    stop = threading.Event()
    audits = []

    def move(node):
        while not stop.is_set():
            region.space.move_pages(region.addresses(), node)

    threads = [threading.Thread(target=move, args=(node,)) for node in (0, 1)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        with contextlib.suppress(mmcore.errors.KernelError):
            audits.append(machine.audit())
    stop.set()
    for thread in threads:
        thread.join()
    for audit in audits:
        audit.raise_for_findings()


def test_findings_and_states_are_plain_data(plain):
    with plain.alloc() as ref:
        state = ref.page.state()
        assert state == pickle.loads(pickle.dumps(state))
        assert (state.pfn, state.refcount, state.flags) == (ref.page.pfn, 1, ())
        assert state.holders == (mmcore.results.Holder("reference", 1, "1 × reference"),)
    with pytest.raises(mmcore.errors.KernelError) as refused:
        ref.page.get()
    copy = pickle.loads(pickle.dumps(refused.value))
    assert (copy.errno, copy.state, str(copy)) == (
        errno.EBUSY,
        refused.value.state,
        str(refused.value),
    )
    finding = mmcore.results.Finding("rule", 0x1A, "detail")
    audit = mmcore.results.Audit([finding])
    assert str(finding) == "rule: page 0x1a: detail"
    with pytest.raises(mmcore.errors.FindingError, match="rule: page 0x1a: detail"):
        audit.raise_for_findings()


def test_a_reference_that_is_dropped_is_warned_about_and_given_back(build):
    machine = build()
    ref = machine.alloc()
    state = ref.page.state()
    with pytest.warns(ResourceWarning, match="never given back"):
        del ref
    machine.audit().raise_for_findings()
    assert state.refcount == 1
    assert machine.page(state.pfn).refcount == 0
