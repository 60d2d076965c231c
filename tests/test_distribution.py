"""The source distribution has all files that building the wheel needs."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MATURIN = Path(sys.executable).with_name("maturin")


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    if not MATURIN.exists() or not (ROOT / ".git").exists():
        pytest.skip("needs maturin and the repository")
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(
        [MATURIN, "sdist", "--out", folder], cwd=ROOT, check=True, capture_output=True, timeout=120
    )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.isfile()]
        return {
            member.name.partition("/")[2]: tar.extractfile(member).read().decode(errors="replace")
            for member in files
        }


@pytest.mark.parametrize("crate", ["explored", "counted"])
def test_a_crate_of_the_same_source_keeps_its_library(members, crate):
    assert 'path = "../core/src/lib.rs"' in members[f"rust/{crate}/Cargo.toml"]
    assert "rust/core/src/lib.rs" in members


def test_licences_stub_and_data_are_in_it(members):
    for name in (
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
        "Cargo.lock",
        "python/mmcore/py.typed",
        "python/mmcore/_mmcore.pyi",
        "python/mmcore/data/standard.txt",
        "python/mmcore/_trace/sample.npz",
    ):
        assert name in members, name
