"""The folder store on an ext4 of its own, whose power is cut: what the journal has not written by then is lost.

Needs root, mkfs.ext4 and a loop device. The cut is ext4's own, made for tests of file systems (EXT4_IOC_SHUTDOWN).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.errors import StartError, StoreFull, StoreUnavailable
from services.runtime.folder_store import FolderStore
from tests.parts import lacking

_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
_NO_LOG_FLUSH = struct.pack("I", 2)

WRITER = """
import asyncio, sys
from services.runtime.folder_store import FolderStore

async def main(root):
    store = await FolderStore.open(root, reserve=0)
    async def writer(lane):
        for number in range(100000):
            key = f"mail/acme/{number % 20:02d}/{lane}-{number:04d}"
            await store.put(key, [key.encode() * 150])
            print(key, flush=True)
    await asyncio.gather(*(writer(lane) for lane in range(8)))

asyncio.run(main(sys.argv[1]))
"""


class Drive:
    """An ext4 in a file, mounted."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "image"
        self.path = folder / "mount"
        with self._image.open("wb") as file:
            file.truncate(64 * 1_048_576)
        self.path.mkdir()
        self._run("mkfs.ext4", "-q", "-F", str(self._image))

    def mount(self) -> None:
        self._run("mount", "-o", "loop", str(self._image), str(self.path))

    def unmount(self) -> None:
        self._run("umount", str(self.path))

    def read_only(self) -> None:
        self._run("mount", "-o", "remount,ro", str(self.path))

    def cut_power(self) -> None:
        file = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(file, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(file)

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        lacking("needs root and mkfs.ext4")
    drive = Drive(tmp_path)
    try:
        drive.mount()
    except subprocess.CalledProcessError as error:
        lacking(f"no loop device can be mounted here: {error.stderr!r}")
    try:
        yield drive
    finally:
        drive.unmount()


async def test_what_was_acknowledged_survives_a_power_cut(drive: Drive) -> None:
    root = str(drive.path / "data" / "store")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, root, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        lines = [await process.stdout.readline() for _ in range(300)]
        drive.path.joinpath("control").write_bytes(b"x" * 4_000)  # a write that nobody syncs
        drive.cut_power()
        process.kill()
        # What it printed meanwhile came after puts that returned: from before the cut, or after syncs that succeeded.
        lines += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
    promised = {line.decode().strip() for line in lines if line.endswith(b"\n")}
    drive.unmount()
    drive.mount()
    control = drive.path / "control"
    assert not control.exists() or control.read_bytes() != b"x" * 4_000  # the cut was a cut
    store = await FolderStore.open(root, reserve=0)
    there = {stat.key async for stat in store.list("")}
    assert promised <= there
    for key in there:
        assert await store.get(key) == key.encode() * 150
    await store.close()
    assert len(promised) >= 300


async def attempt(store: FolderStore, key: str) -> type[Exception] | None:
    try:
        await store.put(key, [bytes(1_500_000)])
    except StoreUnavailable as error:
        return type(error)
    return None


async def test_a_full_drive_refuses_and_goes_on_when_there_is_room(drive: Drive) -> None:
    store = await FolderStore.open(str(drive.path), reserve=0)
    results = [await attempt(store, f"mail/acme/7Q/{number}") for number in range(60)]
    kept = results.count(None)
    assert set(results) == {None, StoreFull}
    assert len([stat async for stat in store.list("")]) == kept > 10
    assert list((drive.path / ".tmp").iterdir()) == []
    await store.delete("mail/acme/7Q/0")
    await store.put("mail/acme/7Q/again", [bytes(1_000_000)])
    await store.close()


async def test_a_drive_that_turns_read_only(drive: Drive) -> None:
    store = await FolderStore.open(str(drive.path), reserve=0)
    await store.put("mail/acme/7Q/A", [b"head"])
    drive.read_only()
    for call in (store.put("mail/acme/7Q/B", [b"x"]), store.delete("mail/acme/7Q/A"), store.check()):
        with pytest.raises(StoreUnavailable, match="EROFS"):
            await call
    assert await store.get("mail/acme/7Q/A") == b"head"
    await store.close()
    with pytest.raises(StartError, match="Read-only file system"):
        await FolderStore.open(str(drive.path), reserve=0)
