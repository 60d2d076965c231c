"""What of mmcore is public: every function, class, method and attribute that a script can name."""

import functools
import inspect
from dataclasses import dataclass, field

import mmcore
import mmcore.testing

#: Public names that are not called here, and why.
LEFT_OUT = {
    "testing.PageLife": "a test class: Hypothesis calls its rules, in tests/test_testing.py",
    "FLAGS": "a constant",
    "PAGE_STATE": "a constant",
    "UNWRITTEN": "a constant",
    "__version__": "a constant",
}

#: What a class of its own may define for operators and built-in functions.
SPECIAL = (
    "__bool__",
    "__contains__",
    "__delitem__",
    "__enter__",
    "__eq__",
    "__exit__",
    "__getitem__",
    "__hash__",
    "__index__",
    "__iter__",
    "__len__",
    "__ne__",
    "__repr__",
    "__setitem__",
    "__str__",
)


@dataclass(frozen=True)
class Parameter:
    name: str
    required: bool
    by_name: bool


@dataclass(frozen=True)
class Entry:
    """One thing that can be called or looked at.

    Attributes:
        owner: the class that it belongs to; None for a name of the package.
        name: its name there.
        kind: `call` or `attribute`.
        parameters: what it takes.
        named: whether it takes any further name (`**fields`).
    """

    owner: type | None = field(repr=False)
    name: str
    kind: str
    parameters: tuple[Parameter, ...] = field(repr=False, default=())
    named: bool = field(repr=False, default=False)

    @property
    def key(self):
        return f"{self.owner.__name__}.{self.name}" if self.owner else self.name

    @property
    def makes(self):
        """Whether it makes an object of plain data, of whatever it is given."""
        thing = None if self.owner else package_names()[self.name]
        return isinstance(thing, type) and thing.__module__ != "mmcore"

    @property
    def compiled(self):
        """Whether it belongs to a class of the compiled core."""
        return self.owner is not None and self.owner.__module__ == "mmcore"


def package_names():
    """Every public name, by what it is called here."""
    names = {name: getattr(mmcore, name) for name in mmcore.__all__}
    for name in mmcore.testing.__all__:
        names[f"testing.{name}"] = getattr(mmcore.testing, name)
    return names


@functools.cache
def classes():
    """The public classes, by name."""
    found = package_names().items()
    return {
        name: thing for name, thing in found if isinstance(thing, type) and name not in LEFT_OUT
    }


@functools.cache
def entries():
    """Everything that is to be called, by key, in a fixed order."""
    found = []
    for name, thing in package_names().items():
        if name not in LEFT_OUT:
            found.append(_entry(None, name, thing))
    for cls in classes().values():
        found += [_entry(cls, name, inspect.getattr_static(cls, name)) for name in _members(cls)]
    return {entry.key: entry for entry in found}


def _members(cls):
    """What classes of mmcore define; what `tuple` or `Exception` define is Python's."""
    for name in dir(cls):
        home = next(base for base in cls.__mro__ if name in vars(base) or base is object)
        if home.__module__.partition(".")[0] != "mmcore":
            continue
        if not name.startswith("_") or name in SPECIAL:
            yield name


def _entry(owner, name, thing):
    called = thing if owner is None else getattr(owner, name)
    plain = isinstance(thing, property) or not callable(called)
    plain = plain or inspect.isgetsetdescriptor(thing) or inspect.ismemberdescriptor(thing)
    if plain:
        return Entry(owner, name, "attribute")
    try:
        known = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):
        known = []
    named = any(each.kind is each.VAR_KEYWORD for each in known)
    parameters = [
        Parameter(
            each.name,
            each.default is each.empty,
            each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD),
        )
        for each in known
        if each.name != "self" and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    # What comes after a name has to be named too.
    only = {each.name for each in known if each.kind is each.KEYWORD_ONLY}
    parameters.sort(key=lambda each: each.name in only)
    return Entry(owner, name, "call", tuple(parameters), named)
