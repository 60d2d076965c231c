"""mmcore.explore: searches, races, replays, files, pages."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore
from mmcore import Program, Replay, Schedule
from mmcore._exploration.races import folded, racing, stops
from mmcore.errors import InputError, MisuseError, RaceError

PROGRAM = """\
map r0 anon 1
write r0
thread A
  move r0 node=1
thread B
  read r0
"""

#: The new page is mapped before the bytes are copied to it.
DEFECT = "copy-after-restore"


@pytest.fixture(scope="module")
def race():
    with pytest.raises(RaceError) as raised:
        # The defect breaks several rules; with this seed the search finds the data race first.
        mmcore.explore(PROGRAM, mutation=DEFECT, seed=1).check()
    return raised.value


def test_a_sound_program_passes_and_says_that_not_all_was_seen():
    result = mmcore.explore(PROGRAM, schedules=500)
    assert result.check() is result
    assert (result.schedules, result.coverage) == (500, "sampled")
    assert not result.is_exhaustive
    assert "not exhaustive" in str(result)


def test_an_exhaustive_search_covers_its_bound():
    result = mmcore.explore(PROGRAM, search="exhaustive", preemptions=1)
    assert result.check().is_exhaustive
    assert result.coverage == "bounded"
    more = mmcore.explore(PROGRAM, search="exhaustive", preemptions=2)
    assert more.schedules > result.schedules


def test_a_limit_reached_is_never_a_pass():
    result = mmcore.explore(PROGRAM, search="exhaustive", schedules=10)
    assert (result.schedules, result.coverage) == (10, "incomplete")
    assert not result.is_exhaustive


def test_seconds_end_a_search():
    result = mmcore.explore(PROGRAM, seconds=0.2)
    assert result.coverage == "incomplete"
    assert result.schedules > 0


def test_a_race_says_what_where_and_how_to_see_it_again(race):
    found = race.counterexample
    assert found.rule == "data race"
    assert found.mutation == DEFECT
    assert isinstance(found.program, Program)
    assert isinstance(found.schedule, Schedule)
    step = found.trace[-1]
    assert (step.name, step.op) == ("B", "read r0")
    text = str(race)
    assert text.count(">>>") == 1
    assert re.search(r"^>>> +\d+ +B +read r0", text, re.MULTILINE)
    assert "page 0x1 byte 0" in text
    assert text.splitlines()[-1] == f"replay: {found.command}"
    assert "\n" not in found.line


def test_the_meaning_of_words_is_shown(race):
    shown = {(step.object, step.before, step.after) for step in race.counterexample.trace}
    objects = {name for name, _, _ in shown}
    assert {
        "lruvec lock of node 0",
        "entry of r0:0",
        "page 0x0 word",
        "page 0x0 mapcount",
    } <= objects
    entries = [after for name, _, after in shown if name == "entry of r0:0"]
    assert any(after.startswith("migration of 0x0") for after in entries)
    assert ("lruvec lock of node 0", "free", "held") in shown
    assert ("page 0x0 mapcount", "0x1", "0x0") in shown


def test_the_outcome_depends_on_the_arguments_alone():
    one = mmcore.explore(PROGRAM, mutation=DEFECT, seed=7, jobs=1)
    for jobs in (1, 2, 3):
        assert mmcore.explore(PROGRAM, mutation=DEFECT, seed=7, jobs=jobs) == one
    assert one.to_json() == mmcore.explore(PROGRAM, mutation=DEFECT, seed=7).to_json()


def test_a_thousand_replays_are_the_same(race):
    found = race.counterexample
    first = mmcore.replay(found.program, found.schedule, mutation=DEFECT)
    assert first.rule == found.rule
    assert first.trace == found.trace
    assert first.hash is not None
    for _ in range(1000):
        assert mmcore.replay(found.program, found.schedule, mutation=DEFECT) == first


@given(st.lists(st.integers(0, 2), max_size=300), st.sampled_from(["split", "hook", "packed"]))
def test_a_schedule_runs_twice_with_the_same_steps(threads, design):
    program = f"{PROGRAM}thread C\n  fork c0\n  write r0\n"
    runs = [mmcore.replay(program, Schedule(tuple(threads)), release=design) for _ in range(2)]
    assert runs[0].hash == runs[1].hash
    assert runs[0] == runs[1]
    assert runs[0].rule is None


@pytest.mark.parametrize("search", ["portfolio", "random", "pct", "exhaustive"])
def test_every_search_finds_a_defect(search):
    program = "allocate p0\nthread A\n  free p0\nthread B\n  try_get p0\n  put p0\n"
    found = mmcore.explore(program, mutation="try-get-in-two-steps", search=search).counterexample
    assert found is not None
    assert mmcore.explore(program, search=search).counterexample is None


def test_a_race_is_saved_and_loaded(race, tmp_path):
    path = tmp_path / "race.mm"
    found = race.counterexample
    found.save(path)
    assert Program.parse(path.read_text()) == found.program
    loaded = Replay.load(path)
    for name in ("program", "schedule", "mutation", "rule", "trace"):
        assert getattr(loaded, name) == getattr(found, name)
    again = Replay.of_line(found.line, mutation=DEFECT)
    assert again == loaded
    assert mmcore.replay(found.program, found.schedule).rule is None, "the sound core"


def test_a_bound_on_steps_is_kept_with_the_race(tmp_path):
    found = mmcore.explore(PROGRAM, max_steps=50).counterexample
    assert found.rule == "step bound"
    assert "--max-steps 50" in found.command
    found.save(tmp_path / "long.mm")
    assert Replay.load(tmp_path / "long.mm").rule == "step bound"


def test_a_file_without_a_schedule_is_refused(tmp_path):
    path = tmp_path / "program.mm"
    path.write_text(PROGRAM)
    with pytest.raises(InputError, match="has no schedule"):
        Replay.load(path)
    with pytest.raises(InputError, match="No such file"):
        Replay.load(tmp_path / "nowhere.mm")
    with pytest.raises(InputError, match="nothing to save"):
        mmcore.explore(PROGRAM, schedules=1).save(path)


def test_json_says_everything(race):
    result = mmcore.explore(PROGRAM, mutation=DEFECT, seed=1)
    facts = json.loads(result.to_json())
    assert facts["kind"] == "exploration"
    assert facts["program"] == result.program.text
    found = facts["counterexample"]
    assert Schedule.parse(found["schedule"]) == result.counterexample.schedule
    assert len(found["trace"]) == len(race.counterexample.trace)
    assert {"thread", "op", "kind", "object", "before", "after"} <= found["trace"][0].keys()


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_self_contained_and_knows_what_races(race, tmp_path):
    found = race.counterexample
    html = found.to_html(tmp_path / "race.html")
    assert (tmp_path / "race.html").read_text(encoding="utf-8") == html
    tags = Tags()
    tags.feed(html)
    assert not [tag for tag, attrs in tags.tags if {"src", "href"} & attrs.keys()]
    steps = [attrs for tag, attrs in tags.tags if "data-step" in attrs]
    assert [int(step["data-step"]) for step in steps] == list(range(len(found.trace)))
    pairs = racing(found.trace)
    racers = {number for pair in pairs for number in pair}
    last = len(found.trace) - 1
    styles = {int(step["data-step"]): step["class"] for step in steps}
    assert {n for n, style in styles.items() if style == "racing"} == racers - {last}
    assert styles[last] == "breaks"
    assert f'"pairs":{json.dumps(pairs, separators=(",", ":"))}' in html
    clean = mmcore.explore(PROGRAM, schedules=10).to_html()
    assert "no violation" in clean


def test_the_drawing_has_an_arrow_for_each_race_and_fits_a_screen(race, tmp_path):
    found = race.counterexample
    found.plot(tmp_path / "race.svg")
    image = ET.parse(tmp_path / "race.svg").getroot()
    shown = [each.get("class") for each in image.iter()]
    assert shown.count("join") == len(racing(found.trace)) > 0
    assert shown.count("breaks") == 1
    assert shown.count("fold") == sum(isinstance(at, range) for at in folded(found.trace)) > 0
    assert int(image.get("width")) < 900
    assert int(image.get("height")) < 1200


def test_a_fold_hides_steps_of_one_operation_and_no_race(race):
    trace = race.counterexample.trace
    at = 0
    for each in folded(trace):
        numbers = [each] if isinstance(each, int) else [*each]
        assert numbers[0] == at
        at = numbers[-1] + 1
        assert len({(trace[number].thread, trace[number].i) for number in numbers}) == 1
        if isinstance(each, range):
            assert len(each) >= 3
            assert not {number for pair in racing(trace) for number in pair} & {*each}
            assert not {*stops(trace)} & {*each}
    assert at == len(trace)


def test_a_fold_of_a_schedule_without_an_end_does_not_fill_the_page():
    played = mmcore.replay(PROGRAM, "", max_steps=5_000)
    steps = tuple(dataclasses.replace(played.trace[0]) for _ in range(5_000))
    html = dataclasses.replace(played, trace=steps).to_html()
    assert html.count("data-step=") < 500
    assert "4,996 more steps of A; 4,596 of them only in the JSON document" in html


def test_the_schedule_for_a_trace_viewer(race, tmp_path):
    found = race.counterexample
    text = found.to_chrome(tmp_path / "race.json")
    assert (tmp_path / "race.json").read_text(encoding="utf-8") == text
    rows = json.loads(text)["traceEvents"]
    names = [row["args"]["name"] for row in rows if row["name"] == "thread_name"]
    assert names == ["thread A", "thread B"]
    bars = [row for row in rows if row["ph"] == "X"]
    steps = {row["args"]["step"]: row for row in bars if "step" in row["args"]}
    assert len(steps) == len(found.trace)
    for number, step in enumerate(found.trace):
        assert (steps[number]["tid"], steps[number]["ts"]) == (step.thread + 1, number)
        # Its operation is around it, on the same track.
        around = [
            bar
            for bar in bars
            if bar["name"] == step.op
            and bar["tid"] == step.thread + 1
            and "steps" in bar["args"]
            and bar["ts"] <= number
            and number + steps[number]["dur"] <= bar["ts"] + bar["dur"] + 1e-9
        ]
        assert len(around) == 1
    flows = {
        phase: {row["id"]: int(row["ts"]) for row in rows if row["ph"] == phase} for phase in "sf"
    }
    joined = [(flows["s"][each], flows["f"][each]) for each in flows["s"]]
    assert joined == racing(found.trace)
    assert [row["name"] for row in rows if row["ph"] == "i"] == [found.rule]
    counts = [row["args"]["value"] for row in rows if row["name"] == "references of page 0x0"]
    assert {1, 2} <= {*counts}


def test_the_machine_can_be_changed():
    result = mmcore.explore(PROGRAM, release="packed", kernel="6.1", profile={"pagevec": "3"})
    machine = result.check().program.machine
    assert machine.kernel == "6.1"
    assert dict(machine.profile) == {"pagevec": "3", "release": "packed"}


def test_shrinking_alone(race):
    whole = mmcore.explore(PROGRAM, mutation=DEFECT, shrink=0, seed=1).counterexample
    assert whole.shrink_runs == 0
    small = mmcore.shrink(whole.program, whole.schedule, mutation=DEFECT)
    assert small.switches <= whole.switches
    assert small.schedule == race.counterexample.schedule
    assert mmcore.shrink(PROGRAM, "0,1") is None


def test_a_set_up_that_breaks_a_rule_is_a_race_too():
    program = "allocate p0\nlru_add p0\ndrain\nlru_add p0\nthread A\n  drain\n"
    found = mmcore.explore("allocate p0\nlru_add p0\naudit\nthread A\n  drain", schedules=10)
    assert found.check().schedules == 10
    with pytest.raises(InputError, match="the set-up cannot `lru_add p0`"):
        mmcore.explore(program)
    broken = "allocate p0\nlru_add p0\naudit\nthread A\n  drain"
    race = mmcore.explore(broken, mutation="batch-without-reference").counterexample
    assert (race.at_end, race.trace, str(race.schedule)) == (True, (), "")
    assert race.rule == "count is the sum of the ledger"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"program": "map r0 anon 1"}, "no threads"),
        ({"search": "dfs"}, "portfolio, random, pct, exhaustive"),
        ({"checks": "some"}, "state, all"),
        ({"mutation": "copy-after-restored"}, "did you mean 'copy-after-restore'"),
        ({"kernel": "2.4"}, "2.4"),
        ({"release": "mislaid"}, "mislaid"),
        ({"schedules": -1}, "schedules"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_input_is_one_line(options, message):
    options = {"program": PROGRAM, **options}
    with pytest.raises(InputError, match=message) as raised:
        mmcore.explore(options.pop("program"), **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["9", "0x-1", "a", "0x3,,1x", "1x99999999999"])
def test_a_schedule_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="run of a schedule"):
        Schedule.parse(text)
    with pytest.raises(InputError, match="run of a schedule"):
        mmcore.replay(PROGRAM, text)


@given(st.lists(st.integers(0, 7)))
def test_schedules_are_what_their_text_says(threads):
    schedule = Schedule(tuple(threads))
    assert Schedule.parse(str(schedule)) == schedule
    assert sum(length for _, length in schedule.runs) == len(threads)
    assert schedule.switches == sum(a != b for a, b in pairwise(threads))


@given(seconds=st.floats(0.1, 1))
def test_inside_hypothesis_budgets_are_counts(seconds):
    with pytest.raises(MisuseError, match="must not depend on the clock"):
        mmcore.explore(PROGRAM, seconds=seconds)


def test_a_page_that_moves_while_it_fails_is_known_to_be_lost():
    """A dirty page of a file loses its content, on whichever frame the failure finds it."""
    program = """\
machine release=split
map r1 file 1
write r1
drain
thread A
  madv r1 hwpoison each
  fork c0
thread B
  demote r1 node=0
"""
    result = mmcore.explore(program, search="exhaustive", preemptions=1)
    assert result.check().coverage == "bounded"


def test_a_bad_page_in_the_swap_cache_leaves_swap_entries():
    """Found by the soak: a bad page's entry was cleared, so the next access read zeroes."""
    program = """\
machine release=split
map r0 anon 2 order=1
write r0
map r1 file 2
write r1
drain
fork c0
thread A
  unmap r1
thread B
  write r0:1
  phys corrupt r0
thread C
  swapon 1
thread D
  reclaim 1
"""
    assert mmcore.replay(program, "2x2,3x293,0x46,1x50,3x42,1x2,3").rule is None
    mmcore.explore(program, schedules=5000, seed=7).check()


def test_a_bad_page_that_waits_in_a_batch_is_refused_for_being_bad():
    """A false alarm of the soak: a bad page in a batch is refused, and no batch is to blame."""
    program = """\
machine nodes=1 pages=2 release=packed
map r1 file 1
write r1
thread A
  phys hard r1
  pin g4 r1 pipe
thread B
  drop 1
"""
    mmcore.explore(program, search="exhaustive", preemptions=2).check()


def test_a_bad_page_that_is_back_on_its_list_leaves_its_file_unmapped():
    """Found by the soak: off its list the page was not unmapped, and left its file while mapped."""
    program = """\
machine nodes=1 release=hook_late
map r0 anon 2
write r0
map r1 file 2
write r1
drain
pin g0 r0 longterm
thread A
  unpin g0
  fork c1
  madv r1:0 hwpoison
thread B
  reclaim 1
  write r1
thread C
  swapon 1
"""
    assert mmcore.replay(program, "2x2,0x82,1x163,0x70,1").rule is None


def test_a_page_that_waits_on_two_cpus_is_drained_from_each():
    """A false alarm of the soak: the end of one wait was taken for the end of the other."""
    program = """\
machine release=packed
map r0 anon 1
map r1 file 1
write r1
drain
thread A
  swapoff
thread B
  pin g2 r1 pipe
thread C
  fread r1
thread D
  swapon 1
  mark_accessed r1
"""
    assert mmcore.replay(program, "1x10,3x11,0").rule is None


def test_a_large_page_that_was_let_go_of_counts_in_base_pages():
    """Found by the soak: the outcome of a freed page did not agree with `pgmigrate_success`."""
    program = """\
machine nodes=1 pages=2
allocate p0 order=1
lru_add p0
thread A
  isolate p0
  free p0
  migrate p0 node=0 mode=sync
"""
    mmcore.explore(program, search="exhaustive").check()


def test_a_private_mapping_of_an_untouched_file_shows_what_is_written_to_the_file():
    """A false alarm: zeroes read from holes were taken for content of the private mapping."""
    program = """\
machine release=split
map r0 tmpfspriv 1
thread A
  read r0
  fwrite r0
  read r0
"""
    mmcore.explore(program, search="exhaustive").check()


def test_memory_given_up_before_a_fork_is_not_missed_in_the_child():
    """A false alarm of the soak: the written memory was given up between the write and the fork."""
    program = """\
machine nodes=1 pages=2
map r0 anon 2
thread A
  write r0:1
thread B
  madv r0 dontneed
  fork c2
"""
    mmcore.explore(program, search="exhaustive", preemptions=1).check()


def test_the_lost_page_is_the_one_that_a_bad_frame_holds_when_it_fails():
    """A false alarm of the soak: the page left the named frame and later came back to it."""
    program = """\
machine nodes=1 pages=4 cpus=1 release=packed
map r1 file 1
write r1
drain
movable m0 1
thread A
  fork c1
  demote r1 node=0
thread B
  phys soft r1
thread C
  phys hard r1
"""
    mmcore.explore(program, schedules=20_000, seed=6074).check()
    assert mmcore.replay(program, "2,0x154,2,1").rule is None


def test_pinned_pages_are_copied_one_after_the_other():
    """A false alarm of the soak: a fork does not stop writes to the pinned pages that it copies."""
    program = """\
machine nodes=1 pages=4
map r0 anon 2
thread A
  pin g1 r0 longterm
  write r0
thread B
  fork c2
"""
    mmcore.explore(program, search="exhaustive", preemptions=2).check()


def test_a_pin_is_looked_at_before_what_is_known_to_be_dropped():
    """A false alarm of the soak: the page was dropped between the two checks."""
    program = """\
machine nodes=1 pages=2
map r0 anon 2
pin g0 r0 longterm
thread A
  unpin g0
thread B
  madv r0 dontneed
  pin g1 r0:1 pipe
"""
    mmcore.explore(program, search="exhaustive", preemptions=1).check()


def test_a_page_on_its_way_back_to_the_unevictable_list_does_not_become_active():
    """Found by the soak: the page was checked before mlock, and marked in the batch afterwards."""
    program = """\
machine cpus=1
map r0 file 1
write r0
drain
mark_accessed r0
thread A
  mark_accessed r0
thread B
  mlock r0
  demote r0 node=1
"""
    mmcore.explore(program, search="exhaustive", preemptions=2).check()


def test_swapoff_does_not_map_what_was_lost_in_the_swap_cache():
    """Found by the soak: swapoff mapped the bad page again, where a fault reports the loss."""
    program = """\
machine nodes=1 pages=2 release=split
swapon 1
map r0 anon 1
write r0
drain
frame r0
thread A
  madv r0 pageout
thread B
  phys hard r0
thread C
  swapoff
finally
  read r0
"""
    mmcore.explore(program, search="exhaustive", preemptions=1).check()


def test_a_page_that_is_mapped_while_its_area_is_locked_counts_once():
    """Found by planted defects: fault and mlock both counted the page, and it stayed locked."""
    program = """\
machine nodes=1 pages=1 cpus=1
map r0 anon 1
thread A
  mlock r0
  munlock r0
thread B
  write r0
"""
    mmcore.explore(program, search="exhaustive", preemptions=2).check()


def test_pages_pinned_by_the_set_up_are_copied_one_after_the_other():
    """A false alarm of the soak; a schedule also saw the pins of schedules before it."""
    program = """\
machine nodes=1 pages=4
map r0 anon 2
pin g0 r0 longterm
thread A
  fork c1
thread B
  write r0
"""
    mmcore.explore(program, search="exhaustive", preemptions=2).check()
