"""A model of the memory of one process and its children, one operation after the other.

The model uses lists and sets where the core uses atomics, locks and batches. It stores neither
the counts of a page nor any counter of pages, but computes them from the references. The
expected content of a page is kept apart from the frames. `Model.step` takes one line of a
program and returns the visible state afterwards, in the terms of recordings
(docs/conformance.md)."""

from collections import Counter

from .advice import Advice
from .batches import Batches
from .faults import Faults
from .files import Files
from .migrate import Migrate
from .mlock import Mlock
from .parts import MOVES, Refused
from .pins import Pins
from .policies import Policies
from .processes import Processes
from .seen import Seen
from .storage import Storage
from .swap import Swap


class Model(
    Batches, Mlock, Faults, Files, Storage, Swap, Processes, Advice, Pins, Migrate, Policies, Seen
):
    def __init__(self, profile):
        self.profile = profile
        self.frames = set()
        self.regions = {}
        self.children = {}
        self.pins = {}
        self.pipes = []
        self.events = Counter()
        self.add, self.mlock = [], []
        self.moves = {move: [] for move in MOVES}
        self.no_batches = False
        self.files = []
        self.swap = False
        #: By node, the number of evictions and activations, which is the clock of refaults.
        self.age = Counter()
        self.made = 0
        self.writes = 0
        self.last_frames = {}

    def step(self, line):
        name, *words = line.split()
        before = self.counters()
        seen = {"ret": 0}
        try:
            seen |= getattr(self, f"op_{name}")(*words) or {}
        except Refused as error:
            seen |= {"ret": -1, "errno": str(error)}
            if name in ("unmap", "mlock", "munlock", "madv", "mbind", "msync"):
                seen["calls_ret"] = [[1, f"-{error}"]]
        after = self.counters()
        for place, values in after.items():
            keys = values.keys() | before[place].keys()
            deltas = {key: values[key] - before[place][key] for key in keys}
            seen[place] = {key: delta for key, delta in deltas.items() if delta}
        seen["pages"] = {name: self.shown(region) for name, region in self.regions.items()}
        seen["child"] = {
            child: {name: self.view(regions, name) for name in self.regions}
            for child, regions in self.children.items()
        }
        return seen
