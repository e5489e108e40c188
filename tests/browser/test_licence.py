"""A licence runs out, by the clock of a whole Gatepost; a key brings it back, and everything is as it was."""

from __future__ import annotations

import email
import email.message
import email.policy
import re
from collections.abc import Callable
from pathlib import Path

from services.runtime.broker import Broker
from services.runtime.cut import EMBEDDED
from tests.house.gatepost import gatepost
from tests.house.later import BROKER, Later
from tests.house.sink import Arrival
from tests.house.town import Town, town

BOB = "bob@umbrella.test"
NOTICE = "The licence of this mail protection ended"


def in_two_forms(subject: str) -> bytes:
    """Return a message that nobody signed, as text and as HTML."""
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "Alice <alice@sender.test>", BOB, subject
    message["Date"], message["Message-ID"] = "Mon, 23 Nov 2026 10:00:00 +0000", f"<{subject.replace(' ', '.')}@a.test>"
    message.set_content("See you on Monday.\n")
    message.add_alternative("<html><body><p>See you on Monday.</p></body></html>\n", subtype="html")
    message.set_boundary("two-forms")
    return message.as_bytes(policy=email.policy.SMTP)


def bodies(arrival: Arrival) -> tuple[str, str]:
    """Return the text and the HTML."""
    parsed = email.message_from_bytes(arrival.content, policy=email.policy.default)
    assert isinstance(parsed, email.message.EmailMessage)
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert text is not None
    assert html is not None
    return str(text.get_content()), str(html.get_content())


async def test_a_licence_lapses_and_is_renewed(tmp_path: Path) -> None:
    clock = Later(tmp_path / "clock")
    secret = tmp_path / "licence.key"
    made = await gatepost("licence", "make-key", str(secret))
    public = re.search(r"[\w+/]{43}=", made.out)
    assert public is not None, made
    broker = Broker(tmp_path / "broker", extra=BROKER)
    address = await broker.start()
    settings = {
        **clock.environ,
        "GATEPOST_LICENCE_PUBLIC_KEY": public[0],
        "GATEPOST_PARTITIONS": str(EMBEDDED),
        "GATEPOST_SIGNALS": "off",  # no licence concerns what it counts
    }
    try:
        async with town(tmp_path, "--kafka", address, environ=settings) as here:
            await lapse_and_renew(here, clock, secret)
    finally:
        await broker.stop()


async def lapse_and_renew(town: Town, clock: Later, secret: Path) -> None:
    owner = await town.customer("umbrella")
    async with town.at_console() as ann:
        await ann.log_in(owner)
        await ann.see("Trial: 29 days left.")
        await ann.press("Policies")
        await ann.press("New rule")
        await ann.fill("Name", "mark bob's")
        await ann.fill("Recipients", BOB)
        await ann.fill("Tag before the subject", "[BOB]")
        await ann.press("Save")
        await ann.see("Saved; it counts within seconds.")
        before = await settings_of(town)
        assert "mark bob's" in before

        clock.move(31)
        await ann.comes("Log in")  # the session ended long ago
        await ann.log_in(owner)
        await ann.see("The licence has ended. Everything goes on for 28 more days; please renew.")
        await ann.press("Policies")
        await ann.see("mark bob's")
        assert not noticed(await at_work(town, "[BOB] in grace"))

        clock.move(30)
        await ann.comes("Log in")
        arrival = await once(town, "lapsed", noticed)
        text, html = bodies(arrival)
        assert (NOTICE in text, NOTICE in html) == (True, True), arrival.content
        assert "See you on Monday." in text
        assert NOTICE in arrival.header("x-gatepost-notice")
        await ann.log_in(owner)
        await ann.see("The licence has lapsed. Enter a registration key to go on; every setting is kept.")
        for page in ("policies", "messages", "held", "domains", "users", "dashboard"):
            await ann.open(f"/c/umbrella/{page}")
            assert "mark bob's" not in await ann.see("The licence has lapsed.")
            assert await ann.path() == "/c/umbrella/licence"

        await ann.fill("Registration key", "gpl1.bm8.bm8")
        await ann.press("Enter the key")
        await ann.see("The key was not taken")
        terms = ("umbrella", "--key", str(secret), "--users", "50", "--days", "365")
        issued = await gatepost("licence", "issue", *terms, environ=clock.environ)
        assert issued.code == 0, issued.err
        await ann.fill("Registration key", issued.out.strip())
        await ann.press("Enter the key")
        shown = await ann.see("The licence was renewed; thank you.", "full")
        assert "lapsed" not in shown
        await ann.press("Policies")
        await ann.see("mark bob's", BOB)
        assert await settings_of(town) == before
        arrival = await once(town, "renewed", lambda arrival: not noticed(arrival))
        subject = arrival.header("subject").removeprefix("[BOB] ")
        assert arrival.content.endswith(in_two_forms(subject).partition(b"\r\n\r\n")[2])


async def settings_of(town: Town) -> str:
    told = await town.house.gatepost("console", "export", "umbrella")
    assert told.code == 0, told.err
    return told.out


async def at_work(town: Town, subject: str) -> Arrival:
    """Send a message and return it as it arrives."""
    await town.send(in_two_forms(subject.removeprefix("[BOB] ")), BOB)
    return await town.arrival(subject)


async def once(town: Town, subject: str, true: Callable[[Arrival], bool]) -> Arrival:
    """Send messages until one arrives as it should: delivery hears of it within a moment."""
    for number in range(20):
        arrival = await at_work(town, f"[BOB] {subject} {number}")
        if true(arrival):
            return arrival
    raise AssertionError(arrival.content)


def noticed(arrival: Arrival) -> bool:
    return NOTICE.encode() in arrival.content
