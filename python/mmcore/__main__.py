"""The `mmcore` command."""

from __future__ import annotations

import sys

from mmcore.errors import MissingExtraError


def main() -> None:
    """Runs the command line, or says which extra brings it."""
    try:
        # Imported here: the base installation has this file but not the command line's libraries.
        from mmcore.cli import run
    except MissingExtraError as error:
        print(f"mmcore: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
