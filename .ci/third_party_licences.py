"""Writes the licence texts of all crates that are compiled into the extension module.

A wheel contains their machine code, and their licences ask for their texts beside it. `make wheels`
writes the file `LICENSE-THIRD-PARTY`, which the wheel's metadata takes with the project's own
licences. The script fails if a crate has no licence text or a licence that is not known to be
compatible, so that a new dependency cannot come in unread.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Licences that a crate may have; of `A OR B` one is enough, of `A AND B` each is needed.
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
#: Names of files with licence texts.
TEXTS = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?", re.IGNORECASE)
#: The standard library is compiled in too, but is no crate of the lock file.
STD = """\
The Rust standard library, <https://github.com/rust-lang/rust>, is licensed under MIT OR Apache-2.0,
as mmcore is; its authors are the Rust Project Developers. Parts of it have other licences, which
the file COPYRIGHT of that repository names.
"""


def metadata(target):
    """Cargo's metadata of the crates for a target; nothing is built."""
    command = [
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        target,
    ]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def compiled_in(data, root="mmcore-python"):
    """The packages whose code the extension module contains: not those of builds and tests."""
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    (start,) = [each for each, package in packages.items() if package["name"] == root]
    seen, todo = set(), [start]
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        todo += [
            dependency["pkg"]
            for dependency in nodes[here]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
    own = set(data["workspace_members"])
    return sorted((packages[each] for each in seen - own), key=lambda package: package["name"])


def is_allowed(expression):
    """True if an SPDX expression can be met with the licences that are allowed."""
    # Old crates write "MIT/Apache-2.0".
    slashed = expression.replace("/", " OR ")
    words = re.findall(r"[()]|[\w.+-]+(?: WITH [\w.+-]+)?", slashed)

    def either():
        met = both()
        while words[:1] == ["OR"]:
            words.pop(0)
            met = both() or met
        return met

    def both():
        met = one()
        while words[:1] == ["AND"]:
            words.pop(0)
            met = one() and met
        return met

    def one():
        word = words.pop(0) if words else ""
        if word != "(":
            return word in ALLOWED
        met = either()
        return bool(words) and words.pop(0) == ")" and met

    return either() and not words


def texts(package):
    """The licence texts of a package, by the names of their files."""
    folder = Path(package["manifest_path"]).parent
    files = [path for path in folder.iterdir() if path.is_file() and TEXTS.fullmatch(path.name)]
    named = package.get("license_file")
    if named and (folder / named).is_file():
        files.append(folder / named)
    return {
        path.name: path.read_text(encoding="utf-8", errors="replace").strip()
        for path in sorted(set(files))
    }


def written(packages):
    """The content of the file, and what is wrong with packages: no text, or no known licence."""
    wrong, parts, known = [], [STD], {}
    for package in packages:
        title = f"{package['name']} {package['version']}"
        licence = package["license"] or ""
        found = texts(package)
        if not is_allowed(licence):
            wrong.append(f"{title}: the licence {licence!r} is not among those that are allowed")
        if not found:
            wrong.append(f"{title}: there is no licence text in its package")
        parts.append(f"{'=' * 80}\n{title}\n{licence}\n{package['repository'] or ''}\n{'=' * 80}\n")
        for name, text in found.items():
            # Most crates have the same Apache text: it is printed once.
            words = " ".join(text.split())
            first = known.setdefault(words, f"{title}, {name}")
            said = text if first == f"{title}, {name}" else f"The text is that of {first}, above."
            parts.append(f"--- {name} ---\n\n{said}\n")
    return "\n".join(parts), wrong


def main(target, path):
    packages = compiled_in(metadata(target))
    content, wrong = written(packages)
    if wrong:
        sys.exit("\n".join(wrong))
    Path(path).write_text(content, encoding="utf-8")
    print(f"{path}: {len(packages)} crates")


if __name__ == "__main__":
    main(*sys.argv[1:])
