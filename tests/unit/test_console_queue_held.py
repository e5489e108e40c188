"""What waits and what is held, on the pages: one's own alone, and each act an event with who, beside its audit line."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from schemas.catalog import COMMANDS, QUEUE_COMMANDS, QUEUES, REQUESTS
from schemas.events import (
    Action,
    Branch,
    Customer,
    Disposition,
    Domain,
    Envelope,
    Host,
    Order,
    QuarantineCommand,
    QuarantineRequest,
    QueueCommand,
    QueueState,
    Status,
)
from services.console.roles import Role
from services.console.users.held import Reply
from services.quarantine.decide import Shown, holds
from services.quarantine.index import Index
from services.quarantine.passes import pass_key
from services.quarantine.passes import shown as passed
from services.quarantine.tokens import Role as ApiRole
from services.runtime.bus import Record
from tests.house.console import USERS_KEY, ConsoleHouse, console_house
from tests.samples import received

DOWN = "mx.acme.test:25"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        await house.customer("globex")
        domain = Domain(name="acme.test", relay=(Host(host="mx.acme.test"),))
        house.directory.apply(Customer(id="acme", domains=(domain,)))
        yield house


def report(house: ConsoleHouse, customer: str = "acme", **changes: object) -> None:
    now = house.clock.now()
    values = {"state": "down", "depth": 3, "oldest": now - 7_300, "reply": "450 <busy>", "replied_at": now, **changes}
    state = QueueState(customer=customer, destination=DOWN, owner="0", at=now, **values)  # type: ignore[arg-type]  # as the test says
    house.waiting.apply(Record(QUEUES, 0, 0, f"{customer}/{DOWN}/0", state, now))


def orders(house: ConsoleHouse) -> list[QueueCommand]:
    found = house.bus.events(QUEUE_COMMANDS)
    for event in found:
        house.waiting.apply(Record(QUEUE_COMMANDS, 0, 0, "", event, 0.0))
    return [event for event in found if isinstance(event, QueueCommand)]


async def audit(house: ConsoleHouse) -> list[tuple[str, str, str]]:
    browser = await house.person(Role.AUDITOR, address="audit@acme.test")
    page = (await browser.get("/c/acme/audit")).text
    return re.findall(r"<td>([^<]+)</td>.*?<td>((?:queue|held)-[^<]+)</td>.*?<td>([^<]+)</td>", page)


async def test_a_queue_is_shown_held_tried_and_let_go(house: ConsoleHouse) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    idle = (await browser.get("/c/acme/queue")).text
    assert "<td>open</td>" in idle
    assert DOWN in idle
    report(house)
    report(house, "globex", depth=99)
    page = (await browser.get("/c/acme/queue")).text
    assert '<td>down</td><td class="number">3</td><td>2\u202fh</td><td>450 &lt;busy&gt;</td>' in page
    assert ">99<" not in page  # 99 alone may stand in the form's own token
    for action in ("flush", "hold"):
        form = {"action": action, "destination": DOWN, "why": "moving"}
        assert (await browser.fill("/c/acme/queue", form)).to == "/c/acme/queue?done=queue-ordered"
    await house.settle()
    assert [(each.action, each.customer, each.destination, each.why) for each in orders(house)] == [
        (Order.FLUSH, "acme", DOWN, "moving"),
        (Order.HOLD, "acme", DOWN, "moving"),
    ]
    page = (await browser.get("/c/acme/queue")).text
    assert "<td>held<br><small>administrator@acme.test (administrator): moving</small></td>" in page
    assert 'value="resume"' in page
    assert (await browser.fill("/c/acme/queue", {"action": "resume", "destination": DOWN})).status == 303
    await house.settle()
    assert [each.action for each in orders(house)][2:] == [Order.RESUME]
    auditor = await house.person(Role.AUDITOR, address="second@acme.test")
    page = html.unescape((await auditor.get("/c/acme/audit")).text)
    assert '{"held": "", "state": "down", "waiting": 3}' in page
    assert '"held": "administrator@acme.test (administrator): moving"' in page  # before it was let go
    noted = [(what, which) for _, what, which in await audit(house)]
    assert sorted(noted) == [("queue-flush", DOWN), ("queue-hold", DOWN), ("queue-resume", DOWN)]


async def test_nobody_orders_what_is_not_his(house: ConsoleHouse) -> None:
    other, helper = await house.person(Role.OWNER, "globex"), await house.person(Role.HELPDESK)
    form = {"action": "hold", "destination": DOWN}
    assert (await other.fill("/c/globex/queue", form)).status == 404  # it has no such destination
    assert (await other.fill("/c/acme/queue", form)).status in {403, 404}
    assert (await helper.fill("/c/acme/queue", form)).status == 403
    owner = await house.person(Role.OWNER)
    assert (await owner.fill("/c/acme/queue", {**form, "action": "fail"})).status in {404, 409}
    await house.settle()
    assert orders(house) == []


async def test_what_a_process_left_behind_does_not_count(house: ConsoleHouse) -> None:
    report(house)
    house.clock.advance(61)
    assert house.waiting.depth(house.clock.now(), "acme").messages == 0
    report(house, depth=1)
    assert house.waiting.depth(house.clock.now()).messages == 1
    house.waiting.apply(Record(QUEUES, 0, 0, f"acme/{DOWN}/0", None, 0.0))
    assert house.waiting.standings(house.clock.now()) == []


# --- what is held


async def hold(house: ConsoleHouse, *recipients: str, customer: str = "acme", subject: str = "win now") -> str:
    now = house.clock.now()
    envelope = Envelope(reverse_path="x@sender.test", recipients=recipients, client_ip="192.0.2.7")
    message = received(customer=customer, envelope=envelope, received_at=now)
    branch = Branch(recipients=recipients, action=Action.QUARANTINE, rule="spam", reason="content says spam")
    decided = Disposition(received=message, branches=(branch,), status=Status.SPAM, score=9.0, decided_at=now)
    rows = holds(decided, Shown(subject, "<b>X</b> <x@sender.test>"), now, 30.0)
    await Index(house.book.database).hold(rows, decided)
    return message.id


def asked(house: ConsoleHouse) -> list[tuple[str, str, tuple[str, ...], str]]:
    found = [*house.bus.events(COMMANDS), *house.bus.events(REQUESTS)]
    return [
        (event.action if isinstance(event, QuarantineCommand) else event.act, event.id, event.recipients, event.by)
        for event in found
        if isinstance(event, QuarantineCommand | QuarantineRequest)
    ]


async def test_held_mail_is_found_and_let_go_in_bulk(house: ConsoleHouse) -> None:
    one, two = await hold(house, "a@acme.test", "b@acme.test"), await hold(house, "c@acme.test", subject="other")
    theirs = await hold(house, "z@globex.test", customer="globex", subject="secret")
    browser = await house.person(Role.HELPDESK)
    page = (await browser.get("/c/acme/held")).text
    assert (page.count('name="pick"'), "secret" in page, "&lt;b&gt;X" in page) == (3, False, True)
    assert (await browser.get("/c/acme/held?subject=OTHER")).text.count('name="pick"') == 1
    assert "Nothing is held" in (await browser.get("/c/acme/held?recipient=nobody")).text
    assert (await browser.get("/c/acme/held?after=x")).status == 409
    picked = [f"{one} b@acme.test", f"{two} c@acme.test", f"{theirs} z@globex.test", "x y"]
    done = await browser.fill("/c/acme/held?subject=w", {"action": "release", "pick": picked})
    assert done.to == "/c/acme/held?subject=w&done=held-asked"
    everything: dict[str, str | list[str]] = {
        "action": "report-spam",
        "all": "1",
        "shown": [f"{one} a@acme.test", f"{one} b@acme.test"],
    }
    assert (await browser.fill("/c/acme/held", everything)).status == 303
    await house.settle()
    by = "helpdesk@acme.test (helpdesk)"
    assert sorted(asked(house)) == sorted(
        [
            ("release", one, ("b@acme.test",), by),
            ("release", two, ("c@acme.test",), by),
            ("report-spam", one, ("a@acme.test", "b@acme.test"), by),
        ]
    )
    assert sorted((what, which) for _, what, which in await audit(house)) == sorted(
        [("held-release", one), ("held-release", two), ("held-report-spam", one)]
    )
    assert "Pick a message first" in (await browser.fill("/c/acme/held", {"action": "delete"})).text
    for pick in (f"{theirs} z@globex.test", f"{one} nobody@acme.test", "x"):
        assert (await browser.fill("/c/acme/held", {"action": "delete", "pick": [pick]})).status == 404
    assert (await browser.fill("/c/acme/held", {"action": "x", "pick": [f"{one} a@acme.test"]})).status in {404, 409}
    await house.settle()
    assert len(asked(house)) == 3


async def test_who_may_only_look_has_nothing_to_press(house: ConsoleHouse) -> None:
    one = await hold(house, "a@acme.test")
    browser = await house.person(Role.AUDITOR)
    page = (await browser.get("/c/acme/held")).text
    assert ("a@acme.test" in page, 'name="pick"' in page, 'value="release"' in page) == (True, False, False)
    form: dict[str, str | list[str]] = {"action": "release", "pick": [f"{one} a@acme.test"]}
    assert (await browser.fill("/c/acme/held", form)).status == 403
    operator = await house.person(Role.OPERATOR, "")
    assert (await operator.get("/c/acme/held")).status == 403


async def test_all_that_the_search_finds_is_meant_on_whatever_page_it_is(house: ConsoleHouse) -> None:
    many = [f"u{n}@acme.test" for n in range(205)]
    one, two = await hold(house, *many), await hold(house, "c@acme.test", subject="other")
    theirs = await hold(house, "z@globex.test", customer="globex")
    house.clock.advance(1)
    browser = await house.person(Role.HELPDESK)
    form = {"action": "release", "matching": "1"}
    done = await browser.fill("/c/acme/held?subject=WIN", form)
    assert done.to == "/c/acme/held?subject=WIN&done=held-asked"
    await house.settle()
    found = asked(house)
    assert {(what, which) for what, which, _, _ in found} == {("release", one)}
    assert sorted(each for _, _, recipients, _ in found for each in recipients) == sorted(many)
    auditor = await house.person(Role.AUDITOR, address="audit@acme.test")
    page = html.unescape((await auditor.get("/c/acme/audit")).text)
    for count in (200, 5):  # a page of the search each
        assert json.dumps({"held": count}) in page
        assert json.dumps({"asked": "release", "recipients": count}) in page
    assert (await browser.fill("/c/acme/held?recipient=nobody", form)).status == 404
    assert "Pick a message first" in (await browser.fill("/c/acme/held?state=released", form)).text
    await house.settle()
    assert len(asked(house)) == len(found), "what has ended, or isn't there, is asked for"
    assert two not in {which for _, which, _, _ in asked(house)}
    assert theirs not in {which for _, which, _, _ in asked(house)}


# --- what a held message says


TEXT = {"text": "", "html": "<p>hello <b>you</b></p>", "attachments": [{"name": "a<b>.exe", "type": "x/y", "size": 9}]}


async def test_an_administrator_looks_into_a_message_in_a_frame_that_may_do_nothing(house: ConsoleHouse) -> None:
    one, two = await hold(house, "a@acme.test"), await hold(house, "b@acme.test")
    theirs = await hold(house, "z@globex.test", customer="globex")
    house.answers = Reply(200, msgspec.json.encode({**TEXT, "whole": True}))
    browser = await house.person(Role.ADMINISTRATOR)
    page = f"/c/acme/held/{one}"
    assert f'href="{page}"' in (await browser.get("/c/acme/held")).text
    shown = (await browser.get(page)).text
    assert f'sandbox="" referrerpolicy="no-referrer" title="The message&#39;s text" src="{page}/text"' in shown
    assert "a&lt;b&gt;.exe" in shown
    assert "<b>you</b>" not in shown
    frame = await browser.get(f"{page}/text")
    assert "<p>hello <b>you</b></p>" in frame.text
    assert frame.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    (method, path, shown_pass), *_ = house.asked
    assert (method, path) == ("GET", f"/v1/customers/acme/messages/{one}/preview")
    caller = passed(pass_key(USERS_KEY), shown_pass, house.clock.now())
    assert caller is not None
    assert (caller.customer, caller.message, caller.role, caller.label) == (
        "acme", one, ApiRole.ADMINISTRATOR, "administrator@acme.test"
    )  # fmt: skip
    assert passed(pass_key(USERS_KEY), shown_pass, house.clock.now() + 60) is None
    assert [(what, which) for _, what, which in await audit(house)] == [("held-read", one)] * 2
    before = len(house.asked)
    for wrong in (theirs, "01K8Z4N5QJ3M8V7T2R6XW9YB0C", "x"):
        assert (await browser.get(f"/c/acme/held/{wrong}")).status == 404
    assert len(house.asked) == before
    house.answers = Reply(500, b"")
    assert (await browser.get(f"/c/acme/held/{two}")).status == 503


async def test_the_help_desk_reads_only_where_the_customer_says_so(house: ConsoleHouse) -> None:
    one = await hold(house, "a@acme.test")
    house.answers = Reply(200, msgspec.json.encode({**TEXT, "whole": True}))
    helper, owner = await house.person(Role.HELPDESK), await house.person(Role.OWNER)
    auditor = await house.person(Role.AUDITOR)
    for browser in (helper, auditor):
        assert f"/c/acme/held/{one}" not in (await browser.get("/c/acme/held")).text
        for page in (f"/c/acme/held/{one}", f"/c/acme/held/{one}/text"):
            assert (await browser.get(page)).status == 403
    assert house.asked == []
    form = {"queue_days": "10", "delay_warning_hours": "0", "quarantine_days": "30", "retention_hours": "0"}
    assert (await owner.fill("/c/acme/retention", {**form, "helpdesk_reads": "yes"})).status == 303
    assert f"/c/acme/held/{one}" in (await helper.get("/c/acme/held")).text
    assert (await helper.get(f"/c/acme/held/{one}")).status == 200
    helped = passed(pass_key(USERS_KEY), house.asked[-1][2], house.clock.now())
    assert helped is not None
    assert helped.role is ApiRole.HELPDESK
    assert (await auditor.get(f"/c/acme/held/{one}")).status == 403
    assert (await owner.fill("/c/acme/retention", form)).status == 303
    assert (await helper.get(f"/c/acme/held/{one}")).status == 403
