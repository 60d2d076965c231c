"""The texts of errors."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore
from mmcore.errors import InputError, ProgramError


@given(st.text())
def test_a_text_of_the_caller_stays_on_one_line(text):
    for error in (InputError(f"{text}: no file"), ProgramError(text, 1, 2, text)):
        assert str(error).isprintable()
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("message", [None, 10, b"bytes", ("a", 1), OSError(28, "full")])
def test_a_message_that_is_no_text_is_told_as_its_text(message):
    # Built-in exceptions take any object; a callback of the caller may raise these like those.
    for error in (InputError(message), ProgramError(message)):
        assert str(error) == str(message)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_place_of_other_types_is_told_as_its_text():
    assert str(ProgramError("wrong", 1, 2, Path("a\nb"))) == r"a\nb:1:2: wrong"
    assert str(ProgramError("wrong", "one\n", None)) == r"line one\n, column None: wrong"


def test_a_path_with_a_line_end_is_told_on_one_line(tmp_path):
    trace = mmcore.Trace.zipf(10, 100)
    result = mmcore.policies(trace, size=[4], policy=["lru"])
    with pytest.raises(InputError) as raised:
        result.plot(tmp_path / "a\nb.txt")
    assert str(raised.value).startswith(rf"{tmp_path}/a\nb.txt: the name ")
    with pytest.raises(InputError) as raised:
        mmcore.conformance(tmp_path / "a\nb")
    assert str(raised.value) == rf"{tmp_path}/a\nb: No such file or directory"
