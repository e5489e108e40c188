"""Bombs end within the limits of time and memory, in processes of their own, and leave a finding."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from services.scanners import budget
from tests.corpora.bombs import BOMBS
from tests.mails import PLAIN

SECONDS = 3 * budget.MAX_SECONDS  # of CPU: unpacking, and the rules over what was unpacked; the machine is shared
MEGABYTES = 512
ORDINARY = "an ordinary message"


@pytest.fixture(scope="module")
def took(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what each of them took, by name."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    (folder / ORDINARY).write_bytes(PLAIN)
    command = [sys.executable, "-m", "tests.integration.weigh_scan", *map(str, sorted(folder.iterdir()))]
    lines = subprocess.run(command, check=True, capture_output=True, timeout=300).stdout.splitlines()
    return {item["name"]: item for item in map(json.loads, lines)}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_finding(name: str, took: dict[str, dict[str, Any]]) -> None:
    found = took[name]
    assert "suspicious" in found["statuses"] or name == "sparse tar", found
    assert found["codes"], found
    assert found["seconds"] < SECONDS, found
    assert found["megabytes"] < MEGABYTES, found


def test_an_ordinary_message_for_comparison(took: dict[str, dict[str, Any]]) -> None:
    assert took[ORDINARY]["statuses"] == ["clean", "clean"]
    assert took[ORDINARY]["codes"] == []
