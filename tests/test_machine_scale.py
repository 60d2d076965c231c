"""A machine takes memory for the frames that are used, and hardly any for the others."""

import subprocess
import sys

SCRIPT = """
import resource, time
# The class is loaded here, and not within what is measured.
from mmcore import Machine

def rss():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

before, began = rss(), time.perf_counter()
machine = Machine(nodes=["64GiB"], backed=False)
built = time.perf_counter() - began
empty = rss() - before
assert machine.nodes[0].frames == 1 << 24
frames = 1 << 18
refs = [machine.alloc(order=10) for _ in range(frames >> 10)]
used = rss() - before - empty
for ref in refs:
    ref.put()
machine.audit().raise_for_findings()
print(built, empty, used / frames)
"""


def test_a_machine_of_2_to_the_24_frames_costs_what_it_uses():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    seconds, empty, per_frame = map(float, done.stdout.split())
    print(
        f"built in {seconds:.3f} s, {empty / 2**20:.1f} MiB empty, {per_frame:.1f} B a used frame"
    )
    assert empty < 16 << 20
    assert per_frame < 48
