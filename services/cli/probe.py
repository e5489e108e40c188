"""Two messages through the whole service: a clean one must arrive, EICAR must not. What `helm test` runs."""

from __future__ import annotations

import asyncio
import contextlib
import email.message
import email.utils
import re
import smtplib
import time
from typing import Final

from schemas.catalog import DISPOSITIONS, OUTCOMES
from schemas.events import Action, Disposition, Outcome, State, Status
from services.core.errors import BusUnavailable, ConfigError, StartError
from services.runtime.bus import Bus
from services.runtime.kafka import KafkaBus

TAIL: Final = 2_000  # records of each partition that are looked at: more than arrive between two looks
PAUSE: Final = 0.5  # seconds between looks
SMTP_WITHIN: Final = 30.0  # seconds for each reply
# In two pieces: in one, this file would be what it sends.
EICAR: Final = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*"
_ID: Final = re.compile(rb"id=([0-9A-Z]{26})")


async def probe(kafka: str, smtp: str, recipient: str, within: float) -> str:
    """Return what became of both messages; raise StartError when it isn't what should have."""
    host, _, port = smtp.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--smtp: {smtp!r} is not HOST:PORT")
    clean = await asyncio.to_thread(_send, host, int(port), recipient, virus=False)
    virus = await asyncio.to_thread(_send, host, int(port), recipient, virus=True)
    bus = KafkaBus(kafka, "gatepost-probe")
    began = time.monotonic()
    try:
        delivered = stopped = False
        while time.monotonic() - began < within:
            with contextlib.suppress(BusUnavailable):  # it may come back in time
                delivered = delivered or await _delivered(bus, clean)
                stopped = stopped or await _stopped(bus, virus)
                if await _delivered(bus, virus):
                    raise StartError(f"EICAR went through: id={virus}")
            if delivered and stopped:
                return (
                    f"clean message delivered: id={clean}\nEICAR stopped: id={virus}\n{time.monotonic() - began:.1f} s"
                )
            await asyncio.sleep(PAUSE)
    finally:
        await bus.close()
    raise StartError(
        f"after {within:.0f} s the clean message (id={clean}) is {'delivered' if delivered else 'NOT delivered'}, "
        f"EICAR (id={virus}) is {'stopped' if stopped else 'NOT decided on'}"
    )


def _send(host: str, port: int, recipient: str, *, virus: bool) -> str:
    message = email.message.EmailMessage()
    message["From"], message["To"] = "Gatepost probe <probe@gatepost.test>", recipient
    message["Subject"] = "A message that tests this service"
    message["Date"], message["Message-ID"] = email.utils.localtime(), email.utils.make_msgid(domain="gatepost.test")
    message.set_content("This message tests whether mail comes through. It needs no answer.\n")
    if virus:
        message.add_attachment(EICAR.encode(), maintype="application", subtype="octet-stream", filename="test.com")
    try:
        with smtplib.SMTP(host, port, timeout=SMTP_WITHIN) as client:
            client.ehlo_or_helo_if_needed()
            steps = [client.mail("probe@gatepost.test"), client.rcpt(recipient), client.data(message.as_bytes())]
    except (OSError, smtplib.SMTPException) as error:
        raise StartError(f"{host}:{port}: {error}") from error
    code, answer = next((step for step in steps if step[0] not in {250, 251}), steps[-1])
    found = _ID.search(answer)
    if code != 250 or found is None:  # noqa: PLR2004 - accepted
        raise StartError(f"{host}:{port} answers {code} {answer.decode(errors='replace')}")
    return found[1].decode()


async def _delivered(bus: Bus, message: str) -> bool:
    async for record in bus.read(OUTCOMES, tail=TAIL):
        if isinstance(record.event, Outcome) and record.event.id == message:
            return record.event.state is State.DELIVERED
    return False


async def _stopped(bus: Bus, message: str) -> bool:
    async for record in bus.read(DISPOSITIONS, tail=TAIL):
        event = record.event
        if isinstance(event, Disposition) and event.received.id == message:
            return event.status is Status.VIRUS and all(b.action is not Action.DELIVER for b in event.branches)
    return False
