"""The embedded broker: a real single-node Apache Kafka on 127.0.0.1, without Java or Maven on the machine.

DIR/broker.json         its ports, kept so that clients find it again
DIR/broker.lock         held by the process that owns the broker; the kernel frees it when that process dies
DIR/broker.pid          the broker's process, so that one that outlived its owner is found
DIR/broker.properties   written anew at each start
DIR/kafka/              the log
DIR/scratch/            what Java unpacks; emptied at each start
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from io import BufferedWriter
from pathlib import Path
from typing import Final

import msgspec

from services.core.errors import StartError
from services.runtime.broker_archive import ensure_archive
from services.runtime.broker_jars import ensure_jars, reason
from services.runtime.broker_jvm import Jvm, command, format_logs
from services.runtime.broker_settings import render, settings
from services.runtime.ports import free_ports, is_free

START_S: Final = 60.0  # seconds; a start on a cold disk takes 5
STOP_S: Final = 20.0  # seconds; a stop takes 0.5
ROOM: Final = 64 * 1024 * 1024  # octets free below which Kafka dies in the middle of a write
_log = logging.getLogger("gatepost.broker")


class Ports(msgspec.Struct, frozen=True):
    """What broker.json holds."""

    port: int
    controller_port: int


class Broker:
    """One broker, owned by this process: it ends with it. Use it from one task; start it again after it died."""

    def __init__(self, data: Path, port: int = 0, *, extra: Mapping[str, str] | None = None, cluster: str = "") -> None:
        """`data` is the folder DIR above; `port` 0 keeps that of last time or finds one; `extra` settings win.

        `cluster`: the id that the nodes of a cluster share, where `extra` makes this one of several.
        """
        self._data = data.resolve()
        self._port = port
        self._extra = extra
        self._cluster = cluster
        self._ports: Ports | None = None
        self._jvm: Jvm | None = None
        self._lock: BufferedWriter | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the broker runs."""
        return self._jvm.pid if self._jvm and self._jvm.running else None

    async def start(self) -> str:
        """Start the broker and return its bootstrap address once it serves; one that runs already is left alone.

        Raises StartError, one line, when it can't: no room, a folder that can't be written or is another's, a port in
        use, jars that can't be had, or Java's own last words. Then nothing is left running.
        """
        if self._jvm and self._jvm.running:
            return self._bootstrap()
        started = time.monotonic()
        try:
            self._open_folder()
            await stop_stale(self._data)
            self._choose_ports()
            jars = await ensure_jars()
            archive = await ensure_archive(jars)
            properties = self._data / "broker.properties"
            scratch = self._data / "scratch"
            self._write(properties, scratch)
            if not (self._data / "kafka" / "meta.properties").exists():
                await format_logs(jars, properties, self._data, scratch=scratch, cluster=self._cluster)
            flags = ("-Xshare:auto", f"-XX:SharedArchiveFile={archive}") if archive else ()
            argv = command(jars, "kafka.Kafka", [str(properties)], scratch=scratch, flags=flags)
            self._jvm = await Jvm.spawn(argv, self._data)
            (self._data / "broker.pid").write_text(str(self._jvm.pid), encoding="ascii")
            await self._jvm.ready(START_S)
        except OSError as error:
            await self._abandon()
            raise StartError(f"the broker's folder {self._data} can't be used: {reason(error)}") from error
        except BaseException:
            await self._abandon()
            raise
        _log.info(
            "broker up: address=%s pid=%d seconds=%.1f", self._bootstrap(), self._jvm.pid, time.monotonic() - started
        )
        return self._bootstrap()

    async def stop(self) -> None:
        """Stop the broker so that its next start is quick, and give the folder free. Fine when it doesn't run."""
        if self._jvm:
            status = await self._jvm.stop(STOP_S)
            _log.info("broker stopped: exit=%d", status)
        self._release()

    async def wait_exit(self) -> int:
        """Return the exit status of the broker once it has ended; negative for a signal."""
        if self._jvm is None:
            raise StartError("the broker was never started")
        return await self._jvm.wait()

    def _bootstrap(self) -> str:
        if self._ports is None:
            raise StartError("the broker was never started")
        return f"127.0.0.1:{self._ports.port}"

    def _open_folder(self) -> None:
        """Make the folder this process's own, with room to write. Raises OSError and StartError."""
        if "," in str(self._data):
            raise StartError(f"Kafka can't use a folder with a comma in its name: {self._data}")
        self._data.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            lock = (self._data / "broker.lock").open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.close()
                raise StartError(f"another Gatepost runs on {self._data}; stop it, or name another folder") from error
            self._lock = lock
        with tempfile.TemporaryFile(dir=self._data) as probe:
            probe.write(b"\0")
        check_room(self._data, shutil.disk_usage(self._data).free)

    def _choose_ports(self) -> None:
        """Settle on the ports of last time. One that is taken is replaced only where nobody can rely on it yet."""
        path = self._data / "broker.json"
        kept = read_ports(path)
        port = self._port or (kept.port if kept else 0)
        if port and not is_free(port):
            if self._port or self._ports:
                raise StartError(f"port {port} of 127.0.0.1 is in use; stop what listens there, or name another port")
            _log.warning("the broker's port of last time is in use, taking another: port=%d", port)
            port = 0
        controller = kept.controller_port if kept else 0
        spare = iter(free_ports(2))
        port = port or next(spare)
        if not controller or controller == port or not is_free(controller):
            controller = next(spare)
        self._ports = Ports(port, controller)
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self._ports))
        new.replace(path)

    def _write(self, properties: Path, scratch: Path) -> None:
        if self._ports is None:
            raise StartError("the broker has no ports yet")
        logs = self._data / "kafka"
        logs.mkdir(mode=0o700, exist_ok=True)  # events name senders and recipients
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700, exist_ok=True)
        values = settings(logs, self._ports.port, self._ports.controller_port, self._extra)
        properties.write_text(render(values), encoding="ascii")

    async def _abandon(self) -> None:
        if self._jvm:
            await self._jvm.kill()
            self._jvm = None
        self._release()

    def _release(self) -> None:
        if self._lock:
            (self._data / "broker.pid").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


@contextlib.asynccontextmanager
async def running(data: Path, port: int = 0, *, extra: Mapping[str, str] | None = None) -> AsyncIterator[Broker]:
    """Start a broker for the length of the block. Raises StartError."""
    broker = Broker(data, port, extra=extra)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def check_room(folder: Path, free: int) -> None:
    """Raise StartError when `free` octets are too few to start with."""
    if free < ROOM:
        raise StartError(f"no room under {folder}: {free >> 20} MB free, the broker needs {ROOM >> 20} MB")


def read_ports(path: Path) -> Ports | None:
    """Return the kept ports; None when there are none, or when a power cut left half of them."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ports)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def command_line(pid: int) -> str | None:
    """Return the command line of a process, None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() or None
    except (FileNotFoundError, ProcessLookupError):
        return None


async def stop_stale(data: Path, within: float = STOP_S) -> bool:
    """Stop a broker of this folder that outlived its owner; return whether there was one.

    The caller holds the folder's lock, so whoever started it is dead. A process that only happens to have its number
    is left alone.
    """
    try:
        pid = int((data / "broker.pid").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return False

    def ours() -> bool:
        return str(data / "broker.properties") in (command_line(pid) or "")

    if not ours():
        return False
    _log.warning("a broker outlived its owner and is stopped: pid=%d", pid)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + within
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        while time.monotonic() < deadline:
            if not ours():
                return True
            await asyncio.sleep(0.05)
    raise StartError(f"the broker of {data} that still runs can't be stopped: pid {pid}")
