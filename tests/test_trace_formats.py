"""Traces of other tools: each format is told by its content, and a line that is wrong is named."""

import gzip
import hashlib
import json

import numpy as np
import pytest
import zstandard

from mmcore import Trace
from mmcore._trace import lines
from mmcore.errors import InputError
from trace_samples import (
    CSV,
    DAMON,
    DRMEMTRACE,
    OLD_DRMEMTRACE,
    ORACLE,
    PERF,
    PERF_OF_A_THREAD_WITH_BLANKS,
    PINATRACE,
    SCHEDULED_DRMEMTRACE,
    SIZED_PINATRACE,
    damon,
    oracle,
)


def load(tmp_path, content):
    path = tmp_path / "trace"
    path.write_bytes(content)
    return Trace.load(path)


def accesses(trace):
    return list(
        zip(trace.pages.tolist(), trace.writes.tolist(), trace.threads.tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (
            DRMEMTRACE,
            [
                (0x7FDF64E2A, False, 0),
                (0x7FDF64E2A, True, 1),
                (0x7FDF64E2B, True, 1),
                (1, False, 0),
            ],
        ),
        (OLD_DRMEMTRACE, [(0x7F8881E37, False, 0), (0x7F8881E37, True, 1)]),
        (SCHEDULED_DRMEMTRACE, [(0, False, 0), (0, True, 1)]),
        (PERF, [(0x7FBD9DC85, False, 0), (0x7FBD9DC86, True, 1)]),
        (PERF_OF_A_THREAD_WITH_BLANKS, [(0x7FBD9DC85, False, 0), (0x7FBD9DC86, True, 1)]),
        (PINATRACE, [(0x7FFC9A4D8, True, 0), (0x7FFC9A4D9, False, 0)]),
        (
            SIZED_PINATRACE,
            [(0x7FFC9A4D8, True, 0), (0x7FFC9A4D9, True, 0), (0x7FFC9A4D9, False, 0)],
        ),
        # Objects are laid out one after another by their first request.
        (CSV, [(0, True, 0), (1, False, 0), (2, False, 0), (3, False, 0), (1, False, 0)]),
        (
            ORACLE,
            [
                (0, False, 0),
                (1, False, 0),
                (2, False, 0),
                (3, False, 0),
                (0, False, 0),
                (1, False, 0),
            ],
        ),
        # The columns of libCacheSim's own output, without a header; and objects with names.
        (b"1,17,4096,-1\n".replace(b"-1", b"9") + b"2,18,1,9\n", [(0, False, 0), (1, False, 0)]),
        (
            b"time,obj-id,obj_size,op\n1,a/b,1,get\n2,c,1,SET\n3,a/b,1,Get\n",
            [(0, False, 0), (1, True, 0), (0, False, 0)],
        ),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_each_format_is_told_by_its_content(content, wanted, compress, tmp_path):
    assert accesses(load(tmp_path, compress(content))) == wanted
    assert accesses(load(tmp_path, compress(content.replace(b"\n", b"\r\n")))) == (
        wanted if b"\0" not in content else accesses(load(tmp_path, content))
    )


def test_records_of_damon_become_reads_of_the_pages_found_used(tmp_path):
    trace = load(tmp_path, DAMON)
    assert sorted(trace.pages.tolist()) == [1, 1, 2, 2, 4]
    assert not trace.writes.any()
    assert load(tmp_path, DAMON) == trace, "the order is drawn with a fixed seed"
    # The snapshots of two targets that were sampled at the same time stand together.
    early, late = damon([(0, 4096, 1)]), damon([(8192, 12288, 1)])
    first = {**early, "snapshots": early["snapshots"] + late["snapshots"]}
    second = damon([(4096, 8192, 1)])
    trace = load(tmp_path, json.dumps([first, second]).encode())
    assert sorted(trace.pages[:2].tolist()) == [0, 1]
    assert trace.pages[2:].tolist() == [2]
    # One record alone is no list.
    assert load(tmp_path, json.dumps(second).encode()).pages.tolist() == [1]


def test_a_drawn_order_is_the_same_with_every_numpy(tmp_path):
    document = json.dumps(damon([(0, 100 << 12, 1)])).encode()
    order = load(tmp_path, document).pages.astype("<u8").tobytes()
    assert hashlib.sha256(order).hexdigest()[:16] == "8aca46df9d288d70"


BAD = [
    (DRMEMTRACE.replace(b"read         4", b"read         x"), "line 10: no memory access"),
    (DRMEMTRACE + b"what the program printed\n", "line 13: no memory access: 'what the program"),
    (DRMEMTRACE.replace(b"0x0000000000001000", b"0xffffffffffffffff"), "beyond the address space"),
    (b"15424  1.2: page-faults:  7fbd9dc85110\n", "does not tell whether the access reads or"),
    (PERF + b"15424  1.2: cpu/mem-loads/:  81775b9a elf_load+0x28a\n", "line 6: no memory access"),
    (PINATRACE.replace(b": R 0x", b": X 0x"), "line 2: no memory access"),
    (PINATRACE[:-30] + b"\xff\xfe\n", "no memory access"),
    (b"0x1: W 0x1\n" + b"x" * 5000 + b"\n", "line 2: longer than 4,096 bytes"),
    (b"#eof\n", "no line of a trace"),
    (b"hello\nworld\n", "line 1: no line of a trace: 'hello' (expected an .npz archive, or what"),
    (b"\0\1\2\xff" * 50, "not a trace: expected an .npz archive"),
    (ORACLE[:-3], "record 4 of oracleGeneral is cut off"),
    (oracle(*[(at % 7, 1) for at in range(4000)]) + ORACLE, "record 4001 is not one of oracle"),
    (CSV + b"1,2,28,3\n", "line 5: 5 columns are needed, not 4"),
    (CSV + b"1,2,28,many,3\n", "line 5: the size is no number of bytes"),
    (CSV + b"1,2,28,-1,3\n", "line 5: the size is no number of bytes"),
    (CSV + b"1,2,ff,1,3\n", "line 5: the operation neither reads nor writes"),
    (CSV + b"1,2,28,1,\n", "line 5: the object is missing"),
    (CSV[:25], "the trace has no data access"),
    (b"[" * 100_000, "nested too deeply"),
    (b"{}", "snapshots is missing"),
    (b"[1]", "snapshots is missing"),
    (b'{"snapshots": [3]}', "regions is missing"),
    (json.dumps(damon([])).encode(), "the trace has no data access"),
    (json.dumps(damon([(8192, 4096, 1)])).encode(), "a region from 8192 to 4096"),
    (json.dumps(damon([(0, "x", 1)])).encode(), "'x' is not a size"),
    (json.dumps(damon([(0, 4096, -1)])).encode(), "nr_accesses is no number"),
    (json.dumps(damon([(0, 4096, {"percent": 3})])).encode(), "samples is missing"),
    (json.dumps(damon([(0, 2**64, 2**60)])).encode(), "more than 268,435,456 accesses"),
    (b"[\xff]", "line 1: byte 0xff is not UTF-8"),
]


@pytest.mark.parametrize(("content", "says"), BAD)
def test_a_malformed_trace_is_refused_in_one_line(content, says, tmp_path):
    with pytest.raises(InputError) as refused:
        load(tmp_path, content)
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / 'trace'}: ")
    assert str(refused.value).count(str(tmp_path)) == 1
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [DRMEMTRACE, PERF, PINATRACE, CSV, ORACLE, DAMON])
def test_more_accesses_than_allowed_are_refused(content, tmp_path):
    count = len(load(tmp_path, content))
    path = tmp_path / "trace"
    # A text may also have too many bytes for so few accesses.
    with pytest.raises(InputError, match=r"more than .* (accesses|of text)"):
        Trace.load(path, max_accesses=count - 1)


def test_too_many_threads_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("mmcore._trace.gathering._MOST_THREADS", 1)
    with pytest.raises(InputError, match=r"trace: line 9: more than 1 threads"):
        load(tmp_path, DRMEMTRACE)


def test_pieces_and_stretches_change_nothing(monkeypatch, tmp_path):
    contents = [DRMEMTRACE * 3, PERF, CSV, ORACLE, DAMON]
    whole = [load(tmp_path, content) for content in contents]
    for module, name in (
        ("gathering", "_STRETCH"),
        ("objects", "_STRETCH"),
        ("unpacking", "CHUNK"),
        ("reading", "CHUNK"),
        ("reading", "_HEAD"),
    ):
        monkeypatch.setattr(f"mmcore._trace.{module}.{name}", 2 if name == "_STRETCH" else 100)
    assert [load(tmp_path, content) for content in contents] == whole


def test_a_pattern_takes_no_time_that_a_line_can_be_made_for():
    for form in lines.FORMATS:
        for line in (b"1" * 4096, b" " * 4096, b"1 " * 2048, b"1.1: " * 800, b"a: 1" * 1000):
            for pattern in (form.access, form.remark, form.mark):
                pattern.fullmatch(line)


@pytest.mark.parametrize("size", [1, 4096, 4097, 3 * 4096, 2**31])
def test_a_size_wider_than_a_page_becomes_pages(size, tmp_path):
    pages = -(-size // 4096)
    trace = load(tmp_path, b"time,id,size\n" + f"1,5,{size}\n".encode())
    assert np.array_equal(trace.pages, np.arange(pages))
    text = f"0x1: W 0x1000 {size}\n".encode()
    assert np.array_equal(load(tmp_path, text).pages, np.arange(1, pages + 1))
