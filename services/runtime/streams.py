"""Writing to a connection that may have ended since.

asyncio drops what is written to a lost connection, and the next drain or read tells. uvloop raises RuntimeError once
its handle is closed, which can be before whoever reads has heard of the end: nobody takes that for a lost connection.
"""

from __future__ import annotations

import asyncio
from typing import Any


def send(writer: asyncio.StreamWriter, octets: Any) -> None:  # noqa: ANN401 - anything with a buffer
    """Write as StreamWriter.write does; raise ConnectionResetError when the connection has ended."""
    if writer.is_closing():
        raise ConnectionResetError("the connection has ended")
    writer.write(octets)
