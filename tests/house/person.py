"""People at the console: their browsers, without script, and their mail."""

from __future__ import annotations

import email
import email.policy
import re

import aiohttp

from tests.eventually import eventually
from tests.house.sink import Sink

PASSWORD = "correct horse battery staple"


class Person:
    """Somebody with a browser, without script."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.csrf = ""  # of the last form that was filled in
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def page(self, path: str) -> str:
        async with self.session.get(self.base + path) as answer:
            assert answer.status == 200, (path, answer.status, await answer.text())
            return await answer.text()

    async def fill(self, path: str, form: dict[str, str]) -> tuple[int, str]:
        """Load the page and send a form of it; return the status of the page that is shown next, and its text."""
        found = re.search(r'name="csrf" value="(\w*)"', await self.page(path))
        self.csrf = found[1] if found else ""
        form = {"csrf": self.csrf, **form}
        async with self.session.post(self.base + path, data=form, headers={"Origin": self.base}) as answer:
            return answer.status, await answer.text()

    async def __aenter__(self) -> Person:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()


def mail_to(sink: Sink, address: str, subject: str) -> str | None:
    """Return the plain text of a mail that has arrived."""
    for arrival in reversed(sink.arrivals):
        parsed = email.message_from_bytes(arrival.content, policy=email.policy.default)
        if address in arrival.recipients and subject in str(parsed["subject"]):
            assert isinstance(parsed, email.message.EmailMessage)
            part = parsed.get_body(("plain",))
            assert part is not None
            return str(part.get_content())
    return None


async def arrived(sink: Sink, address: str, subject: str) -> str:
    await eventually(lambda: mail_to(sink, address, subject) is not None, within=60, every=0.05)
    return mail_to(sink, address, subject) or ""
