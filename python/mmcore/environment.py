"""Where a result was made: build, interpreter, processor, memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

from mmcore import _mmcore
from mmcore._extras import EXTRAS

__all__ = ["document", "environment"]

#: Version of every JSON document; raised when a key changes its meaning or goes away.
SCHEMA = 1


def document(kind: str, command: str) -> dict[str, Any]:
    """What every JSON document begins with.

    Args:
        kind: what the document is about, such as `"comparison"`.
        command: what a user types to have it again.
    """
    facts = environment()
    head = {"schema": SCHEMA, "kind": kind, "environment": facts, "build": facts["build"]}
    return {**head, "command": command}


@cache
def environment() -> dict[str, Any]:
    """Facts about this installation and machine, as plain data for JSON."""
    return {
        "mmcore": _mmcore.__version__,
        "build": _mmcore.build_info(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": _version("numpy"),
        "extras": {name: _version(name) or "missing" for name in EXTRAS},
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _first_match("/proc/cpuinfo", r"model name\s*:\s*(.+)"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_kib": int(_first_match("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0),
        "page_size": os.sysconf("SC_PAGE_SIZE"),
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_match(path: str, pattern: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1].strip() if found else None
