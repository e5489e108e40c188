"""A real browser: Chromium without a window, told over its DevTools protocol what to do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.eventually import eventually

READY = 60.0  # seconds until it listens
WITHIN = 60.0  # seconds for one thing that it is told


class NotNowError(AssertionError):
    """The browser didn't do it: its page was going at that moment, or it was told nonsense."""


class Chromium:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.scripted = True  # whether pages may run scripts
        self.transferred = 0  # octets on the wire for the page that is shown; counted after `anew`

    async def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events are passed over, but for what was transferred."""
        number = next(self._ids)
        async with asyncio.timeout(WITHIN):
            await self._socket.send_json({"id": number, "method": method, "params": parameters})
            while True:
                message = json.loads((await self._socket.receive()).data)
                if message.get("method") == "Network.loadingFinished":
                    self.transferred += int(message["params"]["encodedDataLength"])
                if message.get("id") == number:
                    if "error" in message:
                        raise NotNowError(message["error"])
                    result: dict[str, Any] = message["result"]
                    return result

    async def run(self, script: str) -> Any:
        """Return what the expression gives; a promise is awaited. The page's own policy does not bind this."""
        told = await self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def open(self, url: str) -> None:
        """Load a page and return when all of it is there."""
        self.transferred = 0
        await self.tell("Page.navigate", url=url)
        await self.loaded(url)

    async def loaded(self, url: str = "") -> None:
        """Return when the page that is under way is there."""
        there = f"document.readyState == 'complete' && location.href.startsWith({json.dumps(url)})"
        await self.until(there)

    async def reload(self) -> None:
        """Load the page again, from the server."""
        self.transferred = 0
        await self.run("window.here = true")
        await self.tell("Page.reload", ignoreCache=True)
        await self.until("window.here !== true && document.readyState == 'complete'")

    async def submit(self, fields: dict[str, str], button: str = "main form button") -> None:
        """Fill in fields by their ids, press the button, and wait for the page that comes."""
        for name, value in fields.items():
            field = f"document.getElementById({json.dumps(name)})"
            assert await self.run(f"{field} !== null"), (name, await self.run("document.body.innerText"))
            await self.run(f"{field}.value = {json.dumps(value)}")
        self.transferred = 0
        await self.run("window.here = true")
        await self.run(f"document.querySelector({json.dumps(button)}).click()")
        await self.until("window.here !== true && document.readyState == 'complete'")

    async def until(self, true: str) -> None:
        """Return when the expression holds; while a page goes and another comes none does."""

        async def holds() -> bool:
            with contextlib.suppress(NotNowError):
                return bool(await self.run(true))
            return False

        await eventually(holds, within=WITHIN, every=0.03)

    async def anew(self) -> None:
        """From now on nothing comes from a cache, and what is transferred is counted."""
        await self.tell("Network.enable")
        await self.tell("Network.setCacheDisabled", cacheDisabled=True)

    async def scripts(self, *, on: bool) -> None:
        """Let pages run scripts or not; `run` works all the same."""
        await self.tell("Emulation.setScriptExecutionDisabled", value=not on)
        self.scripted = on

    async def authenticator(self) -> None:
        """Have an authenticator that is always there, and whose finger is always the right one (WebAuthn)."""
        await self.tell("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        await self.tell("WebAuthn.addVirtualAuthenticator", options=options)

    async def shape(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be a window of this size, by day or by night."""
        await self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.tell("Emulation.setEmulatedMedia", features=[scheme])

    async def shot(self) -> bytes:
        """Return what is seen, to the end of the page, as PNG."""
        told = await self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(told["data"])


class Browser:
    """A running Chromium: each who looks has a tab, and cookies, of his own."""

    def __init__(self, session: aiohttp.ClientSession, port: int, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._port = port
        self._whole = Chromium(socket)

    @contextlib.asynccontextmanager
    async def tab(self) -> AsyncIterator[Chromium]:
        """A new tab that shares nothing with the others."""
        context = (await self._whole.tell("Target.createBrowserContext"))["browserContextId"]
        made = await self._whole.tell("Target.createTarget", url="about:blank", browserContextId=context)
        url = f"ws://127.0.0.1:{self._port}/devtools/page/{made['targetId']}"
        async with self._session.ws_connect(url, max_msg_size=64 << 20) as socket:
            yield Chromium(socket)
        await self._whole.tell("Target.disposeBrowserContext", browserContextId=context)


@contextlib.asynccontextmanager
async def browsing(program: str, folder: Path, language: str) -> AsyncIterator[Browser]:
    """A new browser without a past."""
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # for root Chromium has none, and doesn't start without this
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        f"--accept-lang={language}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            port = await _port(folder / "DevToolsActivePort")
            async with session.get(f"http://127.0.0.1:{port}/json/version") as answer:
                url = (await answer.json())["webSocketDebuggerUrl"]
            async with session.ws_connect(url) as socket:
                yield Browser(session, port, socket)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def chromium(program: str, folder: Path, language: str) -> AsyncIterator[Chromium]:
    """One tab of a new browser."""
    async with browsing(program, folder, language) as browser, browser.tab() as tab:
        yield tab


async def _port(file: Path) -> int:
    await eventually(lambda: _read(file) != "", within=READY, every=0.05)
    return int(_read(file).split()[0])


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""
