"""Instructions per migrated page of the native build, by release design, counted by callgrind.

Noise cannot touch these numbers: the same binary and input give the same count. They must agree in
direction with the operation counts of `mmcore compare` (`putback` does more than `split`).

    python benches/instructions.py [--migrations N] [--json]

Needs valgrind and a release build of the example (built here).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DESIGNS = ("putback", "split", "hook", "hook_late", "packed")


def build() -> Path:
    """Build the example and return the binary."""
    command = ["cargo", "build", "--release", "-q", "-p", "mmcore", "--example", "migrations"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return (
        Path(json.loads(target.stdout)["target_directory"]) / "release" / "examples" / "migrations"
    )


def instructions(binary: Path, design: str, migrations: int) -> tuple[int, int]:
    """Instructions executed and pages migrated by one run."""
    with tempfile.TemporaryDirectory() as scratch:
        run = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={scratch}/out",
                str(binary),
                design,
                str(migrations),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    found = re.search(r"Collected : (\d+)", run.stderr)
    if found is None:
        raise SystemExit(f"callgrind printed no total:\n{run.stderr}")
    return int(found[1]), int(run.stdout)


def measure(binary: Path, migrations: int) -> dict[str, float]:
    """Instructions per migrated page of each design, set-up subtracted."""
    result = {}
    for design in DESIGNS:
        base, _ = instructions(binary, design, 0)
        total, pages = instructions(binary, design, migrations)
        result[design] = (total - base) / pages
    return result


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--migrations", type=int, default=31_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print(
            "instructions: valgrind is missing: install your system's valgrind package",
            file=sys.stderr,
        )
        return 2
    result = measure(build(), options.migrations)
    if options.json:
        print(json.dumps({"schema": 1, "instructions_per_page": result}))
    else:
        for design, count in result.items():
            print(
                f"{design:10} {count:8.1f} instructions a page "
                f"  {count / result['split']:.3f} × split"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
