"""Readers refuse a malformed file with one line that names it, in bounded memory."""

import gzip
import io
import json
import os
import resource
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard

import mmcore
from mmcore import Trace
from mmcore._cli import run
from mmcore._exploration import Replay, Schedule
from mmcore._input import TEXT_LIMIT
from mmcore.errors import InputError
from mutated import mutated
from trace_samples import PINATRACE, SAMPLES, damon

RECORDING = Path(__file__).parent / "recordings" / "6.12" / "h01-migrate-anon.json"
LACKEY = b"==12== Lackey\nI  0401f0c0,3\n L 1ffefff9c8,8\n S 1ffefff9c0,8\n M 0421e1a8,4\n" * 40
PROGRAM = "map r0 anon 2\nwrite r0\nthread A\n  move r0:0 node=1\nthread B\n  read r0:0-1\n"

#: Number of damaged files of each format; MMCORE_MUTATIONS=10000 tries more.
MUTATIONS = int(os.environ.get("MMCORE_MUTATIONS", "120"))


def refusal(read, what):
    """The error of the reader; None if the file was read."""
    try:
        read(what)
    except InputError as error:
        return str(error)
    return None


def archive(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def saved():
    descriptor = os.memfd_create("trace")
    path = Path(f"/proc/self/fd/{descriptor}")
    Trace([9, 4, 9, 7], [0, 1, 1, 0], [0, 1, 0, 2]).save(path)
    content = path.read_bytes()
    os.close(descriptor)
    return content


def replayed(path):
    return Replay.load(path, max_steps=2000)


def race():
    return f"# breaks: x\n# mutation: copy-after-restore\n# schedule: 0x3,1x2,0\n{PROGRAM}".encode()


FORMATS = {
    "lackey": (LACKEY, Trace.load),
    "gzip": (gzip.compress(LACKEY), Trace.load),
    "zstd": (zstandard.compress(LACKEY), Trace.load),
    "arrays": (archive(pages=np.arange(50), writes=np.zeros(50, bool)), Trace.load),
    "saved trace": (saved(), Trace.load),
    **{name: (content, Trace.load) for name, content in SAMPLES.items()},
    "recording": (RECORDING.read_bytes(), mmcore.conformance),
    "program": (PROGRAM.encode(), mmcore.Program.load),
    "saved race": (race(), replayed),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused_in_one_line(name, tmp_path):
    content, read = FORMATS[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    read(path)
    refused = 0
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(content, seed))
        complaint = refusal(read, path)
        refused += complaint is not None
        assert "\n" not in (complaint or ""), f"seed {seed}"
    assert refused > MUTATIONS // 20


@pytest.mark.parametrize("seed", range(MUTATIONS // 4))
def test_a_damaged_text_is_parsed_or_refused(seed):
    program = mmcore.Program.parse(PROGRAM)
    for content, read in (
        (PROGRAM, mmcore.Program.parse),
        (program.to_json(), mmcore.Program.from_json),
        ("0x12,1x3,0", Schedule.parse),
    ):
        text = mutated(content.encode(), seed).decode("utf-8", "surrogateescape")
        assert "\n" not in (refusal(read, text) or "")


# --- Bombs ---------------------------------------------------------------------------------------


def limited(code, *arguments, memory=2 << 30):
    """Runs Python code in a process whose address space is limited."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=600,
        # Each thread of a library takes address space, even an idle one.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


LOAD = """
import sys, mmcore
try:
    mmcore.Trace.load(sys.argv[1], max_accesses=int(sys.argv[2]))
except mmcore.errors.InputError as error:
    print(error)
"""


def zstd_of_zeros(size):
    file = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as writer:
        for _ in range(size >> 20):
            writer.write(b" S 1000,8\n".ljust(1 << 10, b"\n") * (1 << 10))
    return file.getvalue()


def gzip_of_lines(size):
    line = b" S 1000,8\n" * 100_000
    return gzip.compress(line * (size // len(line)), 1)


#: Records of `oracleGeneral`, all of one object at one time; a file repeats them.
ENDLESS = struct.pack("<IQIq", 9, 1, 512, 2**63 - 1) * 4096


def gzip_of(piece, size):
    return gzip.compress(piece * (size // len(piece)), 1)


def npz_of_zeros(count):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, dtype in (("pages", "<u8"), ("writes", "|b1")):
            with writer.open(f"{name}.npy", "w", force_zip64=True) as member:
                head = {"descr": dtype, "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(member, head)
                left = count * np.dtype(dtype).itemsize
                while left > 0:
                    member.write(bytes(min(left, 1 << 20)))
                    left -= 1 << 20
    return file.getvalue()


@pytest.mark.parametrize(
    ("bomb", "says"),
    [
        (lambda: zstd_of_zeros(4 << 30), "more than 256MiB of text"),
        (lambda: gzip_of_lines(100 << 20), "more than 1,048,576 accesses"),
        (lambda: npz_of_zeros(1 << 28), "more than 1,048,576 accesses"),
        (lambda: gzip_of(PINATRACE, 100 << 20), "more than 1,048,576 accesses"),
        (lambda: gzip_of(b"#\n" * 4096, 300 << 20), "no line of a trace"),
        (lambda: gzip_of(ENDLESS, 100 << 20), "more than 1,048,576 accesses"),
        (lambda: gzip_of(b"[1,", 100 << 20), "larger than 64MiB"),
        (lambda: b"time,id,size\n1,2,100000000000000\n", "more than 1,048,576 accesses"),
        (lambda: json.dumps(damon([(0, 2**64, 1)])).encode(), "more than 1,048,576 accesses"),
    ],
    ids=[
        *("zstd", "gzip", "npz", "pinatrace", "remarks", "oracle", "damon"),
        *("csv", "region"),
    ],
)
def test_a_file_that_expands_beyond_the_limit_is_refused_in_little_memory(bomb, says, tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(bomb())
    # The largest content does not fit into this memory, nor does that of one megabyte of its file.
    done = limited(LOAD, path, 1 << 20, memory=1 << 30)
    assert (done.returncode, done.stderr) == (0, "")
    assert says in done.stdout
    assert done.stdout.startswith(f"{path}: ")


def test_an_archive_that_lies_about_its_length_takes_no_memory(tmp_path):
    path = tmp_path / "lie.npz"
    with zipfile.ZipFile(path, "w") as writer:
        for name in ("pages", "writes"):
            with writer.open(f"{name}.npy", "w") as member:
                head = {"descr": "<u8", "fortran_order": False, "shape": (1 << 27,)}
                np.lib.format.write_array_header_1_0(member, head)
                member.write(b"short")
    done = limited(LOAD, path, 1 << 28, memory=1 << 30)
    assert "is shorter than its header says" in done.stdout


def test_a_higher_limit_reads_more(tmp_path):
    path = tmp_path / "t.npz"
    Trace(range(100), [True] * 100).save(path)
    with pytest.raises(InputError, match="more than 99 accesses, which is the limit"):
        Trace.load(path, max_accesses=99)
    assert len(Trace.load(path, max_accesses=100)) == 100
    text = tmp_path / "t.txt"
    # Each access touches two pages.
    text.write_bytes(b" L fff,2\n" * 60)
    with pytest.raises(InputError, match="more than 100 accesses"):
        Trace.load(text, max_accesses=100)
    assert len(Trace.load(text, max_accesses=120)) == 120


def test_positions_in_an_archive_count_from_the_beginning_alone(tmp_path):
    path = tmp_path / "t.npz"
    numbers = np.array([5, 6, 7], np.uint64)
    for pages in ([0, -1], [0, 3]):
        np.savez(path, pages=np.array(pages), writes=np.zeros(2, bool), page_numbers=numbers)
        with pytest.raises(InputError, match="points outside of 'page_numbers'"):
            Trace.load(path)
    np.savez(path, pages=np.array([2, 0]), writes=np.zeros(2, bool), page_numbers=numbers)
    assert Trace.load(path).pages.tolist() == [7, 5]


def test_pages_are_numbered_by_first_access_over_stretches(monkeypatch):
    pages = np.random.default_rng(1).integers(0, 40, 300)
    whole = Trace(pages, np.zeros(300, bool))
    monkeypatch.setattr("mmcore._trace.arrays._STRETCH", 7)
    parts = Trace(pages, np.zeros(300, bool))
    assert parts.ids.tolist() == whole.ids.tolist()
    assert parts.page_numbers.tolist() == whole.page_numbers.tolist()
    assert parts.pages.tolist() == pages.tolist()


@pytest.mark.parametrize("read", [mmcore.Program.load, mmcore.conformance, Replay.load])
def test_texts_without_an_end_are_refused(read, tmp_path):
    with pytest.raises(InputError, match="/dev/zero: the file is larger than 16MiB"):
        read("/dev/zero")
    path = tmp_path / "long"
    path.write_bytes(b"#" * (TEXT_LIMIT + 1))
    with pytest.raises(InputError, match="long: the file is larger than 16MiB"):
        read(path)


# --- Paths that are no files, and files that are no text -----------------------------------------


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "Is a directory|has no recordings"),
        (".", "Is a directory|has no recordings"),
        ("nowhere", "No such file"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null character"),
        ("/proc/self/mem", "Input/output error"),
    ],
)
@pytest.mark.parametrize("read", [mmcore.Program.load, mmcore.conformance, Replay.load])
def test_an_unreadable_file_is_refused_by_its_name(read, path, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says):
        read(path)


@pytest.mark.parametrize("verb", ["compare", "policies", "run", "explore", "conformance"])
@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"\xff\xfe", b"[" * 100_000, b"PK\x03\x04"])
def test_every_verb_refuses_damaged_input_in_one_line(verb, content, tmp_path, capsys):
    path = tmp_path / "file"
    path.write_bytes(content)
    code = run([verb, str(path)])
    complaint = capsys.readouterr().err
    assert code == 2
    assert complaint.startswith("mmcore: ")
    assert complaint.count("\n") == 1
    if content:
        assert str(path) in complaint


def test_a_pipe_among_recordings_is_passed_over(tmp_path):
    (tmp_path / "one.json").write_bytes(RECORDING.read_bytes())
    os.mkfifo(tmp_path / "two.json")
    assert stat.S_ISFIFO((tmp_path / "two.json").stat().st_mode)
    assert len(mmcore.conformance(tmp_path).rows) == 1


# --- Files beside the input ----------------------------------------------------------------------

BESIDE = """
import sys
from mmcore._cli import run
sys.exit(run(sys.argv[1:]))
"""


def beside(file):
    """The commands that read a file beside their input."""
    return {
        "checkpoint": ["soak", "--schedules", "5", "--checkpoint", file],
        "counts": ["compare", "--load", "storm", "--no-copy", "--work", file],
    }


@pytest.mark.parametrize("what", beside(""))
@pytest.mark.parametrize("content", [b"[" * 100_000 + b"\n", b"\xff\n", b"7\n", b"x" * 100])
def test_a_damaged_file_beside_the_input_is_one_line(what, content, tmp_path, capsys):
    path = tmp_path / "file"
    path.write_bytes(content)
    code = run(beside(str(path))[what])
    complaint = capsys.readouterr().err
    assert code == 2
    assert str(path) in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("what", beside(""))
@pytest.mark.parametrize("path", ["large", "/dev/zero"])
def test_a_file_beside_the_input_that_is_too_large_takes_no_memory(what, path, tmp_path):
    path = tmp_path / path
    if path.name == "large":
        with path.open("wb") as file:
            file.truncate(2 << 30)
    done = limited(BESIDE, *beside(str(path))[what], memory=1 << 30)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"mmcore: {path}")


CONFORMANCE = """
import sys, mmcore
try:
    mmcore.conformance(sys.argv[1], checkpoint=sys.argv[2])
except mmcore.errors.InputError as error:
    print(error)
"""


def test_a_recording_that_is_too_large_takes_no_memory_for_its_checkpoint(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(2 << 30)
    done = limited(CONFORMANCE, path, tmp_path / "kept", memory=1 << 30)
    assert done.stderr == ""
    assert "larger than 16MiB" in done.stdout


# --- Recordings ----------------------------------------------------------------------------------


def changed(step, **fields):
    recording = json.loads(RECORDING.read_bytes())
    recording["steps"][step].update(fields)
    return json.dumps(recording)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": [[1, 2, 3]]},
        {"ret": [[1, 2, 3]]},
        {"isolated": [[1, 2, 3]]},
        {"isolated": [1]},
        {"acc": [[1, []]]},
        {"ar_sigbus": [[0]]},
        {"pages": {"r0": [{"p": "3-1", "pte": "-"}]}},
        {"pages": {"r0": [{"p": "0-999999", "pte": "-"}]}},
        {"pages": {"r0": [{"p": "0", "pte": "-"}, {"p": "0", "pte": "-"}]}},
        {"pages": {f"r{n}": [] for n in range(300)}},
        {"ev": [[1]]},
        {"ret": float("nan")},
    ],
)
def test_a_broken_recording_is_one_line_and_the_others_are_compared(fields, tmp_path, capsys):
    (tmp_path / "broken.json").write_text(changed(1, **fields))
    (tmp_path / "good.json").write_bytes(RECORDING.read_bytes())
    with pytest.raises(InputError, match=r"broken\.json"):
        mmcore.conformance(tmp_path)
    result = mmcore.conformance(tmp_path, skip_unread=True)
    assert (result.verdict, len(result.rows), len(result.unread)) == ("unread", 1, 1)
    assert run(["conformance", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert "1 of 1 recordings match\n1 could not be compared" in shown.out
    assert shown.err.count("\n") == 1
    assert "broken.json" in shown.err


def test_a_mismatch_stays_a_finding_beside_a_broken_recording(tmp_path, capsys):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "wrong.json").write_text(changed(4, ret=7))
    assert run(["conformance", str(tmp_path), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert (facts["verdict"], len(facts["unread"])) == ("differs", 1)


# --- Programs ------------------------------------------------------------------------------------


def test_errors_in_programs_name_the_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("race.mm").write_text("map r0 anon 1\nthread A\n    mvoe r0\n")
    for command in (["run"], ["explore"], ["diff", "--kernel", "6.1,6.12"]):
        assert run([command[0], "race.mm", *command[1:]]) == 2
        assert capsys.readouterr().err.startswith("mmcore: race.mm:3:5: `mvoe` is no operation")
    Path("saved.mm").write_text("# schedule: 0\nmap r0\n")
    assert run(["replay", "saved.mm"]) == 2
    assert capsys.readouterr().err.startswith("mmcore: saved.mm:2:")
    Path("saved.mm").write_text(f"# schedule: 0\n# max steps: many\n{PROGRAM}")
    assert run(["replay", "saved.mm"]) == 2
    assert "saved.mm: # max steps: takes a number" in capsys.readouterr().err
    Path("bytes.mm").write_bytes(b"map r0 anon 1\nread r0 # \xff\n")
    assert run(["run", "bytes.mm"]) == 2
    assert capsys.readouterr().err == "mmcore: bytes.mm:2: byte 0xff is not UTF-8\n"
