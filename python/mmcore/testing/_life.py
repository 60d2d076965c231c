"""`PageLife`: a stateful Hypothesis test whose rules act on the pages of one machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

import mmcore

if TYPE_CHECKING:
    from mmcore import Pin, Region
    from mmcore.handles import AddressSpace, Isolated, PageRef

__all__ = ["PageLife", "Written"]

#: The bytes of a base page.
_PAGE = 4096


@dataclass(eq=False)
class Written:
    """A region with the expected content of its pages.

    Attributes:
        region: the region.
        bytes: for each page of the region the value of its first byte, as it was last written; 0
            for a page that was never written.
    """

    region: Region
    bytes: list[int] = field(default_factory=list)


class PageLife(RuleBasedStateMachine):
    """A stateful test that maps, writes, forks, pins, locks, isolates, migrates, drains and unmaps.

    The machine is audited after every rule; a finding fails the test with a `FindingError`. Each
    read is compared with the last write. A subclass adds its own rules. `machine_options` are the
    options of the machine, which has at least two nodes because the rules use nodes 0 and 1. The
    bundle `mapped` holds the regions in use as `Written` objects; `references`, `pins` and
    `isolated` hold the `PageRef`, `Pin` and `Isolated` objects that are not given back yet::

        class MyLife(PageLife):
            machine_options = {"release": "packed"}

            @rule(written=PageLife.mapped)
            def move_all(self, written):
                self.space.move_pages(written.region.addresses(), nodes=1)

        TestMyLife = MyLife.TestCase
    """

    #: Options of `mmcore.Machine`; without `nodes` the machine has two nodes of 1 MiB.
    machine_options: ClassVar[dict[str, Any]] = {}

    mapped = Bundle("mapped")
    references = Bundle("references")
    pins = Bundle("pins")
    isolated = Bundle("isolated")

    machine: mmcore.Machine
    space: AddressSpace

    @initialize()
    def boot(self) -> None:
        """Makes the machine and its address space."""
        self.machine = mmcore.Machine(**{"nodes": ["1MiB", "1MiB"], **self.machine_options})
        self.space = self.machine.address_space()

    # --- memory ---

    @rule(target=mapped, pages=st.integers(1, 4), node=st.integers(0, 1))
    def mmap(self, pages: int, node: int) -> Written:
        """Maps anonymous memory of 1 to 4 pages."""
        return Written(self.space.mmap(pages * _PAGE, node=node), [0] * pages)

    @rule(written=mapped, page=st.integers(0, 3), byte=st.integers(1, 255))
    def write(self, written: Written, page: int, byte: int) -> None:
        """Writes the first byte of a page."""
        page %= len(written.bytes)
        written.region[page * _PAGE] = byte
        written.bytes[page] = byte

    @rule(written=mapped)
    def read(self, written: Written) -> None:
        """Reads the first byte of every page of a region and compares it with the last write."""
        for page, byte in enumerate(written.bytes):
            found = written.region[page * _PAGE]
            assert found == byte, f"page {page} reads as {found}, written was {byte}"

    @rule(written=consumes(mapped))
    def unmap(self, written: Written) -> None:
        """Unmaps a region."""
        written.region.unmap()

    @rule()
    def fork_and_exit(self) -> None:
        """Forks a child, which shares all pages, and ends it."""
        self.space.fork().exit()

    @rule()
    def drain(self) -> None:
        """Drains the LRU batches of all CPUs, so that their pages go to their lists."""
        self.machine.drain()

    # --- references, pins and locks ---

    @rule(target=references, written=mapped, page=st.integers(0, 3))
    def get(self, written: Written, page: int) -> Any:
        """Takes a reference on a page."""
        return self._held(lambda: self._page(written, page).get())

    @rule(reference=consumes(references))
    def put(self, reference: PageRef) -> None:
        """Puts a reference back."""
        reference.put()

    @rule(target=pins, written=mapped, page=st.integers(0, 3))
    def pin(self, written: Written, page: int) -> Any:
        """Pins a page, as a driver does for DMA."""
        return self._held(lambda: written.region.pin(page % len(written.bytes)))

    @rule(pin=consumes(pins))
    def unpin(self, pin: Pin) -> None:
        """Gives a pin back."""
        pin.unpin()

    @rule(written=mapped, page=st.integers(0, 3))
    def lock(self, written: Written, page: int) -> None:
        """Locks a page and unlocks it in the same rule.

        If the lock stayed until a later rule, most rules in between would raise `MisuseError`.
        """
        if self._present(written, page):
            with self._page(written, page).lock():
                pass

    # --- migration ---

    @rule(target=isolated, written=mapped, page=st.integers(0, 3))
    def isolate(self, written: Written, page: int) -> Any:
        """Isolates a page from its LRU list."""
        return self._held(lambda: self._page(written, page).isolate())

    @rule(token=consumes(isolated))
    def putback(self, token: Isolated) -> None:
        """Puts an isolated page back."""
        token.putback()

    @rule(token=consumes(isolated), node=st.integers(0, 1))
    def migrate(self, token: Isolated, node: int) -> None:
        """Migrates an isolated page; a migration that fails puts the page back."""
        self._held(lambda: token.migrate(node=node))

    @rule(written=mapped, node=st.integers(0, 1))
    def move_pages(self, written: Written, node: int) -> None:
        """Moves all pages of a region to a node by one call of `move_pages`."""
        self._held(lambda: self.space.move_pages(written.region.addresses(), nodes=node))

    # --- invariants ---

    @invariant()
    def audited(self) -> None:
        """Audits the machine.

        Raises:
            FindingError: if the audit has a finding.
        """
        if hasattr(self, "machine"):
            self.machine.audit().raise_for_findings()

    def teardown(self) -> None:
        """Closes the machine."""
        if hasattr(self, "machine"):
            self.machine.close()

    @staticmethod
    def _page(written: Written, page: int) -> mmcore.Page:
        return written.region.page(page % len(written.bytes))

    def _present(self, written: Written, page: int) -> bool:
        address = int(written.region.addresses()[page % len(written.bytes)])
        return self.space.page_at(address) is not None

    def _held(self, take: Any) -> Any:
        """Returns what `take` returns, for the bundle of the rule.

        If the machine refuses the call, `multiple()` without values adds nothing to the bundle.
        """
        try:
            return take()
        except (mmcore.errors.KernelError, mmcore.errors.MisuseError):
            return multiple()
