"""The scanner in CONTRIBUTING.md is one that runs: what newcomers copy must work."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.scanners.registry import discover
from tests.mails import context, mail

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path: Path) -> Iterator[str]:
    """A package of checks that holds the example alone."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert example is not None
    folder = tmp_path / "example_checks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "shouting.py").write_text(example[1])
    sys.path.insert(0, str(tmp_path))
    yield "example_checks"
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("example_checks")]:
        del sys.modules[name]


async def test_the_example_scanner_is_found_and_scans(package: str) -> None:
    (scanner,) = discover(package).values()
    loud = await scanner.scan(mail(b"Subject: BUY NOW AND SAVE\r\n\r\n"), context())
    quiet = await scanner.scan(mail(b"Subject: minutes of Monday\r\n\r\n"), context())
    assert [evidence.code for evidence in loud.evidence] == ["SHOUTING"]
    assert (loud.score, quiet.score, quiet.evidence) == (1.0, 0.0, ())
