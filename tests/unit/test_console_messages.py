"""The message trace on its page and as a sheet: every condition, one's own alone, and no cell that acts."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.events import Envelope, Outcome, Rejection, State
from services.console import message_rooms, sheets
from services.console.roles import Role
from services.core.errors import DatabaseUnavailable
from services.core.ids import message_id
from services.trace.decide import facts
from tests.house.asgi import Answer
from tests.house.console import ConsoleHouse, console_house
from tests.samples import received


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        await house.customer("globex")
        yield house


async def write(house: ConsoleHouse, count: int = 1, customer: str = "acme", **changes: object) -> str:
    """Put so many messages into the trace; return the id of the last one."""
    now = house.clock.now()
    events = []
    for number in range(count):
        identity = message_id(now - count + number, os.urandom)
        events.append(received(id=identity, customer=customer, received_at=now - count + number, **changes))
    await house.trace.write([facts(event, now) for event in events])
    return events[-1].id


def lines(answer: Answer) -> list[list[str]]:
    assert answer.status == 200
    assert answer.text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\uff1d1", "'\uff1d1"),
        ('a"b,c\nd', 'a"b,c\nd'),
        ("a\0b", "ab"),
        ("", ""),
        ("\ud800", "?"),
    ],
)
def test_a_cell_never_becomes_a_formula(cell: str, safe: str) -> None:
    assert list(csv.reader(io.StringIO(sheets.line([cell, "x"]).decode(), newline=""))) == [[safe, "x"]]


def test_numbers_stay_numbers() -> None:
    assert sheets.line([-1, 2.5, "3"]) == b"-1,2.5,3\r\n"


async def test_every_condition_finds_what_it_means(house: ConsoleHouse) -> None:
    one = await write(house, subject="Invoice 7", message_id="m1@sender.test")
    other = Envelope(reverse_path="x@else.test", recipients=("carl@acme.test",), client_ip="198.51.100.9")
    two = await write(house, subject="Hello", envelope=other)
    now = house.clock.now()
    refused = Rejection(client_ip="203.0.113.5", at=now, reason="blocked", reply="554", customer="acme")
    ended = Outcome(
        id=one,
        customer="acme",
        key="k",
        recipients=("bob@example.test",),
        total=1,
        state=State.BOUNCED,
        at=now,
        received_at=now,
    )
    await house.trace.write([facts(refused, now), facts(ended, now)])
    browser = await house.person(Role.HELPDESK)
    for query, found in (
        ("", {one, two, "blocked"}),
        ("sender=alice@sender.test", {one}),
        ("recipient=carl@acme.test", {two}),
        ("subject=voice", {one}),
        ("client=198.51.100.9", {two}),
        ("id=%3Cm1@sender.test%3E", {one}),
        ("state=bounced", {one}),
        ("kind=refused", {"blocked"}),
        ("kind=accepted", {one, two}),
        ("until=2001-01-01", set()),
    ):
        shown = (await browser.get(f"/c/acme/messages?{query}")).text
        assert {each for each in (one, two, "blocked") if each in shown.partition("<table>")[2]} == found, query
        sheet = await browser.get(f"/c/acme/messages.csv?{query}")
        assert {each for each in (one, two, "blocked") if each in sheet.text} == found, query
    assert (await browser.get(f"/c/acme/messages?id={one}")).to == f"/c/acme/messages/{one}"
    assert (await browser.get("/c/acme/messages.csv?until=x")).status == 409
    assert (await browser.get("/c/acme/messages?state=x")).status == 409


async def test_a_sheet_has_a_line_a_recipient_and_nobody_elses(house: ConsoleHouse) -> None:
    evil = Envelope(reverse_path="=x@s.test", recipients=("a@acme.test", "b@acme.test"), client_ip="192.0.2.7")
    await write(house, subject="=HYPERLINK(1)", envelope=evil)
    await write(house, customer="globex", subject="secret")
    browser = await house.person(Role.AUDITOR)
    answer = await browser.get("/c/acme/messages.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="acme-messages.csv"'
    head, *rows = lines(answer)
    assert head[:4] == ["id", "time (UTC)", "sender", "recipient"]
    assert [(row[2], row[3], row[5]) for row in rows] == [
        ("'=x@s.test", "a@acme.test", "'=HYPERLINK(1)"),
        ("'=x@s.test", "b@acme.test", "'=HYPERLINK(1)"),
    ]
    assert (await browser.get("/c/globex/messages.csv")).status == 404
    for role in (Role.READER, Role.OPERATOR):
        person = await house.person(role, "" if role is Role.OPERATOR else "acme")
        assert (await person.get("/c/acme/messages.csv")).status == 403


async def test_a_sheet_ends_where_it_may_be_no_longer_and_where_the_database_is_gone(
    house: ConsoleHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(house, 1_001)
    browser = await house.person(Role.OWNER)
    rows = lines(await browser.get("/c/acme/messages.csv"))
    assert len({row[0] for row in rows}) == len(rows) == 1_002  # with its head
    monkeypatch.setattr(message_rooms, "SHEET_MOST", 1_000)
    assert lines(await browser.get("/c/acme/messages.csv"))[-1] == [
        "There is more than 1000 messages: narrow the search."
    ]
    search, asked = house.trace.search, []

    async def fails(query: object) -> object:
        asked.append(query)
        if len(asked) > 1:
            raise DatabaseUnavailable("gone")
        return await search(query)  # type: ignore[arg-type]  # the Query it is given

    monkeypatch.setattr(house.trace, "search", fails)
    assert lines(await browser.get("/c/acme/messages.csv"))[-1] == [
        "The rest could not be read: please download it again."
    ]
