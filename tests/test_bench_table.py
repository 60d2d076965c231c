"""The table of `make bench`: figures of three harnesses beside their targets."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("table", ROOT / "benches" / "table.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["table"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["table"]


def estimates(folder, group, name, median):
    path = folder / group / name / "new"
    path.mkdir(parents=True)
    interval = {"confidence_level": 0.95, "lower_bound": 0.9 * median, "upper_bound": 1.1 * median}
    figure = {"point_estimate": median, "confidence_interval": interval, "standard_error": 0.0}
    (path / "estimates.json").write_text(json.dumps({"median": figure}))


def test_a_missed_target_is_shown_and_a_figure_that_is_missing_too(table, tmp_path):
    estimates(tmp_path, "migrate", "split", 1 / 0.7)
    estimates(tmp_path, "protocol", "warm", 65.0)
    estimates(tmp_path, "threads", "memcpy", 1 / 1.4)
    estimates(tmp_path, "threads", "split", 1 / 1.5)
    stats = {"name": "test_schedules_of_one_call", "stats": {"median": 0.05}}
    done = {"benchmarks": [{**stats, "extra_info": {"schedules": 100_000}}]}
    (tmp_path / "python.json").write_text(json.dumps(done))
    results = table.Results(tmp_path, tmp_path / "none", tmp_path / "python.json")
    rows = {row.what: row for row in table.rows(results)}
    assert rows["migration of cold pages, x memcpy"].verdict == "MISSED"
    measured = rows["migration of cold pages, x memcpy"].measured
    assert (measured.value, measured.low, measured.high) == pytest.approx(
        (0.7, 0.7 / 1.1, 0.7 / 0.9)
    )
    assert rows["the protocol alone, warm, ns a page"].verdict == "met"
    assert rows["the protocol alone, cold, ns a page"].verdict == "not measured"
    # Two threads can gain no more than the bare copy does.
    assert rows["the same by two threads, x one"].verdict == "met"
    assert rows["the same from one Python call, M schedules/s"].measured.value == pytest.approx(2)
    lines = table.text(list(rows.values())).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert any("MISSED" in line and "0.7 (" in line and "at least 1.25" in line for line in lines)
