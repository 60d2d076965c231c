"""A release needs more than code: licences of all crates, versions that agree, templates."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


licences = script("third_party_licences")


@pytest.fixture(scope="module")
def packages():
    if not (ROOT / "Cargo.lock").exists():
        pytest.skip("needs the repository")
    try:
        found = licences.metadata("x86_64-unknown-linux-gnu")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cargo cannot list the crates: {error}")
    return licences.compiled_in(found)


def test_each_crate_has_a_known_licence_and_its_text(packages):
    content, wrong = licences.written(packages)
    assert wrong == []
    for package in packages:
        assert f"\n{package['name']} {package['version']}\n" in content
    assert "Permission is hereby granted, free of charge" in content


def test_crates_of_tests_and_of_the_project_are_left_out(packages):
    names = {package["name"] for package in packages}
    assert {"pyo3", "parking_lot", "corosensei"} <= names
    assert not names & {"mmcore", "mmcore-python", "proptest", "loom", "shuttle"}


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT OR Apache-2.0", True),
        ("MIT/Apache-2.0", True),
        ("(MIT OR GPL-2.0) AND Unicode-3.0", True),
        ("Apache-2.0 WITH LLVM-exception OR MPL-2.0", True),
        ("MIT AND GPL-2.0", False),
        ("(MIT OR GPL-2.0) AND GPL-2.0", False),
        ("GPL-2.0", False),
        ("MIT OR", True),
        ("MIT Apache-2.0", False),
        ("", False),
    ],
)
def test_an_expression_is_read_as_spdx_reads_it(expression, allowed):
    assert licences.is_allowed(expression) == allowed


def test_a_crate_without_a_text_is_told(tmp_path):
    (tmp_path / "Cargo.toml").touch()
    crate = {"name": "x", "version": "1", "license": "GPL-2.0", "repository": None}
    _, wrong = licences.written([{**crate, "manifest_path": str(tmp_path / "Cargo.toml")}])
    assert len(wrong) == 2


def test_the_versions_agree():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [cargo["version"]]
    assert set(re.findall(r"^  - (MIT|Apache-2.0)$", citation, re.MULTILINE)) == set(
        cargo["license"].split(" OR ")
    )


def test_the_trial_of_a_release_runs_here(tmp_path):
    import sys

    code = script("release_check").TRY
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
