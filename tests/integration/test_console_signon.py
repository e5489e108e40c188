"""Single sign-on over HTTP: a provider on loopback, and hosts that must not be asked, or answer too much or late."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse

from services.console.caller import Caller
from services.console.config import ConsoleConfig
from services.console.desk import make_desk
from services.console.domains import Surroundings
from services.console.models_signin import Provider as ProviderBody
from services.console.outward import ANSWER_MOST, Https, OutwardUnavailable
from services.console.roles import Role
from services.console.rooms import make_console
from services.quarantine.api.serve import listening, server_of
from services.runtime.dns import Answer
from services.runtime.fakes_dns import FakeDns
from services.runtime.ports import free_ports
from tests.house.asgi import Browser
from tests.house.console import console_house
from tests.house.oidc import CLIENT, SECRET, Provider

OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="o@acme.test")


@contextlib.asynccontextmanager
async def served(app: FastAPI, port: int) -> AsyncIterator[None]:
    with listening("127.0.0.1", port) as listener:
        server = server_of(app)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving


async def test_somebody_comes_in_by_a_provider_that_is_asked_over_http(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    issuer = f"http://login.acme.test:{port}"
    async with console_house(tmp_path, private_issuers=True) as house:
        provider = Provider(issuer, house.clock.now)
        house.dns.zone["login.acme.test", "A"] = ("127.0.0.1",)
        await house.customer("acme")
        await house.person(Role.HELPDESK, address="ann@acme.test")
        body = ProviderBody(issuer=issuer, client=CLIENT, secret=SECRET)
        await house.desk.signon.set_provider(OWNER, customer="acme", body=body)
        async with served(provider.app, port):
            browser = house.browser()
            there = await browser.get("/sso/acme/start")
            back = await Browser(provider.app, issuer).get(there.to.removeprefix(issuer))
            assert (await browser.get(back.to.removeprefix(house.config.base))).to == "/"
            assert "ann@acme.test" in (await browser.get("/c/acme")).text

            # The same provider, where private addresses are not allowed.
            config = ConsoleConfig(url=house.config.url)
            around = Surroundings(
                config=config, hostname="gp.test", directory=house.directory, resolver=lambda: house.dns
            )
            desk = make_desk(
                house.book,
                house.signin,
                around,
                house.trace,
                None,
                house.ports,
                waiting=house.waiting,
                secrets=house.secrets,
            )
            stranger = Browser(make_console(desk, config, house.clock), house.config.base)
            refused = await stranger.get("/sso/acme/start")
            assert "gave no answer that can be used" in refused.text
        gone = await house.browser().get("/sso/acme/start")
        assert "gave no answer that can be used" in gone.text


class Turncoat(FakeDns):
    """Says something else when it is asked again."""

    def __init__(self, first: str, then: str) -> None:
        super().__init__()
        self._texts = [first, then]
        self.looked = 0

    async def resolve(self, name: str, rdtype: str) -> Answer:  # noqa: ARG002 - any name is this one
        if rdtype != "A":
            return ()
        self.looked += 1
        return (self._texts[min(self.looked, 2) - 1],)


def _same(dns: Turncoat) -> Turncoat:
    return dns


@pytest.fixture
async def host() -> AsyncIterator[tuple[str, list[str]]]:
    """What is served, and the paths that were asked for."""
    app, asked = FastAPI(), list[str]()

    async def answer(path: str) -> Response:
        asked.append(path)
        if path == "late":
            await asyncio.sleep(5)
        if path == "elsewhere":
            return RedirectResponse("/object", 302)
        long = {"deep": b"[" * 100_000, "much": b" " * (ANSWER_MOST + 1)}
        bodies = {"object": b'{"a":1}', "list": b"[]", "text": b"x", **long}
        return Response(bodies.get(path, b"{}"), 500 if path == "broken" else 200)

    app.add_api_route("/{path}", answer, methods=["GET"])
    (port,) = free_ports(1)
    async with served(app, port):
        yield f":{port}/", asked


async def test_what_is_asked_is_what_was_looked_at(host: tuple[str, list[str]]) -> None:
    rest, asked = host
    dns = Turncoat("127.0.0.1", "192.0.2.1")
    assert await Https(lambda: dns, private=True).ask(f"http://login.acme.test{rest}object") == {"a": 1}
    assert dns.looked == 1  # and not once more to connect
    for first in ("127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1"):
        inside = Turncoat(first, "198.41.0.4")
        with pytest.raises(OutwardUnavailable, match="no address that may be asked"):
            await Https(functools.partial(_same, inside)).ask(f"https://login.acme.test{rest}object")
    for address in ("127.0.0.1", "[::1]", "127.1", "0x7f.1", "localhost"):
        with pytest.raises(OutwardUnavailable):
            await Https(lambda: dns).ask(f"https://{address}{rest}object")
    assert asked == ["object"]


async def test_answers_are_small_objects_in_time_and_from_there(host: tuple[str, list[str]]) -> None:
    rest, asked = host
    https = Https(lambda: Turncoat("127.0.0.1", "127.0.0.1"), private=True, within=0.5)
    for path in ("list", "text", "deep", "much", "broken", "elsewhere", "late"):
        with pytest.raises(OutwardUnavailable):
            await https.ask(f"http://login.acme.test{rest}{path}")
    assert "object" not in asked  # nobody followed the redirect
