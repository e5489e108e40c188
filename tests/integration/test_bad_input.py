"""Bad input: one clear line, an exit code that is not 0, no traceback, and nothing is lost."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.ports import free_ports
from tests.house.gatepost import Answer, gatepost
from tests.parts import lacking


def one_line(answer: Answer, code: int) -> str:
    """Return the line that the command ended with, after checking that it is all that it said of the failure."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    lines = [line for line in answer.err.splitlines() if line.startswith("gatepost: ")]
    assert len(lines) == 1, answer.err
    assert answer.err.splitlines()[-1] == lines[0]
    return lines[0]


async def up(data: Path, *arguments: str) -> Answer:
    port, mailbox = free_ports(2)
    return await gatepost(
        "up", "--data", str(data), "--port", str(port), "--mailbox-port", str(mailbox), *arguments, within=120
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("customers:\n  - id: acme\n   domains: []\n", ":3:"),
        ("customers:\n  - id: acme\n    domians: []\n", "domains"),
        ("customers:\n  - id: a\n    domains:\n      - {name: a.test, relay: ['h:99999'], recipients: any}\n", "99999"),
        ("", "empty"),
        ("[1, 2", ":2:"),
    ],
    ids=["syntax", "unknown-key", "port", "empty", "unclosed"],
)
async def test_a_broken_configuration_names_its_line(tmp_path: Path, text: str, says: str) -> None:
    config = tmp_path / "gatepost.yaml"
    config.write_text(text)
    line = one_line(await up(tmp_path / "data", "--config", str(config)), 2)
    assert "gatepost.yaml" in line
    assert says in line
    assert not (tmp_path / "data").exists()  # nothing was begun


async def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    line = one_line(await up(tmp_path / "data", "--config", str(tmp_path / "none.yaml")), 2)
    assert "none.yaml" in line


async def test_an_unreachable_broker_is_named(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    line = one_line(await up(tmp_path / "data", "--kafka", f"127.0.0.1:{port}"), 1)
    assert f"127.0.0.1:{port}" in line


async def test_a_number_of_partitions_that_is_not_the_installations_is_named(kafka: str, tmp_path: Path) -> None:
    """One service that cuts otherwise would put messages where nobody joins them; one command would see a part."""
    environ = {
        "GATEPOST_KAFKA": kafka,
        "GATEPOST_STORE": str(tmp_path / "objects"),
        "GATEPOST_DATABASE": f"sqlite:///{tmp_path}/index.db",
        "GATEPOST_PARTITIONS": "5",
    }
    says = "GATEPOST_PARTITIONS: 5 here, and the topics of this installation have 12;"
    line = one_line(await gatepost("ledger", environ=environ), 2)
    assert says in line
    answer = await gatepost("run", "reaper", environ=environ)
    assert answer.code == 2, answer.err
    assert says in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = one_line(await gatepost("up", "--data", str(tmp_path / "data"), "--port", str(port)), 1)
    assert str(port) in line


async def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    answer = await up(tmp_path / "data")
    assert answer.code != 0
    assert "Traceback" not in answer.err


async def test_a_store_that_cannot_be_understood(tmp_path: Path) -> None:
    line = one_line(await up(tmp_path / "data", "--store", "ftp://nowhere"), 2)
    assert "ftp" in line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB. Mounting needs root, and tests of a disk that is full are worth nothing without one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        lacking(f"no small file system can be mounted, which needs root: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_data_folder(small_disk: Path) -> None:
    line = one_line(await up(small_disk / "data"), 1)
    assert "MB" in line


async def test_a_read_only_data_folder(small_disk: Path) -> None:
    await asyncio.to_thread(
        subprocess.run, ["mount", "-o", "remount,ro", str(small_disk)], check=True, capture_output=True
    )
    line = one_line(await up(small_disk / "data"), 1)
    assert "read-only" in line.lower()


async def test_a_command_where_no_gatepost_has_run(tmp_path: Path) -> None:
    for command in (["quarantine", "list"], ["mailbox"], ["recover"]):
        line = one_line(await gatepost(*command, "--data", str(tmp_path / "nothing")), 2)
        assert "gatepost up" in line
