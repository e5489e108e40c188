"""Bad domains and URLs from files of the operator's: a folder that may change at any time, held in bounded memory.

`*.domains`: a domain a line; it counts for all below it. `*.urls`: a URL a line. `*.hashes`: the SHA-256 of a URL in
canonical form a line. Text after a space, and lines that begin with #, are left out.
"""

from __future__ import annotations

import array
import hashlib
import logging
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.core.clock import Clock
from services.core.errors import ConfigError
from services.scanners.urls.url import Url, parse

log = logging.getLogger("gatepost.scanners.feeds")

LOOK_EVERY: Final = 10.0  # seconds between looks at the folder
ENTRIES_MOST: Final = 4_000_000  # of all files: 8 octets each
LINE_MOST: Final = 8_192  # characters
_KINDS: Final = (".domains", ".urls", ".hashes")

_Listing = tuple[tuple[str, int, int], ...]  # path, mtime in ns, size


class Feeds:
    """What the files list. One that can't be read leaves the set that was there in force, with an error in the log."""

    def __init__(self, folder: str, clock: Clock) -> None:
        """Raise ConfigError for a folder that isn't there."""
        self._folder = Path(folder) if folder else None
        self._clock = clock
        if self._folder and not self._folder.is_dir():
            raise ConfigError(f"GATEPOST_URL_FEEDS: {folder} is no folder")
        self._listing: _Listing = ()
        self._digests = array.array("Q")
        self._looked_at = float("-inf")
        self._refresh()

    def __len__(self) -> int:
        return len(self._digests)

    def listed(self, url: Url) -> str:
        """Return what a feed lists of the URL: `domain` or `url`; empty for nothing."""
        if self._folder is None or not url.host:
            return ""
        self._refresh()
        labels = url.host.split(".")
        for start in range(len(labels) - 1 if not url.address else 1):
            if self._has(_digest("d", ".".join(labels[start:]))):
                return "domain"
        return "url" if self._has(_hashed(hashlib.sha256(_canonical(url)).digest())) else ""

    def _has(self, digest: int) -> bool:
        at = bisect_left(self._digests, digest)
        return at < len(self._digests) and self._digests[at] == digest

    def _refresh(self) -> None:
        now = self._clock.monotonic()
        if self._folder is None or now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        try:
            listing = self._look(self._folder)
            if listing == self._listing:
                return
            loaded = array.array("Q", sorted(set(_all(listing))))
        except OSError as error:
            log.error("event=feeds-unreadable error=%s", error)
            return
        self._digests, self._listing = loaded, listing
        log.info("event=feeds-loaded files=%d entries=%d", len(listing), len(loaded))

    @staticmethod
    def _look(folder: Path) -> _Listing:
        paths = sorted(path for path in folder.iterdir() if path.suffix in _KINDS and path.is_file())
        return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


def _all(listing: _Listing) -> Iterator[int]:
    count = 0
    for path, _, _ in listing:
        kind = Path(path).suffix
        with Path(path).open(encoding="utf-8", errors="replace") as lines:
            while line := lines.readline(LINE_MOST):
                digest = _entry(kind, line)
                if digest is None:
                    continue
                count += 1
                if count > ENTRIES_MOST:
                    log.error("event=feeds-too-long limit=%d text=what comes after is left out", ENTRIES_MOST)
                    return
                yield digest


def _entry(kind: str, line: str) -> int | None:
    word = line.split(maxsplit=1)[0] if line.strip() else ""
    if not word or word.startswith("#"):
        return None
    if kind == ".hashes":
        try:
            return _hashed(bytes.fromhex(word)) if len(word) == 64 else None  # noqa: PLR2004  # hex digits of SHA-256
        except ValueError:
            return None
    url = parse(word if "://" in word else f"http://{word}")
    if url is None or not url.host:
        return None
    return _digest("d", url.host) if kind == ".domains" else _hashed(hashlib.sha256(_canonical(url)).digest())


def _canonical(url: Url) -> bytes:
    return (url.href.removesuffix(url.fragment) if url.fragment else url.href).encode("utf-8", "surrogatepass")


def _hashed(sha256: bytes) -> int:
    return int.from_bytes(sha256[:8], "big")


def _digest(kind: str, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{kind} {text}".encode(), digest_size=8).digest(), "big")
