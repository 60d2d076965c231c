"""Damages files: flips, cuts, doubles, moves bytes, or puts texts in that parsers choke on."""

from random import Random

#: Texts that are put into files: limits of numbers, ends of strings and formats, and long runs.
NASTY = (
    b"",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"-1",
    b"NaN",
    b"Infinity",
    b"1e999",
    b"18446744073709551616",
    b"9" * 5000,
    b"[" * 2000,
    b'{"a":' * 500,
    b"null",
    b'"\\ud800"',
    b"\n" * 50,
    b" S ffffffffffffffff,8\n",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b\x08\x00",
    b"\x28\xb5\x2f\xfd",
    b"\x93NUMPY\x01\x00",
    b"\xff\xff\xff\xff",
    b"0-999999",
    b"0x99999999",
    b"thread A\n",
)


def mutated(content, seed):
    """Makes one to four changes to the content. The same seed makes the same changes."""
    random = Random(seed)
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(data) + 1)
        length = random.choice((1, 1, 2, 4, 8, 64, 1000))
        kind = random.randrange(7)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3:
            data[at : at + length] = random.choice(NASTY)
        elif kind == 4:
            data[at:at] = random.choice(NASTY)
        elif kind == 5 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        else:
            other = random.randrange(len(data) + 1)
            data[at : at + length] = data[other : other + length]
    return bytes(data)
