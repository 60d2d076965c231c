"""Words, limits and profiles: the core has them, and Python says the same."""

import copy
import functools
import pickle
import typing
from pathlib import Path

import pytest

import mmcore
import mmcore.typing
from mmcore import _mmcore
from mmcore._chosen import chosen
from mmcore._cli.showing import CODES
from mmcore._comparison import Options
from mmcore._comparison.plan import make_plan
from mmcore.errors import InputError

RECORDINGS = Path(__file__).parent / "recordings"


@pytest.mark.parametrize("name", _mmcore.CHOICES)
def test_type_checkers_know_the_words_of_the_core(name):
    assert typing.get_args(getattr(mmcore.typing, name)) == _mmcore.CHOICES[name]


def test_every_choice_of_the_core_is_public():
    named = {name for name in mmcore.typing.__all__ if name in _mmcore.CHOICES}
    assert named == _mmcore.CHOICES.keys()


def test_coverage_and_codes_are_words_of_results():
    program = "thread A\n  drain\nthread B\n  drain\n"
    seen = {
        mmcore.explore(program, search="exhaustive", preemptions=None).coverage,
        mmcore.explore(program, search="exhaustive", preemptions=0).coverage,
        mmcore.explore(program, schedules=5).coverage,
        mmcore.explore(program, search="exhaustive", schedules=1).coverage,
    }
    assert seen == set(typing.get_args(mmcore.typing.Coverage))


def test_statuses_and_places_are_words_of_results():
    assert set(typing.get_args(mmcore.typing.Status)) == CODES.keys()
    arguments = [each for op in mmcore.program.operations() for each in op.args]
    places = {each.place for each in arguments}
    assert places == set(typing.get_args(mmcore.typing.ArgumentPlace))
    assert tuple(mmcore.results.FLAGS) == _mmcore.CHOICES["PageFlag"]


def test_every_word_is_taken_by_the_call_that_it_is_for():
    program = "map r0 anon 1\nthread A\n  write r0\n"
    for search in _mmcore.CHOICES["Search"]:
        assert mmcore.explore(program, search=search, schedules=2).counterexample is None
    for checks in _mmcore.CHOICES["Checks"]:
        assert mmcore.explore(program, checks=checks, schedules=2).counterexample is None
    for memory in _mmcore.CHOICES["MemoryModel"]:
        assert mmcore.explore(program, memory=memory, schedules=2).counterexample is None
    for release in _mmcore.CHOICES["Release"]:
        assert mmcore.Profile(release=release)["release"] == release
    for kernel in _mmcore.CHOICES["Kernel"]:
        with mmcore.Machine(nodes=["64KiB"], kernel=kernel) as machine:
            machine.swapon("16KiB")
            region = machine.address_space().mmap("4KiB")
            region[0] = 1
            for advice in _mmcore.CHOICES["Advice"]:
                region.madvise(advice)
            for kind in _mmcore.CHOICES["FileKind"]:
                assert machine.file("4KiB", kind=kind).kind == kind
            for compressor in _mmcore.CHOICES["Compressor"]:
                machine.zram("64KiB", compressor=compressor)
            for kind in _mmcore.CHOICES["FaultKind"]:
                assert machine.inject(kind).kind == kind
            for mode in _mmcore.CHOICES["Mode"]:
                for reason in _mmcore.CHOICES["Reason"]:
                    assert machine.migrate_pages([], node=0, mode=mode, reason=reason).ret == 0
            for compressor in _mmcore.CHOICES["Compressor"]:
                machine.zram("4KiB", compressor=compressor)
    for load in _mmcore.CHOICES["Load"]:
        trace = mmcore.Trace([0], [True]) if load == "tiering" else None
        assert make_plan(trace, Options(load=load, seconds=1)).options.load == load


# --- limits ---


def test_a_machine_has_as_many_nodes_and_cpus_as_the_limit_says():
    most = _mmcore.MAX_NODES
    with mmcore.Machine(nodes=["64KiB"] * most, cpus=_mmcore.MAX_CPUS) as machine:
        assert (len(machine.nodes), machine.cpus) == (most, _mmcore.MAX_CPUS)
    with pytest.raises(InputError, match=f"1 to {most} nodes"):
        mmcore.Machine(nodes=["64KiB"] * (most + 1))
    with pytest.raises(InputError, match=f"1 to {_mmcore.MAX_CPUS} CPUs"):
        mmcore.Machine(nodes=["64KiB"], cpus=_mmcore.MAX_CPUS + 1)
    with pytest.raises(InputError, match=f"more than the {_mmcore.MAX_FRAMES} "):
        mmcore.Machine(nodes=[(_mmcore.MAX_FRAMES + 1) * _mmcore.PAGE_SIZE], backed=False)


def test_a_comparison_takes_no_more_nodes_than_a_machine_has():
    sizes = ["1MiB"] * _mmcore.MAX_NODES
    storm = functools.partial(Options, load="storm")
    plan = make_plan(None, storm(nodes=",".join(sizes)))
    assert len(plan.nodes) == _mmcore.MAX_NODES
    with pytest.raises(InputError, match=f"2 to {_mmcore.MAX_NODES} nodes"):
        make_plan(None, storm(nodes=",".join([*sizes, "1MiB"])))
    with pytest.raises(InputError, match="a machine has 1TiB at most"):
        make_plan(None, storm(nodes="1TiB,1MiB"))


def test_an_explored_program_has_as_many_threads_as_a_schedule_can_name():
    most = _mmcore.MAX_EXPLORED_THREADS
    text = "map r0 anon 1\n" + "".join(f"thread T{n}\n  read r0\n" for n in range(most))
    assert mmcore.explore(text, schedules=1).schedules == 1
    with pytest.raises(InputError):
        mmcore.explore(f"{text}thread T{most}\n  read r0\n", schedules=1)
    with pytest.raises(InputError, match=f"below {most}"):
        mmcore.Schedule((most,))
    with pytest.raises(InputError, match=f"below {most}"):
        mmcore.Schedule.parse(f"{most}")


def test_a_schedule_has_as_many_steps_as_the_limit_says():
    most = _mmcore.MAX_STEPS
    assert len(mmcore.Schedule.parse(f"0x{most}").threads) == most
    with pytest.raises(InputError, match="no run of a schedule"):
        mmcore.Schedule.parse(f"0x{most},1")
    with pytest.raises(InputError, match=f"{most} steps at most"):
        mmcore.Schedule((0,) * (most + 1))
    with pytest.raises(InputError, match=f"max_steps must be a number from 1 to {most}"):
        mmcore.replay("map r0 anon 1\nthread A\n  read r0\n", "0", max_steps=most + 1)


@pytest.mark.parametrize(
    "text", ["0x3,y", "9", "0x-1", "1x99999999999", "٣", "0x1_0", "0\ud800", "0\n1", "y" * 999]
)
def test_a_malformed_schedule_is_refused_on_one_short_line(text):
    with pytest.raises(InputError) as raised:
        mmcore.Schedule.parse(text)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


def test_a_schedule_is_its_text():
    schedule = mmcore.Schedule.parse(" 0x3 ,1x2, ,0,2")
    assert schedule.threads == (0, 0, 0, 1, 1, 0, 2)
    assert str(schedule) == "0x3,1x2,0,2"
    assert schedule.runs == ((0, 3), (1, 2), (0, 1), (2, 1))
    assert schedule.runs[0].length == 3
    assert mmcore.Schedule.parse(str(schedule)) == schedule
    assert str(mmcore.Schedule()) == ""


# --- profiles ---

OTHER = mmcore.Profile(kernel="6.1", pagevec=7, release="hook", pin_marks_accessed=False)
PROGRAM = """\
machine nodes=2 pages=64 release=packed
map r0 anon 1
thread A
  write r0
  isolate r0
  putback r0
"""


@pytest.mark.parametrize("profile", [mmcore.Profile(), OTHER])
def test_a_profile_copies_pickles_compares_and_hashes_by_value(profile):
    ways = [copy.copy(profile), copy.deepcopy(profile), mmcore.Profile(**dict(profile))]
    ways += [pickle.loads(pickle.dumps(profile, protocol)) for protocol in (2, 4, 5)]
    for again in ways:
        assert again == profile
        assert hash(again) == hash(profile)
    assert len({*ways, profile}) == 1
    assert len({profile, profile.replace(pagevec=9)}) == 2


def test_presets_cannot_be_changed():
    assert typing.get_args(mmcore.typing.Kernel) == mmcore.Profile.PRESETS
    with pytest.raises(AttributeError):
        mmcore.Profile.PRESETS.append("9.9")


def machine_of(program):
    """The profile that a program's machine has: every field."""
    spec = program.machine
    return mmcore.Profile(kernel=spec.kernel, **dict(spec.profile))


def test_a_whole_profile_decides_every_field_of_an_exploration():
    found = mmcore.explore(PROGRAM, schedules=2, profile=OTHER)
    assert machine_of(found.program) == OTHER
    assert machine_of(mmcore.replay(PROGRAM, "0", profile=OTHER).program) == OTHER
    # A field that is given by name overrides the profile's.
    split = mmcore.explore(PROGRAM, schedules=2, profile=OTHER, release="split")
    assert machine_of(split.program) == OTHER.replace(release="split")
    # A profile that is a plain preset overrides the fields of the program's machine line, too.
    plain = mmcore.Profile(kernel="6.12")
    assert machine_of(mmcore.replay(PROGRAM, "0", profile=plain).program) == plain


def test_a_whole_profile_and_the_same_by_name_run_alike():
    by_name = mmcore.run(PROGRAM, kernel="6.1", pagevec=7, release="hook", pin_marks_accessed=False)
    for result in (mmcore.run(PROGRAM, profile=OTHER), by_name):
        words = set(result.command.split())
        assert {"--set=kernel=6.1", "--set=pagevec=7", "--set=release=hook"} <= words
    assert mmcore.stress(PROGRAM, seconds=0.01, profile=OTHER).clean


def test_a_whole_profile_is_what_conformance_replays_under():
    (folder,) = [path for path in RECORDINGS.iterdir() if path.name == "6.12"]
    path = min(folder.rglob("h01*.json"))
    as_recorded = mmcore.conformance(path)
    again = mmcore.conformance(path, profile=mmcore.Profile(kernel="6.12"))
    assert [row.comparison for row in again.rows] == [row.comparison for row in as_recorded.rows]
    older = mmcore.conformance(path, profile=mmcore.Profile(kernel="4.5"))
    assert older.rows[0].kernel == "4.5"
    assert older.rows[0].comparison != as_recorded.rows[0].comparison
    fields = mmcore.conformance(path, profile={"release": "putback"})
    assert fields.rows[0].comparison != as_recorded.rows[0].comparison
    assert fields.command == f"mmcore conformance {path} --set=release=putback"
    assert "profile=mmcore.Profile(kernel='4.5')" in older.command


def test_both_sides_of_a_diff_have_a_whole_profile():
    found = mmcore.diff(PROGRAM, profile=OTHER, vary="pagevec=7,15")
    assert found.fields == {"pagevec": ("7", "15")}
    with pytest.raises(InputError, match="name the field that differs"):
        mmcore.diff(PROGRAM, profile=OTHER)
    with pytest.raises(InputError, match="not both"):
        mmcore.diff(PROGRAM, profile=OTHER, kernel="6.1", vary="pagevec=7,15")


def test_a_comparison_and_policies_take_a_whole_profile():
    kernel, fields = chosen(None, OTHER)
    options = Options(load="storm", kernel=kernel)
    plan = make_plan(None, options, vary="pagevec=7,15", fields=fields)
    for variant, pagevec in zip(plan.variants, (7, 15), strict=True):
        config = plan.config(variant)
        made = mmcore.Profile(kernel=config["kernel"], **config["profile"])
        assert made == OTHER.replace(pagevec=pagevec)
    words = plan.command.split()
    assert plan.command.startswith("mmcore compare --load storm --vary pagevec=7,15 --kernel 6.1")
    assert [word for word in words if word.startswith("--set")] == ["--set=release=hook"]
    trace = mmcore.Trace([0, 1, 2, 0, 1, 2] * 9, [False] * 54)
    found = mmcore.policies(trace, policy="lru", size=2, profile=OTHER)
    assert (found.kernel, found.pagevec) == ("6.1", 7)
    assert "--kernel 6.1 --pagevec 7" in found.command
    found = mmcore.policies(trace, policy="lru", size=2, profile={"passes": 3})
    assert found.fields == {"passes": "3"}
    assert "--kernel 6.12 --set=passes=3 --pagevec 31" in found.command


@pytest.mark.parametrize(
    ("call", "fields", "message"),
    [
        (mmcore.policies, {"lru_policy": "fifo"}, "name the policies with --policy"),
        (mmcore.policies, {"release": "hook"}, "always use split"),
        (mmcore.policies, {"pagevec": 7}, "leave out --pagevec"),
        (mmcore.compare, {"release": "hook"}, "field release is varied and set"),
    ],
)
def test_a_field_that_another_argument_decides_is_refused(call, fields, message):
    more = {"pagevec": 15} if call is mmcore.policies else {"load": "storm", "seconds": 0.1}
    with pytest.raises(InputError, match=message):
        call(profile=fields, **more)


@pytest.mark.parametrize(
    "call",
    [
        lambda fields: mmcore.explore(PROGRAM, schedules=1, profile=fields),
        lambda fields: mmcore.compare(load="storm", seconds=0.1, profile=fields),
        lambda fields: mmcore.policies(size=64, profile=fields),
        lambda fields: mmcore.conformance([], profile=fields),
        lambda fields: mmcore.diff(PROGRAM, vary="passes=1,2", profile=fields),
        lambda fields: mmcore.run(PROGRAM, profile=fields),
    ],
)
def test_a_wrong_field_is_refused_before_the_work(call):
    with pytest.raises(
        InputError, match=r'^no profile field "pagevecs"; did you mean "pagevec"\?$'
    ):
        call({"pagevecs": 7})
    with pytest.raises(InputError, match=r'^no profile field "x"; choose one of release, atomics'):
        call({"x": 7})
    with pytest.raises(InputError, match="kernel is no field of a profile: "):
        call({"kernel": "6.1"})


@pytest.mark.parametrize(
    "call",
    [
        lambda **options: mmcore.run(PROGRAM, **options),
        lambda **options: mmcore.stress(PROGRAM, seconds=0.01, **options),
        lambda **options: mmcore.explore(PROGRAM, schedules=1, **options),
        lambda **options: mmcore.replay(PROGRAM, "0", **options),
        lambda **options: mmcore.shrink(PROGRAM, "0", **options),
        lambda **options: mmcore.compare(load="storm", seconds=0.1, **options),
        lambda **options: mmcore.policies(size=64, **options),
    ],
)
def test_a_kernel_and_a_whole_profile_are_too_much(call):
    with pytest.raises(InputError, match="give a kernel or a whole profile, not both"):
        call(kernel="6.1", profile=OTHER)


# --- offsets ---


def test_an_offset_counts_bytes_and_a_page_number_is_refused():
    with mmcore.Machine(nodes=["1MiB"]) as machine:
        file = machine.file("16KiB")
        file.write(b"third", offset=2 * 4096)
        space = machine.address_space()
        region = space.mmap(file=file, offset=2 * 4096)
        assert region[0:5] == b"third"
        assert region.pages == 2
        with pytest.raises(InputError, match=r"offset counts bytes.*page 2 begins at byte 8192"):
            space.mmap(file=file, offset=2)
        with pytest.raises(mmcore.errors.KernelError, match="do not lie in a file"):
            space.mmap("4KiB", file=file, offset=1 << 63)
