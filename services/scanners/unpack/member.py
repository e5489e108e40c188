"""What openers yield."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A file in a file. `sealed` and `hidden`: see `contents.Content`; `joint` stands between the two names."""

    name: str
    data: bytes = b""
    sealed: bool = False
    hidden: bool = False
    joint: str = "/"
    type: str = ""  # where more is known than the octets tell
