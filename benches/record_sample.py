"""Records the trace that mmcore ships (python/mmcore/_trace/sample.npz) once more.

    python benches/record_sample.py [OUTPUT.npz]

Needs valgrind and sqlite3. The database lives in memory: the pages are the program's own. Rows of
nearly half a page make up most of the memory; then rows are read and updated in an
order without locality, as an application does.
"""

import subprocess
import sys
from pathlib import Path

from mmcore import Trace

ROWS = 300
READS = 500
SQL = f"""
CREATE TABLE page(id INTEGER PRIMARY KEY, hits INTEGER, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1})
  INSERT INTO page SELECT i, 0, zeroblob(1900) FROM n;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {READS - 1})
  SELECT sum(hits) FROM n JOIN page ON page.id = (n.i * 197 + 7) % {ROWS};
UPDATE page SET hits = hits + 1 WHERE id % 8 = 1;
"""
COMMAND = ["valgrind", "--tool=lackey", "--trace-mem=yes", "--log-fd=2", "sqlite3", ":memory:", SQL]


def main() -> None:
    default = Path(__file__).parent.parent / "python/mmcore/_trace/sample.npz"
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    # lackey's text is 300 times larger than the result: it is parsed as it comes and never stored.
    with subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as valgrind:
        assert valgrind.stderr is not None
        trace = Trace.load(f"/dev/fd/{valgrind.stderr.fileno()}")
    trace.save(output)
    print(trace)
    print(f"{output}: {output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
