"""Types of the words that parameters take and results have, for type checkers and editors.

The core exports its words as `mmcore._mmcore.CHOICES`; a test compares the types here with them.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "Advice",
    "ArgumentPlace",
    "Checks",
    "CompactPriority",
    "CompactStatus",
    "Compressor",
    "Coverage",
    "FaultKind",
    "FieldValue",
    "FileKind",
    "HolderKind",
    "Kernel",
    "Load",
    "MemoryModel",
    "MigrateType",
    "Mode",
    "PageFlag",
    "Policy",
    "Reason",
    "Release",
    "Search",
    "SignalCode",
    "Status",
    "StepKind",
    "Zone",
]

#: The advice of `Region.madvise`.
Advice: TypeAlias = Literal["cold", "pageout", "dontneed", "free", "willneed"]

#: The place of an argument in the line of an operation, of `mmcore.program.Argument`.
ArgumentPlace: TypeAlias = Literal["positional", "key", "options"]

#: The rules against which `mmcore.explore` checks schedules: the state of the machine, or also the
#: answers of the operations and the marks of a page at both ends of its life.
Checks: TypeAlias = Literal["state", "all"]

#: The effort of `Machine.compact_for`: easy pages alone, all pages, or all pageblocks too.
CompactPriority: TypeAlias = Literal["async", "sync_light", "sync_full"]

#: The end of a run of compaction: not worth a start, left out after failures, the whole node
#: scanned, part of it scanned, stopped early, or a large enough block is free.
CompactStatus: TypeAlias = Literal[
    "skipped",
    "deferred",
    "complete",
    "partial_skipped",
    "contended",
    "success",
]

#: The compressor of `Machine.zram`.
Compressor: TypeAlias = Literal["lz4", "lz4_flex"]

#: `Exploration.coverage`: every schedule, every schedule within the bound on preemptions, a sample,
#: or less than that because the search stopped early.
Coverage: TypeAlias = Literal["complete", "bounded", "sampled", "incomplete"]

#: The fault that `Machine.inject` injects.
FaultKind: TypeAlias = Literal[
    "no_memory",
    "copy_failure",
    "extra_pin",
    "driver_error",
    "poison",
    "killed",
    "spurious_wakeup",
]

#: The value of a field of a profile.
FieldValue: TypeAlias = str | int | bool

#: The kind of file of `Machine.file`: on disk, in tmpfs, or shared anonymous memory.
FileKind: TypeAlias = Literal["disk", "tmpfs", "shm"]

#: The kind of a holder of references on a page, of `mmcore.results.Holder`.
HolderKind: TypeAlias = Literal[
    "entry",
    "batch",
    "driver",
    "cache",
    "private",
    "swap",
    "poison",
    "huge_pool",
    "fault",
    "reference",
    "pin",
    "isolation",
    "lock",
    "freeze",
    "writeback",
]

#: Kernels with a preset of the profile, oldest first.
Kernel: TypeAlias = Literal["4.5", "4.8", "6.1", "6.12", "6.19"]

#: The load under which `mmcore.compare` measures machines.
Load: TypeAlias = Literal["tiering", "storm", "compaction", "zram"]

#: The order in which the threads of an exploration see each other's stores.
MemoryModel: TypeAlias = Literal["sc", "tso"]

#: The type of a pageblock: the mobility of the pages for which it is meant.
MigrateType: TypeAlias = Literal["movable", "unmovable", "reclaimable", "high_atomic", "isolated"]

#: The mode of a migration: it never waits, waits for page locks only, or for write-back too.
Mode: TypeAlias = Literal["async", "sync_light", "sync"]

#: The flags of a page, of `Page.flags` and `mmcore.results.FLAGS`.
PageFlag: TypeAlias = Literal[
    "locked",
    "waiters",
    "lru",
    "active",
    "referenced",
    "workingset",
    "unevictable",
    "mlocked",
    "dirty",
    "writeback",
    "uptodate",
    "private",
    "swapbacked",
    "swapcache",
    "reclaim",
    "isolated",
    "movable",
    "reserved",
    "hwpoison",
    "error",
    "anon",
    "anon_exclusive",
    "head",
    "tail",
    "buddy",
    "mappedtodisk",
    "owner_private",
    "has_hwpoisoned",
    "idle",
    "young",
    "file",
    "refused",
]

#: The list policies, of `mmcore.policies` and the field `lru_policy` of a profile.
Policy: TypeAlias = Literal["two_list", "mglru", "fifo", "lru", "clock"]

#: The reason of a migration, as the tracepoint `mm_migrate_pages` shows it. `Isolated.migrate`
#: refuses `memory_failure` and `demotion`: in a kernel their callers do more than migrate.
Reason: TypeAlias = Literal[
    "compaction",
    "memory_failure",
    "memory_hotplug",
    "syscall",
    "mempolicy_mbind",
    "numa_misplaced",
    "contig_range",
    "longterm_pin",
    "demotion",
]

#: The release designs: how a migration gives its old page back and how a put finds movable pages.
Release: TypeAlias = Literal["putback", "split", "hook", "hook_late", "packed", "mine"]

#: The schedules that `mmcore.explore` runs: drawn by one of three methods, or all.
Search: TypeAlias = Literal["portfolio", "random", "pct", "exhaustive"]

#: The code of a SIGBUS: action required (the process touched the lost page), or action optional
#: (the process can act before it touches the page).
SignalCode: TypeAlias = Literal["BUS_MCEERR_AR", "BUS_MCEERR_AO"]

#: The status of a result; the exit codes of the command line are 0, 1, 2 and 3 in this order.
Status: TypeAlias = Literal["clean", "finding", "unusable", "inconclusive"]

#: The kind of a step of a schedule, of `mmcore.results.TraceStep`.
StepKind: TypeAlias = Literal[
    "load",
    "store",
    "swap",
    "cas",
    "add",
    "bits",
    "fence",
    "peek",
    "write",
    "note",
    "lock",
    "unlock",
    "try-lock",
    "read-lock",
    "read-unlock",
    "park",
    "wake",
    "unpark",
    "wait",
    "leave",
]

#: The zone of a memory block: for any page, or for pages that can move.
Zone: TypeAlias = Literal["kernel", "movable"]
