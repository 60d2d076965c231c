"""The summary of a trace, `mmcore trace show` and `mmcore trace convert`."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcore import Trace
from mmcore._cli import run
from mmcore._trace.summary import Reuse, TraceThread
from trace_samples import DRMEMTRACE


def test_a_summary_counts_pages_reuse_writes_and_threads():
    trace = Trace([7, 7, 8, 7, 9, 7], [0, 1, 1, 0, 0, 0], [0, 0, 3, 0, 3, 3])
    found = trace.summary()
    assert (found.accesses, found.pages, found.writes, found.written) == (6, 3, 2, 2)
    assert found.reuse == (Reuse(1, 1, 1), Reuse(2, 3, 2))
    assert found.threads == (TraceThread(0, 3, 1, 1), TraceThread(3, 3, 1, 3))
    assert found.digest == trace.digest
    assert found.verdict == "6 accesses to 3 pages (12KiB), 33% writes, 2 threads"
    assert Trace([5], [False]).summary().reuse == ()


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 3)), min_size=1))
def test_the_summary_is_the_count_of_a_loop(accesses):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmcore._trace.summary._STRETCH", 3)
        found = Trace(*zip(*accesses, strict=True)).summary()
    last, counts = {}, {}
    for place, (page, _, _) in enumerate(accesses):
        if page in last:
            power = (place - last[page]).bit_length() - 1
            counts[power] = counts.get(power, 0) + 1
        last[page] = place
    assert {each.least: each.accesses for each in found.reuse if each.accesses} == {
        1 << power: count for power, count in counts.items()
    }
    assert found.pages + sum(each.accesses for each in found.reuse) == len(accesses)
    for each in found.threads:
        own = [access for access in accesses if access[2] == each.thread]
        assert each.accesses == len(own)
        assert each.writes == sum(wrote for _, wrote, _ in own)
        assert each.pages == len({page for page, _, _ in own})
    assert {each.thread for each in found.threads} == {thread for _, _, thread in accesses}
    assert found.written == len({page for page, wrote, _ in accesses if wrote})


def test_the_command_shows_a_trace(tmp_path, capsys):
    path = tmp_path / "view.txt"
    path.write_bytes(DRMEMTRACE)
    assert run(["trace", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("4 accesses to 3 pages (12KiB), 50% writes, 2 threads\n")
    assert str(path) in shown
    assert run(["trace", "show", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "trace"
    assert document["command"] == f"mmcore trace show {path}"
    assert [row["accesses"] for row in document["threads"]] == [2, 2]


def test_a_trace_is_converted(tmp_path, capsys):
    path, out = tmp_path / "view.txt", tmp_path / "out.npz"
    path.write_bytes(DRMEMTRACE)
    assert run(["trace", "convert", str(path), str(out)]) == 0
    assert "4 accesses to 3 pages" in capsys.readouterr().out
    assert Trace.load(out) == Trace.load(path)
    # In its own place too.
    assert run(["trace", "convert", str(path), str(path)]) == 0
    assert np.array_equal(Trace.load(path).threads, Trace.load(out).threads)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["OUT", "--html", "OUT"], "are one file"),
        (["nowhere/out.npz"], "no file can be made in the directory"),
        (["OUT", "--max-accesses", "3"], "raise the limit with max_accesses (--max-accesses)"),
        (["/dev/full"], "/dev/full: No space left on device"),
    ],
)
def test_a_refused_conversion_is_one_line(words, says, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "view.txt").write_bytes(DRMEMTRACE)
    assert run(["trace", "convert", "view.txt", *words]) == 2
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1
    assert not (tmp_path / "OUT").exists()
