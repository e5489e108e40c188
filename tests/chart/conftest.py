"""Helm, and what it renders of the chart."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.parts import program

CHART = Path(__file__).parents[2] / "k8s" / "gatepost"
VALUES = sorted((CHART / "ci").glob("*.yaml"))


@dataclasses.dataclass(frozen=True)
class Rendered:
    """What came of a rendering: the text, its objects, or what helm said instead."""

    code: int
    text: str
    said: str

    @functools.cached_property
    def objects(self) -> list[dict[str, Any]]:
        return [item for item in yaml.load_all(self.text, yaml.CSafeLoader) if item]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the objects of a kind by name."""
        return {item["metadata"]["name"]: item for item in self.objects if item["kind"] == kind}


@pytest.fixture(scope="session")
def helm() -> str:
    return program("helm")


@functools.cache  # most tests look at the same three
def render(helm: str, *arguments: str, release: str = "gatepost") -> Rendered:
    done = subprocess.run(
        [helm, "template", release, str(CHART), "--kube-version", "1.34.0", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Rendered(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=VALUES, ids=lambda path: path.stem)
def values(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path
