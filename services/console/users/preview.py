"""The document that a held message's text is shown in: alone in a frame, and in an origin that nothing else has."""

from __future__ import annotations

import base64
import hashlib
import html
from typing import Final

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:.8em;color:#1b1f24;background:#fff;overflow-wrap:anywhere}"
    "pre{white-space:pre-wrap;font:inherit}img{max-width:100%;height:auto}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# `sandbox` without a word more: no script, no forms, no navigation, and no origin, also where it is opened by itself.
FRAME_HEADERS: Final = {
    "Content-Security-Policy": (
        f"sandbox; default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; form-action 'none'; "
        "base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}


def framed(markup: str, text: str, language: str) -> str:
    """Return the document. `markup` comes from the quarantine's preview, which has made it harmless."""
    body = markup or f"<pre>{html.escape(text)}</pre>"
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8"><title>-</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>"
    )
