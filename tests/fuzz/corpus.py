"""Intact files to mutate: programs, recordings, replays and traces."""

import functools
import gzip
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import mmcore
from mmcore._exploration.guided import drawn
from mmcore.program import operations
from trace_samples import SAMPLES

DATA = Path(mmcore.__file__).parent / "data"
RECORDINGS = Path(__file__).parents[1] / "recordings"

LACKEY = (
    "==7== Lackey\nI  04000000,3\n L 1ffe0000,8\n S 1ffe0ff8,16\n M 04a01234,4\n L 00000010,1\n"
)

#: Unpacked size of a compressed text that is a bomb: more memory than a process may have.
BOMB = 6 << 30


@dataclass(frozen=True)
class Item:
    """An intact file.

    Attributes:
        format: `program`, `recording`, `replay`, `line`, `lackey`, `gzip`, `zstd`, `npz`, or one of
            the other formats of traces: `lines`, `damon`, `oracle`.
        data: its content.
    """

    format: str
    data: bytes


def item(random):
    """Draws one file."""
    match random.randrange(10):
        case 0 | 1 | 2 | 3:
            return Item("program", program(random).encode())
        case 4 | 5:
            return Item("recording", random.choice(recordings()))
        case 6:
            text, schedule = random.choice(races())
            return Item("replay", f"# schedule: {schedule}\n{text}".encode())
        case 7:
            text, schedule = random.choice(races())
            lines = " ; ".join(line.strip() for line in text.splitlines())
            return Item("line", f"{lines} @ {schedule}".encode())
    return trace(random)


def program(random):
    match random.randrange(3):
        case 0:
            return drawn(random.randrange(1 << 30)).program.text
        case 1:
            return random.choice(races())[0]
    return random.choice(standard())


def trace(random):
    text = (LACKEY * random.randrange(1, 40)).encode()
    match random.randrange(8):
        case 3 | 4 | 5:
            name, data = random.choice(list(SAMPLES.items()))
            return Item({"damon": "damon", "oracleGeneral": "oracle"}.get(name, "lines"), data)
        case 0:
            return Item("lackey", text)
        case 1:
            return Item("gzip", gzip.compress(text, 1, mtime=0))
        case 2:
            return Item("zstd", zstd(text))
    arrays = {"pages": np.arange(random.randrange(1, 300)) % 50}
    arrays["writes"] = arrays["pages"] % 2 == 0
    if random.random() < 0.5:
        arrays["page_numbers"] = np.arange(50, dtype=np.uint64) + 1000
    if random.random() < 0.5:
        arrays["threads"] = np.zeros(len(arrays["pages"]), np.uint16)
    return Item("npz", npz(arrays))


def npz(arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def zstd(data):
    import zstandard

    return zstandard.compress(data)


@functools.cache
def bomb(format_):
    """Makes a small file that unpacks to a text of `BOMB` bytes, or to arrays of 2^28 accesses."""
    if format_ == "gzip":
        # One stretch of zeroes is repeated. The stream has no end mark.
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        stretch = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
        return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + stretch * (BOMB >> 24)
    if format_ == "zstd":
        # One frame of blocks, each of which stands for 128 KiB of zeroes.
        head = b"\x28\xb5\x2f\xfd\x00\x38"
        return head + ((1 << 1 | 1 << 20).to_bytes(3, "little") + b"\0") * (BOMB >> 17)
    return npz({"pages": np.zeros(1 << 28, np.uint8), "writes": np.zeros(1 << 28, np.uint8)})


@functools.cache
def recordings():
    files = sorted(RECORDINGS.rglob("*/*.json"), key=lambda file: file.stat().st_size)
    return tuple(file.read_bytes() for file in files[:60])


@functools.cache
def races():
    """Programs, each with a schedule that shows a defect."""
    found = json.loads((DATA / "mutations.json").read_text(encoding="utf-8"))["mutations"]
    minima = (each["minimum"] for each in found.values())
    return tuple((each["program"], each["schedule"]) for each in minima if each)


@functools.cache
def standard():
    lines = (DATA / "standard.txt").read_text(encoding="utf-8").splitlines()[::37]
    bodies = (line.partition(" = ")[2] for line in lines)
    return tuple(body.replace(" ; ", "\n") + "\n" for body in bodies if body)


@functools.cache
def vocabulary():
    """Words that have a meaning in a program."""
    words = {word for each in operations() for word in each.usage.replace("[", " ").split()}
    words |= {word for text, _ in races() for word in text.split()}
    words |= {"thread", "finally", "machine", "kernel=6.1", "r0:1", "r0:0-3", "r9", "nodes=1"}
    return tuple(sorted(words))
