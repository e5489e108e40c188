"""Digests: at most one a recipient and window, whatever happens; and what they say."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert

from schemas.catalog import RECEIVED
from schemas.events import Command, Customer, DigestPlan, Direction, Domain, Host, Received
from services.core.directory import Directory
from services.core.errors import BusUnavailable
from services.core.stored import unpack
from services.quarantine.config import QuarantineConfig
from services.quarantine.decide import Shown, holds
from services.quarantine.digest import mask_of, window_of
from services.quarantine.digests import Digests
from services.quarantine.index import Index
from services.quarantine.links import read
from services.quarantine.tables import PREFERENCES
from services.quarantine.texts import LANGUAGES, keys, raw, text
from tests.integration.test_quarantine import A, B, House, disposition, quarantined
from tests.samples import received

SEVEN = datetime(2023, 11, 15, 7, tzinfo=UTC).timestamp()
CUSTOMER = Customer(
    id="example",
    domains=(Domain(name="example.test", relay=(Host(host="127.0.0.1"),), any_recipient=True),),
    digest=DigestPlan(hours=(7,), timezone="UTC", language="it"),
)


class Post:
    """A house with digests, and what they sent."""

    def __init__(self, house: House, limit: int = 500) -> None:
        self.house = house
        self.directory = Directory()
        self.directory.apply(CUSTOMER)
        self.digests = self.another(limit)
        self._count = 0

    def another(self, limit: int = 500) -> Digests:
        house = self.house
        config = QuarantineConfig(pages_url="https://q.example.test/", hostname="gp.test", digest_limit=limit)
        return Digests(
            config, house.index.database, house.store, house.bus, self.directory, house.clock, house.secrets.links
        )

    async def hold(
        self,
        *recipients: str,
        subject: str = "Win <b>now</b>",
        count: int = 1,
        direction: Direction = Direction.INBOUND,
    ) -> None:
        for _ in range(count):
            self._count += 1
            event = received(id=f"01K8Z4N5QJ3M8V7T2R6XW9Y{self._count:03}", direction=direction)
            decided = disposition(event, quarantined(*recipients))
            shown = Shown(subject, "Ann <ann@x.test>")
            rows = holds(decided, shown, self.house.clock.now(), 7, key="quarantine/x", policy="")
            await self.house.index.hold(rows, decided)

    def at(self, when: float) -> None:
        self.house.clock.advance(when - self.house.clock.now())

    def sent(self) -> list[Received]:
        return [event for event in self.house.bus.events(RECEIVED) if isinstance(event, Received)]

    def text(self, event: Received) -> email.message.EmailMessage:
        octets = bytes(unpack(self.house.store.objects[event.key])[1])
        parsed = email.message_from_bytes(octets, policy=email.policy.default)
        assert isinstance(parsed, email.message.EmailMessage)
        assert parsed.defects == []
        return parsed


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    index = await Index.open(f"sqlite:///{tmp_path / 'a.db'}")
    post = Post(House(index))
    post.at(SEVEN - 600)
    yield post
    await index.close()


def body(message: email.message.EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    found = part.get_content()
    assert isinstance(found, str)
    return found


async def test_each_recipient_hears_once_what_is_new(post: Post) -> None:
    await post.hold(A, B)
    await post.hold(A)
    assert await post.digests.send_due() == 0  # ten minutes early
    post.at(SEVEN + 1)
    assert await post.digests.send_due() == 2
    assert await post.digests.send_due() == 0
    assert {(e.own, e.envelope.reverse_path, *e.envelope.recipients) for e in post.sent()} == {
        ("digest", "", A),
        ("digest", "", B),
    }
    post.at(SEVEN + 86_400 + 1)
    assert await post.digests.send_due() == 0  # nothing is new
    await post.hold(B)
    assert await post.digests.send_due() == 1


async def test_what_was_held_on_its_way_out_is_in_nobodys_digest(post: Post) -> None:
    await post.hold("victor@elsewhere.test", A, direction=Direction.OUTBOUND)
    await post.hold(B, subject='"direction":"outbound"')
    post.at(SEVEN + 1)
    assert await post.digests.send_due() == 1
    assert [event.envelope.recipients for event in post.sent()] == [(B,)]


async def test_it_says_who_what_why_and_where_in_both_forms(post: Post) -> None:
    await post.hold(A)
    post.at(SEVEN + 1)
    await post.digests.send_due()
    (event,) = post.sent()
    message = post.text(event)
    assert message["Subject"] == "1 messaggio trattenuto"
    assert message["Auto-Submitted"] == "auto-generated"
    plain, html = body(message, "plain"), body(message, "html")
    for said in (plain, html):
        assert "ann@x.test" in said
        assert "virus says virus" in said
        assert "https://q.example.test/held/" in said
        assert "Motivo" in said
    assert "Win &lt;b&gt;now&lt;/b&gt;" in html
    assert "<b>now" not in html
    (token,) = re.findall(r"held/(\S+)", plain)
    link = read(post.house.secrets.links, token, post.house.clock.now())
    assert link is not None
    assert (link.customer, link.recipient, link.message) == ("example", A, "01K8Z4N5QJ3M8V7T2R6XW9Y001")


async def test_a_hundred_of_the_newest_and_a_word_about_the_rest(post: Post) -> None:
    await post.hold(A, count=103)
    post.at(SEVEN + 1)
    await post.digests.send_due()
    plain = body(post.text(post.sent()[0]), "plain")
    tokens = re.findall(r"held/(\S+)", plain)
    links = [read(post.house.secrets.links, token, SEVEN) for token in tokens]
    ids = [link.message for link in links if link is not None]
    assert len(ids) == 100
    assert ids == sorted(ids, reverse=True)
    assert ids[-1].endswith("004")
    assert "Altri 3" in plain


async def test_nothing_comes_twice_whatever_crashes(post: Post) -> None:
    await post.hold(A)
    post.at(SEVEN + 1)
    post.house.bus.lose_acks = True  # it landed, and nobody knows
    with pytest.raises(BusUnavailable):
        await post.digests.send_due()
    post.house.bus.lose_acks = False
    assert await post.another().send_due() == 0  # a restart
    assert len(post.sent()) == 1
    await post.hold(A)
    post.at(SEVEN + 3_600)
    assert await post.digests.send_due() == 0  # still the same window


async def test_two_processes_send_one(post: Post) -> None:
    await post.hold(A, B)
    post.at(SEVEN + 1)
    counts = await asyncio.gather(post.digests.send_due(), post.another().send_due(), return_exceptions=True)
    assert len(post.sent()) == 2
    assert sum(count for count in counts if isinstance(count, int)) == 2


async def test_a_service_that_was_away_sends_no_old_digests_and_no_storm(post: Post) -> None:
    await post.hold(A)
    post.at(SEVEN + 5 * 3_600)
    assert await post.digests.send_due() == 0
    post.at(SEVEN + 4 * 86_400 + 60)
    names = [f"u{number}@example.test" for number in range(7)]
    await post.hold(*names)
    small = post.another(limit=5)
    assert await small.send_due() == 5
    assert await small.send_due() == 3
    assert await small.send_due() == 0
    assert len({event.id for event in post.sent()}) == len(post.sent()) == 8


async def test_what_has_ended_is_in_no_digest(post: Post) -> None:
    await post.hold(A)
    event = msgspec.structs.replace(received(id="01K8Z4N5QJ3M8V7T2R6XW9Y001"))
    await post.house.handle(post.house.command(event, Command.DELETE))
    post.at(SEVEN + 1)
    assert await post.digests.send_due() == 0


def test_windows_follow_the_clock_of_the_place() -> None:
    rome = DigestPlan(hours=(7, 13), timezone="Europe/Rome")
    seven = SEVEN - 3_600
    assert window_of(rome, seven - 1) is None  # yesterday's 13:00 is long ago
    assert window_of(rome, seven) == seven
    assert window_of(rome, seven + 7_199) == seven
    assert window_of(rome, seven + 7_200) is None
    assert window_of(rome, seven + 6 * 3_600 + 5) == seven + 6 * 3_600
    assert window_of(DigestPlan(), seven) is None


def test_every_text_is_there_in_every_language_with_the_same_gaps() -> None:
    for key in keys():
        gaps = [sorted(re.findall(r"\{(\w+)\}", raw(key, language))) for language in LANGUAGES]
        assert all(gap == gaps[0] for gap in gaps), key
        assert all(raw(key, language).strip() for language in LANGUAGES)
    assert text("from", "xx") == "From"


async def choose(post: Post, recipient: str, hours: tuple[int, ...], days: tuple[int, ...] = ()) -> None:
    row = {
        "customer": "example",
        "recipient": recipient,
        "language": "",
        "digest": 1,
        "hours": mask_of(hours),
        "days": mask_of(days),
    }
    async with post.house.index.database.writing() as connection:
        await connection.execute(insert(PREFERENCES), [row])


async def test_who_chose_an_hour_or_a_day_hears_then_of_all_that_was_held_since(post: Post) -> None:
    plan = DigestPlan(hours=(7, 13), timezone="UTC", language="en")
    post.directory.apply(msgspec.structs.replace(CUSTOMER, digest=plan))
    await choose(post, A, (13,))
    await choose(post, B, (), days=(3,))  # Thursday; SEVEN is on a Wednesday
    await post.hold(A, B)
    post.at(SEVEN + 1)
    assert await post.digests.send_due() == 0
    await post.hold(A)
    post.at(SEVEN + 6 * 3600 + 1)
    assert await post.digests.send_due() == 1
    (sent,) = post.sent()
    assert (sent.envelope.recipients, post.text(sent)["Subject"]) == ((A,), "2 held messages")
    post.at(SEVEN + 24 * 3600 + 1)
    assert await post.digests.send_due() == 1
    assert {event.envelope.recipients for event in post.sent()} == {(A,), (B,)}
