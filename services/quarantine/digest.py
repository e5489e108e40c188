"""When a digest is due and what it says. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import html
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

from schemas.events import DigestPlan
from services.core.headers import field
from services.core.ids import message_id
from services.quarantine.decide import Held
from services.quarantine.texts import text

ITEMS_MOST: Final = 100
GRACE: Final = 7_200.0  # seconds after its time for which a digest is still sent; a later one would only confuse


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """One recipient's digest for one window."""

    customer: str
    recipient: str  # in lower case
    window: float  # when it was due
    since: float  # what was held after that, and not before, is new
    count: int  # of new items


def window_of(plan: DigestPlan, now: float) -> float | None:
    """Return the latest time at or before `now` at which a digest is due, None when that is too long ago or never."""
    if not plan.hours:
        return None
    zone = zone_of(plan.timezone)
    here = datetime.fromtimestamp(now, zone)
    times = [
        (here + timedelta(days=day)).replace(hour=hour, minute=0, second=0, microsecond=0).timestamp()
        for day in (-1, 0)
        for hour in plan.hours
    ]
    latest = max((at for at in times if at <= now), default=0.0)
    return latest if now - latest < GRACE else None


def mask_of(members: Iterable[int]) -> int:
    """Return a set of small numbers as bits, as the database has it."""
    return sum(1 << member for member in set(members))


def members_of(mask: int, most: int) -> list[int]:
    """Return the numbers below `most` that the bits stand for."""
    return [member for member in range(most) if mask >> member & 1]


def place_of(plan: DigestPlan, window: float) -> tuple[int, int]:
    """Return the bit of the hour and the bit of the day (Monday first) on which a window lies where the customer is."""
    here = datetime.fromtimestamp(window, zone_of(plan.timezone))
    return 1 << here.hour, 1 << here.weekday()


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """Return the time zone, UTC for a name that means none."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo("UTC")


def digest_id(key: bytes, due: Due) -> str:
    """Return the id that this recipient's digest of this window has: never another, so it can't be two messages."""
    about = f"digest\n{due.customer}\n{due.recipient}\n{due.window:.0f}".encode()
    mac = hmac.digest(key, about, hashlib.sha256)
    return message_id(due.window, lambda octets: mac[:octets])


def compose(
    due: Due, rows: Sequence[Held], *, language: str, plan: DigestPlan, link: Callable[[Held], str], hostname: str
) -> bytes:
    """Return the digest as a message: plain text and HTML that say the same, everything from outside escaped."""
    identity = hashlib.sha256(f"{due.customer} {due.recipient} {due.window}".encode()).hexdigest()[:32]
    boundary = f"=_{identity}"
    subject = text("digest.subject.one", language) if due.count == 1 else ""
    head = [
        field("From", f"Gatepost <quarantine@{hostname}>"),
        field("To", due.recipient),
        field("Subject", subject or text("digest.subject", language, count=due.count)),
        field("Date", format_datetime(datetime.fromtimestamp(due.window, UTC))),
        field("Message-ID", f"<{identity}@{hostname}>"),
        field("Auto-Submitted", "auto-generated"),
        field("Content-Language", language),
        b"MIME-Version: 1.0\r\n",
        f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'.encode(),
    ]
    zone = zone_of(plan.timezone)
    bodies = (
        ("text/plain", _plain(due, rows, language, zone, link)),
        ("text/html", _html(due, rows, language, zone, link)),
    )
    parts = [
        f"--{boundary}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".encode()
        + "\r\n".join(body.splitlines()).encode("utf-8", "replace")
        + b"\r\n"
        for kind, body in bodies
    ]
    return b"".join([*head, *parts, f"--{boundary}--\r\n".encode()])


def _plain(due: Due, rows: Sequence[Held], language: str, zone: zoneinfo.ZoneInfo, link: Callable[[Held], str]) -> str:
    lines = [text("digest.intro", language, recipient=due.recipient), ""]
    for row in rows:
        lines += [
            f"{text('subject', language)}: {row.subject or text('no-subject', language)}",
            f"{text('from', language)}: {_sender(row)}",
            f"{text('reason', language)}: {row.reason}",
            f"{text('held', language)}: {_when(row.held_at, zone)}",
            link(row),
            "",
        ]
    if due.count > len(rows):
        lines += [text("digest.more", language, more=due.count - len(rows)), ""]
    return "\n".join([*lines, text("digest.why", language)])


def _html(due: Due, rows: Sequence[Held], language: str, zone: zoneinfo.ZoneInfo, link: Callable[[Held], str]) -> str:
    cells = "\n".join(
        f'<tr><td style="padding:8px 0;border-top:1px solid #ccc">'
        f"<b>{_escaped(row.subject or text('no-subject', language))}</b><br>"
        f"{text('from', language)}: {_escaped(_sender(row))}<br>{text('reason', language)}: "
        f"{_escaped(row.reason)}<br>{text('held', language)}: {_when(row.held_at, zone)}<br>"
        f'<a href="{_escaped(link(row))}">{text("digest.open", language)}</a></td></tr>'
        for row in rows
    )
    more = f"<p>{text('digest.more', language, more=due.count - len(rows))}</p>\n" if due.count > len(rows) else ""
    return (
        f'<!doctype html>\n<html lang="{language}"><body style="font-family:sans-serif;max-width:44em">\n'
        f"<p>{_escaped(text('digest.intro', language, recipient=due.recipient))}</p>\n"
        f'<table style="width:100%;border-collapse:collapse">\n{cells}\n</table>\n{more}'
        f"<p><small>{text('digest.why', language)}</small></p>\n</body></html>"
    )


def _sender(row: Held) -> str:
    return row.header_from or row.reverse_path or "<>"


def _when(at: float, zone: zoneinfo.ZoneInfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M %Z")


def _escaped(said: str) -> str:
    return html.escape(said, quote=True)
