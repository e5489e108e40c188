"""What the operator may set for shadows: GATEPOST_SHADOW names them, GATEPOST_SHADOW_<FIELD> is what they are told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from services.core.errors import ConfigError
from services.runtime.config import load
from services.scanners import config as settings
from services.scanners.candidates import candidates
from services.scanners.config import ScannersConfig
from services.scanners.contract import Port, Spec
from services.scanners.registry import choose

PREFIX: Final = "GATEPOST_SHADOW_"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_OTHERS: Final = re.compile(r"[^a-z0-9]+")
_OWN: Final = frozenset({"store", "scanners"})  # the live ones' alone
# What changes what a scanner with that port finds. The rest says only how much of the machine it may use.
_TELLING: Final = {
    "yara_dir": Port.SIGNATURES,
    "clamd": Port.CLAMD,
    "clamd_max": Port.CLAMD,
    "clamd_oversize": Port.CLAMD,
    "rspamd": Port.RSPAMD,
    "content_model": Port.MODEL,
    "dns": Port.DNS,
    "arc_sealers": Port.DNS,
    "url_lists": Port.URL_LISTS,
    "url_feeds": Port.URL_LISTS,
}
_PERHAPS_SECRET: Final = frozenset({"clamd", "rspamd", "dns", "url_lists"})  # may hold a password, or a customer's key


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    shadow: tuple[str, ...] = ()  # [NAME=]SCANNER[@FOLDER of rules]; one folder at most


class Shadows(msgspec.Struct, frozen=True, kw_only=True):
    """The shadows of one process: they share its settings."""

    scanners: dict[str, str]  # the shadow's name → its scanner
    config: ScannersConfig
    settings: dict[str, tuple[tuple[str, str], ...]]  # by name, as `events.Shadow` has them


def read(environ: Mapping[str, str]) -> Shadows:
    """Return the shadows; raise ConfigError, one line that names the variable, also when there are none."""
    named = load(_Named, environ).shadow
    if not named:
        raise ConfigError("GATEPOST_SHADOW: names no scanner")
    apart = [_apart(text) for text in named]
    names, folder = candidates("GATEPOST_SHADOW", [written for _, written in apart])
    told = _told(environ)
    if folder:
        told["yara_dir"] = folder
    config = settings.read({**environ, **{f"GATEPOST_{field.upper()}": value for field, value in told.items()}})
    scanners, specs = _names(apart, folder), choose(names)
    return Shadows(
        scanners=scanners,
        config=msgspec.structs.replace(config, scanners=names),
        settings={name: _settings(told, specs[scanner].SPEC) for name, scanner in scanners.items()},
    )


def _settings(told: Mapping[str, str], spec: Spec) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"GATEPOST_{field.upper()}", "" if field in _PERHAPS_SECRET else value)
        for field, value in sorted(told.items())
        if _TELLING.get(field) in spec.ports
    )


def _told(environ: Mapping[str, str]) -> dict[str, str]:
    fields = {field.name for field in msgspec.structs.fields(ScannersConfig)} - _OWN
    told = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    for field in told:
        if field not in fields:
            raise ConfigError(f"{PREFIX}{field.upper()}: no setting of a scanner is called that")
    return {field: value.strip() for field, value in told.items() if value.strip()}


def _apart(text: str) -> tuple[str, str]:
    """Return the name that was given, empty for none, and SCANNER[@FOLDER]."""
    before, equals, after = text.partition("=")
    return (before.strip(), after.strip()) if equals and "@" not in before else ("", text)


def _names(apart: Iterable[tuple[str, str]], folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for given, written in apart:
        scanner, at, _ = written.partition("@")
        name = given or (f"{scanner}-{_OTHERS.sub('-', Path(folder).name.lower())}" if at else scanner)[:40].strip("-")
        if _NAME.fullmatch(name) is None:
            raise ConfigError(f"GATEPOST_SHADOW: {name[:60]!r} is no name; a-z, 0-9 and -, 40 at most")
        if name in found:
            raise ConfigError(f"GATEPOST_SHADOW: two shadows are called {name}")
        found[name] = scanner
    return found
