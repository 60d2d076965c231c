"""Tables that notebooks show of machines, pages and values."""

from html.parser import HTMLParser

import pytest

import mmcore
from mmcore import _state, results


class Texts(HTMLParser):
    """The texts of all cells, and whether every element is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, _attributes):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def texts(value):
    return Texts(value._repr_html_()).texts


def test_a_machine_shows_its_nodes_and_counters(build):
    machine = build(nodes=["1MiB", "2MiB:250ns"])
    region = machine.address_space().mmap("16KiB")
    region[0:1] = b"x"
    shown = texts(machine)
    assert {"256", "512", "250"} <= set(shown)
    assert "pgfault" in shown
    assert not any(name in shown for name in ("pgmigrate_success", "pgsteal_direct"))
    machine.close()
    assert "closed" in "".join(texts(machine))


def test_a_page_shows_its_state_and_its_holders(build):
    machine = build()
    region = machine.address_space().mmap("4KiB")
    region[0:1] = b"x"
    page = region.page(0)
    shown = texts(page)
    assert f"{page.pfn:#x}" in shown
    assert all(holder.text in shown for holder in page.holders())
    assert " ".join(page.flags) in shown
    # A free frame has a state, too.
    assert texts(machine.page(page.pfn + 1))


def test_values_show_their_attributes(build):
    machine = build()
    assert {"Watermarks", "min", "low", "high"} <= set(texts(machine.watermarks()))
    assert "audit: clean" in texts(machine.audit())
    finding = results.Finding("a <rule>", 0x10, "5 & 6")
    assert {"a <rule>", "0x10", "5 & 6"} <= set(texts(results.Audit([finding])))
    assert {"a <rule>", "5 & 6"} <= set(texts(finding))
    state = machine.page(0).state()
    assert "refcount" in texts(state)


@pytest.mark.parametrize("name", _state.__all__)
def test_every_value_that_a_machine_returns_is_shown(name):
    thing = getattr(_state, name)
    if isinstance(thing, type):
        assert callable(thing._repr_html_)


def test_a_search_is_shown_as_its_page_is():
    assert "no violation" in "".join(texts(mmcore.explore("thread A\n  drain", schedules=3)))


def test_counters_show_those_that_are_not_zero(build):
    counters = build().vmstat()
    shown = texts(counters)
    assert "nr_free_pages" in shown
    assert "pgfault" not in shown
    zeroes = sum(not value for value in counters.values())
    assert f"{zeroes} counters are 0" in shown


def test_states_of_pages_show_the_first_ones(build):
    machine = build()
    machine.address_space().mmap("4KiB")[0:1] = b"x"
    states = machine.page_states(range(50))
    shown = texts(states)
    assert "and 30 more pages" in shown
    assert any("swapbacked" in text for text in shown)
    assert not any("more pages" in text for text in texts(states[:20]))


def test_a_trace_shows_its_sizes():
    trace = mmcore.Trace.zipf(2_000, 5_000, threads=3)
    assert {"5,000", f"{trace.footprint:,}", "3", trace.source} <= set(texts(trace))


def test_a_traced_block_shows_its_events(build):
    machine = build()
    machine.address_space().mmap("4KiB")[0:1] = b"x"
    with machine.trace() as traced:
        machine.drain()
    assert {"mm_lru_insertion", "lru=nr_inactive_anon"} & set(texts(traced))
