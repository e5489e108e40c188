"""TCP ports on this machine that stay free until their owner takes them, also across restarts."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1 at this port now. A connection in TIME_WAIT doesn't count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return that many different free ports below the range from which the system takes those of outgoing connections.

    In that range a client that keeps calling a server that is down can be given the server's own port, and then the
    server can't come back. Raises OSError when there are not enough.
    """
    highest = 32_768  # Linux's default; macOS starts at 49152
    with contextlib.suppress(OSError, ValueError, IndexError):
        highest = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    # at random, so that two that look at the same time find different ones
    candidates = random.sample(range(_LOWEST, max(highest, _LOWEST + 1000)), 500)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise OSError("no free port")
    return found
