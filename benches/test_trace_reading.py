"""Measures the time to read a lackey trace."""

import io

import pytest

from mmcore import _mmcore, build_info

RECORD = b"I  0401f0c0,3\n L 1ffefff9c8,8\nI  0401f0c3,5\n S 0421e1a8,4\n"


@pytest.fixture(autouse=True)
def _release_build():
    if build_info()["profile"] != "release":
        pytest.fail("a debug build: its figures say nothing")


def test_lackey_text(benchmark):
    text = RECORD * 400_000
    benchmark.extra_info["megabytes"] = len(text) / 1e6

    def read():
        parser = _mmcore.LackeyParser()
        source = io.BytesIO(text)
        while chunk := source.read(1 << 20):
            parser.feed(chunk)
        return parser.finish()

    assert benchmark(read) == (800_000, 2)
