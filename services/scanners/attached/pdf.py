"""PDF: what it does by itself, by the names of its objects (ISO 32000-1 sections 12.6 and 7.11.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence
from services.scanners.contents import Content
from services.scanners.text import clean
from services.scanners.unpack.pdfs import plain_names

_NAMES = re.compile(
    rb"/(OpenAction|AA|JavaScript|JS|Launch|EmbeddedFile|RichMedia|XFA|SubmitForm|GoToE|GoToR|ImportData|Encrypt)(?![A-Za-z0-9])"
)
_ESCAPED = re.compile(rb"/[A-Za-z]{0,20}+#[0-9a-fA-F]{2}[A-Za-z0-9#]{0,60}+")
_SCRIPT_RUNS = re.compile(
    rb"exportDataObject|\bgetAnnots?\b|app\.launchURL|collab\.|util\.printf|\beval\s*\(|unescape\s*\(|this\.submitForm",
    re.IGNORECASE,
)
_BY_ITSELF: Final = frozenset({b"OpenAction", b"AA"})
_SCRIPTS: Final = frozenset({b"JavaScript", b"JS"})


def look(content: Content) -> Iterator[Evidence]:
    """Yield what the document, or the packed objects of one, would do."""
    shown = clean(content.name, 120)
    if content.type == "javascript" and content.within == "pdf":
        if _SCRIPT_RUNS.search(content.data):
            yield Evidence(code="PDF_SCRIPT", text=f"{shown} calls what attacks call", score=8.0)
        return
    names = set(_NAMES.findall(content.data))
    hidden = {name for text in _ESCAPED.findall(content.data) for name in _NAMES.findall(plain_names(text))}
    if hidden:
        yield Evidence(code="PDF_NAMES_HIDDEN", text=f"{shown} writes what it does in escapes", score=7.0)
    names |= hidden
    if b"Launch" in names:
        yield Evidence(code="PDF_LAUNCH", text=f"{shown} starts a program", score=9.0)
    if names & _SCRIPTS:
        runs = bool(names & _BY_ITSELF)
        text = f"{shown} runs a script{' when it is opened' if runs else ''}"
        yield Evidence(code="PDF_SCRIPT", text=text, score=6.5 if runs else 4.0)
    if names & {b"GoToE", b"GoToR", b"ImportData"}:
        yield Evidence(code="PDF_OTHER_FILE", text=f"{shown} opens another file", score=3.0)
    if b"SubmitForm" in names:
        yield Evidence(code="PDF_SENDS_FORM", text=f"{shown} sends a form", score=2.0)
    if b"EmbeddedFile" in names:
        yield Evidence(code="PDF_ATTACHMENT", text=f"{shown} has files attached", score=1.0)
    if b"Encrypt" in names:
        yield Evidence(code="PDF_ENCRYPTED", text=f"{shown} is encrypted", score=2.0)
