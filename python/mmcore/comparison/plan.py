"""What is compared with what, under which load: checked, and complete enough to be repeated."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmcore._units import PAGE_SIZE, NodeSize, format_size, parse_nodes
from mmcore.arguments import number, time_limit
from mmcore.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from mmcore.trace import Trace

    #: Hits, node and age of each page, to what is to be promoted and what demoted.
    Policy = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], tuple[ArrayLike, ArrayLike]]

__all__ = ["DESIGNS", "Plan", "Variant", "make_plan", "parse_vary", "variants_of"]

#: The release designs, the baseline first: what is compared when nothing else is asked for.
DESIGNS = ("split", "putback", "hook", "hook_late", "packed")

LOADS = ("tiering", "storm")

#: Access latencies of the first node and of the others, where none is given: DRAM, and memory that
#: is attached over a link.
LATENCIES_NS = (100.0, 250.0)


class Watched:
    """A policy that remembers what it raised: that is its author's own error, and no finding."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.raised: BaseException | None = None

    def __call__(
        self, hits: NDArray[Any], node: NDArray[Any], age: NDArray[Any]
    ) -> tuple[ArrayLike, ArrayLike]:
        """What the policy says."""
        try:
            return self.policy(hits, node, age)
        except BaseException as error:
            self.raised = error
            raise


@dataclass(frozen=True)
class Variant:
    """One of the things compared.

    Attributes:
        label: its name in the report.
        profile: fields of the profile that differ from the kernel's preset.
        planted: flaws for tests of the verdict, such as `{"slowdown": 0.03}`.
        policy: what decides which pages move in tiering; None for the kernel's way.
    """

    label: str
    profile: Mapping[str, str]
    planted: Mapping[str, float] = field(default_factory=dict)
    policy: Watched | None = None


@dataclass(frozen=True)
class Plan:
    """A comparison that is ready to run; the first variant is the baseline.

    Without nodes the load derives them: for a trace, a fast one that holds a quarter of its pages.
    """

    variants: tuple[Variant, ...]
    load: str
    kernel: str
    threads: int
    alone: bool
    seconds: float
    nodes: tuple[NodeSize, ...]
    copy: bool
    seed: int
    precision: float
    trace: Trace | None
    vary: str
    poison_rate: float = 0.0

    def config(self, variant: Variant) -> dict[str, Any]:
        """The configuration of one variant, as `protocol` describes it."""
        config: dict[str, Any] = {
            "load": self.load,
            "kernel": self.kernel,
            "profile": dict(variant.profile),
            "migrators": self.threads,
            "alone": self.alone,
            "nodes": [{"bytes": n.bytes, "latency_ns": n.latency_ns} for n in self.nodes],
            "copy": self.copy,
            "seed": self.seed,
            "command": self.command,
        }
        if self.poison_rate:
            config["poison_rate"] = self.poison_rate
        if variant.planted:
            config["planted"] = dict(variant.planted)
        return config

    @property
    def has_policies(self) -> bool:
        """Whether it is policies that are compared, and so where the accesses go."""
        return any(variant.policy is not None for variant in self.variants)

    @property
    def primary(self) -> str:
        """The measure that the verdict is about.

        Of designs it is what a migration costs: preemption by other programs costs wall time but no
        processor time, so this one is the quieter; the table shows both. Of policies it is what the
        accesses cost.
        """
        return "accesses_per_modelled_s" if self.has_policies else "pages_per_cpu_s"

    @property
    def primary_text(self) -> str:
        """The same in words."""
        return (
            "accesses per modelled second" if self.has_policies else "pages per migrator CPU-second"
        )

    @property
    def command(self) -> str:
        """The command line that repeats this comparison; of policies, the call."""
        if self.has_policies:
            names = ", ".join("None" if v.policy is None else v.label for v in self.variants)
            trace = "" if self.trace is None or self.trace.is_sample else f"{self.trace.source!r}, "
            nodes = f", nodes={self.nodes_text!r}" if self.nodes else ""
            return (
                f"mmcore.compare({trace}vary={{'policy': [{names}]}}, kernel={self.kernel!r},"
                f" threads={self.threads}, seconds={self.seconds:g}{nodes}, seed={self.seed})"
            )
        words = ["mmcore", "compare"]
        if self.trace is not None and not self.trace.is_sample:
            words.append(self.trace.source)
        words += ["--load", self.load, "--vary", self.vary, "--kernel", self.kernel]
        if self.alone:
            words.append("--alone")
        words += ["--threads", str(self.threads), "--seconds", f"{self.seconds:g}"]
        words += ["--precision", f"{self.precision:g}"]
        if self.nodes:
            words += ["--nodes", self.nodes_text]
        if not self.copy:
            words.append("--no-copy")
        if self.poison_rate:
            words += ["--poison-rate", f"{self.poison_rate:g}"]
        return shlex.join([*words, "--seed", str(self.seed)])

    @property
    def nodes_text(self) -> str:
        """The nodes as `--nodes` takes them, or how they are chosen."""
        if not self.nodes:
            return "for a quarter of the pages" if self.trace is not None else "of equal size"
        return ",".join(f"{format_size(n.bytes)}:{n.latency_ns:g}ns" for n in self.nodes)


def make_plan(
    trace: Trace | None,
    *,
    load: str = "tiering",
    vary: str | Mapping[str, Sequence[object]] | None = None,
    kernel: str = "6.12",
    threads: int = 2,
    alone: bool = False,
    seconds: float = 30.0,
    nodes: str | None = None,
    copy: bool = True,
    seed: int = 1,
    precision: float = 0.005,
    poison_rate: float = 0.0,
    variants: Sequence[Variant] | None = None,
) -> Plan:
    """Checks the options and completes them; the arguments are those of `mmcore.compare`."""
    if load not in LOADS:
        raise InputError(f"load {load!r} is not one of {', '.join(LOADS)}")
    if (trace is not None) != (load == "tiering"):
        raise InputError(
            "the storm makes its own accesses: leave the trace out, or use load tiering"
            if trace is not None
            else "the tiering load replays a trace: give one"
        )
    if alone and load == "tiering":
        raise InputError("alone is for load storm: in tiering the accesses cause the migrations")
    threads = number("threads", threads, 1, MAX_THREADS)
    seconds = time_limit("seconds", seconds)
    if seconds > MAX_SECONDS:
        raise InputError(f"seconds must be more than 0 and at most {MAX_SECONDS}, not {seconds:g}")
    precision = _fraction("precision", precision)
    if precision in (0, 1):
        raise InputError(f"precision must be a fraction between 0 and 1, not {precision:g}")
    poison_rate = _fraction("poison_rate", poison_rate)
    seed = number("seed", seed)
    vary = vary if vary is not None else f"release={','.join(DESIGNS)}"
    named = parse_vary(vary) if isinstance(vary, str) else variants_of(vary)
    chosen = tuple(named if variants is None else variants)
    if load != "tiering" and any(variant.policy is not None for variant in chosen):
        raise InputError("a policy is for load tiering: in a storm pages move at random")
    if not isinstance(vary, str):
        vary = f"{next(iter(vary))}={','.join(variant.label for variant in chosen)}"
    if not 2 <= len(chosen) <= MAX_VARIANTS:
        raise InputError(f"a comparison needs 2 to {MAX_VARIANTS} variants, not {len(chosen)}")
    sizes = () if nodes is None else parse_nodes(nodes, latencies=LATENCIES_NS)
    if nodes is not None:
        _check_nodes(sizes, trace)
    return Plan(
        chosen,
        load,
        kernel,
        threads,
        bool(alone),
        seconds,
        sizes,
        bool(copy),
        seed,
        precision,
        trace,
        vary,
        poison_rate,
    )


def _fraction(name: str, value: float) -> float:
    try:
        # A text is no number, whatever it says: nothing can be added to it.
        part = float(value + 0)
    except (TypeError, ValueError, OverflowError):
        part = math.nan
    if not 0 <= part <= 1:
        raise InputError(f"{name} must be from 0 to 1, not {str(value)[:40]}")
    return part


#: A storm has two users of memory for each migrator, and can tell 31 writers apart.
MAX_THREADS = 15
MAX_SECONDS = 86_400
MAX_VARIANTS = 16


def parse_vary(vary: str) -> list[Variant]:
    """The variants of "FIELD=a,b,...". A value given twice is two variants: A against A."""
    name, equals, values = vary.partition("=")
    name = name.strip()
    if not equals or not name:
        raise InputError(f"--vary takes FIELD=a,b,..., not {vary!r}")
    variants: list[Variant] = []
    seen: dict[str, int] = {}
    for value in (part.strip() for part in values.split(",")):
        if not value:
            raise InputError(f"--vary {vary!r}: a value is empty")
        seen[value] = seen.get(value, 0) + 1
        again = f" ({seen[value]})" if seen[value] > 1 else ""
        variants.append(Variant(f"{value}{again}", {name: value}))
    return variants


def variants_of(vary: Mapping[str, Sequence[object]]) -> list[Variant]:
    """The variants of `{"FIELD": [a, b, ...]}`; of `{"policy": [...]}` callables and None."""
    if len(vary) != 1:
        raise InputError(f"vary takes one field and its values, not {len(vary)}")
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


#: A node holds at least this many pages: a few batches in flight.
MIN_NODE_PAGES = 64


def _check_nodes(nodes: tuple[NodeSize, ...], trace: Trace | None) -> None:
    if not 2 <= len(nodes) <= MAX_NODES:
        raise InputError(f"pages migrate between 2 to {MAX_NODES} nodes, not {len(nodes)}")
    for node in nodes:
        if node.bytes < MIN_NODE_PAGES * PAGE_SIZE:
            raise InputError(
                f"a node of {format_size(node.bytes)} is too small: at least"
                f" {format_size(MIN_NODE_PAGES * PAGE_SIZE)} are needed"
            )
    total = sum(node.bytes for node in nodes)
    if total // PAGE_SIZE >= 1 << 32:
        raise InputError(f"{format_size(total)} are too much: a machine has less than 2**32 pages")
    if trace is not None and total < trace.footprint * PAGE_SIZE:
        raise InputError(
            f"the nodes hold {format_size(total)} but the trace touches {trace.footprint} pages"
            f" ({format_size(trace.footprint * PAGE_SIZE)}): make them larger (--nodes)"
        )


MAX_NODES = 64
