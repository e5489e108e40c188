"""HTML as a reader sees it, in one linear pass: its text, where its links lead, how it is built. A rough eye."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

MAX_ANCHORS: Final = 200
_ANCHOR_TEXT: Final = 1000  # characters of a link's text that are looked at
_ATTRIBUTES: Final = 4000
_TOKEN = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9]*+)([^<>]*+)>")
_HREF = re.compile(r"""(?<![\w-])href\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""", re.IGNORECASE)
_UNSEEN: Final = frozenset({"script", "style", "head", "title"})
_VOID: Final = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})
_HIDING = re.compile(
    r"display\s*+:\s*+none|visibility\s*+:\s*+hidden|font-size\s*+:\s*+0(?![.\d]*[1-9])|opacity\s*+:\s*+0(?![.\d])",
    re.IGNORECASE,
)


class Anchor(NamedTuple):
    """A link: what stands in href, and the text that is shown for it."""

    href: str
    text: str


class Page(NamedTuple):
    """What there is to read."""

    text: str  # all of it, what is hidden too: a reader may show what we take for hidden
    anchors: tuple[Anchor, ...]
    hidden: int = 0  # characters of the text that stand in elements that aren't shown
    tags: Mapping[str, int] = {}  # how many elements of each kind are opened, names in lower case


def read(markup: str) -> Page:  # noqa: C901  # one pass, on the hot path
    """Return the page's text with a space for each tag, its first MAX_ANCHORS links, and its tags."""
    lower = markup.lower()
    texts: list[str] = []
    anchors: list[Anchor] = []
    tags: Counter[str] = Counter()
    never_closed: set[str] = set()  # looked for once: looking again and again would take quadratic time
    open_href, open_at = "", -1
    curtain, folds, hidden = "", 0, 0  # the element that hides its text, how deep we are in others of its name
    at = 0
    while (found := _TOKEN.search(markup, at)) is not None:
        texts.append(markup[at : found.start()])
        if curtain:
            hidden += len(texts[-1].strip())
        at = found.end()
        closing, name = found.group(1), (found.group(2) or "!--").lower()
        if not closing:
            tags[name] += 1
        if name == "!--" or (name in _UNSEEN and not closing):
            at = _end_of(lower, name, at, never_closed)
            continue
        if curtain:
            if name == curtain:
                folds += -1 if closing else 1
                curtain = curtain if folds else ""
        elif not closing and name not in _VOID and _HIDING.search(found.group(3)[:_ATTRIBUTES]):
            curtain, folds = name, 1
        if name == "a":
            if open_at >= 0 and len(anchors) < MAX_ANCHORS:
                anchors.append(Anchor(open_href, _joined(texts[open_at:])[:_ANCHOR_TEXT]))
            open_href, open_at = ("", -1) if closing else _opened(found.group(3), len(texts))
    texts.append(markup[at:])
    if open_at >= 0 and len(anchors) < MAX_ANCHORS:
        anchors.append(Anchor(open_href, _joined(texts[open_at:])[:_ANCHOR_TEXT]))
    return Page(_joined(texts), tuple(anchors), hidden, tags)


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
