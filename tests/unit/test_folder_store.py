"""The folder store's own promises: the order of system calls, and what each of them failing means."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.clock import ManualClock
from services.core.errors import BadKey, ObjectConflict, ObjectNotFound, StartError, StoreFull, StoreUnavailable
from services.runtime.fakes_store import Call, FaultyDisk
from services.runtime.folder_store import FolderStore
from services.runtime.keys import checked_key

KEY = "mail/acme/7Q/01A7Q"
DURABLE: tuple[Call, ...] = ("writev", "fdatasync", "link", "fsync")


async def opened(root: Path, disk: FaultyDisk, within: float = 10.0) -> FolderStore:
    store = await FolderStore.open(str(root), disk=disk, within=within)
    disk.calls.clear()
    return store


@contextlib.contextmanager
def hanging(disk: FaultyDisk) -> Iterator[None]:
    """Let no sync end within the block. Always let go: a thread that hangs keeps the test run from ending."""
    gate = disk.hang("fdatasync")
    try:
        yield
    finally:
        gate.set()


def durable_calls(disk: FaultyDisk, root: Path) -> list[str]:
    """Return the calls on which durability rests, in order, with the temporary file's random name left out."""
    return [
        f"{call} .tmp/*" if "/.tmp/" in path else f"{call} {os.path.relpath(path, root)}"
        for call, path in disk.calls
        if call in DURABLE
    ]


async def test_a_put_is_write_fdatasync_link_fsync_and_then_returns(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    await store.put("mail/acme/7Q/first", [b"x"])
    disk.calls.clear()
    await store.put(KEY, [b"he", b"ad"])
    assert durable_calls(disk, tmp_path) == [
        "writev .tmp/*",
        "fdatasync .tmp/*",
        f"link {KEY}",
        "fsync mail/acme/7Q",
    ]
    await store.close()


async def test_new_directories_are_synced_up_to_the_root(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    await store.put(KEY, [b"head"])
    calls = durable_calls(disk, tmp_path)
    assert calls[-4:] == ["fsync mail/acme/7Q", "fsync mail/acme", "fsync mail", "fsync ."]
    disk.calls.clear()
    await store.put("mail/acme/8R/01B8R", [b"head"])
    assert durable_calls(disk, tmp_path)[-2:] == ["fsync mail/acme/8R", "fsync mail/acme"]
    await store.close()


async def test_a_directory_that_another_made_is_synced_too(tmp_path: Path) -> None:
    """Its maker may not have come as far as its own fsync, and this put answers for the whole path."""
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    (tmp_path / "mail/acme/7Q").mkdir(parents=True)
    await store.put(KEY, [b"head"])
    assert durable_calls(disk, tmp_path)[-4:] == ["fsync mail/acme/7Q", "fsync mail/acme", "fsync mail", "fsync ."]
    await store.close()


async def test_an_object_that_is_there_already_is_synced_before_it_counts(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    disk.fail("fsync", errno.EIO)
    with pytest.raises(StoreUnavailable):
        await store.put(KEY, [b"head"])
    disk.calls.clear()
    await store.put(KEY, [b"head"])
    assert durable_calls(disk, tmp_path)[-4:] == ["fsync mail/acme/7Q", "fsync mail/acme", "fsync mail", "fsync ."]
    await store.close()


async def test_the_root_is_synced_into_its_parents_when_it_is_made(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await FolderStore.open(str(tmp_path / "a" / "b"), disk=disk)
    synced = [path for call, path in disk.calls if call == "fsync"]
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    await store.close()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreUnavailable),
        (errno.EACCES, StoreUnavailable),
        (errno.EIO, StoreUnavailable),
        (errno.EMFILE, StoreUnavailable),
        (errno.ETIMEDOUT, StoreUnavailable),
    ],
)
@pytest.mark.parametrize("call", ["open", "writev", "fdatasync", "close", "link", "mkdir"])
async def test_a_put_that_fails_leaves_nothing(
    tmp_path: Path, call: Call, number: int, expected: type[StoreUnavailable]
) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    disk.fail(call, number)
    with pytest.raises(StoreUnavailable) as caught:
        await store.put(KEY, [b"secret content"])
    assert type(caught.value) is expected
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ObjectNotFound):
        await store.get(KEY)
    assert list((tmp_path / ".tmp").iterdir()) == []
    await store.put(KEY, [b"head"])
    assert await store.get(KEY) == b"head"
    await store.close()


async def list_all(store: FolderStore) -> list[str]:
    return [stat.key async for stat in store.list("")]


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        ("open", lambda store: store.get(KEY)),
        ("read", lambda store: store.get(KEY)),
        ("unlink", lambda store: store.delete(KEY)),
        ("list", list_all),
        ("fdatasync", lambda store: store.check()),
    ],
)
async def test_other_failures_are_temporary(
    tmp_path: Path, call: Call, operation: Callable[[FolderStore], Awaitable[object]]
) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    await store.put(KEY, [b"head"])
    disk.fail(call, errno.EIO)
    with pytest.raises(StoreUnavailable):
        await operation(store)
    assert await store.get(KEY) == b"head"
    await store.close()


async def test_short_writes_are_carried_on(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    disk.most_written = 7
    body = os.urandom(500)
    await store.put(KEY, [body[:3], b"", body[3:250], memoryview(body)[250:]])
    assert await store.get(KEY) == body
    await store.close()


async def test_more_parts_than_one_call_takes(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path))
    body = os.urandom(5_000)
    await store.put(KEY, [body[at : at + 1] for at in range(len(body))])
    assert await store.get(KEY) == body
    await store.close()


async def test_a_folder_that_vanishes_does_not_end_messages(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    store = await FolderStore.open(str(root))
    await store.put(KEY, [b"head"])
    root.rename(tmp_path / "unmounted")
    root.mkdir()  # the empty mount point
    with pytest.raises(StoreUnavailable):
        await store.get(KEY)
    with pytest.raises(StoreUnavailable):
        await store.delete(KEY)
    with pytest.raises(StoreUnavailable):
        _ = [stat async for stat in store.list("")]
    with pytest.raises(StoreUnavailable):
        await store.put(KEY, [b"head"])
    with pytest.raises(StoreUnavailable):
        await store.check()
    assert list(root.iterdir()) == []
    root.rmdir()
    (tmp_path / "unmounted").rename(root)
    assert await store.get(KEY) == b"head"
    await store.close()


async def test_old_temporary_files_are_swept_and_young_ones_kept(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path))
    await store.close()
    old, young = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "young"
    for file, age in ((old, 3_700), (young, 3_500)):
        file.write_bytes(b"half")
        os.utime(file, (1_700_000_000 - age, 1_700_000_000 - age))
    store = await FolderStore.open(str(tmp_path), clock=ManualClock(1_700_000_000))
    assert [file.name for file in (tmp_path / ".tmp").iterdir()] == ["young"]
    await store.close()


async def test_half_written_and_foreign_files_are_not_listed(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path))
    await store.put(KEY, [b"head"])
    (tmp_path / ".tmp" / "half").write_bytes(b"half")
    (tmp_path / "lost+found").mkdir(mode=0)
    (tmp_path / "mail" / "notes~").write_bytes(b"x")
    (tmp_path / "mail" / "loop").symlink_to(tmp_path)
    assert [stat.key async for stat in store.list("")] == [KEY]
    await store.close()


async def test_refuses_before_the_disk_is_full(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await FolderStore.open(str(tmp_path), disk=disk, reserve=1_000)
    disk.free_octets = 1_100
    await store.put(KEY, [b"x" * 100])
    with pytest.raises(StoreFull):
        await store.put("mail/acme/7Q/next", [b"x" * 101])
    disk.free_octets = 999
    with pytest.raises(StoreFull):
        await store.check()
    assert await store.get(KEY) == b"x" * 100
    await store.delete(KEY)
    await store.close()


async def test_a_disk_that_hangs_is_given_up_and_reads_go_on(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk, within=0.2)
    await store.put("mail/acme/7Q/before", [b"head"])
    with hanging(disk):
        puts = [store.put(f"mail/acme/7Q/{number}", [b"x"]) for number in range(40)]
        results = await asyncio.gather(*puts, return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
        assert await store.get("mail/acme/7Q/before") == b"head"
    await store.close()
    # Those that waited for a thread never began; what did begin is whole.
    reopened = await FolderStore.open(str(tmp_path))
    sizes = [stat.size async for stat in reopened.list("")]
    assert len(sizes) <= 17
    assert set(sizes) == {1, 4}
    await reopened.close()


async def test_there_is_a_limit_to_what_waits(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = await opened(tmp_path, disk)
    with hanging(disk):
        waiting = [asyncio.create_task(store.put(f"mail/acme/7Q/{number}", [b"x"])) for number in range(1_024)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="under way"):
            await store.get(KEY)
    await asyncio.gather(*waiting)
    with pytest.raises(ObjectNotFound):
        await store.get(KEY)
    await store.close()


async def test_a_key_inside_an_object_conflicts(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path))
    await store.put("mail/acme", [b"head"])
    with pytest.raises(ObjectConflict):
        await store.put("mail/acme/7Q/A", [b"x"])
    with pytest.raises(ObjectConflict):
        await store.put("mail", [b"x"])
    with pytest.raises(ObjectNotFound):
        await store.get("mail/acme/7Q/A")
    await store.delete("mail/acme/7Q/A")
    assert await store.get("mail/acme") == b"head"
    await store.close()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
async def test_a_folder_that_can_not_be_made_is_one_clear_line(tmp_path: Path, number: int) -> None:
    disk = FaultyDisk()
    disk.fail("mkdir", number)
    with pytest.raises(StartError, match=os.strerror(number)) as caught:
        await FolderStore.open(str(tmp_path / "store"), disk=disk)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
async def test_a_folder_that_takes_no_writes_is_one_clear_line(tmp_path: Path, number: int) -> None:
    await (await FolderStore.open(str(tmp_path))).close()
    disk = FaultyDisk()
    disk.fail("open", number)
    with pytest.raises(StartError, match=os.strerror(number)):
        await FolderStore.open(str(tmp_path), disk=disk)


async def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StartError):
        await FolderStore.open(str(tmp_path / "store"))


async def test_nobody_else_can_read_the_mail(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path / "store"))
    await store.put(KEY, [b"head"])
    for path in (tmp_path / "store").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0
    await store.close()


async def test_modified_is_when_it_was_written(tmp_path: Path) -> None:
    store = await FolderStore.open(str(tmp_path))
    await store.put(KEY, [b"head"])
    [stat] = [stat async for stat in store.list("")]
    assert abs(stat.modified - time.time()) < 60
    await store.close()


@given(st.text(alphabet="./a\x00-~ \n", max_size=12))
def test_no_key_leaves_the_root(key: str) -> None:
    try:
        checked_key(key)
    except BadKey:
        return
    assert os.path.normpath(f"/root/{key}") == f"/root/{key}"
    assert not any(segment.startswith(".") for segment in key.split("/"))
