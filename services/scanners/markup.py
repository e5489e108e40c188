"""HTML as a reader sees it, in one linear pass: its text, and where its links lead. Not a parser: a rough eye."""

from __future__ import annotations

import html
import re
from typing import Final, NamedTuple

MAX_ANCHORS: Final = 200
_ANCHOR_TEXT: Final = 1000  # characters of a link's text that are looked at
_ATTRIBUTES: Final = 4000
_TOKEN = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9]*+)([^<>]*+)>")
_HREF = re.compile(r"""(?<![\w-])href\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""", re.IGNORECASE)
_UNSEEN: Final = frozenset({"script", "style", "head", "title"})


class Anchor(NamedTuple):
    """A link: what stands in href, and the text that is shown for it."""

    href: str
    text: str


class Page(NamedTuple):
    """What there is to read."""

    text: str
    anchors: tuple[Anchor, ...]


def read(markup: str) -> Page:
    """Return the page's text with a space for each tag, and its first MAX_ANCHORS links."""
    lower = markup.lower()
    texts: list[str] = []
    anchors: list[Anchor] = []
    never_closed: set[str] = set()  # looked for once: looking again and again would take quadratic time
    open_href, open_at = "", -1
    at = 0
    while (found := _TOKEN.search(markup, at)) is not None:
        texts.append(markup[at : found.start()])
        at = found.end()
        name = (found.group(2) or "!--").lower()
        if name == "!--" or (name in _UNSEEN and not found.group(1)):
            at = _end_of(lower, name, at, never_closed)
        elif name == "a":
            if open_at >= 0 and len(anchors) < MAX_ANCHORS:
                anchors.append(Anchor(open_href, _joined(texts[open_at:])[:_ANCHOR_TEXT]))
            open_href, open_at = ("", -1) if found.group(1) else _opened(found.group(3), len(texts))
    texts.append(markup[at:])
    if open_at >= 0 and len(anchors) < MAX_ANCHORS:
        anchors.append(Anchor(open_href, _joined(texts[open_at:])[:_ANCHOR_TEXT]))
    return Page(_joined(texts), tuple(anchors))


def _end_of(lower: str, name: str, at: int, never_closed: set[str]) -> int:
    """Return where reading goes on after what isn't shown; what is never closed is shown, to be safe."""
    if name in never_closed:
        return at
    close = "-->" if name == "!--" else f"</{name}"
    end = lower.find(close, at)
    if end < 0:
        never_closed.add(name)
        return at
    return end + len(close) if name == "!--" else end


def _opened(attributes: str, at: int) -> tuple[str, int]:
    found = _HREF.search(attributes[:_ATTRIBUTES])
    if found is None:
        return "", -1
    return html.unescape(found.group(1) or found.group(2) or found.group(3) or "").strip(), at


def _joined(texts: list[str]) -> str:
    return html.unescape(" ".join(texts))
