"""Each *.dialog file is a test of the same name; `script` says how it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dialogs.script import Script

DIALOGS = sorted(Path(__file__).parent.glob("*.dialog"))


@pytest.mark.parametrize("path", DIALOGS, ids=[path.stem for path in DIALOGS])
async def test_dialog(path: Path, tmp_path: Path) -> None:
    await Script(path).play(tmp_path)
