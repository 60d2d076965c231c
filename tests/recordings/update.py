"""Adds the recordings that match, by `mmcore conformance --json` on stdin, to matching.json."""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    path = Path(__file__).with_name("matching.json")
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for row in json.load(sys.stdin)["recordings"]:
        if row["matches"]:
            known[row["kernel"]] = sorted({*known.get(row["kernel"], []), row["name"]})
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
