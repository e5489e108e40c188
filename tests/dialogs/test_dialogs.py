"""Each *.dialog file is a test of the same name; `script` says how it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dialogs.script import Script

DIALOGS = sorted(Path(__file__).parent.glob("*.dialog"))


# What is refused for its form is refused at either door.
FORMS = ("smuggling-", "bdat-smuggling-", "bare-cr", "bare-lf", "nul-", "bdat-nul", "size-without-end")
OF_BOTH = [path for path in DIALOGS if path.stem.startswith(FORMS)]


@pytest.mark.parametrize("path", OF_BOTH, ids=[path.stem for path in OF_BOTH])
async def test_submission_has_the_same_guards(path: Path, tmp_path: Path) -> None:
    await Script(path).play(tmp_path, out=True)


TLS_FIRST = [path for path in OF_BOTH if "\nSHUT" not in path.read_text()] + [
    path for path in DIALOGS if path.stem.startswith("submission-") and "\n@cert" not in path.read_text()
]


@pytest.mark.parametrize("path", TLS_FIRST, ids=[path.stem for path in TLS_FIRST])
async def test_where_tls_comes_first_nothing_else_is_said(path: Path, tmp_path: Path) -> None:
    await Script(path).play(tmp_path, out=path in OF_BOTH, sealed=True)


@pytest.mark.parametrize("path", DIALOGS, ids=[path.stem for path in DIALOGS])
async def test_dialog(path: Path, tmp_path: Path) -> None:
    await Script(path).play(tmp_path)
