"""The plan of a comparison: its variants, options, nodes and trace, checked together."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmcore._arguments import shown
from mmcore._chosen import DESIGNS, python_text, set_options
from mmcore._comparison.options import Options
from mmcore._errors import InputError
from mmcore._mmcore import MAX_FRAMES, MAX_NODES
from mmcore._units import PAGE_SIZE, NodeSize, format_size, parse_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from mmcore._comparison.against import Build
    from mmcore._trace import Trace

    #: Maps the hits, node and age of each page to the pages to promote and the pages to demote.
    Policy = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], tuple[ArrayLike, ArrayLike]]

__all__ = ["PROCESSES", "RELEASES", "Plan", "Variant", "make_plan", "parse_vary", "variants_of"]

#: The variants of a comparison without `vary`: release designs, the baseline first.
RELEASES = ("split", *(design for design in DESIGNS if design != "split"))

#: The number of processes of the shipped trace that run if no trace is given. With one process a
#: round meets one phase of the program, and rounds differ by tens of percent.
PROCESSES = 64

#: The default latencies of the first node and of the others: local DRAM, and memory behind a link.
LATENCIES_NS = (100.0, 250.0)


class Watched:
    """A policy that keeps the exception it raised.

    Such an exception goes to the caller as it is: it is a defect of the policy, and must not be
    reported as a finding in the core.

    Attributes:
        policy: the callable.
        raised: its exception; None before one is raised.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.raised: BaseException | None = None

    def __call__(
        self, hits: NDArray[Any], node: NDArray[Any], age: NDArray[Any]
    ) -> tuple[ArrayLike, ArrayLike]:
        """Calls the policy and returns its choice."""
        try:
            return self.policy(hits, node, age)
        except BaseException as error:
            self.raised = error
            raise


@dataclass(frozen=True)
class Variant:
    """One side of a comparison.

    Attributes:
        label: the variant's name in the report.
        profile: fields of the profile that differ from the kernel's preset.
        planted: slowdowns that tests of the verdict add, such as `{"slowdown": 0.03}`.
        policy: the callable that chooses the pages to move in tiering; None for the kernel's own
            choice.
        base: whether the other build runs the variant, as the baseline of this build.
    """

    label: str
    profile: Mapping[str, str]
    planted: Mapping[str, float] = field(default_factory=dict)
    policy: Watched | None = None
    base: bool = False


@dataclass(frozen=True)
class Plan:
    """A comparison that is ready to run.

    Attributes:
        variants: the variants; the first is the baseline. With two builds, each variant of this
            build comes after the same variant of the other build, which is its baseline.
        options: the options of the comparison.
        nodes: the sizes and latencies of the nodes. If empty, the load derives them: for a trace,
            a fast node that holds a quarter of its pages.
        trace: the accesses that load tiering replays.
        vary: the variants in the form of `--vary`.
        fields: fields of the profile that are set over the preset in all variants.
        against: the interpreter of the other build; None if only this build is measured.
        timed: whether the variants are timed; if not, they are only counted.
        builds: the facts of the other build and of this one; empty if only this one is measured.
        asked: further words of the command line, which choose the gates.
    """

    variants: tuple[Variant, ...]
    options: Options
    nodes: tuple[NodeSize, ...]
    trace: Trace | None
    vary: str
    fields: Mapping[str, str] = field(default_factory=dict)
    against: str | None = None
    timed: bool = True
    asked: tuple[str, ...] = ()
    builds: tuple[Build, ...] = ()

    def baseline(self, index: int) -> int:
        """The index of the variant that a variant is compared with; its own for a baseline."""
        return index - index % 2 if self.against is not None else 0

    @property
    def compared(self) -> tuple[int, ...]:
        """The indices of the variants that are compared with a baseline."""
        return tuple(index for index in range(len(self.variants)) if self.baseline(index) != index)

    def config(self, variant: Variant) -> dict[str, Any]:
        """The configuration of one variant for the core, as `protocol` describes it."""
        config: dict[str, Any] = {
            "load": self.options.load,
            "kernel": self.options.kernel,
            "profile": {**self.fields, **variant.profile},
            "migrators": self.options.threads,
            "alone": self.options.alone,
            "nodes": [{"bytes": n.bytes, "latency_ns": n.latency_ns} for n in self.nodes],
            "copy": self.options.copy,
            "seed": self.options.seed,
            "command": self.command,
        }
        if self.options.poison_rate:
            config["poison_rate"] = self.options.poison_rate
        if variant.planted:
            config["planted"] = dict(variant.planted)
        return config

    @cached_property
    def has_policies(self) -> bool:
        """True if the variants are policies; they are compared by the cost of accesses."""
        return any(variant.policy is not None for variant in self.variants)

    @property
    def primary(self) -> str:
        """The name of the measure that the verdict compares.

        Designs are compared by migrated pages per processor second: preemption by other programs
        costs wall time but no processor time, so this rate has less noise. Policies are compared by
        accesses per modelled second.
        """
        return "accesses_per_modelled_s" if self.has_policies else "pages_per_cpu_s"

    @property
    def primary_text(self) -> str:
        """The measure of `primary` in words."""
        return (
            "accesses per modelled second" if self.has_policies else "pages per migrator CPU-second"
        )

    @property
    def varied(self) -> frozenset[str]:
        """The names of the profile fields in which the variants differ."""
        return frozenset(name for variant in self.variants for name in variant.profile)

    @property
    def command(self) -> str:
        """The command line that repeats the comparison; with policies, the call in Python."""
        how = self.options
        fields = {name: value for name, value in self.fields.items() if name not in self.varied}
        if self.has_policies:
            names = ", ".join("None" if v.policy is None else v.label for v in self.variants)
            trace = "" if self._named_trace is None else f"{self._named_trace.source!r}, "
            nodes = f", nodes={self.nodes_text!r}" if self.nodes else ""
            return (
                f"mmcore.compare({trace}vary={{'policy': [{names}]}},"
                f" {python_text(how.kernel, fields)},"
                f" threads={how.threads}, seconds={how.seconds:g}{nodes}, seed={how.seed})"
            )
        words = ["mmcore", "compare"]
        if self._named_trace is not None:
            words.append(self._named_trace.source)
        words += ["--load", how.load, "--vary", self.vary, "--kernel", how.kernel]
        words += set_options(fields)
        if how.alone:
            words.append("--alone")
        words += ["--threads", str(how.threads), "--seconds", f"{how.seconds:g}"]
        if how.precision is not None:
            words += ["--precision", f"{how.precision:g}"]
        if self.nodes:
            words += ["--nodes", self.nodes_text]
        if not how.copy:
            words.append("--no-copy")
        if how.poison_rate:
            words += ["--poison-rate", f"{how.poison_rate:g}"]
        if self.against is not None:
            words += ["--against", self.against]
        return shlex.join([*words, "--seed", str(how.seed), *self.asked])

    @property
    def _named_trace(self) -> Trace | None:
        """The trace that the command names; None if a command without a name takes this trace."""
        return self.trace if self.trace is None or self.trace.sample_of != PROCESSES else None

    @property
    def smaller_nodes(self) -> str | None:
        """Nodes whose fast one is half as large, in the form of `--nodes`; None for the smallest.

        On a smaller fast node a trace causes more migrations; without a trace the result is None.
        """
        if self.trace is None:
            return None
        pages = self.trace.footprint
        fast = (self.nodes[0].bytes // PAGE_SIZE if self.nodes else pages // 4) // 2
        if fast < MIN_TIER_PAGES:
            return None
        # As many pages as the load needs, in whole MiB.
        slow = -(-(pages + pages // 16 + 512) * PAGE_SIZE // (1 << 20))
        return f"{format_size(fast * PAGE_SIZE)},{slow}MiB"

    @property
    def nodes_text(self) -> str:
        """The nodes in the form of `--nodes`; else the choice of the load in words."""
        if not self.nodes:
            by_load = {"tiering": "for a quarter of the pages", "storm": "of equal size"}
            return by_load.get(self.options.load, "of the default size")
        return ",".join(f"{format_size(n.bytes)}:{n.latency_ns:g}ns" for n in self.nodes)


def make_plan(
    trace: Trace | None,
    options: Options | None = None,
    *,
    vary: str | Mapping[str, Sequence[object]] | None = None,
    fields: Mapping[str, str] | None = None,
    variants: Sequence[Variant] | None = None,
    against: str | None = None,
    timed: bool = True,
    asked: Sequence[str] = (),
) -> Plan:
    """Checks the parts of a comparison against each other, and makes a plan of them.

    Args:
        trace: the accesses that load tiering replays; None for other loads.
        options: the options of the comparison; the defaults if left out.
        vary: the field and its values, as for `mmcore.compare`.
        fields: fields of the profile that are set over the preset in all variants.
        variants: variants to take instead of those that `vary` names.
        against: the interpreter of another build, with which each variant is compared.
        timed: whether the variants are timed, and not only counted.
        asked: words of the command line that choose the gates.

    Raises:
        InputError: if the parts do not fit; the message says what to change.
    """
    options = options or Options()
    if (trace is not None) != (options.load == "tiering"):
        raise InputError(
            f"load {options.load} takes no trace: leave the trace out, or use load tiering"
            if trace is not None
            else "load tiering needs a trace: give one"
        )
    vary = vary if vary is not None else f"release={','.join(RELEASES)}"
    named = parse_vary(vary) if isinstance(vary, str) else variants_of(vary)
    chosen = tuple(named if variants is None else variants)
    if options.load != "tiering" and any(variant.policy is not None for variant in chosen):
        raise InputError(
            "a policy needs load tiering: in the other loads nobody chooses the pages that move"
        )
    if not isinstance(vary, str):
        vary = f"{next(iter(vary))}={','.join(variant.label for variant in chosen)}"
    if against is not None and any(variant.policy is not None for variant in chosen):
        raise InputError("a policy of this interpreter cannot run in that of --against")
    # A variant that is compared with another build, or with a file of counts, needs no second one.
    fewest = 2 if timed and against is None else 1
    most = MAX_VARIANTS if against is None else MAX_VARIANTS // 2
    if not fewest <= len(chosen) <= most:
        raise InputError(f"a comparison needs {fewest} to {most} variants, not {len(chosen)}")
    if against is not None:
        chosen = tuple(
            each
            for variant in chosen
            for each in (replace(variant, label=f"{variant.label}, base", base=True), variant)
        )
    sizes = () if options.nodes is None else parse_nodes(options.nodes, latencies=LATENCIES_NS)
    if options.nodes is not None:
        _check_nodes(sizes, trace, options)
    return Plan(
        chosen, options, sizes, trace, vary, dict(fields or {}), against, timed, tuple(asked)
    )


MAX_VARIANTS = 16


def parse_vary(vary: str) -> list[Variant]:
    """Parses "FIELD=a,b,..." into variants.

    A value given twice makes two variants, to compare a design with itself.

    Raises:
        InputError: if the text has no field or an empty value.
    """
    name, equals, values = vary.partition("=")
    name = name.strip()
    if not equals or not name:
        raise InputError(f"--vary takes FIELD=a,b,..., not {vary!r}")
    variants: list[Variant] = []
    seen: dict[str, int] = {}
    for value in (part.strip() for part in values.split(",")):
        if not value:
            raise InputError(f"--vary {vary!r} has an empty value: write FIELD=a,b,...")
        seen[value] = seen.get(value, 0) + 1
        again = f" ({seen[value]})" if seen[value] > 1 else ""
        variants.append(Variant(f"{value}{again}", {name: value}))
    return variants


def variants_of(vary: Mapping[str, Sequence[object]]) -> list[Variant]:
    """Makes variants of `{"FIELD": [a, b, ...]}`, or of `{"policy": [None, f, ...]}`.

    Raises:
        InputError: if there is not exactly one field, or a policy is neither callable nor None.
        TypeError: if the argument is no mapping.
    """
    if not isinstance(vary, Mapping):
        raise TypeError(
            "vary takes a field and its values, such as 'release=split,hook' or "
            f"{{'release': ['split', 'hook']}}, not {shown(vary)}"
        )
    if len(vary) != 1:
        raise InputError(f"vary takes one field with its values, not {len(vary)} fields")
    ((name, values),) = vary.items()
    if name != "policy":
        return parse_vary(f"{name}={','.join(map(str, values))}")
    variants: list[Variant] = []
    seen: dict[str, int] = {}
    for value in values:
        if value is not None and not callable(value):
            raise InputError(f"a policy is a callable or None, not {value!r}")
        label = "kernel" if value is None else getattr(value, "__name__", type(value).__name__)
        seen[label] = seen.get(label, 0) + 1
        again = f" ({seen[label]})" if seen[label] > 1 else ""
        policy = None if value is None else Watched(value)
        variants.append(Variant(f"{label}{again}", {}, policy=policy))
    return variants


#: The fewest pages of a node: room for a few batches in flight.
MIN_NODE_PAGES = 64

#: The fewest pages of a node under the load tiering, whose fast node is small on purpose. The free
#: frames of a smaller one could all be in the per-CPU arrays.
MIN_TIER_PAGES = 16


def _check_nodes(nodes: tuple[NodeSize, ...], trace: Trace | None, options: Options) -> None:
    if options.asks_for_blocks and len(nodes) != 1:
        raise InputError(
            f"load {options.load} compacts one node: give one size with --nodes, not {len(nodes)}"
        )
    if not options.asks_for_blocks and not 2 <= len(nodes) <= MAX_NODES:
        raise InputError(f"--nodes needs the sizes of 2 to {MAX_NODES} nodes, not {len(nodes)}")
    least = (MIN_NODE_PAGES if trace is None else MIN_TIER_PAGES) * PAGE_SIZE
    for node in nodes:
        if node.bytes < least:
            raise InputError(
                f"a node of {format_size(node.bytes)} is too small: at least"
                f" {format_size(least)} are needed"
            )
    total = sum(node.bytes for node in nodes)
    if total > MAX_FRAMES * PAGE_SIZE:
        most = format_size(MAX_FRAMES * PAGE_SIZE)
        raise InputError(
            f"the nodes have {format_size(total)} together, but a machine has {most} at most"
        )
    if trace is not None and total < trace.footprint * PAGE_SIZE:
        raise InputError(
            f"the nodes hold {format_size(total)} but the trace touches {trace.footprint} pages"
            f" ({format_size(trace.footprint * PAGE_SIZE)}): make them larger (--nodes)"
        )
