"""Outbreaks: what near duplicates share, which messages count, when it is told, and what it changes."""

from __future__ import annotations

import base64
import io
import random
import zipfile
from typing import Any

import msgspec
import pytest

from schemas.catalog import BY_STRUCT, partition_of
from schemas.events import Action, Branch, Customer, Disposition, Received, Signal, Status, Verdict
from services.core import outbreak
from services.core.clock import ManualClock
from services.core.signals import Kind, Signals
from services.policy.app import Policy
from services.runtime.bus import Record
from services.runtime.fakes import MemoryBus
from services.scanners.checks.outbreak import SPEC, scan
from services.scanners.fingerprints import BANDS, LINK, of_file, of_text
from services.signals.config import SignalsConfig
from services.signals.decide import Spread, crossed, gathered, sightings
from services.signals.held import HeldPrints
from tests.mails import attached, context, mail
from tests.samples import NOW, received, verdict

LETTER = (
    "Dear {name}, your parcel {number} could not be delivered because the customs fee of {number} euro was not paid. "
    "Please confirm your address and pay the outstanding amount within two days, or the parcel will be returned to the "
    "sender and you will be charged for storage. Visit http://{name}.parcels.test/pay/{number} to settle the matter. "
    "Our service desk is open every day. Kind regards, {name}, the delivery team"
)
NEWSLETTER = (
    "Welcome to the monthly letter of the garden club. This month we speak of roses, of how to prune an apple tree in "
    "winter, and of the best soil for potatoes. Our annual meeting is held on the first Sunday in the village hall. "
    "All members are asked to bring a cake. Read more at http://garden.test/news about the new greenhouse."
)


def letter(seed: int) -> str:
    chance = random.Random(seed)
    return LETTER.format(name=chance.choice(("anna", "bert", "carla", "dirk")), number=chance.randrange(10**8))


# --- fingerprints


def test_a_campaign_that_changes_names_numbers_and_links_shares_bands() -> None:
    prints = [set(of_text(letter(seed))) for seed in range(30)]
    assert all(len(found) == BANDS for found in prints)
    assert all(prints[0] & other for other in prints)
    assert not prints[0] & set(of_text(NEWSLETTER))


def test_letters_that_nobody_sees_and_other_forms_of_letters_change_nothing() -> None:
    hidden = letter(1).replace("parcel", "par\u200bcel").replace("address", "\uff41ddress")
    assert of_text(hidden) == of_text(letter(1))


@pytest.mark.parametrize("text", ["", "ok thanks, see you", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"])
def test_a_text_too_short_to_tell_from_another_has_no_prints(text: str) -> None:
    assert of_text(text) == ()


def test_a_script_without_blanks_has_prints_too() -> None:
    text = (
        "尊敬的客户您好您的包裹由于未支付关税无法投递请您在两天之内确认地址并支付费用否则"
        "包裹将被退回给寄件人并收取保管费用谢谢您的理解与合作快递服务团队敬上祝您生活愉快"
    )
    assert set(of_text(text)) & set(of_text(text + "再见"))


def document(changed: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(20):
            archive.writestr(f"word/part{n}.xml", f"<part n='{n}'/>" * 50)
        archive.writestr("docProps/core.xml", changed)
    return out.getvalue()


def test_documents_that_differ_in_one_member_share_bands_and_not_the_digest() -> None:
    one, other = set(of_file(document(b"anna"))), set(of_file(document(b"bert")))
    assert one & other
    assert not any(found.startswith("x") for found in one & other)


def test_a_broken_archive_is_a_file_like_any_other() -> None:
    assert len(of_file(document(b"x")[:-30])) == 1 + BANDS
    assert of_file(b"PK\x03\x04" + b"\0" * 1_000) == (of_file(b"PK\x03\x04" + b"\0" * 1_000)[0],)
    assert of_file(b"small") == ()


async def test_the_scanner_gives_prints_and_no_opinion() -> None:
    data = document(b"x")
    found = await scan(mail(attached(base64.encodebytes(data), "base64", "bill.docx")), context())
    assert (found.status, found.score) == (Status.CLEAN, 0.0)
    assert set(of_file(data)) <= set(found.prints)
    assert LINK not in found.prints
    plain = await scan(mail(b"From: a@b.test\nSubject: x\n\n" + letter(1).encode()), context())
    assert LINK in plain.prints
    again = await scan(mail(b"From: a@b.test\nSubject: x\n\n" + letter(1).encode()), context())
    assert again.prints == plain.prints


async def test_a_logo_and_a_signature_are_in_everybodys_mail() -> None:
    logo = attached(base64.encodebytes(b"\x89PNG" + bytes(2_000)), "base64").replace(
        b"application/octet-stream", b"image/png"
    )
    assert (await scan(mail(logo), context())).prints == ()


# --- what counts


def decided(of: Received | None = None, **changes: Any) -> Disposition:
    event = Disposition(
        received=of or received(),
        branches=(Branch(recipients=("bob@example.test",), action=Action.DELIVER, rule="default", reason=""),),
        status=Status.CLEAN,
        score=0.0,
        scanners=("auth/1=clean", "outbreak/1=clean"),
        auth_results=(("spf", "none"), ("dkim", "none"), ("dmarc", "none")),
        decided_at=NOW,
        prints=("t0aa", LINK),
    )
    return msgspec.structs.replace(event, **changes)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"prints": ("t0aa",)}, False),
        ({"prints": ("xaa",)}, True),
        ({"prints": ()}, False),
        ({"auth_results": (("spf", "none"), ("dkim", "pass header.d=list.test"), ("dmarc", "none"))}, False),
        ({"auth_results": (("spf", "pass smtp.mailfrom=a.test"), ("dkim", "none"))}, False),
        ({"auth_results": (("spf", "temperror"), ("dkim", "none"))}, False),
        ({"auth_results": ()}, False),
        ({"prints": ("t0aa",), "scanners": ("content/1=suspicious",)}, True),
        ({"prints": ("t0aa",), "scanners": ("outbreak/1=spam", "content/1=clean")}, False),
        ({"scanners": ("content/1=spam",), "auth_results": (("dmarc", "pass"),)}, True),
        ({"released_by": "admin"}, False),
        ({"of": received(recovered=True)}, False),
    ],
    ids=str,
)
def test_what_counts_is_what_others_suspect_or_nobody_vouches_for(changes: dict[str, Any], *, counts: bool) -> None:
    assert outbreak.counts(decided(**changes)) is counts
    assert bool(sightings(decided(**changes))) is counts


def test_a_burst_is_added_together_and_its_sets_are_united() -> None:
    events = [
        decided(
            received(
                customer=f"c{n % 2}", envelope=msgspec.structs.replace(received().envelope, client_ip=f"10.0.{n}.1")
            ),
            scanners=("content/1=spam",) if n < 4 else ("content/1=suspicious",),
        )
        for n in range(10)
    ]
    (one,) = gathered(tally for event in events for tally in sightings(event))
    assert (one.subject, one.kind, one.count, one.flagged) == ("t0aa", Kind.OUTBREAK, 10, 4)
    assert (one.customers.bit_count(), one.recipients.bit_count()) == (2, 1)
    assert one.sources.bit_count() >= 8  # two of ten may fall on one bit: never more than there were


@pytest.mark.parametrize(
    ("spread", "told"),
    [
        (Spread(), False),
        (Spread(customers=0b1, sources=0b11, recipients=0b111), False),
        (Spread(customers=0b11), True),
        (Spread(sources=0b111), True),
        (Spread(recipients=(1 << 20) - 1), True),
    ],
)
def test_it_is_told_when_it_reaches_several_customers_or_comes_from_several_networks(
    spread: Spread, *, told: bool
) -> None:
    limit = SignalsConfig().limits()[Kind.OUTBREAK]
    (tally,) = sightings(decided())
    assert crossed(tally, 9, limit, None, NOW, spread=spread) is None
    assert (crossed(tally, 10, limit, None, NOW, spread=spread) is not None) is told


# --- what follows


def burst(found: str = "t0aa", *, flagged: int = 0) -> Signal:
    return Signal(subject=found, kind=Kind.OUTBREAK, count=40, flagged=flagged, window_s=900.0, until=NOW + 60, at=NOW)


def answers(of: Received, *, dmarc: str = "none", prints: tuple[str, ...] = ("t0aa", LINK)) -> dict[str, Verdict]:
    return {
        "auth": verdict(of, "auth", results=(("dmarc", dmarc),)),
        "outbreak": verdict(of, "outbreak", prints=prints),
    }


def view(*signals: Signal) -> Signals:
    known = Signals()
    for signal in signals:
        known.apply(signal)
    return known


def test_a_burst_makes_a_message_suspicious_and_spam_when_others_were_sure() -> None:
    message = received()
    found = outbreak.judged(answers(message), view(burst()), NOW)["outbreak"]
    assert (found.status, found.score) == (Status.SUSPICIOUS, outbreak.SUSPICIOUS_SCORE)
    assert found.evidence[-1].text == "one of 40 alike within 15 min, 0 of them found bad"
    found = outbreak.judged(answers(message), view(burst(flagged=20)), NOW)["outbreak"]
    assert (found.status, found.evidence[-1].code) == (Status.SPAM, "OUTBREAK")


def test_without_a_burst_or_after_it_nothing_changes() -> None:
    message = received()
    assert outbreak.judged(answers(message), view(burst("t1bb")), NOW) == answers(message)
    assert outbreak.judged(answers(message), view(burst()), NOW + 60) == answers(message)
    assert outbreak.judged({}, view(burst()), NOW) == {}
    away = {"outbreak": verdict(message, "outbreak", Status.UNAVAILABLE, prints=("t0aa",))}
    assert outbreak.judged(away, view(burst()), NOW) == away


def test_whose_text_a_campaign_copies_is_left_alone_but_not_who_sends_its_file() -> None:
    message = received()
    copied = answers(message, dmarc="pass header.from=bank.test")
    found = outbreak.judged(copied, view(burst(flagged=40)), NOW)["outbreak"]
    assert (found.status, found.evidence[-1].code) == (Status.CLEAN, "OUTBREAK_LIKE")
    files = answers(message, dmarc="pass header.from=taken-over.test", prints=("xaa",))
    assert outbreak.judged(files, view(burst("xaa", flagged=40)), NOW)["outbreak"].status is Status.SPAM
    assert outbreak.judged(files, view(burst("xaa")), NOW)["outbreak"].status is Status.CLEAN


def record(event: Received | Verdict) -> Record:
    topic = BY_STRUCT[type(event)]
    return Record(topic, partition_of(event.id, topic.partitions), 0, event.id, event, NOW)


async def test_a_message_that_waits_in_policy_is_judged_by_the_burst_that_came_meanwhile() -> None:
    clock, signals = ManualClock(NOW), Signals()
    policy = Policy(MemoryBus(), lambda name: Customer(id=name), clock, signals=signals)
    message = received(plan=("auth", "outbreak"))
    assert await policy.handle(record(message)) == ()
    assert await policy.handle(record(verdict(message, "outbreak", prints=("t0aa",)))) == ()
    signals.apply(burst(flagged=30))
    (disposition,) = await policy.handle(record(verdict(message, "auth")))
    assert isinstance(disposition, Disposition)
    assert disposition.status is Status.SPAM
    assert disposition.branches[0].action is Action.QUARANTINE
    assert disposition.prints == ("t0aa",)
    assert not outbreak.counts(disposition)  # a burst doesn't keep itself alive


def test_the_scanner_is_called_what_policy_asks_for() -> None:
    assert SPEC.name == outbreak.SCANNER


# --- what is held


def held(message: Received, *, status: Status = Status.CLEAN, **changes: Any) -> Disposition:
    branch = Branch(recipients=("bob@example.test",), action=Action.QUARANTINE, rule="dmarc-reject", reason="")
    return decided(message, branches=(branch,), status=status, **changes)


def test_what_is_held_is_made_worse_by_a_burst_that_is_told_later_once() -> None:
    memory, mine, other, gone = HeldPrints(), received(), received(), received()
    memory.remember(held(mine))
    memory.remember(held(other, prints=("t1bb",)))
    memory.remember(held(gone))
    memory.remember(msgspec.structs.replace(held(gone), released_by="admin"))
    memory.remember(decided(received()))  # was delivered
    signals = view(burst())
    (found,) = memory.worse(signals, NOW)
    assert (found.id, found.customer, found.status) == (mine.id, "example", Status.SUSPICIOUS)
    assert memory.worse(signals, NOW) == []
    signals.apply(burst(flagged=30))  # others are sure by now
    assert [each.status for each in memory.worse(signals, NOW)] == [Status.SPAM]


def test_what_is_bad_already_or_vouched_for_stays_as_it_is() -> None:
    memory = HeldPrints()
    memory.remember(held(received(), scanners=("content/1=spam",), status=Status.SPAM))
    memory.remember(held(received(), auth_results=(("dmarc", "pass header.from=bank.test"),)))
    assert memory.worse(view(burst(flagged=30)), NOW) == []


def test_the_oldest_make_room() -> None:
    memory, messages = HeldPrints(most=2), [received() for _ in range(3)]
    for message in messages:
        memory.remember(held(message))
    assert [each.id for each in memory.worse(view(burst()), NOW)] == [message.id for message in messages[1:]]
