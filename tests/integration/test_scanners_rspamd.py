"""The rspamd client: against a server that answers as told, and a real rspamd where GATEPOST_TEST_RSPAMD names one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from bench import engines
from schemas.events import Envelope, Status
from services.core.errors import ConfigError, EngineUnavailable
from services.runtime.ports import free_ports
from services.scanners.checks import content
from services.scanners.engines.rspamd import FOR_A_DOOR, Rspamd
from services.scanners.heuristics import GTUBE
from tests.mails import PLAIN, context, mail
from tests.parts import named
from tests.samples import received

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REPLY = {
    "action": "add header",
    "score": 7.5,
    "required_score": 15.0,
    "symbols": {"BAYES_SPAM": {"name": "BAYES_SPAM", "score": 5.1, "description": "Bayes"}, "R_OK": {"score": -0.2}},
}


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[Rspamd]:
    runner = web.AppRunner(_app(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = Rspamd(f"http://127.0.0.1:{port}")
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def _app(handler: Handler) -> web.Application:
    app = web.Application(client_max_size=100_000_000)
    app.router.add_post("/checkv2", handler)
    return app


async def test_an_answer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:  # noqa: ARG001  # the server's signature
        return web.json_response(REPLY, headers={"Server": "rspamd/3.4"})

    async with server(handler) as client:
        finding = await content.scan(mail(PLAIN), context(rspamd=client))
    assert (finding.status, finding.score, finding.engine) == (Status.SUSPICIOUS, 7.5, "rspamd 3.4")
    assert [(item.code, item.score, item.text) for item in finding.evidence] == [
        ("BAYES_SPAM", 5.1, "Bayes"),
        ("R_OK", -0.2, ""),
    ]


async def test_the_envelope_goes_along() -> None:
    seen: dict[str, list[str]] = {}
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.update({name: request.headers.getall(name) for name in ("From", "Rcpt", "IP", "Helo", "Queue-Id")})
        bodies.append(await request.read())
        return web.json_response(REPLY)

    envelope = Envelope(
        reverse_path="a@b\r\nX: y.test", recipients=("b@c.test", "ü@c.test"), client_ip="192.0.2.7", helo="mx.b.test"
    )
    event = received(envelope=envelope)
    async with server(handler) as client:
        await client.check(b"the message", event)
    assert seen == {
        "From": ["a@bX: y.test"],
        "Rcpt": ["b@c.test", "ü@c.test"],
        "IP": ["192.0.2.7"],
        "Helo": ["mx.b.test"],
        "Queue-Id": [event.id],
    }
    assert bodies == [b"the message"]


async def test_the_null_sender_is_said() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.headers["From"] == "<>"
        return web.json_response(REPLY)

    async with server(handler) as client:
        await client.check(b"x", received(envelope=Envelope(reverse_path="", recipients=("b@c.test",), client_ip="")))


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"not json", b'{"action": "reject", "score": "high"}', b"\xff"])
async def test_an_answer_that_cannot_be_read(body: bytes) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:  # noqa: ARG001  # the server's signature
        return web.Response(body=body)

    async with server(handler) as client:
        with pytest.raises(EngineUnavailable):
            await client.check(b"x", received())


@pytest.mark.parametrize("status", [204, 302, 403, 404, 500, 503])
async def test_another_status(status: int) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:  # noqa: ARG001  # the server's signature
        return web.json_response(None if status == 204 else REPLY, status=status)

    async with server(handler) as client:
        with pytest.raises(EngineUnavailable):
            await client.check(b"x", received())


async def test_an_answer_without_an_end() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65_536)
        except ConnectionError:
            return response

    async with server(handler) as client:
        with pytest.raises(EngineUnavailable, match="no end"):
            await client.check(b"x", received())


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"])
async def test_a_server_that_speaks_no_http(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    client = Rspamd(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    with pytest.raises(EngineUnavailable):
        await client.check(b"x", received())
    await client.close()
    listener.close()
    await listener.wait_closed()


async def test_one_that_hangs_is_given_up_with_the_scan() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:  # noqa: ARG001  # the server's signature
        await asyncio.sleep(30)
        raise AssertionError

    async with server(handler) as client:
        scan = asyncio.create_task(content.scan(mail(PLAIN), context(rspamd=client)))
        await asyncio.sleep(0.1)
        scan.cancel()
        done, _ = await asyncio.wait((scan,), timeout=5.0)
        assert done == {scan}


async def test_nobody_there() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:  # noqa: ARG001  # the server's signature
        raise AssertionError

    async with server(handler) as client:
        url = client._url  # where nobody will be in a moment
    gone = Rspamd(url.removesuffix("/checkv2"))
    with pytest.raises(EngineUnavailable):
        await gone.check(b"x", received())
    await gone.close()


@pytest.mark.parametrize("url", ["rspamd:11333", "ftp://x", "http://", "http:///x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match="GATEPOST_RSPAMD"):
        Rspamd(url)


async def test_a_real_rspamd() -> None:
    client = Rspamd(named("GATEPOST_TEST_RSPAMD", "rspamd"))
    try:
        clean = await client.check(mail(PLAIN).raw, received())
        assert clean.action != "reject"
        assert clean.version.startswith("rspamd")
        assert (await client.check(mail(PLAIN + GTUBE).raw, received())).action == "reject"
    finally:
        await client.close()


async def test_a_real_rspamd_heeds_the_settings() -> None:
    """Switched off in the header is switched off in the scan, whatever else rspamd is configured to do."""
    url = named("GATEPOST_TEST_RSPAMD", "rspamd")
    seen = []
    for off in ((), ("MIME_GOOD", "MIME_TRACE")):
        client = Rspamd(url, off)
        reply = await client.check(mail(PLAIN).raw, received())
        await client.close()
        seen.append({name for name, _, _ in reply.symbols} & {"MIME_GOOD", "MIME_TRACE", "FROM_HAS_DN"})
    assert seen == [{"MIME_GOOD", "MIME_TRACE", "FROM_HAS_DN"}, {"FROM_HAS_DN"}]


@pytest.mark.skipif(
    shutil.which("rspamd") is None or shutil.which("redis-server") is None,
    reason="greylisting needs an rspamd and a Redis of this machine",
)
async def test_a_message_that_was_accepted_is_not_greylisted() -> None:
    """The same rspamd says `soft reject`, come again, to whoever does not switch its greylisting off."""
    (port,) = free_ports(1)
    redis = await asyncio.create_subprocess_exec(
        *("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    local = {
        "redis.conf": f'servers = "127.0.0.1:{port}";\n',
        "greylist.conf": "enabled = true;\nipv4_mask = 32;\n",
        "actions.conf": "reject = 100;\nadd_header = 60;\ngreylist = 1;\n",
    }
    try:
        with tempfile.TemporaryDirectory() as folder:  # not below pytest's, which only its own user may enter
            async with engines.rspamd(Path(folder), local) as server:
                answers = []
                for off in (FOR_A_DOOR, ()):
                    client = Rspamd(server.url, off)
                    answers += [(await client.check(mail(PLAIN).raw, received())).action for _ in range(2)]
                    await client.close()
    finally:
        redis.terminate()
        await redis.wait()
    assert answers == ["greylist", "greylist", "soft reject", "soft reject"]
