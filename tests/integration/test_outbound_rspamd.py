"""Signatures of ours, verified by somebody who shares no line with us: rspamd, asking DNS for the records."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bench import engines
from services.core import dkim
from services.delivery.session import Letter
from services.delivery.sign import signed
from tests.house.names import Names
from tests.parts import lacking

HEADER = (
    b"From: Anna <anna@acme.test>\r\nTo: Victor <victor@elsewhere.test>\r\nSubject: the  minutes \r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)
BODY = "Hello Victor, \r\n\r\nsee\t below: grüße.\r\n\r\n\r\n".encode()


async def checked(url: str, message: bytes) -> dict[str, list[str]]:
    """Return rspamd's symbols about DKIM, each with what it is about."""
    about = {"From": "anna@acme.test", "Rcpt": "victor@elsewhere.test", "IP": "192.0.2.7", "Helo": "mx.gatepost.test"}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/checkv2", data=message, headers=about) as said:
        answer: dict[str, Any] = await said.json(content_type=None)
    return {name: sorted(each.get("options") or []) for name, each in answer["symbols"].items() if "DKIM" in name}


async def test_rspamd_passes_both_signatures_and_none_of_what_was_changed() -> None:
    if shutil.which("rspamd") is None:
        lacking("no rspamd on the path")
    keys = [dkim.Key("acme.test", f"gp1{algorithm[:1]}", dkim.new_private(algorithm)) for algorithm in dkim.ALGORITHMS]
    letter = Letter("anna@acme.test", ("victor@elsewhere.test",), [HEADER, b"\r\n" + BODY], 0, eight_bit=True)
    message = b"".join(signed(letter, keys, time.time()).parts)
    records = {
        (f"{key.selector}._domainkey.acme.test", "TXT"): (dkim.strings(dkim.record(key.private)),) for key in keys
    }
    async with Names(zone=records) as names:
        asks = f'dns {{ nameserver = ["{names.address}"]; timeout = 1s; retransmits = 1; }}\n'
        options = f'{asks}local_addrs = "192.0.2.255";\n'
        with tempfile.TemporaryDirectory() as folder:  # not below pytest's, which only its own user may enter
            try:
                async with engines.rspamd(Path(folder), {"options.inc": options}) as server:
                    fine = await checked(server.url, message)
                    changed = await checked(server.url, message.replace(b"Hello Victor", b"Hello Walter"))
            except engines.PeerMissing as error:
                pytest.skip(str(error))
    assert fine["R_DKIM_ALLOW"] == ["acme.test:s=gp1e", "acme.test:s=gp1r"]
    assert "R_DKIM_REJECT" not in fine
    assert changed["R_DKIM_REJECT"] == ["acme.test:s=gp1e", "acme.test:s=gp1r"]
    assert "R_DKIM_ALLOW" not in changed
