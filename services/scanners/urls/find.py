"""Finds the URLs of a text or a page, with what is shown for each and what follows it."""

from __future__ import annotations

import enum
import html
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

MOST: Final = 300  # of one text or page
PAGE_LIMIT: Final = 524_288  # characters
_SHOWN_LIMIT: Final = 300  # characters of a link's text
_BARE: Final = re.compile(
    r"(?:\b(?:https?|ftp|hxxps?):(?:[\\/]{1,3}|&#x2f;)|\bwww\.)[^\s\"'<>()\[\]{}|^`\x00-\x20]{3,2000}", re.IGNORECASE
)
_ODD: Final = re.compile(
    r"\b(?:javascript|vbscript|data:text/html|file:[\\/]{2}|search-ms|ms-msdt)[:;,\\/][^\s\"'<>]{1,500}", re.IGNORECASE
)
_CSS: Final = re.compile(r"url\(\s*[\"']?([^\"')\s]{5,2000})", re.IGNORECASE)
_SCRIPT: Final = re.compile(
    r"(?:location(?:\.href)?\s*=|location\.(?:replace|assign)\(|window\.open\()\s*[\"'`]([^\"'`]{4,2000})",
    re.IGNORECASE,
)
_REFRESH: Final = re.compile(r"url\s*=\s*[\"']?\s*([^\"'>]+)", re.IGNORECASE)
_TAIL: Final = ".,;:!?*_~"
_ANCHORS: Final = "a[href],area[href],base[href],form,input[type=password],[formaction],meta[http-equiv],[onclick],iframe[src],object[data],embed[src],frame[src]"  # noqa: E501
_LOADED: Final = "img[src],img[srcset],source[srcset],link[href],script[src],[background]"


class Kind(enum.Enum):
    """What follows a URL: a reader's click, or nothing that he does."""

    LINK = "link"
    FORM = "form"
    PASSWORD_FORM = "form that asks for a password"  # noqa: S105  # a kind of form
    REDIRECT = "redirect"
    LOADED = "picture or style"
    TEXT = "text"
    QR = "QR code"
    TARGET = "target of another link"


class Found(NamedTuple):
    """A URL as it stands there."""

    raw: str
    kind: Kind
    shown: str = ""  # the text of a link
    where: str = ""  # empty: the message's own text


def in_text(text: str, kind: Kind = Kind.TEXT, where: str = "") -> Iterator[Found]:
    """Yield the URLs that stand in a text, the punctuation after them left out."""
    if ":" not in text and "www." not in text.lower():
        return
    for number, found in enumerate(_BARE.finditer(text)):
        if number >= MOST:
            return
        raw = found.group()
        if raw[:4].lower() == "hxxp":  # written so that no reader follows it by accident
            continue
        yield Found(raw.rstrip(_TAIL), kind, where=where)


def in_page(markup: str, where: str = "") -> Iterator[Found]:
    """Yield the URLs of a page: links and forms first, then what leads on by itself, then what is loaded."""
    markup = markup[:PAGE_LIMIT]
    page = LexborHTMLParser(markup)
    base = ""
    seen: set[str] = set()
    forms: list[LexborNode] = []
    password = False
    count = 0
    for node in page.css(_ANCHORS):
        tag, attributes = node.tag or "", node.attributes
        if tag == "base":
            base = base or (attributes.get("href") or "")
            continue
        if tag == "form":
            forms.append(node)
            continue
        if tag == "input" and (attributes.get("type") or "").lower() == "password":
            password = True
        for found in _of_node(node, tag, attributes, where):
            if count >= MOST:
                break
            count += 1
            seen.add(found.raw)
            yield _joined(base, found)
    for form in forms[:20]:
        action = form.attributes.get("action") or ""
        yield _joined(base, Found(action, Kind.PASSWORD_FORM if password else Kind.FORM, where=where))
    yield from _loaded(page, base, where)
    yield from _by_script(markup, where)
    yield from (found for found in in_text(_unescaped(markup), Kind.LOADED, where) if found.raw not in seen)


def _of_node(node: LexborNode, tag: str, attributes: dict[str, str | None], where: str) -> Iterator[Found]:
    href = attributes.get("href")
    if href and tag in {"a", "area"}:
        shown = node.text()[: 4 * _SHOWN_LIMIT] if tag == "a" else attributes.get("alt") or ""
        yield Found(href, Kind.LINK, " ".join(shown.split())[:_SHOWN_LIMIT], where)
    if action := attributes.get("formaction"):
        yield Found(action, Kind.FORM, where=where)
    if tag == "meta" and (attributes.get("http-equiv") or "").lower() == "refresh":
        target = _REFRESH.search(attributes.get("content") or "")
        if target:
            yield Found(target.group(1), Kind.REDIRECT, where=where)
    if tag in {"iframe", "embed", "frame"} and (source := attributes.get("src")):
        yield Found(source, Kind.LOADED, where=where)
    if tag == "object" and (source := attributes.get("data")):
        yield Found(source, Kind.LOADED, where=where)
    if click := attributes.get("onclick"):
        for found in _SCRIPT.finditer(click[:4_000]):
            yield Found(found.group(1), Kind.LINK, where=where)


def _loaded(page: LexborHTMLParser, base: str, where: str) -> Iterator[Found]:
    for node in page.css(_LOADED)[:MOST]:
        attributes = node.attributes
        for name in ("src", "href", "background"):
            value = attributes.get(name)
            if value and not value.startswith(("cid:", "data:image/")):
                yield _joined(base, Found(value, Kind.LOADED, where=where))
        for item in (attributes.get("srcset") or "").split(",")[:10]:
            if candidate := item.split():
                yield _joined(base, Found(candidate[0], Kind.LOADED, where=where))


def _by_script(markup: str, where: str) -> Iterator[Found]:
    if "location" in markup or "window.open" in markup:
        for number, found in enumerate(_SCRIPT.finditer(markup)):
            if number >= MOST:
                break
            yield Found(found.group(1), Kind.REDIRECT, where=where)
    if "url(" in markup:
        for number, found in enumerate(_CSS.finditer(markup)):
            if number >= MOST:
                break
            if not found.group(1).startswith("data:image/"):
                yield Found(found.group(1), Kind.LOADED, where=where)


def odd_schemes(text: str, where: str) -> Iterator[Found]:
    """Yield URLs of schemes that run something, where they stand in a file's text."""
    for number, found in enumerate(_ODD.finditer(text)):
        if number >= MOST:
            return
        yield Found(found.group(), Kind.LINK, where=where)


def _joined(base: str, found: Found) -> Found:
    if not base or ":" in found.raw[:40] or found.raw.startswith(("#", "//", "\\")):
        return found
    try:
        return found._replace(raw=urljoin(base, found.raw))
    except ValueError:
        return found


def _unescaped(markup: str) -> str:
    return html.unescape(markup) if "&" in markup else markup
