"""A release that the quarantine has not signed is not delivered."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from schemas.catalog import DISPOSITIONS
from schemas.events import Action, Branch, Disposition, Event, Status
from services.core.errors import ConfigError, UnreadableEvent
from services.core.exemption import exempt
from services.delivery.exempt import Exempt
from services.quarantine.master import Secrets
from services.runtime.bus import Record, Stateless, Tombstone
from tests.samples import NOW, received

SECRETS = Secrets(b"m" * 32)
BOB = "bob@example.test"


class Inner(Stateless):
    """Counts what comes through."""

    def __init__(self) -> None:
        self.count = 0

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        assert record.event is not None
        self.count += 1
        return ()


def record(event: Event) -> Record:
    return Record(topic=DISPOSITIONS, partition=0, offset=0, key="", event=event, timestamp=NOW)


def release() -> Disposition:
    event = received()
    branch = Branch(recipients=(BOB,), action=Action.DELIVER, rule="spam", reason="released by olga")
    signed = exempt(
        SECRETS.signing, message=event.id, customer="example", recipient=BOB, release="C", policy="p", at=NOW
    )
    return Disposition(
        received=event,
        branches=(branch,),
        status=Status.SPAM,
        score=1.0,
        decided_at=NOW,
        release="C",
        exemptions=(signed,),
    )


async def test_what_is_signed_passes_and_what_is_not_does_not() -> None:
    inner = Inner()
    checked = Exempt(inner, SECRETS.public)
    good = release()
    await checked.handle(record(good))
    await checked.handle(record(msgspec.structs.replace(good, release="", exemptions=())))  # policy's own
    assert inner.count == 2
    for forged in (
        msgspec.structs.replace(good, exemptions=()),
        msgspec.structs.replace(good, release="D"),
        msgspec.structs.replace(good, received=received()),
    ):
        with pytest.raises(UnreadableEvent):
            await checked.handle(record(forged))
    await Exempt(inner, "").handle(record(msgspec.structs.replace(good, exemptions=())))
    assert inner.count == 3


def test_a_public_key_that_is_none_is_one_line() -> None:
    with pytest.raises(ConfigError, match="GATEPOST_RELEASE_PUBLIC_KEY"):
        Exempt(Inner(), "nonsense")
