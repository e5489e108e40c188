"""A browser without a network: calls an ASGI application and keeps its cookies."""

from __future__ import annotations

import dataclasses
import json
import re
import urllib.parse
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any

from fastapi import FastAPI


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def to(self) -> str:
        """Where a redirect leads."""
        return self.headers["location"]


class Browser:
    """One person's browser, or a program with a token."""

    def __init__(self, app: FastAPI, base: str, *, client: str = "192.0.2.1", token: str = "") -> None:
        self._app = app
        self._base = base
        self.client = client
        self.token = token
        self.cookies: dict[str, str] = {}
        self.language = "en"

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, b"", headers)

    async def api(self, method: str, path: str, body: object = None) -> Answer:
        """Ask the API."""
        octets = b"" if body is None else json.dumps(body).encode()
        return await self.ask(method, f"/api/v1{path}", octets, {"content-type": "application/json"})

    async def post(self, path: str, form: Mapping[str, str | list[str]], **headers: str) -> Answer:
        """Post a form, without looking at the page that it is on."""
        body = urllib.parse.urlencode(form, doseq=True).encode()
        kind = {"content-type": "application/x-www-form-urlencoded", "origin": self._base, **headers}
        return await self.ask("POST", path, body, kind)

    async def fill(self, path: str, form: Mapping[str, str | list[str]]) -> Answer:
        """Load the page, and post a form of it as a browser would."""
        return await self.fill_from(path, path, form)

    async def fill_from(self, page: str, path: str, form: Mapping[str, str | list[str]]) -> Answer:
        """Take the token from one page, and post a form to another path: what a page doesn't offer can be tried."""
        found = re.search(r'name="csrf" value="([0-9a-f]*)"', (await self.get(page)).text)
        return await self.post(path, {"csrf": found[1] if found else "", **form})

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        split = urllib.parse.urlsplit(path)
        sent = {"host": "evil.test", "accept-language": self.language, "content-length": str(len(body)), **headers}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.token:
            sent["authorization"] = f"Bearer {self.token}"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": urllib.parse.unquote(split.path),
            "raw_path": split.path.encode(),
            "query_string": split.query.encode(),
            "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
            "client": (self.client, 1),
            "server": ("evil.test", 80),
        }
        got: list[Any] = []
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return parts.pop() if parts else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            got.append(message)

        await self._app(scope, receive, send)
        head = {}
        for name, value in got[0]["headers"]:
            head[name.decode()] = value.decode()
            if name == b"set-cookie":
                self._keep(value.decode())
        text = b"".join(part.get("body", b"") for part in got[1:]).decode()
        return Answer(got[0]["status"], head, text)

    def _keep(self, header: str) -> None:
        for name, morsel in SimpleCookie(header).items():
            if morsel.value and morsel["max-age"] != "0":
                self.cookies[name] = morsel.value
            else:
                self.cookies.pop(name, None)
