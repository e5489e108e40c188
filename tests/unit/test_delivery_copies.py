"""Copies and notices that rules ask for: accepted mail of its own, once each, whatever happens in between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from schemas.catalog import RECEIVED
from schemas.events import Action, Branch, DigestPlan, Disposition, Received, State
from services.core.errors import StoreUnavailable
from services.core.stored import unpack
from services.policy.decide import decide, with_received
from tests.unit.test_delivery import ALL, BODY, B, Bench, C, arrived

ARCHIVE, DESK = "archive@other.test", "desk@example.test"


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.delivery.assigned(ALL)
    yield bench
    await bench.delivery.close()


def branch(*recipients: str, action: Action = Action.DELIVER, **changes: object) -> Branch:
    made = Branch(recipients=recipients or (B,), action=action, rule="a rule", reason="score 7.0 of 5")
    return msgspec.structs.replace(made, **changes)


def made(bench: Bench) -> list[Received]:
    return [event for event in bench.bus.events(RECEIVED) if isinstance(event, Received)]


async def pass_on(bench: Bench, received: Received) -> None:
    """Do what policy does with mail of ours, and deliver it."""
    known = bench.customer(received.customer)
    assert known is not None
    decided = decide(with_received(None, received, 0), known, bench.clock.now())
    assert isinstance(decided, Disposition)
    await bench.handle(decided)


async def test_a_copy_is_what_the_recipient_gets_and_has_an_end_of_its_own(bench: Bench) -> None:
    rule = branch(B, C, tag_subject="[T]", stamp="From outside.", bcc=(ARCHIVE,))
    (outcome,) = await bench.deliver(B, C, branches=(rule,))
    assert (outcome.recipients, outcome.total) == ((B, C), 2)
    (copy,) = made(bench)
    assert (copy.envelope.recipients, copy.envelope.reverse_path) == ((ARCHIVE,), "")
    assert (copy.own, copy.domain, copy.plan, copy.id == outcome.id) == ("bcc", "other.test", (), False)
    await pass_on(bench, copy)
    original, archived = bench.mta.arrived
    assert archived.recipients == (ARCHIVE,)
    assert archived.content == original.content
    assert b"Subject: [T] x" in archived.content
    assert archived.content.endswith(b"body\r\n\r\nFrom outside.\r\n")
    assert set(bench.ends()) == {(name, State.DELIVERED) for name in (B, C, ARCHIVE)}


async def test_what_cannot_be_copied_now_does_not_go_out_either(bench: Bench) -> None:
    disposition = await bench.message(branches=(branch(bcc=(ARCHIVE,)),))
    bench.store.fail("put", StoreUnavailable("down"), landed=True)
    with pytest.raises(StoreUnavailable):
        await bench.handle(disposition)
    assert (made(bench), arrived(bench)) == ([], [])
    await bench.handle(disposition)
    (copy,) = made(bench)
    await pass_on(bench, copy)
    assert arrived(bench) == [(B,), (ARCHIVE,)]


async def test_the_same_record_again_copies_nothing_again(bench: Bench) -> None:
    disposition = await bench.message(branches=(branch(bcc=(ARCHIVE,), notify=(DESK,)),))
    await bench.handle(disposition)
    await bench.handle(disposition)
    assert sorted(each.own for each in made(bench)) == ["bcc", "notice"]
    first = {each.id for each in made(bench)}
    held = await bench.message(branches=(branch(action=Action.QUARANTINE, notify=(DESK,)),))
    await bench.handle(held)
    (word,) = (each for each in made(bench) if each.id not in first)
    await bench.handle(held)  # a crash before the commit: the same mail once more, under the same id
    assert made(bench).count(word) == 2
    await pass_on(bench, word)
    await bench.handle(held)
    assert len(made(bench)) == 4


async def test_nobody_is_told_again_when_it_is_released_and_its_copy_goes_then(bench: Bench) -> None:
    held = branch(action=Action.QUARANTINE, bcc=(ARCHIVE,), notify=(DESK,))
    disposition = await bench.message(branches=(held,))
    await bench.handle(disposition)
    assert [each.own for each in made(bench)] == ["notice"]
    let_go = msgspec.structs.replace(held, action=Action.DELIVER)
    await bench.handle(msgspec.structs.replace(disposition, branches=(let_go,), release="01K", released_by="ann"))
    assert sorted(each.own for each in made(bench)) == ["bcc", "notice"]


@pytest.mark.parametrize("language", ["en", "it"])
async def test_word_says_what_was_done_and_never_more_than_a_line_of_what_others_wrote(
    bench: Bench, language: str
) -> None:
    known = bench.customer("example")
    assert known is not None
    bench.delivery._copies._customer = lambda _: msgspec.structs.replace(known, digest=DigestPlan(language=language))
    evil = branch(
        action=Action.DELETE, notify=(DESK,), rule="à rule", reason="said\r\nBcc: evil@else.test\r\n\r\nhello"
    )
    disposition = await bench.message(branches=(evil,))
    received = msgspec.structs.replace(disposition.received, subject="x\r\nX-Evil: y")
    await bench.handle(msgspec.structs.replace(disposition, received=received))
    (notice,) = made(bench)
    _, stored = unpack(await bench.store.get(notice.key))
    text = bytes(stored).decode()
    head, _, body = text.partition("\r\n\r\n")
    assert "Bcc" not in head
    assert f"To: <{DESK}>" in head
    assert "Auto-Submitted: auto-generated" in head
    assert ("deleted" if language == "en" else "eliminato") in body
    assert "said Bcc: evil@else.test hello\r\n" in body
    assert "x X-Evil: y\r\n" in body
    assert BODY.partition(b"\r\n\r\n")[2] not in bytes(stored)
    await pass_on(bench, notice)
    assert arrived(bench) == [(DESK,)]


async def test_a_copy_elsewhere_goes_by_the_customers_own_mta(bench: Bench) -> None:
    await bench.deliver(branches=(branch(bcc=("journal@provider.example",)),))
    (copy,) = made(bench)
    assert copy.domain == "example.test"
    bench.known = False
    await bench.deliver(branches=(branch(bcc=(ARCHIVE,)),))
    assert len(made(bench)) == 1  # the customer is gone, and nobody knows where its mail goes
