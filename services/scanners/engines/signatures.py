"""YARA-X rules and SHA-256 lists: those that Gatepost brings, and a folder of the operator's that may change."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import re
from importlib.metadata import version
from pathlib import Path
from typing import Final

import yara_x

from schemas.events import Status
from services.core.clock import Clock
from services.core.errors import ConfigError, EngineUnavailable
from services.scanners.contract import Match
from services.scanners.text import clean

log = logging.getLogger("gatepost.scanners.signatures")

LOOK_EVERY: Final = 3.0  # seconds between looks at the folder
_ENGINE: Final = f"yara-x {version('yara-x')}"  # read once: it costs as much as a small scan
_BUILT_IN: Final = Path(__file__).parent.parent / "rules"
_HASH_LINE = re.compile(r"([0-9a-fA-F]{64})(?:\s+(.*))?")
_SEVERITIES: Final = {"virus": Status.VIRUS, "suspicious": Status.SUSPICIOUS}
_DEFAULT_SCORES: Final = {Status.VIRUS: 100.0, Status.SUSPICIOUS: 6.0}

_Listing = tuple[tuple[str, int, int], ...]  # path, mtime in ns, size


@dataclasses.dataclass(frozen=True, slots=True)
class _Loaded:
    scanner: yara_x.Scanner
    hashes: dict[str, str]  # digest → name
    digest: str


class Rules:
    """The Signatures port. A folder that breaks later leaves the old set in force, with an error in the log."""

    def __init__(self, folder: str, clock: Clock, *, strict: bool = True) -> None:
        """`strict`: raise ConfigError, naming file and line, for a broken file. Otherwise only that file is left out.

        A worker that takes the place of one that died isn't strict: a typing error must not end all scanning.
        """
        self._folder = Path(folder) if folder else None
        self._clock = clock
        if self._folder and strict and not self._folder.is_dir():
            raise ConfigError(f"GATEPOST_YARA_DIR: {folder} is no folder")
        self._listing = self._look()
        self._loaded = _load(self._listing, strict=strict)
        self._looked_at = clock.monotonic()

    @property
    def version(self) -> str:
        return f"{_ENGINE} rules={self._loaded.digest}"

    def match(self, data: bytes, deadline: float) -> list[Match]:
        """Return what hit; raise EngineUnavailable when the rules took longer than `deadline` seconds."""
        self._refresh()
        if deadline <= 0:
            raise EngineUnavailable("no time left for the rules")
        found: list[Match] = []
        if self._loaded.hashes:
            name = self._loaded.hashes.get(hashlib.sha256(data).hexdigest())
            if name is not None:
                found.append(Match(name, Status.VIRUS, _DEFAULT_SCORES[Status.VIRUS], "a listed file"))
        self._loaded.scanner.set_timeout(math.ceil(deadline))
        try:
            results = self._loaded.scanner.scan(data)
        except (yara_x.TimeoutError, yara_x.ScanError) as error:
            raise EngineUnavailable(f"yara-x: {clean(str(error))}") from error
        found.extend(_match(rule) for rule in results.matching_rules)
        return found

    def _refresh(self) -> None:
        if self._folder is None or self._clock.monotonic() - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = self._clock.monotonic()
        listing = self._look()
        if listing == self._listing:
            return
        self._listing = listing
        try:
            self._loaded = _load(listing, strict=True)
        except ConfigError as error:
            log.error("event=rules-refused error=%s text=the rules before stay in force", error)
        else:
            log.info("event=rules-loaded rules=%s files=%d", self._loaded.digest, len(listing))

    def _look(self) -> _Listing:
        if self._folder is None:
            return ()
        found = []
        for path in sorted([*self._folder.glob("*.yar"), *self._folder.glob("*.sha256")]):
            try:
                stat = path.stat()
            except OSError:  # taken away between the two looks
                continue
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(found)


def _match(rule: yara_x.Rule) -> Match:
    meta = dict(rule.metadata)
    status = _SEVERITIES.get(str(meta.get("status", "virus")), Status.VIRUS)
    score = meta.get("score")
    weight = float(score) if isinstance(score, int | float) else _DEFAULT_SCORES[status]
    return Match(clean(rule.identifier, 80), status, weight, clean(str(meta.get("description", ""))))


def _load(listing: _Listing, *, strict: bool) -> _Loaded:
    """Return the built-in and the listed files, compiled; raise ConfigError for a broken one, or leave it out."""
    compiler = yara_x.Compiler(includes_enabled=False)
    hashes: dict[str, str] = {}
    digest = hashlib.sha256()
    for path in sorted(_BUILT_IN.glob("*.yar")):
        digest.update(_add(compiler, path, "gatepost"))
    for name, _, _ in listing:
        try:
            digest.update(_add_listed(compiler, hashes, Path(name)))
        except ConfigError as error:
            if strict:
                raise
            log.error("event=rules-left-out error=%s", error)
    return _Loaded(yara_x.Scanner(compiler.build()), hashes, digest.hexdigest()[:12])


def _add_listed(compiler: yara_x.Compiler, hashes: dict[str, str], path: Path) -> bytes:
    if path.suffix == ".yar":
        _add(yara_x.Compiler(includes_enabled=False), path, path.stem)  # apart first: nothing of a broken file remains
        return _add(compiler, path, path.stem)
    text = _read(path)
    listed: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        found = _HASH_LINE.fullmatch(entry)
        if found is None:
            raise ConfigError(f"{path}:{number}: no SHA-256 in hex")
        listed[found.group(1).lower()] = clean(found.group(2) or path.stem, 80)
    hashes.update(listed)
    return text.encode()


def _add(compiler: yara_x.Compiler, path: Path, namespace: str) -> bytes:
    text = _read(path)
    compiler.new_namespace(namespace)
    try:
        compiler.add_source(text, origin=path.name)
    except yara_x.CompileError as error:
        first = compiler.errors()[0]
        raise ConfigError(f"{path}:{first.get('line', 1)}: {clean(str(first.get('title', error)))}") from error
    return text.encode()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}:1: can't be read: {clean(str(error))}") from error
