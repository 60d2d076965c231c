"""The verbs of the command line, and the help that needs no library beyond NumPy.

The parser is an optional dependency. An installation without it still answers `mmcore --version`,
and `mmcore --help` lists the verbs and the packages to install for them.
"""

from __future__ import annotations

__all__ = ["GROUPS", "VERBS", "without_parser"]

#: The groups of `mmcore --help`, with the help line of each verb. The lines repeat the first lines
#: of the verbs' docstrings: reading those would import every verb for each command.
GROUPS = {
    "One program": {
        "run": "Run a program on real threads, once or again and again, and audit the machine.",
        "explore": "Search the interleavings of a program for one that breaks a rule.",
        "replay": "Run one schedule of a program and show what happens.",
        "diff": "Run a program under two profiles and show where they differ.",
        "map": "Run a program and show what each frame of a node is.",
    },
    "Many programs": {
        "standard": "Explore the standard set, all pairs of operations, in every release design.",
        "soak": "Explore long programs drawn at random.",
        "hunt": "Put real defects into the core, and see whether the explorer finds them.",
    },
    "Traces of real programs": {
        "compare": "Compare designs of the release path under migration load.",
        "policies": "Replay a trace under list policies and count the misses.",
        "trace": "Show what is in a trace, or convert it to an archive that is read faster.",
    },
    "Kernels": {
        "profiles": "List the fields of a profile, or those in which two presets differ.",
        "conformance": "Replay recordings of real kernels and compare every step.",
    },
    "This installation": {
        "env": "Show version, build, interpreter and machine, for a bug report.",
    },
}

VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)


def without_parser(words: list[str], installation: str) -> str | None:
    """The answer to `--version`, `--help` or no word at all; None for another command line.

    Args:
        words: the words after `mmcore`.
        installation: the packages to install for the verbs, in words.
    """
    if words == ["--version"]:
        from mmcore import __version__

        return f"mmcore {__version__}"
    if words not in ([], ["--help"], ["-h"]):
        return None
    lines = ["Usage: mmcore COMMAND", "", "The life of a Linux memory page, as a library."]
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {verb:<12} {text}" for verb, text in verbs.items())]
    return "\n".join([*lines, "", installation])
