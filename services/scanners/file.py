"""All scanners on one file, in this process: what `gatepost scan FILE.eml` shows."""

from __future__ import annotations

import asyncio
import dataclasses
import email.utils
import os
import re
from pathlib import Path
from typing import Final

import msgspec

from schemas.events import Direction, Envelope, Received
from services.core.clock import Clock, SystemClock
from services.core.direction import plan_of
from services.core.errors import ConfigError
from services.core.stored import unpack
from services.scanners import config as settings
from services.scanners import run
from services.scanners.briefing import EMPTY, Briefing
from services.scanners.config import ScannersConfig
from services.scanners.contract import Finding, Spec
from services.scanners.mail import Mail
from services.scanners.ports import open_ports
from services.scanners.registry import choose

_STORED: Final = b"GATEPOST/1 "
_LINE_END = re.compile(rb"\r?\n")


async def scan_file(
    path: Path, config: ScannersConfig | None = None, briefing: Briefing = EMPTY, *, outgoing: bool = False
) -> list[tuple[Spec, Finding]]:
    """Return what each scanner says of the message in the file: an .eml, or an object of the store with its envelope.

    `outgoing`: as a customer's own, on its way out; then those that look at such mail alone are asked.

    An .eml has no envelope: Return-Path stands for the sender, and SPF has no client address to judge. Raises
    ConfigError for a file that can't be read.
    """
    chosen = config or settings.read(os.environ)
    clock = SystemClock()
    mail = await asyncio.to_thread(_read, path, clock)
    known = choose(chosen.scanners)
    if outgoing:
        mail = Mail(msgspec.structs.replace(mail.received, direction=Direction.OUTBOUND), mail.raw)
    scanners = [known[name] for name in plan_of(mail.received.direction, tuple(known))]
    async with open_ports(chosen, [item.SPEC for item in scanners], clock) as ctx:
        told = dataclasses.replace(ctx, briefing=briefing)
        return [(item.SPEC, await run.run(item, mail, told)) for item in scanners]


def _read(path: Path, clock: Clock) -> Mail:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if data.startswith(_STORED):
        return Mail(*unpack(data))
    raw = _LINE_END.sub(b"\r\n", data)
    envelope = Envelope(reverse_path="", recipients=(), client_ip="")
    received = Received(
        id="0" * 26,
        customer="",
        domain="",
        key="",
        envelope=envelope,
        size=len(raw),
        received_at=clock.now(),
        server="",
        plan=(),
    )
    sender = email.utils.parseaddr(Mail(received, raw).header("return-path")[:1000])[1]
    return Mail(msgspec.structs.replace(received, envelope=msgspec.structs.replace(envelope, reverse_path=sender)), raw)
