"""JSON documents: the head that all kinds share, and the JSON Schema of each kind."""

from __future__ import annotations

import json
from typing import Any

from mmcore._arguments import nearest
from mmcore._environment import build, environment
from mmcore._errors import InputError

__all__ = ["KINDS", "VERSION", "as_json", "head", "schema"]

#: Version of the documents; raised when a key changes its meaning or goes away.
VERSION = 1

#: The kinds of documents; the schema of each is `data/schemas/KIND.json`.
KINDS = (
    "comparison",
    "conformance",
    "counterexample",
    "environment",
    "exploration",
    "hunt",
    "map",
    "map-change",
    "map-steps",
    "mutations",
    "outcome-diff",
    "pairs",
    "policies",
    "profiles",
    "replay",
    "run",
    "soak",
    "standard",
    "step-diff",
    "stress",
    "sweep",
    "trace",
)


def head(kind: str, command: str, seed: int | None = None) -> dict[str, Any]:
    """The keys of every JSON document: schema, kind, environment, build, command and seed.

    Args:
        kind: the kind of the document, one of `KINDS`.
        command: the command line or call that makes the result again.
        seed: the seed of all random choices; None if there were none.
    """
    return {
        "schema": {"name": f"mmcore.{kind}", "version": VERSION},
        "kind": kind,
        "environment": environment(),
        "build": build(),
        "command": command,
        "seed": seed,
    }


def as_json(document: dict[str, Any]) -> str:
    """Formats a document as JSON text.

    Raises:
        ValueError: if a number is NaN or infinite, which JSON cannot express.
    """
    return json.dumps(document, indent=2, allow_nan=False)


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of one kind of document, or of the head that all kinds share.

    Args:
        kind: one of `KINDS`, or "head".

    Raises:
        InputError: if the kind is unknown.
    """
    if kind not in (*KINDS, "head"):
        known = f"choose one of {', '.join(KINDS)}{nearest(kind, KINDS)}"
        raise InputError(f"no schema {kind!r}: {known}")
    # Imported here and not above: it loads modules of archives, which every result would wait for.
    from importlib.resources import files

    text = files("mmcore").joinpath("data", "schemas", f"{kind}.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read
