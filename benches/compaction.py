"""Measures the cost of compacting a node, by the size of the node.

    python benches/compaction.py [--sizes 64MiB,256MiB,...] [--used 0.6] [--runs 3] [--json]

The nodes have no bytes, so the figures are those of the scanners and of the protocol, not of
copies. Movable pages lie in random frames, three quarters of them anonymous and a quarter of an
owner; none is unmovable. The script prints what `machine.compact()` gains beside what is possible,
and the processor time for a pageblock and for a page that moved, as ratios to the smallest node.
"""

import argparse
import json
import sys
import time

import numpy as np

import mmcore

BLOCK = 512


def arranged(frames: int, used: float, seed: int) -> bytes:
    """A letter for each frame: an anonymous page, a page of an owner, or a free frame."""
    draws = np.random.default_rng(seed).random(frames)
    letters = np.where(draws < used, np.where(draws < used / 4, b"m", b"a"), b".")
    return letters.tobytes()


def whole(letters: np.ndarray) -> int:
    """The pageblocks that are free from end to end."""
    return int((letters.reshape(-1, BLOCK) == ord(".")).all(axis=1).sum())


def measure(size: str, used: float, seed: int) -> dict:
    with mmcore.Machine(nodes=[size], backed=False) as machine:
        frames = machine.nodes[0].frames
        machine.arrange(arranged(frames, used, seed).decode())
        start = time.thread_time()
        run = machine.compact(0)
        took = time.thread_time() - start
        letters = np.array(machine.map(0).nodes[0].letters)
        machine.audit().raise_for_findings()
    # Frames that a CPU keeps for its next allocations are free, too.
    letters[letters == ord("c")] = ord(".")
    possible = int((letters == ord(".")).sum()) // BLOCK
    return {
        "size": size,
        "blocks": frames // BLOCK,
        "possible": possible,
        "left": whole(letters),
        "migrated": run.migrated,
        "scanned": run.migrate_scanned + run.free_scanned,
        "us_a_block": 1e6 * took / (frames // BLOCK),
        "ns_a_page": 1e9 * took / run.migrated,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", default="64MiB,256MiB,1GiB,4GiB,16GiB")
    parser.add_argument("--used", type=float, default=0.6)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if mmcore.build_info()["profile"] != "release":
        print("this is a debug build: its figures say nothing", file=sys.stderr)
        return 2
    rows = []
    for size in options.sizes.split(","):
        # The fastest run: other programs can only lengthen one.
        runs = [measure(size, options.used, seed) for seed in range(options.runs)]
        rows.append(min(runs, key=lambda row: row["us_a_block"]))
        row, first = rows[-1], rows[0]
        row["ratio_a_block"] = row["us_a_block"] / first["us_a_block"]
        row["ratio_a_page"] = row["ns_a_page"] / first["ns_a_page"]
        if not options.json:
            print(
                f"{size:>7}: {row['left']} of {row['possible']} blocks whole;"
                f" {row['migrated']:,} moves,"
                f" {row['us_a_block']:.0f} µs a block (x{row['ratio_a_block']:.2f}),"
                f" {row['ns_a_page']:.0f} ns a move (x{row['ratio_a_page']:.2f})",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows, indent=1))
    # One pageblock for each scanner may be left in pieces, and in a large node a few that the free
    # scanner has only sampled (docs/maps.md).
    return int(any(row["left"] < row["possible"] * 0.998 - 2 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
