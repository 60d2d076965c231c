"""The tables of results leave through Arrow's C stream interface, and notebooks show values."""

import json
import subprocess
import sys

import numpy as np
import pytest

import every_result
import mmcore
from mmcore.errors import MissingExtraError

nanoarrow = pytest.importorskip("nanoarrow", reason="nanoarrow is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def policies():
    trace = mmcore.Trace.zipf(200, 5_000)
    return mmcore.policies(trace, policy="lru,clock", size=[20, 40])


def column(result, name):
    return [row[name] for row in result.table]


@pytest.mark.parametrize("name", every_result.RESULTS)
def test_each_table_of_a_result_becomes_one_of_arrow(name, folder):
    result = every_result.result(name, folder)
    rows = nanoarrow.Array(result).to_pylist()
    assert len(rows) == len(result.table)
    for row, own in zip(rows, result.table, strict=True):
        for key, value in own.items():
            if not isinstance(value, dict | list | tuple):
                assert row[key] == value or row[key] == json.dumps(value), key


def test_types_are_those_of_the_values(policies):
    types = {field.name: str(field.type) for field in nanoarrow.Array(policies).schema.fields}
    assert types["policy"] == "Type.STRING"
    assert types["misses"] == "Type.INT64"
    assert types["miss_ratio"] == "Type.DOUBLE"


def test_dicts_become_columns_and_lists_text():
    from mmcore.reporting._arrow import stream

    rows = [
        {"a": {"low": 1, "high": {"x": 2.5}}, "b": [1, 2], "c": True, "d": None, "e": 1},
        {"a": None, "b": None, "d": None, "e": 1 << 70, "f": 2.5},
    ]
    table = nanoarrow.Array(nanoarrow.c_array_stream(Stream(stream(rows)))).to_pylist()
    assert table == [
        {
            "a.low": 1,
            "a.high.x": 2.5,
            "b": "[1, 2]",
            "c": True,
            "d": None,
            "e": "1",
            "a": None,
            "f": None,
        },
        {
            "a.low": None,
            "a.high.x": None,
            "b": None,
            "c": None,
            "d": None,
            "e": str(1 << 70),
            "a": None,
            "f": 2.5,
        },
    ]


class Stream:
    def __init__(self, capsule):
        self.capsule = capsule

    def __arrow_c_stream__(self, requested_schema=None):
        return self.capsule


def test_polars_takes_a_result(policies):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame(policies)
    assert frame["misses"].to_list() == column(policies, "misses")
    assert frame.group_by("policy").agg(polars.col("misses").min()).height == 2


def test_pyarrow_and_pandas_take_a_result(policies):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.table(policies)
    assert table["misses"].to_pylist() == column(policies, "misses")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame.from_arrow(policies)
    assert list(frame["policy"]) == column(policies, "policy")


def test_duckdb_takes_a_result(policies):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    assert policies is not None  # the query finds it by its name
    ((found,),) = duckdb.sql("select sum(misses) from policies").fetchall()
    assert found == sum(column(policies, "misses"))


def test_a_missing_nanoarrow_is_told(policies, monkeypatch):
    monkeypatch.setitem(sys.modules, "nanoarrow", None)
    with pytest.raises(MissingExtraError, match=r"the extra arrow: pip install .*nanoarrow"):
        policies.__arrow_c_stream__()


def test_no_library_is_imported_before_a_table_is_asked_for():
    code = "import sys, mmcore; mmcore.explore('thread A\\n  drain', schedules=1);"
    code += " sys.exit(bool({'nanoarrow', 'pyarrow', 'polars', 'pandas'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_trace_pickled_out_of_line_is_aligned():
    import pickle

    trace = mmcore.Trace.zipf(50, 1_000)
    buffers = []
    data = pickle.dumps(trace, protocol=5, buffer_callback=buffers.append)
    shifted = [memoryview(b"x" + each.raw().tobytes())[1:] for each in buffers]
    again = pickle.loads(data, buffers=shifted)
    assert again == trace
    arrays = (again.ids, again.writes, again.threads, again.page_numbers)
    assert all(array.flags.aligned and not array.flags.writeable for array in arrays)
    assert np.array_equal(again.ids, trace.ids)


@pytest.fixture
def machine():
    with mmcore.Machine(nodes=["1MiB"]) as made:
        made.address_space().mmap("16KiB")[0:16384] = b"x" * 16384
        yield made


def rows_of(value):
    return nanoarrow.Array(value).to_pylist()


def test_counters_are_a_dict_and_a_table(machine):
    counters = machine.vmstat()
    assert counters["pgfault"] == 4
    assert counters == dict(counters)
    assert {row["counter"]: row["value"] for row in rows_of(counters)} == dict(counters)
    assert type(machine.vmstat(node=0)) is mmcore.results.Counters
    with pytest.raises(mmcore.errors.KernelError):
        machine.vmstat(node=7)


def test_states_of_pages_are_an_array_and_a_table(machine):
    states = machine.page_states(range(6))
    assert states.dtype == mmcore.results.PAGE_STATE
    rows = rows_of(states)
    for row, state in zip(rows, states, strict=True):
        own = machine.page(int(state["pfn"])).state()
        assert row["flags"].split() == list(own.flags)
        assert (row["pfn"], row["refcount"], row["mapcount"], row["node"], row["order"]) == (
            own.pfn,
            own.refcount,
            own.mapcount,
            own.node,
            own.order,
        )
    assert rows_of(states[states["refcount"] > 0]) == [row for row in rows if row["refcount"]]
    # Only whole records are states of pages.
    assert type(states["refcount"]) is np.ndarray
    assert type(states == states) is np.ndarray
    assert type(states[["pfn", "node"]]) is type(states)
    assert rows_of(states[["pfn", "node"]])[2] == {"pfn": 2, "node": 0}
    assert rows_of(machine.page_states([])) == []


def test_a_trace_is_a_table_of_its_accesses():
    trace = mmcore.Trace([7, 1 << 40, 7], [False, True, True], [0, 3, 65_535])
    assert rows_of(trace) == [
        {"page": 7, "write": False, "thread": 0},
        {"page": 1 << 40, "write": True, "thread": 3},
        {"page": 7, "write": True, "thread": 65_535},
    ]
    long = mmcore.Trace.zipf(50, 1_003)
    assert [row["write"] for row in rows_of(long)] == long.writes.tolist()


def test_events_findings_and_migrations_are_tables(machine):
    with machine.trace() as traced:
        machine.drain()
        moved = machine.migrate_pages([], node=0)
    events = rows_of(traced)
    assert [row["name"] for row in events] == [event.name for event in traced]
    assert "nr_inactive_anon" in {row.get("args.lru") for row in events}
    assert rows_of(moved) == []
    assert rows_of(machine.audit()) == []
    finding = mmcore.results.Finding("a rule", None, "why")
    audit = mmcore.results.Audit([finding])
    assert rows_of(audit) == [{"rule": "a rule", "pfn": None, "detail": "why"}]
    some = mmcore.results.Migrated(1, 1, np.array([0, -16], np.int32), np.array([9, -1]))
    assert rows_of(some) == [{"status": 0, "pfn": 9}, {"status": -16, "pfn": -1}]


def test_tables_of_a_machine_keep_the_description_of_their_method():
    assert mmcore.Machine.vmstat.__doc__.startswith("The counters of the machine")
    assert "PAGE_STATE" in mmcore.Machine.page_states.__doc__
