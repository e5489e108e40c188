"""Uploads into a folder: the order of system calls, what a crash leaves, and what each call's failing means."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from services.core.errors import StoreFull, StoreUnavailable
from services.runtime.fakes_store import Call, FaultyDisk
from services.runtime.folder_store import FolderStore
from tests.eventually import eventually

KEY, OTHER = "mail/acme/7Q/01A7Q", "mail/zeta/7Q/01B7Q"
ROOM = 64
HEAD = b"h" * ROOM
KINDS = {"writev", "pwrite", "fdatasync", "link", "fsync"}


async def opened(root: Path, disk: FaultyDisk, within: float = 10.0) -> FolderStore:
    store = await FolderStore.open(str(root), disk=disk, within=within)
    for key in (KEY, OTHER):
        await store.put(f"{key}-first", [b"x"])  # so that the directories are there and known
    disk.calls.clear()
    return store


def left(root: Path) -> list[str]:
    return [file.name for file in (root / ".tmp").iterdir()]


def calls(disk: FaultyDisk, root: Path) -> list[str]:
    return [
        f"{call} .tmp/*" if "/.tmp/" in path else f"{call} {os.path.relpath(path, root)}"
        for call, path in disk.calls
        if call in KINDS
    ]


async def test_head_last_then_fdatasync_link_fsync_and_then_it_returns(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    upload = store.begin(ROOM)
    await upload.write([b"bo", b"dy"])
    assert calls(disk, tmp_path) == ["writev .tmp/*"]
    await upload.commit([(KEY, HEAD)])
    assert calls(disk, tmp_path)[1:] == ["pwrite .tmp/*", "fdatasync .tmp/*", f"link {KEY}", "fsync mail/acme/7Q"]
    upload.discard()
    await eventually(lambda: not left(tmp_path))
    assert await store.get(KEY) == HEAD + b"body"
    assert (tmp_path / KEY).stat().st_mode & 0o077 == 0
    await store.close()


async def test_a_copy_is_as_durable(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    upload = store.begin(ROOM)
    await upload.write([b"body"])
    disk.calls.clear()
    await upload.commit([(KEY, HEAD), (OTHER, b"a longer head" * 10)])
    said = calls(disk, tmp_path)
    assert said.index("fdatasync .tmp/*") < said.index(f"link {OTHER}") < said.index("fsync mail/zeta/7Q")
    assert said.count("fdatasync .tmp/*") == 2
    assert await store.get(OTHER) == b"a longer head" * 10 + b"body"
    upload.discard()
    await eventually(lambda: not left(tmp_path))
    await store.close()


async def test_short_writes_are_carried_on(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    disk.most_written = 7
    upload = store.begin(ROOM)
    body = bytes(range(256))
    await upload.write([body, body[:100]])
    await upload.commit([(KEY, HEAD), (OTHER, HEAD)])
    assert await store.get(KEY) == await store.get(OTHER) == HEAD + body + body[:100]
    upload.discard()
    await store.close()


FAILING: list[tuple[Call, bool]] = [
    ("open", True), ("writev", True), ("pwrite", False), ("fdatasync", False), ("link", False), ("fsync", False),
]  # fmt: skip


@pytest.mark.parametrize(("call", "at_write"), FAILING)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_a_failure_is_typed_and_nothing_half_written_stays(
    tmp_path: Path, call: Call, number: int, *, at_write: bool
) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    upload = store.begin(ROOM)
    kind = StoreFull if number == errno.ENOSPC else StoreUnavailable
    if at_write:
        disk.fail(call, number)
        with pytest.raises(kind):
            await upload.write([b"body"])
    else:
        await upload.write([b"body"])
        disk.fail(call, number)
        with pytest.raises(kind):
            await upload.commit([(KEY, HEAD)])
    upload.discard()
    await eventually(lambda: not left(tmp_path))
    with pytest.raises(StoreUnavailable, match="given up"):
        await upload.write([b"more"])
    await store.close()


async def test_refuses_before_the_disk_is_full(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    upload = store.begin(ROOM)
    await upload.write([b"body"])
    disk.free_octets = 1_000
    with pytest.raises(StoreFull):
        await upload.write([b"body"])
    upload.discard()
    await store.close()


async def test_a_commit_that_was_given_up_ends_before_its_file_is_closed(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk, within=0.2)
    upload = store.begin(ROOM)
    await upload.write([b"body"])
    gate = disk.hang("fdatasync")
    try:
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await upload.commit([(KEY, HEAD)])
        upload.discard()
        assert left(tmp_path)
    finally:
        gate.set()
    await eventually(lambda: not left(tmp_path))
    assert await store.get(KEY) == HEAD + b"body"  # it landed, and whoever gave up sweeps it
    await store.close()


async def test_what_a_dead_process_left_is_swept_at_once_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path))
    living = store.begin(ROOM)
    await living.write([b"body"])
    [alive] = left(tmp_path)
    dead = tmp_path / ".tmp" / "upload-1-dead"
    dead.write_bytes(b"x" * 100)
    with (tmp_path / ".tmp" / "upload-2-other").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        again = await FolderStore.open(str(tmp_path))
        assert sorted(left(tmp_path)) == sorted([alive, "upload-2-other"])
        await again.close()
    await living.commit([(KEY, HEAD)])
    assert await store.get(KEY) == HEAD + b"body"
    living.discard()
    await store.close()
