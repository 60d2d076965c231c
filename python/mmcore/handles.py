"""Handles of a machine, apart from `Page`, `Region` and `Pin`.

| class | made by | what it is |
|---|---|---|
| `AddressSpace` | `Machine.address_space` | the memory of a process |
| `File` | `Machine.file` | a file with a page cache |
| `PagePool` | `Machine.page_pool` | an owner of movable pages outside of the LRU |
| `ZsPool` | `Machine.zsmalloc` | objects smaller than a page, in chains of pages that can move |
| `Zram` | `Machine.zram` | a compressed block device in frames of the machine |
| `MovableOps` | a subclass of yours | the callbacks of an owner of movable pages, for migrations |
| `ExploredPage` | an explored program | a page that the explorer passes to a callback of an owner |
| `Balloon` | `Machine.balloon` | memory that the machine has given back to its host |
| `Node` | `Machine.nodes` | a NUMA node |
| `FrameRange` | `Machine.alloc_range` | a range of frames that was emptied for the caller |
| `PageRef` | `Page.get`, `Machine.alloc` | one reference on a page |
| `PageLock` | `Page.lock`, `Page.trylock` | the held lock of a page |
| `Isolated` | `Page.isolate` | a page isolated from its LRU list or its owner |
| `Writeback` | `File.begin_writeback` | the write of one file page to disk that has begun |
| `CpuBinding` | `Machine.cpu` | a `with` block in which the thread runs on one CPU |
| `Tracing` | `Machine.trace` | a `with` block whose steps are recorded |
| `Arrangement` | `Machine.arrange` | the pages that fill a node by a layout |
| `Fault` | `Machine.inject` | a `with` block in which a fault is injected |
"""

from __future__ import annotations

from mmcore import _core as _core
from mmcore._mmcore import (
    AddressSpace,
    Arrangement,
    Balloon,
    CpuBinding,
    ExploredPage,
    Fault,
    File,
    FrameRange,
    Isolated,
    Node,
    PageLock,
    PagePool,
    PageRef,
    Tracing,
    Writeback,
    Zram,
    ZsPool,
)
from mmcore._movable import MovableOps

__all__ = [
    "AddressSpace",
    "Arrangement",
    "Balloon",
    "CpuBinding",
    "ExploredPage",
    "Fault",
    "File",
    "FrameRange",
    "Isolated",
    "MovableOps",
    "Node",
    "PageLock",
    "PagePool",
    "PageRef",
    "Tracing",
    "Writeback",
    "Zram",
    "ZsPool",
]
