"""Installs wheel and source distribution of `dist/` into fresh environments, and tries them."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

#: The first steps of a user. They run in an empty folder, so that only what was installed is
#: imported.
TRY = """
import sys
import mmcore
from mmcore import searches

assert not set(sys.modules) & {"hypothesis", "rich", "matplotlib"}
with mmcore.Machine(nodes=["1MiB", "1MiB"]) as machine:
    region = machine.address_space().mmap("16KiB")
    region[0:5] = b"hello"
    machine.drain()
    region.page(0).isolate().migrate(node=1)
    assert bytes(region[0:5]) == b"hello"
    machine.audit().raise_for_findings()
move = "map r0 anon 1\\nwrite r0\\nthread A\\n  move r0 node=1\\nthread B\\n  read r0\\n"
race = mmcore.explore(move, mutation="copy-after-restore", schedules=500).counterexample
assert mmcore.replay(race.program, race.schedule, mutation=race.mutation).rule == race.rule
assert mmcore.run(move).clean
assert searches.soak(200, jobs=1).status == "clean"
assert mmcore.policies(size=64, policy="lru").table
print("tried mmcore", mmcore.__version__, "on", sys.version.split()[0], "from", mmcore.__file__)
"""
#: Files that every wheel has.
INSIDE = ("py.typed", "_mmcore.pyi", "data/standard.txt", "LICENSE-MIT", "LICENSE-THIRD-PARTY")


def main(folder):
    (wheel,) = Path(folder).glob("*.whl")
    (source,) = Path(folder).glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    missing = [name for name in INSIDE if not any(each.endswith(name) for each in names)]
    if missing:
        sys.exit(f"{wheel.name} lacks {', '.join(missing)}")
    for archive in (wheel, source):
        with tempfile.TemporaryDirectory() as place:
            _try(archive.resolve(), Path(place))
    _audit(wheel)


def _try(archive, place):
    """Installs an archive into a fresh environment, and runs the trial there."""
    python = place / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", place / "env"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", archive], check=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([python, "-c", TRY], cwd=place, env=clean, check=True)


def _audit(wheel):
    """Looks for symbols that a CPython from 3.11 on may lack; says so if the tool is missing."""
    with tempfile.TemporaryDirectory() as place:
        python = Path(place) / "env" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", Path(place) / "env"], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "abi3audit"]
        if subprocess.run(install, check=False).returncode:
            print("abi3audit cannot be installed here: the symbols of the wheel are not checked")
            return
        subprocess.run([python.with_name("abi3audit"), "--strict", wheel], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
