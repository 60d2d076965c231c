"""Runs the fuzzer for a moment and tests the fuzzer itself; `make fuzz` runs it for long."""

import contextlib
import random
import threading
import warnings

import pytest

import mmcore
from fuzz import arguments, calls, driver, files, growth, judge, shrink, surface
from fuzz.judge import Failure
from fuzz.world import reporting

#: The number of cases in which every entry has its turn.
EVERY = -(-len(surface.entries()) // calls.TURN)

#: Cases that are different in each run.
ANEW = 20

#: Number of mutated files in the short run.
FILES = 120


#: The collection of a world drops the handles that its objects hold, and each of them warns.
UNTIDY = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def failures(summary):
    """The failures found, each with the command that shows it again."""
    return [
        f"{found.failure.kind} {found.failure.where}: {found.failure.detail}\n"
        f"again: PYTHONPATH=tests python -m fuzz {found.kind} --seed {found.seed}"
        for found in summary.found.values()
    ]


def quiet(_):
    pass


@pytest.fixture(scope="module")
def called():
    return driver.run("calls", range(EVERY), tell=quiet)


def test_drawn_calls_only_do_what_is_documented(called):
    assert not failures(called)
    assert called.cases == EVERY


def test_calls_that_are_drawn_anew_only_do_what_is_documented():
    seed = random.SystemRandom().randrange(1 << 32)
    summary = driver.run("calls", range(seed, seed + ANEW), tell=quiet)
    assert not failures(summary)
    assert summary.cases == ANEW


def test_every_public_name_and_method_is_called(called):
    assert called.called.keys() == surface.entries().keys()


def test_mutated_files_are_read_or_refused():
    summary = driver.run("files", range(FILES), tell=quiet, exits=False)
    assert not failures(summary)
    assert summary.cases == FILES


def test_every_public_name_is_on_the_surface_or_left_out_for_a_reason():
    names = {name for name, entry in surface.entries().items() if entry.owner is None}
    assert names | surface.LEFT_OUT.keys() == surface.package_names().keys()
    for cls in surface.classes().values():
        public = {name for name in vars(cls) if not name.startswith("_")}
        known = {entry.name for entry in surface.entries().values() if entry.owner is cls}
        assert public <= known


def of_machines():
    """The classes of the core whose objects only a machine returns, by name."""
    core = {name: cls for name, cls in surface.classes().items() if surface.is_compiled(cls)}
    return {name: cls for name, cls in core.items() if name not in ("Machine", "Profile")}


@UNTIDY
def test_every_function_and_class_of_the_public_modules_is_called_with_success(tmp_path):
    """A call that is never made with fitting arguments would test the refusals alone."""
    runner = calls.Runner(calls.World(7, tmp_path), forks=False)
    wanted = [entry for entry in surface.entries().values() if entry.owner is None]
    with warnings.catch_warnings(), reporting(runner.world):
        warnings.simplefilter("ignore")
        for entry in wanted:
            for number in range(60):
                step = calls._draw_step(random.Random(f"{entry.key} {number}"), entry)
                with contextlib.suppress(judge.Alarm, *calls.LOUD):
                    runner.do(step)
                if entry.key in runner.came_back:
                    break
        runner.world.finish()
    assert not runner.failures
    assert {entry.key for entry in wanted} - runner.came_back == of_machines().keys()


def test_every_parameter_has_values_that_fit():
    for entry in surface.entries().values():
        for parameter in entry.parameters:
            known = arguments.FITS.keys() | set(arguments.DATA) | {f"{entry.key}.{parameter.name}"}
            assert parameter.name in known, f"{entry.key}: what fits {parameter.name}?"


def test_a_case_follows_from_its_seed():
    for kind in (calls.Case, files.Case):
        assert list(map(str, kind.draw(5).steps)) == list(map(str, kind.draw(5).steps))
        assert list(map(str, kind.draw(5).steps)) != list(map(str, kind.draw(6).steps))
    assert files.Case.draw(9).content() == files.Case.draw(9).content()


# --- failures that must be noticed ---


def died(code, kind="calls", monkeypatch=None):
    """The failures that the driver reports of a process that runs this code instead of cases."""
    program = f"import sys, json; sys.path[:0] = [{str(driver.HERE.parent)!r}]; {code}"
    monkeypatch.setattr(driver, "WORKER", ("-c", program))
    said = list(driver.play(driver.Job(kind, (7,), hang=1)))
    return [Failure(*each["failure"]) for each in said if "failure" in each]


BEGIN = (
    "print(json.dumps({'begin': 7}), flush=True); print('=== 7 ===', file=sys.stderr, flush=True)"
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import os; os.abort()", "abort"),
        ("import os; os._exit(3)", "abort"),
        (
            "import faulthandler as f, time; f.dump_traceback_later(0.1, exit=True); time.sleep(9)",
            "hang",
        ),
        ("sys.stderr.write(\"thread 'x' panicked at a.rs:1:2:\\nboom\\n\")", "panic"),
    ],
)
def test_the_end_of_a_process_and_a_panic_are_seen(code, kind, monkeypatch):
    found = died(f"{BEGIN}; {code}", monkeypatch=monkeypatch)
    assert [failure.kind for failure in found] == [kind]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ZeroDivisionError(), "exception"),
        (RecursionError(), "exception"),
        (mmcore.errors.FindingError("broken"), "finding"),
        (mmcore.errors.MisuseError("two\nlines"), "text"),
        (mmcore.errors.MisuseError(""), "text"),
        (mmcore.errors.KernelError(16, "busy"), None),
        (TypeError("no"), None),
    ],
)
def test_an_exception_that_no_call_may_raise_is_seen(error, kind):
    found = judge.raised(surface.entries()["Region.pin"], error)
    assert (found and found.kind) == kind


def test_a_text_that_fails_is_seen_and_named_by_what_was_done():
    program = mmcore.Program()
    object.__setattr__(program, "boot", 3)
    entry = surface.entries()["Program.load"]
    assert judge.returned(entry, program).where == "str of Program.load"
    assert judge.returned(entry, program, "copy").where == "str of the copy of a Program"
    assert judge.returned(surface.entries()["Program"], program).kind == "exception"
    # A user's data need not be a program; what was loaded is one.
    unknown = mmcore.Program((mmcore.program.Op("jump"),))
    assert judge.returned(surface.entries()["Program"], unknown) is None
    assert judge.returned(entry, unknown, "pickle") is None
    assert judge.returned(entry, unknown).kind == "exception"


def test_a_finding_in_a_result_is_seen():
    entry = surface.entries()["explore"]
    race = mmcore.explore("map r0 anon 1\nthread A\n  write r0\n", schedules=1, max_steps=None)
    assert judge.returned(entry, race) is None
    broken = mmcore.results.RunResult(
        "p", "c", (), ({"rule": "r", "pfn": None, "detail": "d"},), ()
    )
    assert judge.returned(entry, broken).kind == "finding"


def test_a_thread_that_is_left_is_named_with_its_stack(monkeypatch):
    monkeypatch.setattr(growth, "PATIENCE", 0.1)
    before, end = growth.tasks(), threading.Event()
    thread = threading.Thread(target=end.wait, name="left behind")
    thread.start()
    told = growth.settled(before).detail
    end.set()
    thread.join()
    assert growth.settled(before) is None
    assert told.startswith(f"{before + 1} threads, {before} before\n")
    assert "left behind" in told
    assert "in wait" in told


def test_growth_with_each_repetition_is_a_leak():
    mib = growth.MIB
    steady = [growth.Size(100 * mib, mib, 5)] * 6
    leaking = [growth.Size(100 * mib, mib * i, 5) for i in range(6)]
    once = [growth.Size(mib * (9 if i > 3 else 1), mib, 5) for i in range(6)]
    assert growth.repeated(steady) is None
    assert growth.repeated(once) is None
    assert growth.repeated(leaking).kind == "leak"


@UNTIDY
def test_a_frame_that_a_machine_holds_at_the_end_is_a_leak(tmp_path):
    world = calls.World(3, tmp_path)
    world.dropped = False
    kept = [machine.alloc(node=0) for machine in world.machines if not machine.closed]
    world.finish()
    assert {failure.where for failure in world.failures} == {"frames"}
    assert kept


@UNTIDY
def test_a_callable_that_wants_to_end_it_all_is_heard(tmp_path):
    runner = calls.Runner(calls.World(1, tmp_path), forks=False)
    entry = surface.entries()["Machine.vmstat"]
    loud = runner.world.loud(calls.LOUD[0]())
    assert runner._judge(calls.Step("call", entry), None).kind == "swallowed"
    runner.world.loud(loud)
    assert runner._judge(calls.Step("call", entry), loud) is None
    runner.world.finish()


def test_shrinking_keeps_what_is_needed(monkeypatch):
    found = driver.Found(Failure("panic", "", "panicked at x"), "calls", 1)
    monkeypatch.setattr(shrink, "fails", lambda _, keep, **__: {3, 17} <= set(keep))
    assert shrink.shrunk(found, 50) == [3, 17]


# --- entries that are drawn nowhere else ---


def test_only_machines_and_profiles_of_the_core_are_made_from_nothing():
    assert len(of_machines()) > 15
    for cls in of_machines().values():
        with pytest.raises(TypeError):
            cls()


def test_no_configuration_stops():
    drawing = random.Random(4)
    entry = surface.entries()["Machine"]
    for _ in range(200):
        given, named = arguments.draw(entry, drawing)
        named = {
            name: None if hasattr(value, "resolve") else value for name, value in named.items()
        }
        try:
            machine = mmcore.Machine(*given, **named)
        except judge.DOCUMENTED:
            continue
        machine.audit().raise_for_findings()
        machine.close()
