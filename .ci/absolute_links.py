"""Makes the links of README.md absolute, for the page of the package on its registry.

A registry shows the README without the repository around it: a relative link leads nowhere there.
The address of the repository is `Repository` in `[project.urls]` of pyproject.toml. Without it the
links stay relative, and the script says so. Run it once when the address is known; a test
(tests/test_readme.py) then keeps the links absolute.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: A link or a picture of Markdown; the first group is `!` for a picture.
LINK = re.compile(r"(!?)(\[[^\]]*\])\(([^)\s]+)\)")


def repository():
    """The address of the repository, without a slash at its end; None if there is none yet."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository")
    return address and address.rstrip("/")


def absolute(text, address):
    """The text with absolute links: pictures lead to the bare file, other links to its page."""

    def link(found):
        picture, name, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        kind = "raw" if picture else "blob"
        return f"{picture}{name}({address}/{kind}/HEAD/{target})"

    return LINK.sub(link, text)


def main():
    address = repository()
    if address is None:
        sys.exit("pyproject.toml has no Repository in [project.urls]: the links stay relative")
    path = ROOT / "README.md"
    path.write_text(absolute(path.read_text(encoding="utf-8"), address), encoding="utf-8")


if __name__ == "__main__":
    main()
