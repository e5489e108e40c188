"""What the image leaves behind, and what it must not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.parts import program

FILE = Path(__file__).parents[2] / "deploy" / "image" / "thin.py"
SPEC = importlib.util.spec_from_file_location("thin", FILE)
assert SPEC
assert SPEC.loader
thin = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(thin)


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")


def test_what_only_developers_need_goes(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    kept = {"a/__init__.py", "a/contest.py", "a/rules.yar", "sqlalchemy/dialects/postgresql/base.py"}
    put(
        packages,
        *kept,
        "a/tests/test_a.py",
        "a/b/testing/x.py",
        "a/a.pyi",
        "a/fast.c",
        "sqlalchemy/dialects/mysql/x.py",
    )
    put(tmp_path, "share/man/man1/a.1")
    thin.prune(tmp_path)
    there = {path.relative_to(packages).as_posix() for path in packages.rglob("*") if path.is_file()}
    assert there == kept
    assert not (tmp_path / "share").exists()


def test_compiled_files_are_told_by_what_they_are(tmp_path: Path) -> None:
    put(tmp_path, "not.so", "empty")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "real").write_bytes(Path(program("true")).read_bytes())
    (tmp_path / "link").symlink_to("real")
    assert list(thin.compiled(tmp_path)) == [tmp_path / "real"]
