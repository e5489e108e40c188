"""A stolen account is slowed and held, its administrator is told once, and nobody else notices; the hold is lifted."""

from __future__ import annotations

import asyncio
import smtplib
from collections import Counter
from pathlib import Path

from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.gatepost import House
from tests.house.sink import Sink
from tests.integration.backing import arguments, environ

CONFIG = """
customers:
  - id: acme
    domains:
      - {{name: acme.test, relay: ["127.0.0.1:{relay}"], recipients: any}}
    outbound:
      enabled: yes
      addresses: [127.0.0.1]
      notify: [it@acme.test]
"""
MESSAGE = (
    "From: <{sender}>\r\nTo: <{to}>\r\nSubject: the minutes\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    "Message-ID: <{to}>\r\n\r\nHello,\r\n\r\nsee below.\r\n"
)


def hand_in(port: int, sender: str, recipients: list[str]) -> Counter[str]:
    """Hand in a message to each; return how often each answer came."""
    answers: Counter[str] = Counter()
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        for to in recipients:
            try:
                client.sendmail(sender, [to], MESSAGE.format(sender=sender, to=to))
                answers["taken"] += 1
            except smtplib.SMTPResponseException as error:
                answers[(error.smtp_error if isinstance(error.smtp_error, bytes) else b"").decode()[:26]] += 1
    return answers


async def test_an_account_that_writes_to_strangers_by_the_dozen_is_slowed_and_held(tmp_path: Path, sink: Sink) -> None:
    door, submission = free_ports(2)
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(relay=sink.port))
    settings = {
        "GATEPOST_SMARTHOST": f"127.0.0.1:{sink.port}",
        "GATEPOST_SUBMISSION_PORT": str(submission),
        "GATEPOST_SUBMISSION_SENDER_MESSAGES": "12",
        "GATEPOST_SIGNALS_CONDUCT_BURST": "12",
        "GATEPOST_SCANNERS": "virus",
        **environ(),
    }
    strangers = [f"r{n}@far.test" for n in range(40)]
    more = arguments(tmp_path.name)
    async with House(tmp_path / "data", door, "--config", str(config), *more, environ=settings) as house:
        answers = await asyncio.to_thread(hand_in, submission, "anna@acme.test", strangers)
        assert answers == {"taken": 12, "4.7.1 Too many messages fr": 28}

        async def is_held() -> bool:
            return "anna@acme.test" in (await house.gatepost("submission", "holds")).out

        await eventually(is_held, within=30)
        answers = await asyncio.to_thread(hand_in, submission, "anna@acme.test", strangers[:1])
        assert answers == {"4.7.1 Sending is held for ": 1}
        answers = await asyncio.to_thread(hand_in, submission, "bert@acme.test", strangers[:3])
        assert answers == {"taken": 3}

        lifted = await house.gatepost("submission", "lift", "Anna@acme.test", "--why", "a new password")
        assert lifted.code == 0, lifted
        assert (await house.gatepost("submission", "lift", "anna@acme.test")).code == 2

        async def is_let_go() -> bool:
            answers = await asyncio.to_thread(hand_in, submission, "anna@acme.test", strangers[:1])
            return "4.7.1 Too many messages fr" in answers  # its window is still full, but it is no longer held

        await eventually(is_let_go, within=10)
        held = await house.gatepost("submission", "hold", "dora@acme.test", "--why", "on leave")
        assert held.code == 0, held

        async def dora() -> bool:
            return "taken" not in await asyncio.to_thread(hand_in, submission, "dora@acme.test", strangers[:1])

        await eventually(dora, within=10)
        await eventually(lambda: len(told(sink)) == 1 and len(of(sink, "bert@acme.test")) == 3, within=30)
        balance = await house.gatepost("ledger")
    assert balance.code == 0, balance
    (mail,) = told(sink)
    assert "anna@acme.test" in mail.decode()


def told(sink: Sink) -> list[bytes]:
    """Return the mails about holds."""
    return [each.content for each in sink.arrivals if each.recipients == ("it@acme.test",)]


def of(sink: Sink, sender: str) -> list[bytes]:
    """Return what a sender's messages were on their arrival."""
    return [each.content for each in sink.arrivals if each.reverse_path == sender]
