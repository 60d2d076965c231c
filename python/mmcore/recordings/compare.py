"""One recording against its replay, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["FIELDS", "Comparison", "Difference", "compare", "first_differences"]

#: What is compared, in the order in which a difference is looked for: what a call returned, what
#: the pages look like then, what was counted, what was called.
FIELDS = (
    "ret",
    "errno",
    "status",
    "calls_ret",
    "acc",
    "async_sigbus",
    "ar_sigbus",
    "isolated",
    "pages",
    "big",
    "child",
    "frames",
    "hwc_kb",
    "vm",
    "n0",
    "n1",
    "calls",
    "ev",
    "final",
)

#: Recordings show regions of up to so many pages page by page.
_SHOWN_PAGES = 64
#: Of the balance at the end.
_FINAL = ("hwc_kb", "isolated", "pgmigrate_success", "pgmigrate_fail")
#: What a recording leaves out of operations that have the file system's own pages in them.
_COUNTED = frozenset({"vm", "n0", "n1", "calls", "ev"})
_UNCOUNTED_OPERATIONS = frozenset(
    {"swapon", "swapoff", "fillnode", "unfill", "balloon", "drop", "sync"}
)
#: Operations that a kernel takes without saying what came of them: debugfs's split_huge_pages
#: answers the same whether the page was split or not. The pages show it.
_UNANSWERED_OPERATIONS = frozenset({"split"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not the same.

    Attributes:
        step: the number of the step; the number of steps for the balance at the end.
        op: the operation.
        field: the field, and the place within it: `pages.r0.3.flags`.
        recorded: what the kernel did.
        replayed: what the machine did.
    """

    step: int
    op: str
    field: str
    recorded: Any
    replayed: Any

    @property
    def name(self) -> str:
        """The field without the place: of a page's field both, `pages.flags`."""
        first, _, rest = self.field.partition(".")
        last = rest.rpartition(".")[2]
        return f"{first}.{last}" if first == "pages" and last in _PAGE_FIELDS else first


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of one recording.

    Attributes:
        verdict: `match`, `differs` or `unsupported`: all steps up to an operation that the machine
            cannot do were as recorded.
        steps: how many steps were compared and found equal.
        differences: everything that is not the same in the first step that differs.
        unsupported: the operation that the machine cannot do, if that is where it ended.
        reason: why it cannot.
        findings: rules of the machine that were broken.
    """

    verdict: str
    steps: int
    differences: tuple[Difference, ...] = ()
    unsupported: str | None = None
    reason: str | None = None
    findings: tuple[Mapping[str, Any], ...] = ()


def compare(recording: Mapping[str, Any], replay: Mapping[str, Any]) -> Comparison:
    """Compares up to the first step that differs, or that the machine could not do."""
    nondet = tuple(recording.get("nondet", ()))
    recorded, replayed = recording["steps"], replay["steps"]
    findings = tuple(replay.get("findings", ()))
    found = first_differences(recorded, replayed, nondet)
    if found:
        return Comparison("differs", found[0].step, found, findings=findings)
    done = len(replayed)
    if done < len(recorded):
        op = recorded[done]["op"]
        if replay.get("unsupported") is not None:
            reason = replay["unsupported"]
            return Comparison("unsupported", done, (), op, reason, findings)
        stopped = Difference(done, op, "stopped", None, findings[-1:] or None)
        return Comparison("differs", done, (stopped,), findings=findings)
    final, balance = recording["final"], replay["final"] or {}
    ends = [(key, final[key], balance.get(key)) for key in _FINAL if key in final]
    found = tuple(
        Difference(done, "", f"final.{key}", theirs, ours)
        for key, theirs, ours in ends
        if theirs != ours and not any(path.startswith("final") for path in nondet)
    )
    if findings and not found:
        found = (Difference(done, "", "findings", None, findings),)
    return Comparison("differs" if found else "match", done, found, findings=findings)


def first_differences(
    recorded: Sequence[Mapping[str, Any]],
    replayed: Sequence[Mapping[str, Any]],
    nondet: Sequence[str] = (),
    *,
    everything: bool = False,
) -> tuple[Difference, ...]:
    """Everything that is not the same in the first step that differs; nothing if none does.

    Args:
        recorded: the steps of one side.
        replayed: the steps of the other; of the longer list only what the shorter has is compared.
        nondet: paths that are not compared.
        everything: both sides are replays: neither leaves out what recordings do.
    """
    before, now = _State(), _State()
    kinds: dict[str, str] = {}
    unknown = _Unknown(nondet)
    for i, (theirs, ours) in enumerate(zip(recorded, replayed, strict=False)):
        op = theirs["op"]
        before.apply(theirs)
        now.apply(ours)
        unknown.apply(i, theirs)
        skipped = set() if everything else _skipped(theirs, ours, op.split(), kinds)
        found = tuple(
            Difference(i, op, *difference)
            for field in FIELDS
            if field not in skipped
            for difference in _differences(field, theirs, ours, before, now)
            if not unknown.covers(difference[0])
        )
        if found:
            return found
    return ()


#: What a step shows only where it has changed.
_STATES = ("pages", "big", "child", "frames")
_PAGE_FIELDS = ("pte", "node", "moved", "flags", "ref", "map", "data")


class _State:
    """The pages as they are after a step: a region that a step does not mention is as it was."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[int, dict[str, Any]]] = {}
        self.big: dict[str, Any] = {}
        self.child: dict[tuple[str, str], str] = {}
        self.frames: dict[str, Any] = {}

    def apply(self, step: Mapping[str, Any]) -> None:
        for pages in self.pages.values():
            for page in pages.values():
                if "moved" in page:
                    page["moved"] = 0
        for region, runs in step.get("pages", {}).items():
            pages = self.pages[region] = {}
            for run in runs:
                first, _, last = run["p"].partition("-")
                for number in range(int(first), int(last or first) + 1):
                    pages[number] = {key: run[key] for key in _PAGE_FIELDS if key in run}
                    if "flags" in run:
                        pages[number]["flags"] = "|".join(sorted(run["flags"].split("|")))
        self.big.update(step.get("big", {}))
        for child, views in step.get("child", {}).items():
            for region, view in views.items():
                self.child[child, region] = view
        self.frames.update(step.get("frames", {}))
        # What is unmapped as a whole is not looked at any more.
        words = step["op"].split()
        if words[0] == "unmap" and ":" not in words[1]:
            self.pages.pop(words[1], None)
            self.big.pop(words[1], None)


class _Unknown:
    """What the recording's runs did not agree on.

    Of a state, such as a region's pages, it stays unknown until a later step tells it anew; of
    anything else it is the step's own.
    """

    def __init__(self, nondet: Sequence[str]) -> None:
        self._nondet = nondet
        self._of_step: tuple[str, ...] = ()
        self._of_state: set[str] = set()
        self._told: set[str] = set()

    def apply(self, step: int, theirs: Mapping[str, Any]) -> None:
        told = {f"{field}.{key}" for field in _STATES for key in theirs.get(field, {})}
        self._of_state -= {path for path in self._of_state if ".".join(path.split(".")[:2]) in told}
        self._told |= told
        prefix = f"steps[{step}]."
        paths = [path.removeprefix(prefix) for path in self._nondet if path.startswith(prefix)]
        self._of_step = tuple(paths)
        states = {path for path in paths if path.split(".")[0] in _STATES}
        self._of_state |= states
        # A whole field covers each of its keys until that key is told.
        if any("." not in path for path in states):
            self._told.clear()

    def covers(self, field: str) -> bool:
        if any(_within(field, known) for known in self._of_step):
            return True
        told = ".".join(field.split(".")[:2]) in self._told
        return any(_within(field, known) for known in self._of_state if "." in known or not told)


def _within(field: str, known: str) -> bool:
    return field == known or field.startswith(known + ".")


def _skipped(
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    words: Sequence[str],
    kinds: dict[str, str],
) -> set[str]:
    """The fields that this step of a recording does not have to compare."""
    # What only one run saw: all of a node's counters, but of the machine's events just those.
    skipped = {field for field in theirs.get("info", ()) if field != "vm"}
    operation = words[0]
    if operation == "map":
        kinds[words[1]] = words[2]
    # A call's own result is there only where it has one.
    if "ret" not in theirs:
        skipped |= {"ret", "errno"}
    if operation in _UNANSWERED_OPERATIONS:
        skipped.add("status")
    # Nor are accesses told one by one where there are more than a region's pages are.
    if operation in {"read", "write"} and sum(n for n, _ in ours.get("acc", ())) > _SHOWN_PAGES:
        skipped.add("acc")
    of_a_file = operation in {"map", "unmap"} and kinds.get(words[1], "").startswith("file")
    if of_a_file or operation in _UNCOUNTED_OPERATIONS or operation.startswith("zram_"):
        skipped |= _COUNTED
    return skipped


def _differences(
    field: str, theirs: Mapping[str, Any], ours: Mapping[str, Any], before: _State, now: _State
) -> Iterator[tuple[str, Any, Any]]:
    if field == "pages":
        yield from _page_differences(before.pages, now.pages)
    elif field in {"big", "child", "frames"}:
        yield from _keyed(field, getattr(before, field), getattr(now, field))
    elif field in {"vm", "n0", "n1", "calls"}:
        chance = theirs.get("info", {}).get(field, {})
        one, other = (
            {name: count for name, count in side.get(field, {}).items() if name not in chance}
            for side in (theirs, ours)
        )
        yield from _keyed(field, one, other, nothing=0)
    elif field == "ev":
        lists = theirs.get(field, []), ours.get(field, [])
        for number, (one, other) in enumerate(zip(*lists, strict=False)):
            if one != other:
                yield f"ev.{number}", one, other
                return
        if len(lists[0]) != len(lists[1]):
            yield "ev.length", len(lists[0]), len(lists[1])
    elif field != "final" and _runs(theirs.get(field)) != _runs(ours.get(field)):
        yield field, theirs.get(field), ours.get(field)


def _runs(value: Any) -> Any:
    """Run lengths in their shortest form: a recording may split a run."""
    if not isinstance(value, list) or not value or not isinstance(value[0], list):
        return value
    merged: list[list[Any]] = []
    for count, what in value:
        if merged and merged[-1][1] == what:
            merged[-1][0] += count
        else:
            merged.append([count, what])
    return merged


def _page_differences(
    theirs: Mapping[str, Mapping[int, Mapping[str, Any]]],
    ours: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> Iterator[tuple[str, Any, Any]]:
    for region in sorted(theirs.keys() | ours.keys()):
        one, other = theirs.get(region, {}), ours.get(region, {})
        for number in sorted(one.keys() | other.keys()):
            page, mine = one.get(number, {}), other.get(number, {})
            for key in _PAGE_FIELDS:
                if page.get(key) != mine.get(key):
                    yield f"pages.{region}.{number}.{key}", page.get(key), mine.get(key)


def _keyed(
    field: str, theirs: Mapping[Any, Any], ours: Mapping[Any, Any], nothing: Any = None
) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(theirs.keys() | ours.keys()):
        one, other = theirs.get(key, nothing), ours.get(key, nothing)
        if one != other:
            place = ".".join(key) if isinstance(key, tuple) else key
            yield f"{field}.{place}", one, other
