"""What a URL leads on to: other URLs in its query, path or fragment, and those inside rewriters' wrappings."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from services.scanners.urls.url import Url, parse

DEPTH: Final = 4
MOST: Final = 8  # targets of one URL
_INNER: Final = re.compile(r"https?(?::|%3a|%253a)(?:/|%2f|%252f){2}[^\s\"'<>]{4,4000}", re.IGNORECASE)
_BASE64: Final = re.compile(r"(?:aHR0c|aHR0cHM)[A-Za-z0-9+/_-]{10,4000}")
_PROOFPOINT: Final = re.compile(r"[?&]u=([^&]+)")
_PROOFPOINT3: Final = re.compile(r"/v3/__(.+?)__;")


def targets(url: Url, depth: int = DEPTH) -> Iterator[Url]:
    """Yield the URLs that a URL names in itself, the innermost too; never more than MOST."""
    seen = {url.href}
    todo = [(url, depth)]
    count = 0
    while todo and count < MOST:
        current, left = todo.pop()
        for inner in _named(current):
            if inner.href in seen or not inner.host:
                continue
            seen.add(inner.href)
            count += 1
            yield inner
            if left > 1:
                todo.append((inner, left - 1))


def _named(url: Url) -> Iterator[Url]:
    tail = url.path + url.query + url.fragment
    if len(tail) < 12:  # noqa: PLR2004  # shorter than any URL
        return
    for text in _texts(url, tail):
        inner = parse(text)
        if inner is not None:
            yield inner


def _texts(url: Url, tail: str) -> Iterator[str]:
    if url.domain in {"proofpoint.com", "urldefense.com"}:
        if found := _PROOFPOINT3.search(tail):
            yield re.sub(r"^(https?:)/(?=[^/])", r"\1//", found.group(1))
            return
        if found := _PROOFPOINT.search(url.query):
            yield unquote(found.group(1).replace("-", "%").replace("_", "/"))
            return
    for found in list(_INNER.finditer(tail))[:MOST]:
        raw = found.group()
        if "%3a" in raw[:9].lower() or "%25" in raw[:9].lower() or "%2f" in raw[:12].lower():
            raw = unquote(raw.partition("&")[0])  # as a parameter: it ends where the next one begins
            if "%3a" in raw[:9].lower():
                raw = unquote(raw)
        elif found.start() > 0 and tail[found.start() - 1] == "=":
            raw = raw.partition("&")[0]
        yield raw
    for found in list(_BASE64.finditer(tail))[:MOST]:
        text = found.group().replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(text[: len(text) // 4 * 4]).decode("ascii", "ignore")
        except (binascii.Error, ValueError):
            continue
