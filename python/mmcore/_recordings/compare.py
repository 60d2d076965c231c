"""Compares one recording with its replay, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from mmcore._recordings.attempts import more_failures, more_rounds, of_attempts
from mmcore._recordings.layouts import AS_RECORDED, KERNELS, LEFT_OVER, expanded
from mmcore._recordings.placement import Placement
from mmcore._recordings.shape import SHOWN_PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "FIELDS",
    "Comparison",
    "Difference",
    "compare",
    "each_of",
    "first_differences",
    "moves",
]

#: The fields compared, in the order in which differences are reported: results of calls, then the
#: state of the pages, counters, and events.
FIELDS = (
    "ret",
    "errno",
    "status",
    "calls_ret",
    "acc",
    "async_sigbus",
    "ar_sigbus",
    "isolated",
    "nonlru",
    "state",
    "valid_zones",
    "got",
    "extfrag_index",
    "unusable_index",
    "pages",
    "big",
    "child",
    "frames",
    "mm_stat",
    "nr_zspages",
    "zspages",
    "used_after",
    "checked",
    "hwc_kb",
    "vm",
    "n0",
    "n1",
    "n2",
    "kinds",
    "layout",
    "buddy",
    "moves",
    "fails",
    "calls",
    "ev",
    "final",
)

#: The compared fields of the balance at the end of a recording.
_FINAL = ("hwc_kb", "isolated", "pgmigrate_success", "pgmigrate_fail")
#: The fields left out for operations during which a file system, a device or the recording program
#: itself uses pages too: a recording does not tell their counts apart from the script's.
_COUNTED = frozenset({"vm", "n0", "n1", "n2", "calls", "ev"})
_UNCOUNTED_OPERATIONS = frozenset(
    {
        "swapon",
        "swapoff",
        "fillnode",
        "unfill",
        "balloon",
        "drop",
        "sync",
        "take",
        "zs_open",
        "zs_put",
        "zs_close",
    }
)
#: Internal calls of the machine that no recording has: the recording program does not watch them.
_UNWATCHED = ("split_huge_page_to_list", "split_huge_page_to_list_to_order")
#: Operations whose status is not compared: debugfs's split_huge_pages returns the same whether the
#: page was split or not. The state of the pages shows the difference.
_UNANSWERED_OPERATIONS = frozenset({"split"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs between a recording and its replay.

    Attributes:
        step: the number of the step, from 0; the number of steps for the balance at the end.
        op: the operation of the step; empty for the balance.
        field: the field and the place within it, such as `pages.r0.3.flags`.
        recorded: the value of the kernel.
        replayed: the value of the machine.
    """

    step: int
    op: str
    field: str
    recorded: Any
    replayed: Any

    @property
    def name(self) -> str:
        """The field without the place, such as `pages.flags` for `pages.r0.3.flags`."""
        first, _, rest = self.field.partition(".")
        last = rest.rpartition(".")[2]
        return f"{first}.{last}" if first == "pages" and last in _PAGE_FIELDS else first


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of comparing one recording with its replay.

    Attributes:
        verdict: `match`, `differs`, or `unsupported`: all steps match before an operation that the
            machine cannot do.
        steps: the number of steps that match.
        differences: all differences of the first step that differs; empty unless `differs`.
        unsupported: the operation that the machine cannot do; None if there is none.
        reason: the reason why the machine cannot do the operation; None if there is none.
        findings: the rules that the machine broke, as plain data.
    """

    verdict: str
    steps: int
    differences: tuple[Difference, ...] = ()
    unsupported: str | None = None
    reason: str | None = None
    findings: tuple[Mapping[str, Any], ...] = ()


def compare(recording: Mapping[str, Any], replay: Mapping[str, Any]) -> Comparison:
    """Compares the steps up to the first that differs or that the machine cannot do.

    Args:
        recording: a recording that `shape` has validated.
        replay: its replay, from `replaying.replay`.
    """
    nondet = tuple(recording.get("nondet", ()))
    recorded, replayed = recording["steps"], list(map(_watched, replay["steps"]))
    findings = tuple(replay.get("findings", ()))
    placement = Placement(frames=bool(replay.get("counts_frames", True)))
    found = first_differences(recorded, replayed, nondet, placement=placement)
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
    attempts = sum(map(more_failures, recorded, replayed))
    checks = [
        (
            key,
            final[key],
            balance.get(key, 0) + attempts if key == "pgmigrate_fail" else balance.get(key),
        )
        for key in _FINAL
        if key in final and not (placement.moved_others and key.startswith("pgmigrate_"))
    ]
    found = tuple(
        Difference(done, "", f"final.{key}", theirs, ours)
        for key, theirs, ours in checks
        if theirs != ours and not any(path.startswith("final") for path in nondet)
    )
    if findings and not found:
        found = (Difference(done, "", "findings", None, findings),)
    return Comparison("differs" if found else "match", done, found, findings=findings)


def _watched(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step of a replay without the calls that no recording has."""
    calls, events = step.get("calls", {}), step.get("ev", ())
    if not any(text.startswith(_UNWATCHED) for text in (*calls, *events)):
        return step
    calls = {name: count for name, count in calls.items() if not name.startswith(_UNWATCHED)}
    return {
        **step,
        "calls": calls,
        "ev": [event for event in events if not event.startswith(_UNWATCHED)],
    }


def first_differences(
    recorded: Sequence[Mapping[str, Any]],
    replayed: Sequence[Mapping[str, Any]],
    nondet: Sequence[str] = (),
    *,
    everything: bool = False,
    placement: Placement | None = None,
) -> tuple[Difference, ...]:
    """Finds the first step that differs and returns its differences; empty if no step differs.

    Args:
        recorded: the steps of one side.
        replayed: the steps of the other side; the rest of the longer list is not compared.
        nondet: paths that are not compared, because runs of the recording disagree there.
        everything: compare all fields, also those that recordings leave out. For two replays.
        placement: the nodes whose pages lie in other frames than recorded, updated at each step; a
            new object by default.
    """
    before, now = _State(), _State()
    kinds: dict[str, str] = {}
    unknown, placement = _Unknown(nondet), placement or Placement()
    for i, (theirs, ours) in enumerate(zip(recorded, replayed, strict=False)):
        op = theirs["op"]
        before.apply(theirs)
        now.apply(ours)
        unknown.apply(i, theirs)
        skipped = set()
        if not everything:
            placement.apply(theirs, ours)
            skipped = _skipped(theirs, ours, op.split(), kinds) | placement.skipped(theirs)
        found = tuple(
            Difference(i, op, *difference)
            for field in FIELDS
            if field not in skipped
            for difference in _differences(field, theirs, ours, before, now)
            if not unknown.covers(difference[0])
            and (everything or not placement.covers(theirs, *difference))
            and (everything or not _tried_longer(theirs, ours, difference))
        )
        if found:
            return found
        placement.after(theirs)
    return ()


def _tried_longer(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], difference: tuple[str, Any, Any]
) -> bool:
    more = more_rounds(theirs, ours)
    if more == 0:
        return False
    # A list of failures may be cut; its last entry is then a text.
    runs = [run for run in theirs.get("fails", ()) if isinstance(run, list)]
    machine = [tuple(pair) for pair in ours.get("fails", ())]
    return of_attempts(more, difference, [*each_of(runs)], machine)


#: The fields that a step lists only where they have changed.
_STATES = ("pages", "big", "child", "frames")
_PAGE_FIELDS = ("pte", "node", "moved", "flags", "ref", "map", "data")


class _State:
    """The state of the pages after a step; a region that the step does not list is unchanged."""

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
        # A region that is unmapped whole has no pages left to compare.
        words = step["op"].split()
        if words[0] == "unmap" and ":" not in words[1]:
            self.pages.pop(words[1], None)
            self.big.pop(words[1], None)


class _Unknown:
    """The values on which the runs of a recording disagree; they are not compared.

    A state, such as the pages of a region, stays unknown until a later step lists it again. Any
    other field is unknown in its own step only.
    """

    def __init__(self, nondet: Sequence[str]) -> None:
        self._nondet = nondet
        self._of_step: tuple[str, ...] = ()
        self._of_state: set[str] = set()
        self._recorded: set[str] = set()

    def apply(self, step: int, theirs: Mapping[str, Any]) -> None:
        recorded = {f"{field}.{key}" for field in _STATES for key in theirs.get(field, {})}
        self._of_state -= {
            path for path in self._of_state if ".".join(path.split(".")[:2]) in recorded
        }
        self._recorded |= recorded
        prefix = f"steps[{step}]."
        paths = [path.removeprefix(prefix) for path in self._nondet if path.startswith(prefix)]
        self._of_step = tuple(paths)
        states = {path for path in paths if path.split(".")[0] in _STATES}
        # `info` has the value of one run where the runs disagree.
        info = theirs.get("info", {})
        states |= {f"{field}.{key}" for field in _STATES for key in info.get(field, {})}
        self._of_state |= states
        # An unknown whole field covers each of its keys until a later step lists the key.
        if any("." not in path for path in states):
            self._recorded.clear()

    def covers(self, field: str) -> bool:
        if any(_within(field, known) for known in self._of_step):
            return True
        is_recorded = ".".join(field.split(".")[:2]) in self._recorded
        return any(
            _within(field, known) for known in self._of_state if "." in known or not is_recorded
        )


def _within(field: str, known: str) -> bool:
    return field == known or field.startswith(known + ".")


def _skipped(
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    words: Sequence[str],
    kinds: dict[str, str],
) -> set[str]:
    """The fields that are not compared in a step."""
    # `info` has fields on which the runs disagree. Such a field is skipped whole, but of `vm`
    # only the listed counters are.
    skipped = {field for field in theirs.get("info", ()) if field != "vm"}
    operation = words[0]
    if operation == "map":
        kinds[words[1]] = words[2]
    if operation in {"map", "take"}:
        # The recording program reads a page of each page table first, so that the tables exist.
        skipped.add("big")
    # A step without `ret` recorded no result of a call.
    if "ret" not in theirs:
        skipped |= {"ret", "errno"}
    if operation in _UNANSWERED_OPERATIONS:
        skipped.add("status")
    # Recordings list accesses one by one only up to `SHOWN_PAGES`.
    if operation in {"read", "write"} and sum(n for n, _ in ours.get("acc", ())) > SHOWN_PAGES:
        skipped.add("acc")
    # At this operation the guest's own work drains the batches before the counters are read.
    if operation == "trace":
        skipped |= _COUNTED
    of_a_file = operation in {"map", "unmap"} and kinds.get(words[1], "").startswith("file")
    if of_a_file or operation in _UNCOUNTED_OPERATIONS or operation.startswith("zram_"):
        skipped |= _COUNTED
    return skipped


def _differences(
    field: str, theirs: Mapping[str, Any], ours: Mapping[str, Any], before: _State, now: _State
) -> Iterator[tuple[str, Any, Any]]:
    if field == "pages":
        yield from _page_differences(before.pages, now.pages)
    elif field == "big":
        for region in sorted(before.big.keys() | now.big.keys()):
            totals = (side.big.get(region) or {} for side in (before, now))
            yield from _keyed(f"big.{region}", *totals)
    elif field in {"child", "frames"}:
        yield from _keyed(field, getattr(before, field), getattr(now, field))
    elif field == "mm_stat":
        yield from _keyed(field, theirs.get(field, {}), ours.get(field, {}))
    elif field == "zspages":
        # The recorded list can lack pages: no pages of a plugged memory module are in it.
        pages_recorded = sum(pages * times for _, _, pages, times in theirs.get(field, ()))
        if pages_recorded == theirs.get("nr_zspages", pages_recorded) and theirs.get(
            field
        ) != ours.get(field):
            yield field, theirs.get(field), ours.get(field)
    elif field in {"moves", "fails"}:
        yield from _move_differences(field, theirs, ours)
    elif field in {"extfrag_index", "unusable_index"}:
        yield from _extfrag_differences(field, theirs, ours)
    elif field in {"kinds", "layout", "buddy"}:
        yield from _node_differences(field, theirs, ours)
    elif field in {"vm", "n0", "n1", "n2", "calls"}:
        chance = {**theirs.get("info", {}).get(field, {})}
        if field == "calls" and theirs["op"].startswith("memblk "):
            # The 6.12 kernel frees a page of its own when the state of a block is read.
            chance["folio_put_final"] = 0
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
    elif field == "nonlru":
        # A recording lacks the counts on which its runs disagree.
        recorded, mine = theirs.get(field, {}), ours.get(field, {})
        yield from _keyed(field, recorded, {name: mine.get(name) for name in recorded})
    elif field == "calls_ret" and "@" in theirs["op"]:
        # The operation makes one call for each run of neighbouring frames. The frames of the pages
        # follow from the node's free lists at the time of the write, which are not recorded.
        recorded, mine = (
            [value for _, value in _runs(side.get(field, []))] for side in (theirs, ours)
        )
        if field in theirs and recorded != mine:
            yield field, theirs[field], ours.get(field)
    elif field in {"calls_ret", "acc"} and not theirs.get(field) and not ours.get(field):
        # Some recordings write an empty list of calls, and others leave it out.
        return
    elif field != "final" and _runs(theirs.get(field)) != _runs(ours.get(field)):
        yield field, theirs.get(field), ours.get(field)


def _node_differences(
    field: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yields the differences of a node's layout; none for a field that the recording lacks."""
    if theirs.get("kinds", {}).get("c") and field != "layout":
        # The number of free frames on a CPU's own list is left to chance.
        if field == "buddy":
            return
        kinds = dict(theirs["kinds"])
        kinds["."] = kinds.get(".", 0) + kinds.pop("c")
        theirs = {**theirs, "kinds": kinds}
    hidden = theirs.get("kinds", {}).get(LEFT_OVER, 0)
    left_over = ours.get("kinds", {}).get(LEFT_OVER, 0) - hidden
    if field == "kinds" and field in theirs:
        other: dict[str, int] = {}
        for letter, frames in ours.get(field, {}).items():
            name = letter.translate(AS_RECORDED)
            other[name] = other.get(name, 0) + frames
        if left_over > 0:
            # About the frames left over, the replay knows only that no region got them.
            other[LEFT_OVER] = hidden
            for letter in sorted(KERNELS & theirs[field].keys()):
                used = min(max(theirs[field][letter] - other.get(letter, 0), 0), left_over)
                other[letter] = other.get(letter, 0) + used
                left_over -= used
            other["."] = other.get(".", 0) + left_over
        # A recording ends with the last frame that is online; it shows no memory only if all of the
        # node is offline.
        beyond = sum(other.values()) - sum(theirs[field].values())
        if 0 < beyond <= other.get("x", 0):
            other["x"] -= beyond
        yield from _keyed(field, theirs[field], other, nothing=0)
    elif field == "layout" and field in theirs:
        one, other_letters = (expanded(side.get(field, ())) for side in (theirs, ours))
        other_letters = other_letters.translate(AS_RECORDED)
        if not other_letters[len(one) :].strip("x"):
            other_letters = other_letters[: len(one)]
        for number, pair in enumerate(zip(one, other_letters, strict=False)):
            if pair[0] != pair[1]:
                yield f"layout.{number}", *pair
                return
        if len(one) != len(other_letters):
            yield "layout.length", len(one), len(other_letters)
    elif field == "buddy" and left_over <= 0:
        # A node of one zone: mmcore's nodes have no more.
        zones = [name for name in theirs if name.startswith("buddy_")]
        if len(zones) == 1:
            # Orders in which the runs differ have an object in place of the number.
            orders = zip(theirs[zones[0]], ours.get(field, []), strict=False)
            for order, (blocks, mine) in enumerate(orders):
                if isinstance(blocks, int) and blocks != mine:
                    yield f"{zones[0]}.{order}", blocks, mine


def _extfrag_differences(
    field: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yields the orders in which an index of debugfs differs.

    The recording has the index of each order as a number with three decimals, the replay has it in
    thousandths.
    """
    zones = [name for name in theirs if name.startswith(f"{field}_")]
    if len(zones) == 1:
        # A node of one zone: mmcore's nodes have no more.
        recorded = [round(1000 * float(index)) for index in theirs[zones[0]].split()]
        for order, pair in enumerate(zip_longest(recorded, ours.get(field, []))):
            if pair[0] != pair[1]:
                yield f"{zones[0]}.{order}", *pair


def _move_differences(
    field: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yields the first move that differs, or the first failed attempt that differs.

    Yields none if the recording has no list of this field. A list of failures may be cut.
    """
    if field not in theirs:
        return
    runs = theirs[field]
    cut = bool(runs) and runs[-1] == "..."
    recorded = list(each_of(runs[:-1] if cut else runs))
    replayed = [tuple(pair) for pair in ours.get(field, ())]
    if cut:
        del replayed[len(recorded) :]
    for number, pair in enumerate(zip_longest(recorded, replayed)):
        if pair[0] != pair[1]:
            yield f"{field}.{number}", *pair
            return


def each_of(runs: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
    """Yields the moves or failed attempts of runs, in order: source, and target or errno.

    Args:
        runs: `[source, target]` or `[source, target, count, source step, target step]`; of failed
            attempts `[frame, errno]` or `[frame, errno, count, step]`.
    """
    for source, target, *rest in runs:
        count, *steps = rest or (1, 0, 0)
        for i in range(count):
            first, second = source, target
            if isinstance(source, int):
                first = source + i * steps[0]
            if isinstance(target, int):
                second = target + i * steps[1]
            yield first, second


def moves(runs: Sequence[Sequence[Any]]) -> Iterator[tuple[int, int]]:
    """Yields the recorded moves within a node, in order, as numbers of frames within the node.

    Moves to and from other nodes have a text as source or target, and are left out.

    Args:
        runs: as in `each_of`.
    """
    for source, target, *rest in runs:
        count, source_step, target_step = rest or (1, 0, 0)
        if isinstance(source, int) and isinstance(target, int):
            for i in range(count):
                yield source + i * source_step, target + i * target_step


def _runs(value: Any) -> Any:
    """Merges adjacent runs of equal values: a recording may split one run into two."""
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
