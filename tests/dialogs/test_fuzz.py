"""Whatever a client sends, each line that it hears is one of ours, and the next client is served."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.core import replies
from services.core.replies import Reply
from services.runtime.fakes_dns import FakeDns
from tests.dialogs.door import opened

KNOWN = {str(value) for value in vars(replies).values() if isinstance(value, Reply)}
OTHER = re.compile(
    r"220 mx\.gatepost\.test ESMTP Gatepost"
    r"|250[- ](mx\.gatepost\.test|SIZE \d+|8BITMIME|SMTPUTF8|PIPELINING|CHUNKING|ENHANCEDSTATUSCODES)"
    r"|250 2\.0\.0 OK id=[0-9A-Z]{26}"
)
PIECES = st.one_of(
    st.sampled_from(
        [
            b"EHLO c.test\r\n", b"HELO c.test\r\n", b"MAIL FROM:<a@b.test>\r\n", b"MAIL FROM:<>\r\n", b"RSET\r\n",
            b"RCPT TO:<anna@acme.test>\r\n", b"RCPT TO:<zoe@zeta.test>\r\n", b"RCPT TO:<x@y.test>\r\n", b"DATA\r\n",
            b".\r\n", b"BDAT 7\r\nabc\r\n.\r\n", b"BDAT 3 LAST\r\n", b"BDAT 0 last\r\n", b"BDAT x\r\n",
            b"NOOP\r\n", b"VRFY a\r\n", b"STARTTLS\r\n", b"QUIT\r\n", b"\r\n", b"\n", b"\r", b"\0", b".",
            b"<", b">", b"\xff", b"x" * 3000,
        ]
    ),
    st.binary(max_size=40),
)  # fmt: skip


TIMES = {"data_timeout": 5.0, "command_timeout": 5.0}
GUARDED = {  # every guard on, and each limit soon reached
    **TIMES,
    "exempt": ("192.0.2.0/24",),
    "greet_pause": 0.005,
    "greylist_delay": 0.001,
    "harvest_per_address": 2,
    "max_errors_per_minute": 5,
    "max_messages_per_address": 3,
    "max_recipients_per_address": 3,
    "max_per_recipient": 2,
    "dnsbl": ("zen.test=3",),
    "tarpit": 0.001,
}


@pytest.mark.parametrize("changes", [TIMES, GUARDED], ids=["plain", "guarded"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=25), patient=st.booleans())
def test_any_sequence_of_octets_is_answered_in_our_words(
    pieces: list[bytes], patient: bool, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> bytes:
        zone = {("1.0.0.127.zen.test", "A"): ("127.0.0.2",)}
        async with opened(dns=FakeDns(zone), changes=changes) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            said = await reader.readline() if patient else b""
            for piece in pieces:
                writer.write(piece)
            writer.write_eof()
            async with asyncio.timeout(20):
                said += await _all(reader)
            assert len(door.received()) == len(door.store.objects)
            assert said.count(b"OK id=") <= len(door.received())
            again, second = await asyncio.open_connection("127.0.0.1", door.port)
            assert (await again.readline()).startswith((b"220", b"421") if changes is GUARDED else b"220")
            writer.transport.abort()
            second.transport.abort()
            return said

    caplog.clear()
    said = asyncio.run(talk())
    for line in said.decode("ascii").splitlines():
        assert line in KNOWN or OTHER.fullmatch(line), line
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def _all(reader: asyncio.StreamReader) -> bytes:
    """Return everything up to the end, also when that is a reset: octets that nobody read make one of a close."""
    said = b""
    while True:
        try:
            octets = await reader.read(65_536)
        except ConnectionResetError:
            return said.rpartition(b"\r\n")[0]
        if not octets:
            return said
        said += octets
