"""The public interface of mmcore: every function, class, method and attribute."""

import functools
import importlib
import inspect
import pkgutil
from dataclasses import dataclass, field

import mmcore
import mmcore.testing
import mmcore.typing
from mmcore import _mmcore

#: Public names that the fuzzer does not call, with the reason.
LEFT_OUT = {
    "testing.PageLife": "a test class: Hypothesis calls its rules, in tests/test_testing.py",
    "Arg": "a type",
    "Part": "a type",
    **dict.fromkeys(mmcore.typing.__all__, "a type"),
    "Result": "an abstract class: its methods are those of every result",
    "KINDS": "a constant",
    "Counters": "a dict, which `Machine.vmstat` makes",
    "ExploredPage": "the explorer makes it, for the callbacks of an owner",
    "FLAGS": "a constant",
    "FRAME_KINDS": "a constant",
    "PAGE_STATE": "a constant",
    "PageStates": "an array of NumPy, which `Machine.page_states` makes",
    "UNWRITTEN": "a constant",
    "__version__": "a constant",
    "sweep": "it calls `compare`, which the fuzzer calls, with the same arguments",
}

#: Special methods that a class may define for operators and built-in functions.
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
    """A parameter.

    Attributes:
        name: its name.
        required: whether a call must pass it.
        by_name: whether it can be passed by name.
        by_place: whether it can be passed by position.
    """

    name: str
    required: bool
    by_name: bool
    by_place: bool


@dataclass(frozen=True)
class Entry:
    """A callable or an attribute of the interface.

    Attributes:
        owner: the class that it belongs to; None for a name of the package.
        name: its name there.
        kind: `call` or `attribute`.
        parameters: its parameters.
        named: whether it takes any further name (`**fields`).
        rest: the name of the parameter that takes any number of arguments (`*names`); None if there
            is none.
    """

    owner: type | None = field(repr=False)
    name: str
    kind: str
    parameters: tuple[Parameter, ...] = field(repr=False, default=())
    named: bool = field(repr=False, default=False)
    rest: str | None = field(repr=False, default=None)

    @property
    def key(self):
        return f"{self.owner.__name__}.{self.name}" if self.owner else self.name

    @property
    def makes(self):
        """True if it is a class of plain data, which accepts any values."""
        thing = None if self.owner else package_names()[self.name]
        return isinstance(thing, type) and not is_compiled(thing)

    @property
    def compiled(self):
        """True if it belongs to a class of the compiled core."""
        return self.owner is not None and is_compiled(self.owner)


def is_compiled(cls):
    return getattr(_mmcore, cls.__name__, None) is cls


@functools.cache
def package_names():
    """The public objects of all public modules, by the names that the fuzzer uses."""
    names = {name: getattr(mmcore, name) for name in mmcore.__all__}
    for module in public_modules():
        # The names of `mmcore.testing` are also those of functions of the package.
        prefix = "testing." if module is mmcore.testing else ""
        names |= {prefix + name: getattr(module, name) for name in module.__all__}
    return names


def public_modules():
    """The modules of the package whose names are public. The commands and the plugin have none."""
    found = (module.name for module in pkgutil.iter_modules(mmcore.__path__, "mmcore."))
    named = [name for name in found if not name.partition(".")[2].startswith("_")]
    modules = map(importlib.import_module, named)
    return [module for module in modules if getattr(module, "__all__", ())]


@functools.cache
def classes():
    """The public classes, by name."""
    found = package_names().items()
    return {
        name: thing for name, thing in found if isinstance(thing, type) and name not in LEFT_OUT
    }


@functools.cache
def entries():
    """All entries, by key, in a fixed order."""
    found = []
    for name, thing in package_names().items():
        if name not in LEFT_OUT:
            found.append(_entry(None, name, thing))
    for cls in classes().values():
        found += [_entry(cls, name, inspect.getattr_static(cls, name)) for name in _members(cls)]
    return {entry.key: entry for entry in found}


def _members(cls):
    """Yields the members that classes of mmcore define, not those of `tuple` or `Exception`."""
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
            each.kind is not each.KEYWORD_ONLY,
        )
        for each in known
        if each.name != "self" and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    # Parameters that are passed by name alone come last, so that the others can be passed by
    # position.
    parameters.sort(key=lambda each: not each.by_place)
    rest = next((each.name for each in known if each.kind is each.VAR_POSITIONAL), None)
    return Entry(owner, name, "call", tuple(parameters), named, rest)
