"""The notification itself: a multipart/report (RFC 6522) with a delivery-status (RFC 3464; RFC 6533 in UTF-8). Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from services.core.headers import clean, field

HEADER_MOST: Final = 65_536  # octets of the original's header that go back; never its body

_STATUS = re.compile(r"(?:^|\s)([245]\.\d{1,3}\.\d{1,3})(?=\s|$)")
_SAID = re.compile(r"[245]\d\d[ -]")


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """What became of some recipients."""

    recipients: tuple[str, ...]
    action: str  # failed or delayed (RFC 3464 section 2.3.3)
    status: str  # when the reply has none of its own
    reply: str  # the last answer, one line


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What the sender is told."""

    id: str
    hostname: str
    sender: str
    arrived: float
    at: float
    until: float = 0.0  # delayed: until when it is tried
    failed: Sequence[Failed] = ()


def compose(report: Report, header: bytes) -> bytes:
    """Return the message; `header` is the header block of the original, of which nothing but that is shown."""
    names = [name for one in report.failed for name in one.recipients]
    wide = not all(name.isascii() for name in (report.sender, *names))
    head = header[:HEADER_MOST].rstrip(b"\r\n") + b"\r\n"
    boundary = f"{report.id}/report"
    delayed = all(one.action == "delayed" for one in report.failed)
    top = [
        field("From", f"Mail Delivery System <MAILER-DAEMON@{report.hostname}>"),
        b"To: <" + report.sender.encode() + b">\r\n",
        field("Subject", "Your message waits" if delayed else "Your message was not delivered"),
        field("Date", _date(report.at)),
        field("Message-ID", f"<{report.id}@{report.hostname}>"),
        field("Auto-Submitted", "auto-replied"),
        field("MIME-Version", "1.0"),
        field("Content-Type", f'multipart/report; report-type=delivery-status; boundary="{boundary}"'),
    ]
    global_head = not head.isascii()
    parts = [
        (b"text/plain; charset=utf-8", _text(report, delayed=delayed).encode()),
        (b"message/global-delivery-status" if wide else b"message/delivery-status", _status(report, wide=wide)),
        (b"message/global-headers" if global_head else b"text/rfc822-headers", head),
    ]
    body = [b"".join(top), b"\r\n"]
    for kind, content in parts:
        encoding = b"7bit" if content.isascii() else b"8bit"
        body.append(
            b"--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (boundary.encode(), kind, encoding)
        )
        body += [content, b"\r\n"]
    body.append(b"--%s--\r\n" % boundary.encode())
    return b"".join(body)


def _text(report: Report, *, delayed: bool) -> str:
    lines = [f"This is the mail system at {report.hostname}.", ""]
    if delayed:
        lines += ["Your message could not be delivered yet. You need not send it again:"]
        lines += [f"it is tried until {_date(report.until)}.", ""]
    else:
        lines += ["Your message could not be delivered to:", ""]
    for one in report.failed:
        lines += [f"  <{name}>" for name in one.recipients]
        if _SAID.match(one.reply):
            lines.append(f"    the receiving server said: {clean(one.reply)}")
        elif _STATUS.match(one.reply):
            lines.append(f"    {clean(one.reply)}")
        elif one.action == "failed":
            lines.append("    the receiving server could not be reached, or the message was ended by its administrator")
    return "\r\n".join(lines) + "\r\n"


def _status(report: Report, *, wide: bool) -> bytes:
    lines = [f"Reporting-MTA: dns; {report.hostname}", f"Arrival-Date: {_date(report.arrived)}", ""]
    for one in report.failed:
        match = _STATUS.search(one.reply[:40])
        for name in one.recipients:
            kind = "rfc822" if name.isascii() or not wide else "utf-8"
            lines += [
                f"Final-Recipient: {kind}; {name}",
                f"Action: {one.action}",
                f"Status: {match[1] if match else one.status}",
            ]
            if _SAID.match(one.reply):
                said = clean(one.reply)
                lines.append(f"Diagnostic-Code: smtp; {said if wide else said.encode('ascii', 'replace').decode()}")
            lines.append(f"Last-Attempt-Date: {_date(report.at)}")
            if one.action == "delayed":
                lines.append(f"Will-Retry-Until: {_date(report.until)}")
            lines.append("")
    return "\r\n".join(lines).encode()


def _date(when: float) -> str:
    return format_datetime(datetime.fromtimestamp(when, UTC))
