# The compiled core. Private: the public names are in `mmcore`.

from typing import Final, final

import numpy as np
from numpy.typing import NDArray

__version__: Final[str]

def build_info() -> dict[str, str]: ...

# --- program ---

def parse_program(text: str) -> str: ...
def print_program(json: str) -> str: ...
def program_operations() -> str: ...

# --- traces ---

@final
class LackeyParser:
    def __new__(cls) -> LackeyParser: ...
    def feed(self, chunk: bytes) -> None: ...
    def finish(self) -> tuple[int, int]: ...
    def take(
        self,
        ids: NDArray[np.uint32],
        writes: NDArray[np.uint8],
        page_numbers: NDArray[np.uint64],
    ) -> None: ...
