"""The arguments that fit each parameter, by the parameter's name.

A new parameter name must be added here; a test fails until it is."""

from fuzz import values as v
from fuzz.callbacks import Explored, Owned

#: Makers of fitting arguments, by parameter name, or by `Class.method.name` for one entry.
FITS = {
    "accesses": v.number(1, 300, 2000),
    "address": v.address,
    "addresses": v.addresses,
    "advice": v.number("cold", "pageout", "dontneed", "free", "willneed"),
    "alone": v.flag,
    "at": v.number(0, 0, 1, 3, 20),
    "attribute": v.number("pages_per_s", "migrated", "cpu_ns", "rmw"),
    "backed": v.number(True, True, False),
    "block": v.small,
    "Machine.block": v.number(None, "64KiB", "1MiB", 4096),
    "budget": v.number(0, 1, 20),
    "buffer": v.either(lambda _: bytearray(64), lambda _: bytearray(v.PAGE), v.content),
    "compressor": v.number("lz4", "lz4", "lz4_flex", "zstd"),
    "checkpoint": v.either(v.number(None, None, None), v.path),
    "checks": v.number("state", "state", "all"),
    "explore.pairs": v.flag,
    "memory": v.number(None, "sc", "tso"),
    "content": v.either(v.content, v.number(bytes(v.PAGE), b"w" * v.PAGE, b"object" * 40)),
    "against": v.number(None),
    "allow": v.number(None, {"atomics": 0.5}, {"puts": 1}),
    "at_most": v.number(0.0, 0.03),
    "copy": v.flag,
    "count": v.number(0, 1, 2, 8, 300),
    "cpu": v.number(None, 0, 1, 2),
    "Thread.cpu": v.number(None, 0, 1),
    "cpus": v.number(1, 2, 3, 8),
    "current": v.of("AddressSpace"),
    "data": v.content,
    "demote_to": v.number(None, 0, 1, 1),
    "executor": v.number(None),
    "processes": v.number(1, 2, 3, 0),
    "exponent": v.number(0, 1.0, 1, 16),
    "field": v.either(v.number("release", "pagevec", "lru_policy"), v.text),
    "file": v.either(v.of("File"), v.number(None)),
    "first": v.kernel,
    "Machine.alloc_range.first": v.number(0, 16, 256, 300, 508),
    "PageRange.first": v.number(0, 1, 7),
    "gate": v.number(None, "work", "time", ("work", "time"), "odd"),
    "gates": v.number(None),
    "get_new_page": v.callback,
    "hunt.names": v.number("unmap-without-flush", "hook-without-lock", "no-such-defect"),
    "handler": v.either(v.callback, v.number(None)),
    "handle": v.number(0, 1, 2**32, 2**64 - 1),
    "hard": v.flag,
    "index": v.small,
    "jobs": v.number(None, 1, 1, 2),
    "kernel": v.kernel,
    "key": v.key,
    "head.kind": v.number("run", "comparison"),
    "schema.kind": v.number("run", "head", "nonsense"),
    "kind": v.number("disk", "tmpfs", "shm"),
    "Machine.set_pageblock_type.kind": v.number("movable", "unmovable", "isolated", "odd"),
    "Machine.inject.kind": v.number(*v.FAULTS),
    "length": v.number(1, 2, 3),
    "letters": v.number("a" * 8, "a." * 128, "af.s" * 4, "z", "?" * 16, "", "e"),
    "limit": v.number(None, 0, 4096, "64KiB"),
    "line": v.either(v.number(f"{v.PROGRAM.strip()} @ 0x3,1".replace("\n", " ; ")), v.text),
    "load": v.number("storm", "tiering", "compaction", "zram"),
    "standard.matching": v.number(*v.MATCHING),
    "standard.preemptions": v.number(0, 0, 1),
    "max_accesses": v.number(None, 10, 100_000),
    "max_steps": v.number(None, None, 1, 100, 100_000),
    "measurement": v.number(None),
    "mode": v.mode,
    "movable": v.number((), (1,), (0, 1), None),
    "move": v.flag,
    "move_all": v.flag,
    "mutation": v.number(None, None, None, "unmap-without-flush", "hook-without-lock"),
    "name": v.word,
    "node": v.node,
    "nodes": v.either(v.addresses, v.node, v.number([0, 1], [1, 1, 1])),
    "Machine.nodes": v.number(
        None, ["1MiB", "1MiB"], ["1MiB"], ["64KiB"], [65536, 65536, "1MiB:90ns"]
    ),
    "compare.nodes": v.number(None, "4MiB,4MiB", "1MiB,8MiB:250ns"),
    "number": v.small,
    "of": v.word,
    "offset": v.number(0, 0, 1, 4095, 4096, 8192),
    "moves": v.flag,
    "NodeMaps.beside.moves": v.number((), None),
    "MapSteps.of.moves": v.number((), None),
    "offline": v.number([], [], [1], [7]),
    "unordered": v.number(None, "too many orders"),
    "ops": v.either(Owned.draw, v.number(None)),
    "options": v.number({}),
    "order": v.number(0, 0, 0, 1, 2, 3, 9),
    "other": v.either(v.of("Page"), v.of("Region"), v.of("File"), v.number(0)),
    "page": v.page,
    "pages": v.pages,
    "File.truncate.pages": v.small,
    "Trace.sequential.pages": v.number(1, 20, 300),
    "Trace.sequential.threads": v.number(1, 2, 40),
    "Trace.sequential.writes": v.number(0, 0.5, 1.0),
    "Trace.uniform.pages": v.number(1, 20, 300),
    "Trace.uniform.threads": v.number(1, 2, 40),
    "Trace.uniform.writes": v.number(0, 0.5, 1.0),
    "Trace.zipf.pages": v.number(1, 20, 300),
    "Trace.zipf.threads": v.number(1, 2, 40),
    "Trace.zipf.writes": v.number(0, 0.5, 1.0),
    "Trace.phases.pages": v.number(1, 20, 300),
    "Trace.phases.threads": v.number(1, 2, 40),
    "Trace.phases.writes": v.number(0, 0.5, 1.0),
    "Machine.reclaim.pages": v.number(0, 1, 8, 600),
    "Balloon.inflate.pages": v.number(0, 1, 8, 600),
    "Balloon.deflate.pages": v.number(0, 1, 8, 600),
    "Balloon.resize.pages": v.number(0, 1, 8, 600),
    "owners": v.either(Explored.draw, v.number(None)),
    "pagevec": v.number(None, 1, 15),
    "path": v.path,
    "patience": v.number(0.2, 2.0),
    "types": v.number(None, "M", "U", "MM"),
    "zone": v.number(None, "kernel", "movable", "odd"),
    "base": v.small,
    "pfn": v.frame,
    "pfns": v.number(range(8), [0, 511, 3], range(512), []),
    "poison_rate": v.number(0.0, 0.1),
    "policy": v.number(None, "lru", "two_list", "clock,fifo"),
    "precision": v.number(0.005, 0.5),
    "preemptions": v.number(None, 0, 1, 2),
    "preferred": v.flag,
    "private": v.flag,
    "pressure": v.flag,
    "priority": v.number("async", "sync_light", "sync_full", "odd"),
    "profile": v.either(v.of("Profile"), v.number(None)),
    "program": v.programs,
    "progress": v.either(v.callback, v.number(None)),
    "random": v.flag,
    "rate": v.number(0.01, 0.2, 1.0),
    "reason": v.reasons,
    "recordings": v.number([], "tests"),
    "release": v.number(None, *v.RELEASES),
    "report": v.number({}),
    "schedule": v.either(v.number("0x3,1", "", "1x9,0x4,1"), v.of("Schedule")),
    "schedules": v.number(1, 5, 20),
    "search": v.number("portfolio", "random", "pct", "exhaustive"),
    "second": v.kernel,
    "seconds": v.number(0.01, 0.05),
    "seed": v.number(0, 1, 7),
    "phases": v.number(1, 3, 40),
    "share": v.number(0, 0.5, 1),
    "shrink": v.number(0, 5, 20),
    "size": v.size,
    "policies.trace": v.of("Trace"),
    "policies.size": v.number(None, 64, [64, 128]),
    "File.read.size": v.number(0, 1, 5, 4096, 9000),
    "skip_unread": v.flag,
    "source": v.number(0, 1),
    "Trace.source": v.word,
    "space": v.of("AddressSpace"),
    "start": v.small,
    "stop": v.number(None, None, 1, 2, 4),
    "strict": v.flag,
    "target": v.number(1, 0),
    "text": v.text,
    "threads": v.number(1, 2, (0, 1, 0)),
    "timeout": v.number(0.001, 0.0),
    "times": v.number(1, 1, 2, None),
    "trace": v.either(v.of("Trace"), v.number(None)),
    "until_unsupported": v.flag,
    "update": v.flag,
    "value": v.content,
    "vary": v.number("release=split,packed", "pagevec=1,15", None),
    "warm_up": v.number(0, 1, 100),
    "what": v.either(v.number("0x3,1"), v.text),
    "where": v.word,
    "word": v.number(0, 1, 511),
    "work": v.number(None),
    "write": v.flag,
    "writes": v.number([True, False], [0, 1, 1]),
}

#: Parameters of the library's plain data classes, which accept any value.
DATA = (
    *("blocks_gained", "compacted", "compr", "frames", "free_blocks", "free_scanned", "huge"),
    *("isolated", "matching", "migrate_scanned", "migrated", "objects", "orig", "pageblock"),
    *("passes", "same", "size_class", "used_max", "zspages"),
    *("considered", "defer_limit", "free", "high", "low", "migrate_async", "migrate_sync", "min"),
    *("order_failed", "skip_hints"),
    *("accepts", "activated", "active", "after", "args", "at_end", "ballast", "before", "boot"),
    *("broken", "causes", "comparison", "doc", "function", "label", "matches", "nearest", "object"),
    *("place", "proven", "recorded", "replayed", "side", "step", "syntax", "system_call", "total"),
    *("demoted", "evicted", "fields_set", "freed", "kept", "required", "site", "usage", "used"),
    *("code", "column", "command", "common", "compared", "complete", "counterexample", "coverage"),
    *("covered", "deactivated", "detail", "differences", "dst", "errno", "errnos", "extra"),
    *("feature", "fields", "finally_", "findings", "flags", "found", "hash", "held", "holders"),
    *("i", "interrupted", "iterable", "labels", "last", "left", "machine", "mapcount", "meaning"),
    *("message", "minimal", "misses", "ns", "op", "outcomes", "own", "paths", "presets", "reached"),
    *("reactivated", "refaulted", "refcount", "references", "refused", "requests"),
    *("requests_per_s", "ret", "rounds", "rows", "rule", "scanned", "section", "setup"),
    *("shrink_runs", "state", "status", "steps", "succeeded", "switches", "thread", "unread"),
    *("unsupported", "values", "why"),
    *("choices", "grid", "parts", "points", "problem", "wanted"),
    *("digest", "least", "most", "reuse", "written"),
    *("colors", "columns", "title", "right", "svg", "save", "tables", "live", "html", "script"),
    *("origin", "minimum", "design", "exploration", "defect", "hunts", "names", "elapsed"),
    *("operations", "searches", "matching"),
    *("interleaved", "first_then_second", "second_then_first", "lines", "pairs", "parent"),
    *("new_pairs",),
)

#: Parameters that keep a call short. They are always passed, and an odd value never makes the call
#: long.
BOUNDS = {
    "compare": ("seconds",),
    "diff": ("seconds", "schedules"),
    "explore": ("schedules",),
    "hunt": ("schedules", "shrink"),
    "soak": ("schedules",),
    "standard": ("matching", "preemptions"),
    "testing.explore": ("schedules",),
    "run": ("patience",),
    "stress": ("seconds", "patience"),
    "policies": ("trace",),
    "Page.lock": ("timeout",),
}
#: Odd bounds: each is refused, or makes no call longer than usual.
#: Bounds that are never odd: without them a call runs for hours.
NEEDED = ("soak.schedules", "standard.matching", "standard.preemptions")
ODD_BOUNDS = (-1, 0, None, "x", float("nan"), -1e300, 1e-300, True, [], 2**64, -(2**63), "1")

#: Probability of an odd argument, and of passing an optional one.
ODD, OPTIONAL = 0.15, 0.4


def draw(entry, random):
    """Draws the arguments of a call of an entry, by position and by name."""
    given, named = [], {}
    odd = random.random() < 0.5  # the other half of the calls has fitting arguments only
    bounds = BOUNDS.get(entry.key, ())
    gap = False
    for parameter in entry.parameters:
        bounding = parameter.name in bounds
        if not (parameter.required or bounding or random.random() < OPTIONAL):
            gap = True
            continue
        if odd and not bounding and random.random() < ODD / 3:
            gap = True
            continue
        value = _value(entry, parameter.name, random, odd=odd and random.random() < ODD * 2)
        if gap or not parameter.by_place or (parameter.by_name and random.random() < 0.5):
            named[parameter.name] = value
            gap = True
        else:
            given.append(value)
    rest = f"{entry.key}.{entry.rest}"
    if rest in FITS and not gap:
        given += [FITS[rest](random) for _ in range(random.randrange(3))]
    if entry.named:
        named |= {name: value for name, value in v.fields(random).items() if name not in named}
    if odd and random.random() < ODD / 3:
        named["nonsense"] = v.odd(random)
    if odd and random.random() < ODD / 3 and not gap:
        given.append(v.odd(random))
    return tuple(given), named


def _value(entry, name, random, *, odd):
    if odd and f"{entry.key}.{name}" not in NEEDED:
        bounding = name in BOUNDS.get(entry.key, ())
        return random.choice(ODD_BOUNDS) if bounding else v.odd(random)
    for fitting in (f"{entry.key}.{name}", name):
        if fitting in FITS:
            return FITS[fitting](random)
    return v.odd(random)


#: The operands of operators, whose signatures have no parameter names.
OPERANDS = {
    "__getitem__": (v.key,),
    "__delitem__": (v.key,),
    "__setitem__": (v.key, v.content),
    "__contains__": (v.word,),
    "__eq__": (FITS["other"],),
    "__ne__": (FITS["other"],),
    "__exit__": (v.number(None), v.number(None), v.number(None)),
}
