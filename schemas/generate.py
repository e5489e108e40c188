"""The generated files: one JSON Schema a topic, and the index of examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import compat
from schemas.catalog import TOPICS, Topic

ROOT: Final = Path(__file__).parent  # what is committed: json/, published/, examples/
INDEX: Final = "INDEX"


def schema_of(topic: Topic) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the topic's events, with the fields that make the key."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": topic.name,
        "x-key": topic.key,
        **msgspec.json.schema(topic.struct),
    }
    plain: dict[str, Any] = json.loads(json.dumps(schema))  # tuples become lists, as in the file
    return plain


def render(topic: Topic) -> str:
    """Return the text of the topic's schema file."""
    return json.dumps(schema_of(topic), indent=2, ensure_ascii=False) + "\n"


def digest(path: Path) -> str:
    """Return the hex SHA-256 of the file, as the index holds it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_index(root: Path) -> dict[str, str]:
    """Return path → SHA-256 of every example ever committed; paths are relative to examples/."""
    path = root / "examples" / INDEX
    if not path.exists():
        return {}
    pairs = (line.split(maxsplit=1) for line in path.read_text().splitlines() if line)
    return {name: checksum for checksum, name in pairs}


def examples(root: Path) -> list[str]:
    """Return the path of every file under examples/ but the index, relative to it and sorted."""
    folder = root / "examples"
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != folder / INDEX
    )


def write(root: Path = ROOT, topics: Iterable[Topic] = TOPICS) -> list[str]:
    """Bring json/ up to date and add new examples to the index; return what was done, a line each.

    The index only grows: an example that changed or went stays listed as it was, and the check says so.
    """
    done: list[str] = []
    folder = root / "json"
    folder.mkdir(exist_ok=True)
    wanted = {f"{topic.name}.json": render(topic) for topic in topics}
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            done.append(f"wrote json/{name}")
    for path in sorted(folder.iterdir()):
        if path.name not in wanted:
            path.unlink()
            done.append(f"removed json/{path.name}")
    index = read_index(root)
    new = [name for name in examples(root) if name not in index]
    if new:
        index |= {name: digest(root / "examples" / name) for name in new}
        lines = (f"{checksum}  {name}\n" for name, checksum in sorted(index.items()))
        (root / "examples" / INDEX).write_text("".join(lines))
        done += [f"listed examples/{name}" for name in new]
    return done


def publish(root: Path = ROOT, topics: Iterable[Topic] = TOPICS) -> tuple[list[str], list[str]]:
    """Make the current schemas the published ones; return (what was done, what was refused), a line each.

    Nothing is published when anything is refused: a forbidden change needs a new version of the topic.
    """
    refused: list[str] = []
    due: dict[Path, str] = {}
    folder = root / "published"
    folder.mkdir(exist_ok=True)
    for topic in topics:
        path = folder / f"{topic.name}.json"
        text = render(topic)
        if path.exists():
            old = json.loads(path.read_text())
            refused += [f"{topic.name}: {change}" for change in compat.changes(old, schema_of(topic))]
        if not path.exists() or path.read_text() != text:
            due[path] = text
    if refused:
        return [], refused
    for path, text in due.items():
        path.write_text(text)
    return [f"published {path.name}" for path in due], []
