"""Owners of movable pages in Python under the explorer: planted bugs are found, told and shrunk."""

import pytest

import mmcore
from mmcore.errors import InputError
from mmcore.handles import MovableOps

PROGRAM = """
movable m0 2
thread A
  isolate m0
  migrate m0:0 node=1
  putback m0:1
thread B
  isolate m0:1
  putback m0:1
  release m0:1
finally
  audit
  release m0
"""


class Careful(MovableOps):
    """Keeps an account of its pages, and refuses a page that it has given away."""

    def __init__(self):
        self.pages = None

    def isolate(self, page):
        if self.pages is not None:
            self.pages.discard(page.pfn)
        return "isolated" not in page.flags

    def migrate(self, source, target, _mode):
        target.copy_from(source)
        return True


class Counting(MovableOps):
    """Counts isolations; the count is part of a schedule's state."""

    def __init__(self):
        self.isolated = 0

    def isolate(self, *_):
        self.isolated += 1
        assert self.isolated <= 4, "the count outlived its schedule"
        return True


class MovesWithoutCopying(MovableOps):
    def migrate(self, *_):
        return True


class FreesTwice(MovableOps):
    def putback(self, page):
        page.put()


class ForgetsPutback(MovableOps):
    """Keeps an account, from which an isolated page goes and to which it never returns."""

    def __init__(self):
        self.gone = set()

    def isolate(self, page):
        self.gone.add(page.pfn)
        return True

    def held(self):
        return {0, 1} - self.gone


class Raises(MovableOps):
    def migrate(self, *_):
        raise ZeroDivisionError("no such page")


def explored(owner, program=PROGRAM, **options):
    options = {"schedules": 500, "jobs": 1} | options
    return mmcore.explore(program, owners={"m0": owner}, **options)


@pytest.mark.parametrize("owner", [MovableOps(), Careful(), Counting()])
@pytest.mark.parametrize("release", ["split", "hook"])
def test_a_sound_owner_breaks_no_rule(owner, release):
    result = explored(owner, release=release)
    assert result.counterexample is None, str(result.counterexample)


def test_a_sound_owner_is_searched_exhaustively():
    program = "movable m0 1\nthread A\n  isolate m0\n  migrate m0 node=1\nthread B\n  isolate m0"
    result = explored(Counting(), program, search="exhaustive", schedules=None)
    assert (result.counterexample, result.coverage) == (None, "bounded")


@pytest.mark.parametrize(
    ("owner", "rule", "operations"),
    [
        (MovesWithoutCopying(), "content is what was last written", 2),
        (FreesTwice(), "get on zero", 3),
        (Raises(), "an owner's callback does not raise", 2),
    ],
)
def test_a_planted_bug_is_found_and_shrunk(owner, rule, operations):
    found = explored(owner).counterexample
    assert found is not None
    assert found.rule == rule, str(found)
    assert sum(len(thread.ops) for thread in found.program.threads) == operations, str(found)
    played = mmcore.replay(found.program, found.schedule, owners={"m0": owner})
    assert played.rule == rule
    assert mmcore.replay(found.program, found.schedule).rule is None


def test_an_owner_that_loses_a_page_is_found():
    program = "movable m0 2\nthread A\n  isolate m0:0\n  putback m0:0\nthread B\n  isolate m0:1"
    found = explored(ForgetsPutback(), program, shrink=0).counterexample
    assert found is not None
    assert found.rule == "an owner accounts for its pages"
    assert "its owner does not have it" in found.detail


def test_an_exception_is_told_with_its_call():
    found = explored(Raises()).counterexample
    assert "ZeroDivisionError: no such page" in found.detail
    assert "migrate(page" in found.detail


def test_a_refusal_is_no_bug():
    class Refuses(MovableOps):
        def isolate(self, *_):
            raise BlockingIOError

        def migrate(self, *_):
            raise PermissionError

    assert explored(Refuses()).counterexample is None


def test_each_schedule_begins_with_the_owner_as_the_set_up_left_it():
    owner = Counting()
    program = f"movable m0 1\nisolate m0\nputback m0\n{PROGRAM.split('m0 2', 1)[1]}"
    program = program.replace("m0:1", "m0:0")
    assert explored(owner, program).counterexample is None
    assert owner.isolated == 0, "the caller's own object is left alone"


def test_an_owner_that_answers_differently_is_told():
    answers = iter([True, False] * 100_000)

    class Fickle(MovableOps):
        def isolate(self, *_):
            return next(answers)

        def __deepcopy__(self, memo):
            return self

    with pytest.raises(InputError, match=r"m0 is not deterministic.*isolate\(page 0x0\) gave"):
        mmcore.replay("movable m0 1\nthread A\n  isolate m0", "", owners={"m0": Fickle()})


def test_owners_are_validated():
    with pytest.raises(InputError, match="write `movable m1 1`"):
        mmcore.explore(PROGRAM, owners={"m1": MovableOps()})

    class Unique(MovableOps):
        def __deepcopy__(self, memo):
            raise TypeError("there is only one")

    with pytest.raises(InputError, match="m0 cannot be copied: TypeError: there is only one"):
        explored(Unique())


def test_a_page_is_usable_in_its_callback_only():
    kept = []

    class Keeps(MovableOps):
        def isolate(self, page):
            assert page.read(0) == page.read()
            assert (page.refcount, page.node, page == page) == (2, 0, True)
            with pytest.raises(IndexError):
                page.read(1 << 20)
            kept.append(page)
            return True

    program = "movable m0 1\nthread A\n  isolate m0\n  putback m0"
    assert explored(Keeps(), program, schedules=1).counterexample is None
    for use in (kept[0].read, kept[0].put, lambda: kept[0].write(0, 1)):
        with pytest.raises(mmcore.errors.MisuseError, match="only inside of its callback"):
            use()
    assert "pfn=" in repr(kept[0])
    assert len({*kept}) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("call", ["explore", "replay", "parallel"])
def test_an_exception_that_ends_a_program_comes_out_of_the_search(error, call):
    class Ends(MovableOps):
        def isolate(self, _):
            raise error("the owner has had enough")

    program = "movable m0 1\nthread A\n  isolate m0\nthread B\n  isolate m0"
    calls = {
        "explore": lambda: explored(Ends(), program),
        "parallel": lambda: explored(Ends(), program, jobs=4, schedules=100_000),
        "replay": lambda: mmcore.replay(program, "", owners={"m0": Ends()}),
    }
    with pytest.raises(error, match="the owner has had enough"):
        calls[call]()


def test_an_exception_that_ends_a_program_comes_out_of_a_copy_of_an_owner():
    class Ends(MovableOps):
        def __deepcopy__(self, _):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explored(Ends())
