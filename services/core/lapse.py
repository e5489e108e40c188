"""The notice on mail of a customer whose licence has lapsed. Pure: the time is a parameter."""

from __future__ import annotations

import html
import textwrap
from datetime import UTC, datetime
from typing import Final

from schemas.events import Customer, Disclaimer, Received
from services.core.direction import outbound

COLUMNS: Final = 72  # of the notice in plain text
_STYLE: Final = "clear:both;margin-top:1em;padding-top:0.5em;border-top:1px solid #888;font-size:small"
_NOTICES: Final = {
    "en": "The licence of this mail protection ended and was not renewed: since {date} it goes on without support. "
    "Please tell your administrator.",
    "it": "La licenza di questa protezione della posta non è stata rinnovata: dal {date} continua senza assistenza. "
    "Avvisare il proprio amministratore.",
}


def notice_of(customer: Customer | None, received: Received, now: float) -> str:
    """Return what is to be put on the message at `now`, seconds since the epoch; empty for nothing.

    Only on mail that comes in: what the customer sends is read by others, and what we write says what it has to say.
    """
    if customer is None or not customer.lapses_at or now < customer.lapses_at:
        return ""
    if received.own or received.bounce_of or outbound(received):
        return ""
    date = datetime.fromtimestamp(customer.lapses_at, UTC).strftime("%Y-%m-%d")
    return _NOTICES.get(customer.digest.language, _NOTICES["en"]).format(date=date)


def set_out(notice: str) -> Disclaimer:
    """Return the notice as it stands below a message: under a line, wrapped in plain text."""
    text = "\n".join(["_" * 20, *textwrap.wrap(notice, COLUMNS)])
    return Disclaimer(text=text, html=f'<div style="{_STYLE}"><p>{html.escape(notice)}</p></div>')
