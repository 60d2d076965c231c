"""Small traces in the formats of other tools."""

import json
import struct

#: The end of the lines of accesses: the instruction.
BY = b"by PC 0x0000000000404a7e"
DRMEMTRACE = b"""\
Output format:
<--record#-> <--instr#->: <---tid---> <record details>
------------------------------------------------------------
           1           0:     2765542 <marker: version 5>
           2           1:     2765542 ifetch       6 byte(s) @ 0x0000000000404a78 0f 84 5b 01 00
                                      00                jz     $0x0000000000404bd9 (untaken)
           3           1:     2765542 read         8 byte(s) @ 0x00007fdf64e2adc8 BY
------------------------------------------------------------
           4           2:     2765543 write       16 byte(s) @ 0x00007fdf64e2aff8 BY
           5           3:     2765542 read         4 byte(s) @ 0x0000000000001000 BY
View tool results:
               3 : total instructions
""".replace(b"BY", BY)
#: The forms that the thread has in older and newer versions.
OLD_DRMEMTRACE = b"""\
Output format:
<record#>: T<tid> <record details>
------------------------------------------------------------
   173370: T1774669 read         8 byte(s) @ 0x00007f8881e37c70 by PC 0x0000000000402680
   173371: T1774668 write        8 byte(s) @ 0x00007f8881e37a70 by PC 0x0000000000402680
"""
SCHEDULED_DRMEMTRACE = b"""\
           1           0:       W0.T3 <marker: version 3>
           2           1:       W0.T3 read         4 byte(s) @ 0x0000002a by PC 0x00000010
           3           1:       W1.T3 write        4 byte(s) @ 0x0000002a by PC 0x00000010
"""
PERF = b"""\
# captured on a machine
15424  1597.265753: cpu/mem-loads,ldlat=30/P:     7fbd9dc85110
15424  1597.265753: cpu/mem-loads-aux/:                0
15425  1597.265799:       cpu/mem-stores/P:     7fbd9dc86ff8
15424  1597.265801:       cpu/mem-stores/P:                0
"""
PERF_OF_A_THREAD_WITH_BLANKS = b"""\
     worker 3 2 15424/15426 [001]  1597.265753:  1 cpu/mem-loads,ldlat=30/P:     7fbd9dc85110
     worker 3 2 15424/15427 [001]  1597.265799:  1       cpu/mem-stores/P:     7fbd9dc86ff8
"""
PINATRACE = b"0x7f3bf7e4a5d0: W 0x7ffc9a4d8f58\n0x7f3bf7e4a5d3: R 0x7ffc9a4d9000\n#eof\n"
SIZED_PINATRACE = (
    b"0x7f3bf7e4a5d0: W 0x7ffc9a4d8ffc  8 0xffffffff\n0x7f3bf7e4a5d3: R 0x7ffc9a4d9000  1\n#eof\n"
)


def damon(regions):
    """A document with one target and one snapshot."""
    rows = [
        {"start": start, "end": end, "nr_accesses": samples, "age": {"usec": "1 s"}}
        for start, end, samples in regions
    ]
    snapshot = {"start_time": "0", "end_time": "100 ms", "regions": rows, "total_bytes": "1"}
    return {"kdamond_idx": 0, "target_id": None, "snapshots": [snapshot]}


DAMON = json.dumps(
    [
        damon(
            [
                ("4,096", "12,288", {"samples": 2, "percent": None}),
                (12288, 16384, 0),
                ("16K", "20K", {"samples": "1", "percent": None}),
            ]
        )
    ]
).encode()
CSV = b"version,time,op,size,lbn\n1,33898,2a,512,42932745\n1,33899,28,9000,17\n1,33900,28,4096,17\n"


def oracle(*requests):
    """A trace of `oracleGeneral` of objects and their sizes."""
    objects = [number for number, _ in requests]
    nexts = [
        next((later for later in range(at + 1, len(objects)) if objects[later] == number), -1)
        for at, number in enumerate(objects)
    ]
    return b"".join(
        struct.pack("<IQIq", 100 + at, number, size, following)
        for at, ((number, size), following) in enumerate(zip(requests, nexts, strict=True))
    )


ORACLE = oracle((42932745, 512), (2**63, 9000), (42932745, 512), (2**63, 100))

#: One intact file of each format, by name.
SAMPLES = {
    "drmemtrace": DRMEMTRACE,
    "perf script": PERF,
    "pinatrace": PINATRACE,
    "damon": DAMON,
    "csv": CSV,
    "oracleGeneral": ORACLE,
}
