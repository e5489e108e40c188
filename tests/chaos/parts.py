"""The parts that chaos strikes: each can be killed and comes back, and can be stopped and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from docker import DockerClient
from docker.errors import APIError

from services.cli.child import Child
from services.core.errors import StartError
from services.runtime.broker import Broker

CLUSTER = "Z2F0ZXBvc3QtY2hhb3MtMQ"  # the id of the Kafka cluster: 16 octets, base64
AGAIN = 0.5  # seconds before a part that died is started again
FREEZES = 10  # tries


class Part(Protocol):
    """A process, or a container."""

    name: str

    async def kill(self) -> None:
        """SIGKILL."""
        ...

    async def back(self) -> None:
        """Start it again after a kill, and return once it serves."""
        ...

    async def pause(self) -> None:
        """SIGSTOP."""
        ...

    async def go_on(self) -> None:
        """SIGCONT."""
        ...

    async def end(self) -> None:
        """The run is over."""
        ...


class Process:
    """What parts that are processes of this machine have in common."""

    name: str

    @property
    def pid(self) -> int | None:
        raise NotImplementedError

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    async def go_on(self) -> None:
        self._signal(signal.SIGCONT)


class Service(Process):
    """`gatepost run NAME`, started again whenever it dies, as a supervisor does."""

    def __init__(self, name: str, unit: str, environ: Mapping[str, str]) -> None:
        self.name = name
        self.deaths = 0  # that nobody ordered
        self._expected = 0
        self._child = Child(name, (unit,), environ)
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid

    async def start(self) -> None:
        await self._child.start()
        self._keeping = asyncio.create_task(self._keep(), name=f"keep-{self.name}")

    async def kill(self) -> None:
        self._expected += 1
        await super().kill()

    async def _keep(self) -> None:
        while True:
            process = self._child._process
            assert process is not None
            await process.wait()
            if self._expected:
                self._expected -= 1
            else:
                self.deaths += 1
            await asyncio.sleep(AGAIN)
            while True:
                try:
                    await self._child.start()
                    break
                except StartError:
                    self._child = Child(self.name, self._child._units, self._child._environ)
                    await asyncio.sleep(AGAIN)

    async def back(self) -> None:
        """The keeper does that."""

    async def end(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._child.stop()


class Node(Process):
    """One broker of three: the embedded broker, with the settings of a cluster."""

    def __init__(self, number: int, data: Path, ports: list[int], inner: list[int], control: list[int]) -> None:
        """`ports`: where clients are told to go, which are wires to `inner[n] - 1`."""
        index = number - 1
        self.name = f"kafka-{number}"
        self._broker = Broker(
            data,
            inner[index],
            cluster=CLUSTER,
            extra={
                "node.id": str(number),
                "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(control, 1)),
                "listeners": f"PLAINTEXT://127.0.0.1:{inner[index]},PEERS://127.0.0.1:{inner[index + 3]},"
                f"CONTROLLER://127.0.0.1:{control[index]}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports[index]},PEERS://127.0.0.1:{inner[index + 3]}",
                "inter.broker.listener.name": "PEERS",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PEERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "default.replication.factor": "3",
                "min.insync.replicas": "2",
                "offsets.topic.replication.factor": "3",
                "transaction.state.log.replication.factor": "3",
                "transaction.state.log.min.isr": "2",
            },
        )
        self.data = data

    @property
    def pid(self) -> int | None:
        return self._broker.pid

    async def start(self) -> None:
        """Start it; on a machine under load one may give up while it waits for the others."""
        for _ in range(4):
            try:
                await self._broker.start()
            except StartError:
                await asyncio.sleep(1.0)
            else:
                return
        await self._broker.start()

    async def back(self) -> None:
        await self._broker.wait_exit()
        await self.start()

    async def end(self) -> None:
        await self.kill()  # at the end nothing is asked of it any more
        with contextlib.suppress(StartError):
            await self._broker.wait_exit()
            await self._broker.stop()


class Container:
    """A neighbour in a container: the store, the database, an engine."""

    def __init__(self, name: str, docker: DockerClient, image: str, **settings: Any) -> None:
        self.name = name
        self._docker = docker
        self._image = image
        self._settings = settings
        self._container: Any = None

    async def start(self) -> None:
        self._container = await asyncio.to_thread(self._run)

    def _run(self) -> Any:
        return self._docker.containers.run(self._image, detach=True, **self._settings)

    async def kill(self) -> None:
        await asyncio.to_thread(self._container.kill)

    async def back(self) -> None:
        await asyncio.to_thread(self._container.start)

    async def pause(self) -> None:
        for left in reversed(range(FREEZES)):
            try:
                await asyncio.to_thread(self._container.pause)
            except APIError as error:  # what waits for the disk can't be frozen, for as long as it does
                if not left or "unable to freeze" not in str(error):
                    raise
                await asyncio.sleep(AGAIN)
            else:
                return

    async def go_on(self) -> None:
        await asyncio.to_thread(self._container.unpause)

    async def end(self) -> None:
        if self._container is not None:
            await asyncio.to_thread(self._container.remove, force=True, v=True)


class Disk:
    """A small file system of its own in memory, which can be filled to the last octet and emptied again."""

    def __init__(self, name: str, folder: Path, megabytes: int) -> None:
        self.name = name
        self.folder = folder
        self._megabytes = megabytes
        self._ballast = folder / "ballast"

    async def mount(self) -> None:
        """Mount it; needs the right to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        code = await _run("mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m,mode=0777", "chaos", str(self.folder))
        if code:
            raise StartError(f"a file system of its own can't be mounted at {self.folder}: it needs root")

    def fill(self) -> None:
        """Take all the room there is."""
        block = b"\0" * 65_536
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(block):
                pass

    def empty(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)

    async def end(self) -> None:
        await _run("umount", "-l", str(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)


async def _run(*command: str) -> int:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()
