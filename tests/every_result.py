"""A result of each class, with each of its endings: for tests of all of them."""

import functools
import json
from pathlib import Path

import mmcore
from mmcore._comparison import Comparison, Options
from mmcore._comparison.plan import make_plan
from mmcore._comparison.runner import measure
from mmcore._exploration import many
from mmcore._exploration.hunted import Mutations, hunt
from mmcore._exploration.hunting import defects
from simulated_rig import SimulatedBackend

PROGRAM = "map r0 anon 1\nwrite r0\nthread A\n  move r0 node=1\nthread B\n  read r0\n"
#: Nobody drains, so that the page is on no list, and the isolation is refused.
REFUSED = "map r0 anon 1\nwrite r0\nthread A\n  isolate r0\n"
STUCK = "map r0 anon 1\nwrite r0\nlock r0\nthread A\n  lock r0\n"
MOVE = "map r0 anon 2\nwrite r0:0\ndrain\nmove r0 node=1\n"
RACE = "copy-after-restore"
RECORDINGS = Path(__file__).parent / "recordings"
RECORDING = RECORDINGS / "6.12" / "h01-migrate-anon.json"


def trace():
    return mmcore.Trace([page % 300 for page in range(600)], [page % 3 == 0 for page in range(600)])


def compared(seconds, trace=None, vary="release=split,packed"):
    backend = SimulatedBackend({"packed": 1.25})
    options = Options(load="storm" if trace is None else "tiering", seconds=seconds)
    plan = make_plan(trace, options, vary=vary)
    return Comparison(measure(plan, backend, clock=backend.clock))


def still(_hits, _node, _age):
    return [], []


def changed(tmp_path):
    recording = json.loads(RECORDING.read_text())
    recording["steps"][4]["ret"] = 7
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(recording))
    return mmcore.conformance(path)


def damaged(tmp_path):
    path = tmp_path / "damaged.json"
    path.write_text("{}")
    return mmcore.conformance([RECORDING, path], skip_unread=True)


def mapped():
    with mmcore.Machine(nodes=["4MiB", "64KiB"]) as machine:
        machine.arrange("aa.s" * 250 + "aa.v" * 5 + "kzbH", node=0)
        return machine.map()


def mapped_twice():
    with mmcore.Machine(nodes=["64KiB"]) as machine:
        before = machine.map()
        machine.arrange("a." * 8)
        return before.beside(machine.map())


def stepped():
    with mmcore.Machine(nodes=["4MiB"]) as machine:
        machine.arrange("a." * 256 + "." * 256 + "a." * 128)
        before = machine.map()
        run = machine.compact(0, moves=True)
        return before.beside(machine.map(), run.moves).steps()


def swept(*more):
    return mmcore.sweep(
        {"nodes": ["4MiB,4MiB", *more]},
        load="storm",
        vary="release=split,packed",
        gate="work",
        alone=True,
    )


#: Name, the kind of its document, and what makes it from a folder to write to.
RESULTS = {
    "comparison": ("comparison", lambda _: compared(3)),
    "comparison of policies": (
        "comparison",
        lambda _: compared(3, trace(), vary={"policy": [None, still]}),
    ),
    "comparison of this machine": (
        "comparison",
        lambda _: mmcore.compare(
            load="storm", nodes="8MiB,8MiB", vary="release=split,packed", seconds=0.2
        ),
    ),
    "comparison of this machine under a swap storm": (
        "comparison",
        lambda _: mmcore.compare(
            load="zram",
            nodes="16MiB",
            vary="release=split,packed",
            profile={"pageblock_order": 6},
            seconds=0.3,
        ),
    ),
    "comparison that is too short": (
        "comparison",
        lambda _: compared(1e-4),
    ),
    "conformance": ("conformance", lambda _: mmcore.conformance(RECORDING)),
    "conformance that is not supported": (
        "conformance",
        lambda _: mmcore.conformance(RECORDINGS / "6.12" / "h30-compact-balloon.json"),
    ),
    "conformance with a damaged file": ("conformance", damaged),
    "conformance that differs": ("conformance", changed),
    "counterexample": (
        "counterexample",
        lambda _: mmcore.explore(PROGRAM, mutation=RACE).counterexample,
    ),
    "replay": ("replay", lambda _: mmcore.replay(PROGRAM, "0x3", max_steps=5_000)),
    "exploration": ("exploration", lambda _: mmcore.explore(REFUSED, schedules=5)),
    "exploration with a race": ("exploration", lambda _: mmcore.explore(PROGRAM, mutation=RACE)),
    "exploration that stopped": (
        "exploration",
        lambda _: mmcore.explore(PROGRAM, search="exhaustive", preemptions=None, schedules=5),
    ),
    "exploration with its pairs": ("exploration", lambda _: mmcore.explore(PROGRAM, pairs=True)),
    "hunt": ("hunt", lambda _: hunt(RACE, "hook-without-lock")),
    "hunt of one": ("hunt", lambda _: hunt(RACE)),
    "hunt that fails": ("hunt", lambda _: hunt(RACE, schedules=1)),
    "map": ("map", lambda _: mapped()),
    "map of two moments": ("map-change", lambda _: mapped_twice()),
    "moves of a run": ("map-steps", lambda _: stepped()),
    "mutations": ("mutations", lambda _: Mutations(defects())),
    "outcome diff": (
        "outcome-diff",
        lambda _: mmcore.diff(PROGRAM, kernel="6.1,6.12", preemptions=0),
    ),
    "outcome diff that stopped": (
        "outcome-diff",
        lambda _: mmcore.diff(PROGRAM, vary="pagevec=15,31", schedules=3),
    ),
    "pairs": ("pairs", lambda _: mmcore.explore(PROGRAM, schedules=50, pairs=True).pairs),
    "policies": ("policies", lambda _: mmcore.policies(trace(), policy="lru,fifo", size=[16, 64])),
    "profiles": ("profiles", lambda _: mmcore.profiles()),
    "profiles of two": ("profiles", lambda _: mmcore.profiles("6.1", "6.12")),
    "profiles of one twice": ("profiles", lambda _: mmcore.profiles("6.1", "6.1")),
    "run": ("run", lambda _: mmcore.run(MOVE)),
    "run of threads": ("run", lambda _: mmcore.run(PROGRAM, release="packed")),
    "run that is refused": ("run", lambda _: mmcore.run(REFUSED)),
    "run that is stuck": ("run", lambda _: mmcore.run(STUCK, patience=0.05)),
    "soak": ("soak", lambda _: many.soak(300, seed=5)),
    "standard": (
        "standard",
        lambda _: many.standard(matching="movable 1: release", release="split"),
    ),
    "standard that stopped": (
        "standard",
        lambda _: many.standard(matching="movable 1", release="split", schedules=3),
    ),
    "step diff": ("step-diff", lambda _: mmcore.diff(MOVE, kernel="6.1,6.12")),
    "step diff of the same": ("step-diff", lambda _: mmcore.diff(MOVE, vary="pagevec=15,31")),
    "sweep": ("sweep", lambda _: swept()),
    "sweep with a point that does not fit": ("sweep", lambda _: swept("nonsense")),
    "trace": ("trace", lambda _: trace().summary()),
    "trace of threads": (
        "trace",
        lambda _: mmcore.Trace.zipf(50, 2_000, threads=30).summary(),
    ),
    "stress": ("stress", lambda _: mmcore.stress(PROGRAM, seconds=0.05)),
    "stress that is stuck": ("stress", lambda _: mmcore.stress(STUCK, seconds=1, patience=0.05)),
}


@functools.cache
def result(name, folder):
    """The result of that name; made once."""
    return RESULTS[name][1](folder)
