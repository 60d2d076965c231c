"""The build, interpreter, processor and memory of this machine, for reports."""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

from mmcore import _mmcore
from mmcore._extras import EXTRAS

__all__ = ["build", "environment"]


def build() -> dict[str, str]:
    """The version, build profile, compiler and target of the extension module."""
    return _mmcore.build_info()


@cache
def environment() -> dict[str, Any]:
    """The versions installed and the hardware of this machine, as plain data for JSON.

    `memory_kib` and `last_level_cache_kib` are in KiB, `page_size` in bytes; `cpus` counts those
    that this process may use. `page_copy` names the instructions by which machines copy pages.
    """
    return {
        "mmcore": _mmcore.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": _version("numpy"),
        "extras": {name: _version(name) or "missing" for name in EXTRAS},
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _first_match("/proc/cpuinfo", r"model name\s*:\s*(.+)"),
        "last_level_cache_kib": _last_level_cache(),
        "page_copy": _mmcore.page_copy(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_kib": int(_first_match("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0),
        "page_size": os.sysconf("SC_PAGE_SIZE"),
    }


def _version(distribution: str) -> str | None:
    # Imported here and not above: it loads the e-mail modules, and only documents need versions.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _last_level_cache() -> int | None:
    # The caches of a processor are numbered from the nearest one on, and the largest is the last.
    caches = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = (_first_match(str(cache), r"(\d+)K") for cache in caches)
    return max((int(size) for size in sizes if size), default=None)


def _first_match(path: str, pattern: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1].strip() if found else None
