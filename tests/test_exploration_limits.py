"""mmcore.explore: refused operations, early ends, and arguments that are bad input."""

import json
import subprocess
import sys

import pytest

import mmcore

#: Three threads with many operations that the race does not need.
LONG = """\
machine nodes=2 pages=32 cpus=2
map r0 anon 4
write r0
drain
thread A
  write r0:1
  mlock r0:2
  move r0 node=0
  madv r0:3 cold
  drain
  read r0
  move r0 node=0
  move r0 node=0
  move r0 node=1
  madv r0:3 cold
  query r0
  mlock r0:2
  move r0 node=1
  write r0:1
  query r0
  query r0
  munlock r0:2
  mlock r0:2
  read r0
thread B
  move r0 node=0
  mlock r0:2
  write r0:1
  move r0 node=1
  fork c10
  mlock r0:2
  mlock r0:2
  write r0:1
  read r0
  mlock r0:2
  mlock r0:2
  exit c10
  munlock r0:2
  move r0 node=0
  madv r0:0 pageout
  munlock r0:2
  fork c11
  madv r0:3 cold
  query r0
thread C
  write r0:1
  read r0
  write r0:1
  drain
  mlock r0:2
  move r0 node=0
  query r0
  mlock r0:2
  move r0 node=1
  mlock r0:2
  madv r0:0 pageout
  mlock r0:2
  query r0
  write r0:1
  madv r0:3 cold
finally
  read r0
  audit
"""


@pytest.mark.parametrize("seed", range(1, 11))
def test_of_a_long_program_little_is_left_within_the_default_budget(seed):
    found = mmcore.explore(
        LONG, mutation="isolated-counted-late", schedules=2000, seed=seed, jobs=1
    ).counterexample
    operations = sum(len(thread.ops) for thread in found.program.threads)
    # The threads of LONG have 53 operations. None of those left can be removed, but how many are
    # left depends on the race that the seed finds.
    assert found.minimal
    assert operations <= 11, str(found)
    assert found.program.finally_ == ()


def test_a_budget_that_ends_is_told():
    found = mmcore.explore(
        LONG, mutation="isolated-counted-late", schedules=2000, seed=1, jobs=1, shrink=30
    ).counterexample
    assert found.minimal is False
    told = f"shrinking stopped after {found.shrink_runs} runs; `--shrink {10 * found.shrink_runs}`"
    assert told in str(found)
    assert told in found.to_html()
    assert json.loads(found.to_json())["minimal"] is False
    # With shrink=0 the race as it was found is the requested result.
    found = mmcore.explore(
        LONG, mutation="isolated-counted-late", schedules=2000, seed=1, jobs=1, shrink=0
    ).counterexample
    assert "shrinking stopped" not in str(found)
    more = mmcore._exploration.shrink(
        found.program, found.schedule, mutation="isolated-counted-late", budget=20_000
    )
    assert more.minimal
    assert "shrinking stopped" not in str(more)


NEVER_DRAINED = "map r0 anon 1\nwrite r0\nthread A\n  isolate r0\nthread B\n  read r0\n"


@pytest.mark.parametrize(
    "options",
    [
        {"schedules": 5000, "jobs": 1},
        {"schedules": 5000, "jobs": 3},
        {"search": "exhaustive"},
        {"search": "exhaustive", "preemptions": None},
    ],
)
def test_an_operation_that_no_schedule_could_do_is_told(options):
    result = mmcore.explore(NEVER_DRAINED, **options)
    (refused,) = result.refused
    assert (refused.section, refused.i, refused.op) == ("A", 0, "isolate r0")
    assert refused.errnos == ("EBUSY",)
    (note,) = result.notes
    assert f"was refused in all {result.schedules:,} schedules: EBUSY" in note
    assert note in str(result)
    assert "was refused in all" in result.to_html()
    assert json.loads(result.to_json())["refused"][0]["op"] == "isolate r0"


def test_refused_operations_do_not_depend_on_the_jobs():
    one, many = (mmcore.explore(NEVER_DRAINED, schedules=9000, jobs=jobs) for jobs in (1, 4))
    assert one == many


def test_an_operation_that_some_schedule_could_do_is_not_told():
    # The isolation succeeds in schedules in which the other thread has drained before.
    some = NEVER_DRAINED.replace("read r0", "drain")
    for search in ("portfolio", "exhaustive"):
        assert mmcore.explore(some, search=search, schedules=2000).refused == ()
    # Each isolation succeeds in schedules in which it comes first.
    twice = "map r0 anon 1\nwrite r0\ndrain\nthread A\n  isolate r0\nthread B\n  isolate r0\n"
    assert mmcore.explore(twice, search="exhaustive").refused == ()


def test_a_refused_operation_of_finally_is_told_too():
    after = "map r0 anon 1\nwrite r0\nthread A\n  read r0\nfinally\n  put r0\n  read r0\n"
    (refused,) = mmcore.explore(after, schedules=500).refused
    assert (refused.section, refused.op) == ("finally", "put r0")
    assert "no reference" in refused.why


@pytest.mark.parametrize(
    "option",
    [
        {"jobs": 2**31},
        {"jobs": -1},
        {"jobs": 1.5},
        {"seed": 2**64},
        {"seed": "1"},
        {"schedules": 0},
        {"schedules": 2**64},
        {"schedules": True},
        {"shrink": 2**32},
        {"preemptions": -1},
        {"max_steps": 2**24 + 1},
        {"max_steps": 2**31},
        {"max_steps": 0},
    ],
)
def test_a_number_that_is_none_is_refused_in_words(option):
    (name,) = option
    with pytest.raises(mmcore.errors.InputError, match=f"{name} must be a number from"):
        mmcore.explore("thread A\n  drain\n", **option)


def test_many_jobs_find_what_one_finds():
    one, many = (mmcore.explore(NEVER_DRAINED, schedules=3000, jobs=jobs) for jobs in (1, 1024))
    assert one == many


SHORT_OF_MEMORY = """
import resource, sys
import mmcore
used = int(open("/proc/self/statm").read().split()[0]) * 4096
limit = used + (int(sys.argv[1]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    {call}
    print("done")
except MemoryError as error:
    print("MemoryError")
"""


@pytest.mark.parametrize(
    "call",
    [
        'mmcore.Program.parse("sync\\n" * 4_000_000)',
        'mmcore.Program.from_json("[" + "1," * 40_000_000)',
        'mmcore.explore("thread A\\n  drain\\n", max_steps=2**24, jobs=64)',
        'mmcore.explore("thread A\\n  drain\\n", schedules=200_000, jobs=1024)',
        'mmcore.replay("thread A\\n  drain\\n", "0", max_steps=2**24)',
    ],
)
def test_a_search_without_memory_is_a_memory_error(call):
    code = SHORT_OF_MEMORY.format(call=call)
    told = subprocess.run(
        [sys.executable, "-c", code, "300"], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout.strip()) == (0, "MemoryError"), told.stderr


def test_a_text_that_is_no_schedule_is_shown_shortened():
    with pytest.raises(mmcore.errors.InputError) as raised:
        mmcore.Schedule.parse("map r0 anon 1 ; " * 1000)
    assert len(str(raised.value)) < 200
