"""Results are shown and kept with every output: files, pipes, full disks, closed outputs."""

import errno
import importlib
import inspect
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args

import pytest

import mmcore
from mmcore import Trace, _cli, _output
from mmcore._cli import run
from mmcore.errors import InputError

PROGRAM = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
RACE = ["explore", "PROGRAM", "--mutation", "copy-after-restore"]


RECORDINGS = Path(__file__).parent / "recordings" / "6.1"

#: Commands with their exit codes.
VERBS = {
    "run": (0, ["run", "PROGRAM"]),
    "stress": (0, ["run", "PROGRAM", "--stress", "0.1", "--json"]),
    "explore": (0, ["explore", "PROGRAM", "--schedules", "5"]),
    "race": (1, RACE),
    "soak": (0, ["soak", "--schedules", "100"]),
    "standard": (0, ["standard", "--matching", "freed 1: drain, drain"]),
    "hunt": (0, ["hunt", "hook-without-lock"]),
    "replay": (0, ["replay", "PROGRAM", "0x3"]),
    "diff": (1, ["diff", "PROGRAM", "--kernel", "6.1,6.12"]),
    "map": (0, ["map", "PROGRAM", "--before-after", "move"]),
    "policies": (0, ["policies", "TRACE", "--policy", "lru", "--size", "16"]),
    "trace": (0, ["trace", "show", "TRACE"]),
    "conformance": (0, ["conformance", str(RECORDINGS / "h01-migrate-anon.json")]),
    "profiles": (0, ["profiles"]),
    "env": (0, ["env"]),
    "help": (0, ["explore", "--help"]),
}

#: The words of each verb that has a result; the measuring of `compare` never begins here.
WORDS = {words[0]: words for name, (_, words) in VERBS.items() if name != "help"}
WORDS["compare"] = ["compare"]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.mm"
    path.write_text(PROGRAM)
    return str(path)


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.txt"
    path.write_text("".join(f" S {page}000,8\n" for page in range(100, 400)))
    return str(path)


@pytest.fixture
def race(program):
    """A command that finds a race."""
    return [program if word == "PROGRAM" else word for word in RACE]


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mmcore", *map(str, arguments)],
        check=False,
        timeout=300,
        **{"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, **options},
    )


# --- Files ---------------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)

    def fail_half_way():
        with _output.replacing(path) as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert (path.read_text(), len(list(tmp_path.iterdir()))) == ("old", 1)
    _output.write(path, "new µ \udcff")
    assert path.read_bytes() == "new µ \\udcff".encode()
    assert (path.stat().st_mode & 0o777, len(list(tmp_path.iterdir()))) == (0o640, 1)


def test_a_folder_that_allows_no_new_file_is_refused_before_the_work(
    tmp_path, monkeypatch, race, capsys
):
    path = tmp_path / "file"
    path.write_text("old")
    make = os.open

    def refuse(name, flags, *mode):
        # Permissions of the folder would not refuse root.
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(name))
        return make(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    why = "no file can be made in the directory: Permission denied"
    with pytest.raises(InputError, match=f"{path}: {why}"):
        _output.check(path)
    with pytest.raises(PermissionError, match=f"{why}: '{path}'"), _output.replacing(path):
        pytest.fail("the work must not begin")
    monkeypatch.setattr("mmcore.explore", lambda *_, **__: pytest.fail("the work has begun"))
    assert run([*race, "--save", str(path)]) == 2
    assert why in capsys.readouterr().err
    assert path.read_text() == "old"


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    code = "import sys; from mmcore import _output; _output.write(sys.argv[1], 'x' * 10_000)"
    arguments = [sys.executable, "-c", code, path]
    done = subprocess.run(arguments, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert f"File too large: '{path}'" in done.stderr
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


@pytest.mark.parametrize("target", ["file", "/dev/null"])
def test_an_error_about_another_file_keeps_the_name_of_that_file(target, tmp_path):
    other = tmp_path / "other"

    def fail(error):
        with _output.replacing(tmp_path / target):
            raise error

    for error in FileNotFoundError(errno.ENOENT, "no such font", str(other)), TimeoutError("slow"):
        with pytest.raises(OSError, match=r"no such font|slow") as caught:
            fail(error)
        assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path):
    link, real = tmp_path / "link", tmp_path / "real"
    link.symlink_to("real")
    _output.check(link)
    _output.write(link, "text")
    assert link.is_symlink()
    assert real.read_text() == "text"


def test_a_pipe_is_written_to(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    Trace([1, 2], [0, 1]).save(path)
    reader.join()
    assert path.is_fifo()
    again = tmp_path / "t.npz"
    again.write_bytes(read[0])
    assert Trace.load(again).pages.tolist() == [1, 2]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: Trace([1], [0]).save(path),
        lambda path: mmcore.explore(PROGRAM, schedules=5).to_html(path),
        lambda path: mmcore.explore(PROGRAM, mutation="copy-after-restore").save(path),
        lambda path: mmcore.policies(Trace([1], [0]), policy="lru", size=1).to_json(path),
    ],
)
@pytest.mark.parametrize("path", ["/dev/full", "no/such/folder"])
def test_every_writer_of_the_library_names_the_file(write, path):
    with pytest.raises(OSError, match="No s") as raised:
        write(path)
    assert raised.value.filename == path


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no/such/folder/x.svg", "no file can be made in the directory: No such file"),
        (".", "Is a directory"),
        ("program.mm/x.svg", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("/proc/x.svg", "no file can be made in the directory"),
    ],
)
@pytest.mark.parametrize("option", ["--save", "--html", "--plot", "--chrome"])
def test_outputs_are_checked_before_the_search(
    option, path, says, program, race, monkeypatch, capsys
):
    monkeypatch.chdir(Path(program).parent)
    monkeypatch.setattr(mmcore, "explore", lambda *_, **__: pytest.fail("searched"))
    assert run([*race, option, path]) == 2
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1


def file_options(verb):
    """The options of a verb that name a file to write."""
    module = importlib.import_module(f"mmcore._cli.verbs.{verb}")
    function = module.show if verb == "trace" else getattr(module, verb)
    view = inspect.signature(function, eval_str=True).parameters["view"]
    shown = next(each for each in get_args(view.annotation) if is_dataclass(each))
    return [f"--{each.name}" for each in fields(shown) if "Path" in str(each.type)]


def test_the_options_that_name_a_file_are_found():
    assert file_options("map") == ["--html", "--plot", "--steps"]
    assert file_options("hunt") == ["--html", "--save", "--plot", "--chrome"]


@pytest.mark.parametrize("verb", sorted({*_cli.VERBS} - {"env"}))
def test_each_file_is_checked_before_the_work(verb, program, trace, tmp_path, capsys):
    words = [{"PROGRAM": program, "TRACE": trace}.get(word, word) for word in WORDS[verb]]
    nowhere, path = str(tmp_path / "nowhere" / "x.svg"), str(tmp_path / "x.svg")
    options = file_options(verb)
    assert "--html" in options
    for option in options:
        assert run([*words, option, nowhere]) == 2
        shown = capsys.readouterr()
        # The findings of the work would be printed before its files are written.
        assert shown.out == ""
        assert shown.err.startswith(f"mmcore: {nowhere}: no file can be made")
    for one, other in itertools.combinations(options, 2):
        assert run([*words, one, path, other, path]) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == ("", f"mmcore: {path} and {path} are one file: name two\n")


def test_two_outputs_are_two_files(race, tmp_path, capsys):
    path = str(tmp_path / "x")
    assert run([*race, "--save", path, "--html", path]) == 2
    assert "are one file" in capsys.readouterr().err
    assert run([*race, "--save", "/dev/null", "--html", "/dev/null"]) == 1


def test_a_path_with_a_null_character_is_refused():
    with pytest.raises(InputError, match="null character"):
        _output.check("a\0b")


@pytest.mark.parametrize("option", ["--save", "--html"])
def test_a_race_is_shown_although_its_file_cannot_be_written(option, race, capsys):
    assert run([*race, option, "/dev/full"]) == 1
    shown = capsys.readouterr()
    assert "replay: mmcore replay" in shown.out
    assert shown.err == "mmcore: /dev/full: No space left on device\n"


def test_a_finding_without_a_drawing_stays_a_finding(program, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(mmcore.Replay, "drawings", lambda _: [])
    path = tmp_path / "race.svg"
    assert run(["replay", program, "0x3", "--plot", str(path)]) == 2
    monkeypatch.setattr(mmcore.Counterexample, "drawings", lambda _: [])
    monkeypatch.setattr(mmcore.Exploration, "drawings", lambda _: [])
    race = ["explore", program, "--mutation", "copy-after-restore"]
    assert run([*race, "--plot", str(path)]) == 1
    shown = capsys.readouterr()
    assert "replay: mmcore replay" in shown.out
    assert f"mmcore: {path}: the result has no drawing" in shown.err


def test_a_clean_result_whose_file_cannot_be_written_is_2(program, capsys):
    assert run(["explore", program, "--schedules", "5", "--html", "/dev/full"]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("no violation in 5 schedules")
    assert shown.err == "mmcore: /dev/full: No space left on device\n"


@pytest.mark.parametrize(
    ("code", "words", "says"),
    [
        (1, RACE, "replay: mmcore replay"),
        (2, ["soak", "--schedules", "60000", "--jobs", "1"], "1 programs, 20,000 schedules"),
        (2, ["soak", "--schedules", "60000", "--jobs", "2"], "programs, "),
    ],
)
def test_what_was_found_is_shown_although_the_checkpoint_is_full(
    code, words, says, program, tmp_path
):
    def limit():
        # The first line of the file fits in.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, 1 << 10))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    path = tmp_path / "kept"
    words = [program if word == "PROGRAM" else word for word in words]
    done = command(*words, "--checkpoint", path, preexec_fn=limit)
    assert done.returncode == code
    assert says in done.stdout.decode()
    if code != 1:
        # A search that has found a race has ended: its result is whole.
        assert f"mmcore: {path}: File too large" in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1


def test_the_standard_output_can_be_named_as_a_file(race, tmp_path):
    path = tmp_path / "out"
    for name in ("/dev/stdout", path):
        with path.open("wb") as output:
            assert command(*race, "--save", name, stdout=output).returncode == 1
        text = path.read_text()
        assert "replay: mmcore replay" in text
        assert "# schedule: " in text


# --- The standard output -------------------------------------------------------------------------


@pytest.fixture
def verb(request, program, trace):
    """A command and its exit code."""
    names = {"PROGRAM": program, "TRACE": trace}
    code, words = VERBS[request.param]
    return code, [names.get(word, word) for word in words]


@pytest.mark.parametrize("verb", VERBS, indirect=True)
def test_the_exit_code_is_the_verdict_whatever_becomes_of_the_output(verb):
    code, words = verb
    reading, writing = os.pipe()
    os.close(reading)
    done = command(*words, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, b"")

    done = command(*words, stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (code, b"")

    done = command(*words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (code, b"")
    assert done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize("verb", VERBS, indirect=True)
def test_an_output_that_is_full_is_one_line(verb):
    code, words = verb
    with Path("/dev/full").open("wb") as full:
        done = command(*words, stdout=full)
    assert done.returncode == (code or 2)
    assert done.stderr.endswith(b"No space left on device\n")
    assert done.stderr.count(b"\n") == 1


def test_all_streams_closed_is_no_crash(program):
    def close():
        os.closerange(0, 3)

    options = {"stdout": None, "stderr": None, "preexec_fn": close}
    assert command("run", program, **options).returncode == 0
    assert command("run", "-", **options).returncode == 2


def test_characters_that_an_output_lacks_are_replaced(program):
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    options = {"env": {**os.environ, **old}}
    assert b"1xok" in command("run", program, **options).stdout
    named = Path(program).with_name("µ\udcff.mm")
    named.write_text("mvoe\n")
    complaint = command("run", named, **options).stderr
    assert complaint.startswith(b"mmcore: ")
    assert b"\\udcff.mm:1:1: " in complaint
    # An option that is no text gives an error, not a traceback.
    done = command("profiles", b"\xff".decode("utf-8", "surrogateescape"))
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_a_replay_tells_which_operations_were_refused():
    program = "map r0 anon 1\nwrite r0\nthread A\n  isolate r0\nthread B\n  read r0\n"
    replay = mmcore.replay(program, "")
    (refused,) = replay.refused
    assert (refused.section, refused.op, refused.errnos) == ("A", "isolate r0", ("EBUSY",))
    note = "note: A: `isolate r0` was refused in this schedule: EBUSY"
    assert any(line.startswith(note) for line in str(replay).splitlines()), replay
    assert json.loads(replay.to_json())["refused"][0]["op"] == "isolate r0"
    assert not mmcore.replay(program.replace("thread A", "drain\nthread A"), "").refused
