"""Scanners to be tried beside the live ones, as an operator names them: NAME or NAME@FOLDER of rules."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.core.errors import ConfigError
from services.scanners.contract import Port
from services.scanners.registry import choose


def candidates(setting: str, written: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """Return the names, and the folder of rules that goes with them; raise ConfigError that names the setting."""
    names, folders = [], set()
    for text in written:
        name, _, folder = text.partition("@")
        spec = next(iter(choose((name,)).values())).SPEC
        names.append(name)
        if folder:
            if Port.SIGNATURES not in spec.ports:
                raise ConfigError(f"{setting} {text}: {name} reads no folder of rules")
            if not Path(folder).is_dir():
                raise ConfigError(f"{setting} {text}: {folder} is no folder")
            folders.add(str(Path(folder).resolve()))
    if len(folders) > 1:
        raise ConfigError("one folder of rules at a time")
    return tuple(dict.fromkeys(names)), next(iter(folders), "")
