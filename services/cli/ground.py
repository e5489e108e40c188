"""What must hold before anything starts: a data folder of our own with room in it, and free ports."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from services.core.errors import StartError

ROOM = 100_000_000  # octets free below which nothing is started
PORT_WITHIN = 15.0  # seconds for the processes of a killed predecessor to let go of their ports


@contextlib.contextmanager
def own(data: Path) -> Iterator[bool]:
    """Hold the data folder for this process; yield whether the last holder did not stop cleanly.

    Raises StartError when the folder can't be made, is read-only or full, or is held by another process.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        with (data / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StartError(
                    f"another Gatepost runs on {data}; stop it, or name another folder with --data"
                ) from None
            free = shutil.disk_usage(data).free
            if free < ROOM:
                raise StartError(f"{data} has {free // 1_000_000} MB free, {ROOM // 1_000_000} MB are needed")
            marker = data / "running"
            unclean = marker.exists()
            _write_durably(marker, f"{os.getpid()}\n".encode())
            yield unclean
    except OSError as error:
        raise StartError(f"{data} can't be used: {error.strerror or error}") from error


def stopped_cleanly(data: Path) -> None:
    """Note that nothing is left to recover. Called last: a crash before it makes the next start look."""
    with contextlib.suppress(OSError):
        (data / "running").unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # without it a power cut could take the marker along with what it should tell of
    finally:
        os.close(folder)


async def port_free(host: str, port: int, *, wait: bool) -> None:
    """Return when a server can listen there; raise StartError when another does. `wait` gives that a while to end."""
    deadline = time.monotonic() + (PORT_WITHIN if wait else 0.0)
    while (reason := _taken(host, port)) is not None:
        if time.monotonic() >= deadline:
            raise StartError(f"port {port} on {host} can't be used: {reason}; name another with --port")
        await asyncio.sleep(0.2)


def _taken(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)  # a bound port that somebody listens on is found only here
        except OSError as error:
            return error.strerror or str(error)
    return None
