"""Changes to files: to their bytes, their words, their JSON, their arrays."""

import io
import json
import re
import zipfile
from dataclasses import dataclass
from random import Random

import numpy as np

from fuzz import corpus

NUMBERS = (b"0", b"1", b"-1", b"8", b"255", b"256", b"65536", b"2147483648", b"4294967295")
NUMBERS += (b"4294967296", b"18446744073709551615", b"18446744073709551616", b"1e308", b"nan")

VALUES = (None, True, -1, 0, 1, 2**31, 2**63, 2**64, 1.5, 1e300, "", "x", "\0", "é", [], {}, [[]])
VALUES += ([None], {"a": 1}, [1, "ok"], [[1, 2, 3]], "6.12", "write r9", "-", "0-3", float("nan"))

#: Probability of a change that knows the format, instead of one to the bytes.
KNOWING = 0.7

#: Sleeps of ten milliseconds or more, which are shortened because they take real time.
LONG_SLEEP = re.compile(rb"sleep(\s+)\d{2,}")


@dataclass(frozen=True)
class Mutation:
    """One change, which follows from the format and the seed."""

    seed: str

    def apply(self, format_, data):
        random = Random(self.seed)
        if random.random() < KNOWING:
            if format_ in ("recording", "damon"):
                return _json(random, data)
            if format_ == "npz":
                return _npz(random, data)
            if format_ in ("gzip", "zstd") and random.random() < 0.05:
                return corpus.bomb(format_)
            if format_ in ("program", "replay", "line", "lackey", "lines"):
                return _words(random, data, b" ; " if format_ == "line" else b"\n")
        return _bytes(random, data)

    def __str__(self):
        return f"mutation {self.seed}"


def tame(data):
    return LONG_SLEEP.sub(rb"sleep\g<1>9", data)


def _bytes(random, data):
    at = random.randrange(len(data) + 1)
    end = min(at + random.choice((1, 1, 2, 8, 64)), len(data))
    match random.randrange(6):
        case 0:
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + random.randbytes(random.choice((1, 2, 9))) + data[at:]
        case 2:
            return data[:at] + data[end:]
        case 3:
            return data[:at] + data[at:end] * random.choice((2, 3, 50)) + data[end:]
        case 4:
            return data[:at]
    other = corpus.item(random).data
    return data[:at] + other[random.randrange(len(other) + 1) :]


def _words(random, data, line_end):
    lines = data.split(line_end)
    at = random.randrange(len(lines))
    match random.randrange(10):
        case 0:
            lines[at:at] = [random.choice(lines)]
        case 1:
            del lines[at]
        case 2:
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            other = corpus.program(random).encode().splitlines()
            lines[at:at] = [random.choice(other)]
        case 4 if random.random() < 0.4:
            lines[at:at] = _many(random)
        case 5:
            lines[at] = re.sub(rb"\d+", lambda _: random.choice(NUMBERS), lines[at])
        case 6:
            lines[at] = re.sub(
                rb"\b(r|c|m|p|g|zero)\d", rb"\g<1>%d" % random.randrange(3), lines[at]
            )
        case 7:
            # Page lists that the region or owner may not have.
            pages = random.choice((b":1", b":9", b":0-3", b":3-1", b":0,2-9,4294967295"))
            lines[at] = re.sub(rb"\b([rm]\d)(:[-0-9,]+)?", rb"\g<1>" + pages, lines[at])
        case _:
            words = lines[at].split(b" ")
            place = random.randrange(len(words))
            new = random.choice(corpus.vocabulary()).encode()
            words[place : place + random.choice((0, 1, 1))] = [new]
            lines[at] = b" ".join(words)
    return line_end.join(lines)


def _many(random):
    """Many repetitions of one operation or thread."""
    count = random.choice((9, 33, 257, 3000))
    each = random.choice((b"thread T%d\n  write r0", b"map r%d anon 1", b"fork c%d", b"write r0"))
    return [each.replace(b"%d", b"%d" % i) for i in range(count)]


def _json(random, data):
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes(random, data)
    places = list(_places(tree))
    if not places:
        return _bytes(random, data)
    holder, key = random.choice(places)
    match random.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 2:
            other, place = random.choice(places)
            holder[key] = json.loads(json.dumps(other[place]))
        case 3 if isinstance(holder[key], str):
            text = holder[key].encode("utf-8", "surrogatepass")
            holder[key] = _words(random, text, b"\n").decode("utf-8", "replace")
        case 4 if isinstance(holder[key], int):
            holder[key] = random.choice((holder[key] + 1, -holder[key] - 1, 2**63, 10**400))
        case _:
            holder[key] = random.choice(VALUES)
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return data


def _places(tree):
    pending = [tree]
    while pending:
        node = pending.pop()
        inside = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in inside:
            yield node, key
            if isinstance(value, (dict, list)):
                pending.append(value)


def _npz(random, data):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # a broken archive is changed as bytes
        return _bytes(random, data)
    if not members:
        return _bytes(random, data)
    name = random.choice(list(members))
    match random.randrange(6):
        case 0:
            members[name] = _npy(_array(random))
        case 1:
            del members[name]
        case 2:
            members[random.choice(("extra.npy", "pages", "../x.npy", "threads.npy"))] = members[
                name
            ]
        case 3:
            # A header with a length beyond the data.
            members[name] = re.sub(
                rb"\(\d+,\)", b"(%d,)" % random.choice((10**6, 2**40, 2**62)), members[name]
            )
        case 4 if random.random() < 0.1:
            return corpus.bomb("npz")
        case _:
            members[name] = _bytes(random, members[name])
    file = io.BytesIO()
    with zipfile.ZipFile(
        file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as archive:
        for each, content in members.items():
            archive.writestr(zipfile.ZipInfo(each), content)
    return file.getvalue()


def _array(random):
    numbers = (-1, 0, 1, 2, 49, 50, 255, 2**31, 2**52, 2**63 - 1)
    drawn = [random.choice(numbers) for _ in range(random.choice((0, 1, 5, 300)))]
    match random.randrange(6):
        case 0:
            return np.array(drawn, object)
        case 1:
            return np.array(drawn, float)
        case 2:
            return np.array(drawn, np.int64).reshape(-1, 1)
        case 3:
            return np.array(7)
        case 4:
            return np.array([str(each) for each in drawn])
    return np.array(drawn, np.int64)


def _npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()
