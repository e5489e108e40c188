"""The argument of BDAT, read (RFC 3030 section 2). Pure.

Where the octets of a chunk end is known before the first of them is read, and from the number alone. So nothing in a
message can be taken for a command, and no command for a message, as long as the number is read in one way only.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from services.ingress.commands import BadCommand

_CHUNK: Final = re.compile(r"([0-9]{1,15})(?: +(LAST))?", re.IGNORECASE | re.ASCII)


class Chunk(NamedTuple):
    """What follows the command line."""

    size: int  # octets
    last: bool


def parse_chunk(argument: str) -> Chunk:
    """Return the chunk that `argument` announces; raise BadCommand, after which nobody knows where commands go on."""
    match = _CHUNK.fullmatch(argument)
    if match is None:
        raise BadCommand("no chunk size")
    return Chunk(int(match[1]), match[2] is not None)
