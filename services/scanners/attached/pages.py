"""Pages that come as files: HTML that builds a file or asks for a password, SVG with scripts, internet shortcuts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence
from services.scanners.contents import Content
from services.scanners.text import clean

_LOOKED_AT: Final = 4_194_304  # octets of one page
_BUILDS = re.compile(rb"new\s+blob\b|createobjecturl|mssaveoropenblob|mssaveblob|\bnew\s+file\s*\(", re.IGNORECASE)
_DECODES = re.compile(rb"\batob\b|fromcharcode|uint8array|charcodeat|decodeuri|unescape\s*\(", re.IGNORECASE)
_SAVES = re.compile(
    rb"\.download\b|\bdownload\s*=|mssave|\.click\s*\(|location\s*(?:\.href\s*)?=|window\.open", re.IGNORECASE
)
_LARGE = re.compile(rb"[A-Za-z0-9+/]{4096}")
_PASSWORD = re.compile(rb"<input\b[^>]{0,500}?type\s*=\s*[\"']?password", re.IGNORECASE)
_SENDS = re.compile(
    rb"<form\b[^>]{0,1000}?action\s*=\s*[\"']?\s*https?:|\bfetch\s*\(|xmlhttprequest|\.ajax\s*\(|\.post\s*\(",
    re.IGNORECASE,
)
_WRITES = re.compile(rb"document\.write(?:ln)?\s*\(|\.innerhtml\s*=|\beval\s*\(|\bfunction\s*\(\s*[\"']", re.IGNORECASE)
_CODED = re.compile(
    rb"\bunescape\s*\(|\batob\s*\(|fromcharcode|\\x[0-9a-f]{2}\\x[0-9a-f]{2}\\x[0-9a-f]{2}", re.IGNORECASE
)
_REFRESH = re.compile(rb"<meta\b[^>]{0,200}?http-equiv\s*=\s*[\"']?refresh[^>]{0,500}?url\s*=", re.IGNORECASE)
_LEAVES = re.compile(rb"<script\b[^>]{0,500}>\s{0,200}(?:window\.|document\.|top\.|self\.)?location\b", re.IGNORECASE)
_SVG_SCRIPT = re.compile(rb"<(?:\w{1,20}:)?script\b|javascript:|<(?:\w{1,20}:)?foreignobject\b", re.IGNORECASE)
_SVG_HANDLER = re.compile(rb"<[^>]{0,2000}?\son[a-z]{3,20}\s*=", re.IGNORECASE)
_SVG_LINK = re.compile(rb"<(?:\w{1,20}:)?a\b[^>]{0,1000}?href\s*=\s*[\"']?\s*https?:", re.IGNORECASE)
_SHORTCUT = re.compile(
    rb"^\s{0,20}(?:url|iconfile|workingdirectory)\s{0,5}=\s{0,5}(?:file:|\\\\|smb:|[a-z]{1,10}://[^/\r\n]{0,200}@)",
    re.IGNORECASE | re.MULTILINE,
)


def look(content: Content) -> Iterator[Evidence]:
    """Yield what a page does that a page sent as a file should not."""
    shown = clean(content.name, 120)
    data = content.data[:_LOOKED_AT]
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[1:40:2].count(0) > 10:  # noqa: PLR2004  # half of what UTF-16 has
        data = data.replace(b"\0", b"")
    if content.type == "svg":
        yield from _drawing(data, shown)
    elif content.type == "url":
        score, text = (8.0, "a file on a foreign machine") if _SHORTCUT.search(data) else (5.0, "a page")
        yield Evidence(code="ATTACHMENT_SHORTCUT", text=f"{shown} is a shortcut to {text}", score=score)
    elif content.type in {"html", "hta"}:
        yield from _page(data, shown)


def _page(data: bytes, shown: str) -> Iterator[Evidence]:
    builds, decodes, saves = _BUILDS.search(data), _DECODES.search(data), _SAVES.search(data)
    large = _LARGE.search(data)
    if builds and (decodes or large) and (saves or large):
        yield Evidence(code="HTML_SMUGGLING", text=f"{shown} builds a file out of itself and saves it", score=9.0)
    elif large and b"data:" in data and saves:
        yield Evidence(code="HTML_SMUGGLING", text=f"{shown} carries a file that it saves", score=8.0)
    if _PASSWORD.search(data):
        score = 8.0 if _SENDS.search(data) or _CODED.search(data) else 7.0
        yield Evidence(code="HTML_ASKS_PASSWORD", text=f"{shown} asks for a password", score=score)
    if _WRITES.search(data) and _CODED.search(data):
        yield Evidence(code="HTML_WRITES_ITSELF", text=f"{shown} writes itself out of encoded text", score=7.0)
    if _REFRESH.search(data) or _LEAVES.search(data):
        yield Evidence(code="HTML_LEADS_AWAY", text=f"{shown} leads to another page at once", score=6.0)


def _drawing(data: bytes, shown: str) -> Iterator[Evidence]:
    if _SVG_SCRIPT.search(data):
        yield Evidence(code="SVG_SCRIPT", text=f"{shown} is a drawing with a script", score=8.0)
    elif _SVG_HANDLER.search(data):
        yield Evidence(code="SVG_SCRIPT", text=f"{shown} is a drawing that acts", score=7.0)
    elif _SVG_LINK.search(data):
        yield Evidence(code="SVG_LINK", text=f"{shown} is a drawing that leads to a page", score=4.0)
