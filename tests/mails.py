"""Mails and contexts for tests of scanners."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.events import Envelope
from services.core.clock import Clock, ManualClock
from services.runtime.dns import Answer
from services.runtime.fakes_dns import FakeDns
from services.scanners.contract import Context
from services.scanners.engines.signatures import Rules
from services.scanners.mail import Mail
from tests.samples import received

DATA = Path(__file__).parent / "data"
# joined here, so that no virus scanner takes this file for what it isn't
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!" + b"$H+H*"

PLAIN = b"""From: Alice <alice@sender.test>
To: bob@example.test
Subject: The minutes
Date: Tue, 14 Nov 2023 22:13:20 +0000
Message-ID: <1@sender.test>

Dear Bob, the minutes of the meeting are below.
"""


def crlf(data: bytes) -> bytes:
    """Return the octets with CRLF line ends, as the store holds messages."""
    return re.sub(rb"\r?\n", b"\r\n", data)


def mail(raw: bytes, **envelope: Any) -> Mail:
    """Return a mail; its line ends become CRLF. Keyword arguments go into the envelope."""
    fields: dict[str, Any] = {
        "reverse_path": "alice@sender.test",
        "recipients": ("bob@example.test",),
        "client_ip": "192.0.2.7",
        "helo": "mx.sender.test",
    }
    data = crlf(raw)
    return Mail(received(envelope=Envelope(**{**fields, **envelope}), size=len(data)), data)


def sample(name: str) -> Mail:
    """Return the mail in tests/data/<name>.eml; a Return-Path in it is the envelope's."""
    raw = (DATA / f"{name}.eml").read_bytes()
    path = re.search(rb"^Return-Path: <([^>]*)>", raw, re.MULTILINE)
    return mail(raw, **({"reverse_path": path[1].decode()} if path else {}))


def context(zone: Mapping[tuple[str, str], Answer] | None = None, **ports: Any) -> Context:
    """Return a context with a zone of DNS and the built-in rules; keyword arguments replace ports."""
    clock: Clock = ports.pop("clock", None) or ManualClock()
    return Context(
        **{"clock": clock, "dns": FakeDns(zone), "signatures": Rules("", clock), "clamd": None, "rspamd": None, **ports}
    )


def attached(content: bytes, encoding: str, name: str = "a.com") -> bytes:
    """Return a message with one attachment whose body is `content` as it is to stand there."""
    return (
        b"From: alice@sender.test\nTo: bob@example.test\nSubject: x\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"
        b"Message-ID: <1@sender.test>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=cut\n\npreamble\n"
        b"--cut\nContent-Type: text/plain\n\nhello\n--cut\nContent-Type: application/octet-stream\n"
        b'Content-Disposition: attachment; filename="%s"\nContent-Transfer-Encoding: %s\n\n%s\n--cut--\n'
        % (name.encode(), encoding.encode(), content)
    )
