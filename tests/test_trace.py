"""Traces: which texts are read and which are refused, and that no access is lost."""

import gzip
import io
import sys

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmcore import Trace, _mmcore
from mmcore._trace import crowd
from mmcore.errors import InputError

LACKEY = """==12== Lackey, an example Valgrind tool
I  0401f0c0,3
 L 1ffefff9c8,8
 S 1ffefff9c0,8
 M 0421e1a8,4
 L 00001ffc,8
==12== done
"""
PAGES = [0x1FFEFFF, 0x1FFEFFF, 0x421E, 1, 2]
WRITES = [False, True, True, False, False]


def test_arrays_are_numbered_by_first_access():
    trace = Trace([70, 5, 70, 9], [0, 1, 1, 0])
    assert trace.ids.tolist() == [0, 1, 0, 2]
    assert trace.page_numbers.tolist() == [70, 5, 9]
    assert trace.pages.tolist() == [70, 5, 70, 9]
    assert (trace.footprint, len(trace), trace.threads.tolist()) == (3, 4, [0] * 4)


def test_a_trace_cannot_be_changed():
    trace = Trace([1], [True])
    with pytest.raises(ValueError, match="read-only"):
        trace.ids[0] = 3


def in_two_members(text):
    return gzip.compress(text[:50]) + gzip.compress(text[50:])


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress, in_two_members])
def test_lackey_text_is_read_plain_and_compressed(tmp_path, compress):
    path = tmp_path / "trace"
    path.write_bytes(compress(LACKEY.encode()))
    trace = Trace.load(path)
    assert trace.pages.tolist() == PAGES
    assert trace.writes.tolist() == WRITES


def test_lackey_text_is_read_from_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LACKEY.encode())))
    assert Trace.load("-").pages.tolist() == PAGES


def test_progress_reaches_the_end(tmp_path):
    path = tmp_path / "trace"
    path.write_text(LACKEY)
    seen = []
    Trace.load(path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(LACKEY), len(LACKEY))


@given(
    st.lists(
        st.tuples(st.integers(0, 2**52 - 1), st.booleans(), st.integers(0, 2**16 - 1)), min_size=1
    )
)
def test_saving_and_loading_loses_nothing(tmp_path_factory, accesses):
    pages, writes, threads = zip(*accesses, strict=True)
    path = tmp_path_factory.mktemp("trace") / "t.npz"
    trace = Trace(pages, writes, threads)
    trace.save(path)
    again = Trace.load(path)
    assert again == trace
    assert again.pages.tolist() == list(pages)
    assert again.writes.tolist() == list(writes)
    assert again.threads.tolist() == list(threads)


def test_an_npz_of_plain_arrays_is_read(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, pages=np.array([3, 4, 3]), writes=np.array([0, 1, 0]))
    assert Trace.load(path) == Trace([3, 4, 3], [False, True, False])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the trace is empty"),
        (b"==1== only remarks\n", "has no data access"),
        (b"I  0401f0c0,3\n", "has no data access"),
        (LACKEY.encode() + b"hello world\n", 'line 8: not a lackey record: "hello world"'),
        (b" L 10000,8\n L zz,8\n", 'line 2: bad address: " L zz,8"'),
        (b"\x00\x01\x02\xff" * 50, "not a trace: expected an .npz archive"),
        (gzip.compress(LACKEY.encode(), mtime=0)[:-9], "ends too early"),
        (gzip.compress(LACKEY.encode(), mtime=0)[:10] + b"\xff" * 40, "damaged gzip data"),
        (zstandard.compress(LACKEY.encode())[:-1], "ends too early"),
        (zstandard.compress(LACKEY.encode())[:4] + b"\xff" * 99, "damaged zstd data"),
        (b"PK\x03\x04 not really", "damaged .npz archive"),
    ],
)
def test_bad_content_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        Trace.load(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        ({"pages": [1]}, "no array 'writes'"),
        ({"pages": [1, 2], "writes": [True]}, "2 pages but 1 writes"),
        ({"pages": [], "writes": []}, "the trace is empty"),
        ({"pages": [-1], "writes": [0]}, "-1 is not between 0 and"),
        ({"pages": [0.5], "writes": [0]}, "integers are needed"),
        ({"pages": [[1]], "writes": [0]}, "one dimension"),
        ({"pages": [1], "writes": [2]}, "2 is not between 0 and 1"),
        ({"pages": [1], "writes": [0], "threads": [70000]}, "70000 is not between"),
        ({"pages": [7], "writes": [0], "page_numbers": [1, 2]}, "points outside"),
        ({"pages": np.array([None]), "writes": [0]}, "integers are needed, not object"),
    ],
)
def test_a_bad_archive_is_refused(tmp_path, archive, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: np.asarray(values) for name, values in archive.items()})
    with pytest.raises(InputError, match=message):
        Trace.load(path)


@given(st.one_of(st.none(), st.text(), arrays(float, 3), st.just([[1], [2, 3]]), st.just([2**70])))
def test_odd_arrays_are_refused(values):
    with pytest.raises(InputError):
        Trace(values, [True, True, True])


def test_a_parser_ends_once():
    parser = _mmcore.LackeyParser()
    parser.feed(LACKEY.encode())
    assert parser.finish() == (5, 4)
    with pytest.raises(ValueError, match="has ended"):
        parser.feed(b" L 1000,8\n")
    ids, writes, pages = np.empty(5, np.uint32), np.empty(5, np.uint8), np.empty(4, np.uint64)
    with pytest.raises(BufferError):
        parser.take(ids[:2], writes, pages)
    parser.take(ids, writes, pages)
    assert pages[ids].tolist() == PAGES
    with pytest.raises(ValueError, match="has ended"):
        parser.take(ids, writes, pages)


def test_the_shipped_trace_is_real_and_small():
    trace = Trace.sample()
    assert trace.footprint > 400
    assert len(trace) > 1_000_000
    assert 0.1 < trace.writes.mean() < 0.9
    assert "sqlite3" in trace.source


def test_processes_of_the_shipped_trace_run_it_with_pages_of_their_own():
    program, many = Trace.sample(), Trace.sample(processes=64)
    assert many.footprint > 10_000
    assert 200_000 < len(many) <= 250_000
    assert many == Trace.sample(64)
    assert (many.sample_of, program.sample_of) == (64, 1)
    assert "64 processes of the shipped trace of sqlite3" in many.source
    # Each process has its own pages, and takes turns of sixteen accesses.
    assert (many.pages // program.footprint == many.threads).all()
    turns = many.threads.reshape(-1, 16)
    assert (turns == turns[:, :1]).all()
    assert np.bincount(many.threads).tolist() == [len(many) // 64] * 64


def test_a_process_makes_of_a_window_the_first_access_to_each_page():
    ids = np.array([3, 3, 1, 3, 1, 2, 0, 0], np.uint32)
    writes = np.array([0, 0, 0, 1, 0, 0, 1, 0], bool)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(crowd, "WINDOW", 4)
        found, wrote = crowd._sampled(ids, writes)
    assert found.tolist() == [3, 1, 1, 2, 0]
    assert wrote.tolist() == [True, False, False, False, True]


def test_processes_begin_at_different_places_of_the_program():
    many = Trace.sample(processes=4)
    begins = [
        (many.pages[many.threads == each] - each * Trace.sample().footprint)[:200].tolist()
        for each in range(4)
    ]
    assert len(set(map(tuple, begins))) == 4
    assert len(many) == 4 * (250_000 // 4 // 16 * 16)


@pytest.mark.parametrize("processes", [0, -1, 5000])
def test_a_number_of_processes_out_of_range_is_refused(processes):
    with pytest.raises(InputError, match="processes"):
        Trace.sample(processes)


def test_the_first_access_to_a_page_that_is_never_written_becomes_a_write():
    trace = Trace([7, 8, 7, 9, 8, 9], [False, False, False, False, True, False])
    filled = trace.arrays().filled(trace.footprint)
    assert filled.writes.tolist() == [1, 0, 0, 1, 1, 0]
    assert filled.writes.dtype == np.uint8
    # The trace itself stays as it was.
    assert trace.writes.tolist() == [False, False, False, False, True, False]
    written = Trace([1, 2, 1], [True, True, False]).arrays()
    assert written.filled(2) is written
