"""Errors of the command line: in the words of its options, with the nearest name that is known."""

import os
import re
import subprocess
import sys
import typing

import pytest

import every_result
import mmcore
from mmcore._cli import VERBS, app, run
from mmcore._cli.wording import of_library
from mmcore.errors import InputError


@pytest.fixture
def race(tmp_path):
    path = tmp_path / "race.mm"
    path.write_text(every_result.PROGRAM)
    return str(path)


def told(words, capsys):
    assert run(words) == 2, words
    text = capsys.readouterr().err
    assert re.fullmatch("mmcore: .*\n", text)
    return text.removeprefix("mmcore: ").rstrip("\n")


def numbers():
    """Each verb with each of its options that take a number, and whether it must be whole."""
    for verb in VERBS:
        for words in [(verb, "show"), (verb, "convert")] if verb == "trace" else [(verb,)]:
            command = app()
            for word in words:
                command = command[word]
            for argument in command.assemble_argument_collection():
                kinds = {argument.hint, *typing.get_args(argument.hint)}
                if kinds & {int, float} and argument.name.startswith("--"):
                    yield words, argument.name, float not in kinds


NUMBERS = list(numbers())


def test_the_options_that_take_numbers_are_found():
    assert len(NUMBERS) > 30
    assert {whole for _, _, whole in NUMBERS} == {True, False}


@pytest.mark.parametrize("value", ["nonsense", "1.5", ""])
def test_an_option_that_takes_a_number_says_so(value, race, capsys):
    for words, option, whole in NUMBERS:
        if value == "1.5" and not whole:
            continue
        places = [race, race] if words[-1] == "convert" else [race]
        if words[0] in ("compare", "soak", "standard", "hunt", "policies"):
            places = []
        text = told([*words, *places, f"{option}={value}"], capsys)
        kind = "a whole number" if whole else "a number"
        assert re.fullmatch(f"{option} takes {kind}( or all)?, not '{value}'", text), text


def test_a_whole_number_may_be_written_with_a_point(race, capsys):
    assert run(["explore", race, "--schedules", "3.0"]) == 0
    assert "in 3 schedules" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explore", "P", "--max-steps", "0"], "--max-steps must be a number from 1 to 16777216"),
        (["run", "P", "--stress", "0"], "--stress must be more than 0 seconds, not 0.0"),
        (["policies", "--warm-up", "-1"], "--warm-up must be a number from 0"),
        (["policies", "--size", "0"], "--size must be a number from 1"),
        (["compare", "--poison-rate", "2"], "--poison-rate must be from 0 to 1, not 2.0"),
        (["compare", "--at-most", "2", "--gate", "time"], "--at-most must be a fraction"),
        (["compare", "--gate", "work", "--allow", "atomcs=1"], "--allow: no count 'atomcs'"),
        (["explore", "P", "more"], "explore takes no argument 'more': leave it out"),
        (["explore"], "explore needs PROGRAM; mmcore explore --help tells what it is"),
        (["trace", "convert", "P"], "trace convert needs OUT; mmcore trace convert --help"),
        (["explore", "P", "--seconds"], "--seconds needs a value"),
        (["run", "P", "--set", "passes=2", "--set", "pages=-3"], "pages=-3: `-3` should be"),
        (["policies", "--max-accesses", "5"], "--max-accesses limits the file of a trace"),
        (["compare", "--max-accesses", "5"], "--max-accesses limits the file of a trace"),
        (["replay", "P"], "has no schedule: give one after the name"),
    ],
)
def test_an_error_names_the_option(words, message, race, capsys):
    text = told([race if word == "P" else word for word in words], capsys)
    assert text.removeprefix(f"{race} ").startswith(message)


def test_a_name_of_the_library_is_an_option_only_if_it_was_given():
    assert of_library("max_steps must be 1", ["--max-steps=0"]) == "--max-steps must be 1"
    assert of_library("max_steps must be 1", ["--set", "x"]) == "max_steps must be 1"
    assert of_library("the file must be there", ["--file"]) == "the file must be there"


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["hunt", "copy-after-restor"], "copy-after-restore"),
        (["policies", "--policy", "lruu"], "lru"),
        (["explore", "P", "--mutation", "hook-without-loc"], "hook-without-lock"),
        (["explore", "P", "--set", "pagevecs=1"], "pagevec"),
        (["explore", "P", "--release", "splitt"], "split"),
        (["compare", "--gate", "work", "--allow", "atomcs=1"], "atomics"),
        (["compar"], "compare"),
        (["compare", "--lod", "storm"], "--load"),
    ],
)
def test_the_nearest_name_is_told(words, known, race, capsys):
    text = told([race if word == "P" else word for word in words], capsys)
    assert re.search(rf"[Dd]id you mean ['\"]?{known}['\"]?\?", text)


@pytest.mark.parametrize(
    ("call", "known"),
    [
        (lambda: mmcore.sweep({"lod": ["storm"]}), "load"),
        (lambda: mmcore.reporting.schema("explorations"), "exploration"),
        (lambda: mmcore.program.Op("mov", pages="r0").is_system_call, "move"),
    ],
)
def test_the_library_tells_the_nearest_name(call, known):
    with pytest.raises(InputError, match=f"did you mean '{known}'"):
        call()


def test_a_word_near_to_nothing_gets_no_advice(capsys):
    assert told(["hunt", "zzzzzzzz"], capsys).endswith("mmcore hunt --list lists them")


@pytest.mark.parametrize(
    "words", [["run"], ["explore"], ["map"], ["diff", "--kernel", "6.1,6.12"], ["replay"]]
)
def test_an_empty_program_is_refused(words, tmp_path, capsys):
    path = tmp_path / "empty.mm"
    path.write_text("# nothing\nmachine pages=4\n")
    verb, *rest = words
    schedule = ["0x1"] if verb == "replay" else []
    text = told([verb, str(path), *schedule, *rest], capsys)
    assert text == f"{path}: the program is empty: write operations such as `map r0 anon 1`"


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"], ["trace", "--help"]])
def test_help_is_as_wide_as_columns_says(words):
    done = subprocess.run(
        [sys.executable, "-m", "mmcore", *words],
        env={**os.environ, "COLUMNS": "60"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) > 5
    # The line of the usage and the description are wrapped by the terminal.
    boxed = [line for line in lines if line[:1] in "╭│╰"]
    assert boxed
    assert max(map(len, boxed)) <= 60
