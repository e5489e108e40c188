"""The folder store against the kernel: the system calls that are really made, and processes that really die."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import signal
import sys
from pathlib import Path

from services.runtime.folder_store import FolderStore
from tests.parts import lacking

WRITER = """
import asyncio, hashlib, os, sys
from services.runtime.folder_store import FolderStore

async def main(root, who, limit):
    store = await FolderStore.open(root)
    async def writer(lane):
        for number in range(limit):
            body = os.urandom(2_000 + number % 7 * 3_000)
            key = f"mail/{who}/{number % 64:02d}/{lane}-{number:06d}"
            await store.put(key, [body[:1_000], memoryview(body)[1_000:]])
            os.write(1, f"{key} {hashlib.sha256(body).hexdigest()}\\n".encode())
    await asyncio.gather(*(writer(lane) for lane in range(8)))
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def acknowledged_until_killed(root: Path, who: str, after: int) -> dict[str, str]:
    """Return key → digest of what a process acknowledged before SIGKILL came, in the middle of its puts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(root), who, "100000", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        lines = [await process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        lines.extend((await process.stdout.read()).splitlines(keepends=True))
        await process.wait()
    whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return {key: digest for key, digest in whole}  # noqa: C416  # the unpacking checks that each line has two words


async def test_what_a_killed_process_acknowledged_is_there_and_whole(tmp_path: Path) -> None:
    promised: dict[str, str] = {}
    rounds = [("first", 1), ("second", 40), ("third", 150), ("fourth", 400)]
    for who, after in rounds:
        promised |= await acknowledged_until_killed(tmp_path, who, after)
    store = await FolderStore.open(str(tmp_path))
    there = {stat.key: stat.size async for stat in store.list("")}
    assert set(promised) <= set(there)
    for key, size in there.items():
        body = await store.get(key)
        assert len(body) == size >= 2_000
        assert (size - 2_000) % 3_000 == 0  # nothing half-written ever shows
        if key in promised:
            assert hashlib.sha256(body).hexdigest() == promised[key]
    await store.close()
    assert len(promised) >= sum(after for _, after in rounds)


async def test_the_kernel_sees_the_order_that_survives_a_power_loss(tmp_path: Path) -> None:
    """An acknowledgement (write to standard output) comes only after the object's own syncs."""
    if shutil.which("strace") is None:
        lacking("strace is not installed")
    trace = tmp_path / "trace"
    calls = "openat,write,writev,fdatasync,fsync,link,linkat,rename,renameat,renameat2"
    process = await asyncio.create_subprocess_exec(
        "strace", "-f", "-y", "-s", "200", "-e", f"trace={calls}", "-o", str(trace),
        sys.executable, "-c", WRITER, str(tmp_path / "store"), "acme", "5",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    events = _events(trace.read_text(errors="replace"), str(tmp_path / "store"))
    acknowledged = [line.split()[0] for line in output.decode().splitlines()]
    assert len(acknowledged) == 40
    for key in acknowledged:
        at_link = events.index(f"link {key}")
        temporary = events[at_link - 1].removeprefix("from ")
        before = events[:at_link]
        assert max(_places(before, f"writev {temporary}")) < max(_places(before, f"fdatasync {temporary}"))
        at_ack = events.index(f"told {key}")
        directory = key.rsplit("/", 1)[0]
        assert any(at_link < place < at_ack for place in _places(events, f"fsync {directory}"))
        for above in ("mail/acme", "mail", "."):  # each of them once, before the first that relies on it
            assert min(_places(events, f"fsync {above}")) < at_ack


def _places(events: list[str], wanted: str) -> list[int]:
    return [place for place, event in enumerate(events) if event == wanted]


def _events(trace: str, root: str) -> list[str]:
    """Return the calls of all threads in the order in which they ended (in which a write to standard output began)."""
    begun: dict[str, str] = {}
    events: list[str] = []
    for line in trace.splitlines():
        thread, _, text = line.partition(" ")
        text = text.strip()
        told = re.match(r'write\(1<[^>]*>, "(\S+) ', text)
        if told:
            events.append(f"told {told[1]}")
            continue
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            text = begun.pop(thread, "") + resumed[1]
        if not re.search(r"= [0-9]", text):
            continue
        if on_file := re.match(r"(writev|fdatasync|fsync)\(\d+<([^>]*)>", text):
            events.append(f"{on_file[1]} {_inside(on_file[2], root)}")
        elif linked := re.match(r'link(?:at)?\((?:AT_FDCWD<[^>]*>, )?"([^"]*)", (?:AT_FDCWD<[^>]*>, )?"([^"]*)"', text):
            events += [f"from {_inside(linked[1], root)}", f"link {_inside(linked[2], root)}"]
    return events


def _inside(path: str, root: str) -> str:
    return "." if path == root else path.removeprefix(f"{root}/")
