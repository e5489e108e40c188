"""Settings that last: NAME=VALUE lines, as systemd's EnvironmentFile= and Docker's --env-file read them.

`gatepost up` reads the one in its data folder, and what stands in its environment wins. A command that changes one
leaves every other line as the operator wrote it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from services.core.errors import ConfigError

FILE: Final = "settings.env"
_LINE: Final = re.compile(r"((?:GATEPOST|OTEL|AWS)_[A-Z0-9_]+)\s*=(.*)")


def read(path: Path) -> dict[str, str]:
    """Return the settings by name, none without a file; raise ConfigError, one line that names the place."""
    found = {}
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise ConfigError(f"{path}, line {number}: write GATEPOST_…=VALUE")
        found[match[1]] = _unquoted(match[2].strip())
    return found


def change(path: Path, changes: Mapping[str, str]) -> None:
    """Set these, each in its place or at the end; an empty value takes it out. Raises ConfigError.

    Afterwards the file is whole, old or new, whatever happens in between.
    """
    read(path)  # what can't be read is not rewritten
    left, lines = dict(changes), []
    for line in _lines(path):
        match = _LINE.fullmatch(line.strip())
        if match is None or match[1] not in changes:
            lines.append(line)
        elif value := left.pop(match[1], ""):
            lines.append(f"{match[1]}={value}")
    lines += [f"{name}={value}" for name, value in left.items() if value]
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
