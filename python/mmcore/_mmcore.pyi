# The compiled core. Private: the public names are in `mmcore`.

from typing import Final

__version__: Final[str]

def build_info() -> dict[str, str]: ...
