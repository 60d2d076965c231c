"""Errors in the words of the command line: its options, and no types of Python.

The library names its parameters (`max_steps must be ...`), and the parser names types
(`unable to convert "x" into int|None`). A reader of the command line knows options alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnusedCliTokensError,
)

from mmcore._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cyclopts import App

__all__ = ["of_library", "of_parser", "refuse_fractions"]

#: A number with a point, which the parser would round for an option that takes whole numbers.
_WITH_POINT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)")

#: The name of a parameter at the beginning of an error of the library, as the library writes it.
_PARAMETER = re.compile(r"[a-z]+(?:_[a-z]+)*(?= must | takes |: )")


def of_library(message: str, words: Sequence[str]) -> str:
    """The message of an error, in which an option that was given replaces its parameter's name."""
    found = _PARAMETER.match(message)
    if found is None:
        return message
    option = f"--{found[0].replace('_', '-')}"
    given = any(word == option or word.startswith(f"{option}=") for word in words)
    return option + message[found.end() :] if given else message


def of_parser(error: CycloptsError) -> str:
    """The message of an error of the parser, on one line."""
    command = " ".join(error.command_chain or ())
    match error:
        case CoercionError(target_type=kind, token=token) if token is not None:
            # For a closed set of words, the parser's message names the words and the nearest one.
            taken = "" if get_origin(kind) is Literal else " or ".join(_taken(kind))
            if taken:
                return f"{token.keyword or 'the argument'} takes {taken}, not {token.value[:60]!r}"
        case MissingArgumentError(argument=argument) if argument is not None:
            name = error.keyword or argument.name
            if name.startswith("-"):
                return f"{name} needs a value; mmcore {command} --help tells which"
            return f"{command} needs {name}; mmcore {command} --help tells what it is"
        case UnusedCliTokensError(unused_tokens=unused) if unused:
            return f"{command} takes no argument {unused[0][:60]!r}: leave it out"
    return str(error)


def refuse_fractions(app: App, words: Sequence[str]) -> None:
    """Refuses a fraction for an option of whole numbers, which the parser would round.

    Raises:
        InputError: if there is one; `30.0` is a whole number.
    """
    given = dict(_fractions(words))
    if not given:
        return
    chain, apps, _ = app.parse_commands(list(words))
    if not chain or apps[-1].default_command is None:
        return
    for argument in apps[-1].assemble_argument_collection():
        kinds = {argument.hint, *get_args(argument.hint)}
        for name in {*argument.names} & {*given}:
            if int in kinds and float not in kinds:
                raise InputError(f"{name} takes a whole number, not {given[name]!r}")


def _fractions(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options that are given a number which is not whole, with the number."""
    for before, word in zip(("", *words), words, strict=False):
        option, equals, value = (
            word.partition("=") if word.startswith("--") else (before, "=", word)
        )
        if equals and _WITH_POINT.fullmatch(value) and not float(value).is_integer():
            yield option, value


def _taken(kind: Any) -> list[str]:
    """The kinds of values that an option takes, in words: numbers, and each literal word."""
    if kind is int:
        return ["a whole number"]
    if kind is float:
        return ["a number"]
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [said for each in get_args(kind) for said in _taken(each)]
