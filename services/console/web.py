"""What every answer of the console has in common: limits before, headers after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from services.quarantine.api.guard import secured

BODY_MOST: Final = 262_144  # octets of a request
UPLOAD_MOST: Final = 4_194_304  # octets where a list is uploaded
UPLOADS: Final = ("/directory", "/directory/list")
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def client_of(request: Request) -> str:
    """Return the address of whoever is at the other end of the connection."""
    return request.client.host if request.client else ""


def _most(path: str) -> int:
    return UPLOAD_MOST if path.endswith(UPLOADS) else BODY_MOST


def guarded(app: FastAPI, policy: str, headers: dict[str, str] | None = None) -> None:
    """Let no long body in, and no answer out without its headers; `policy` is the Content-Security-Policy."""

    @app.middleware("http")
    async def secure(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        if request.method in _WRITES and not (length.isdecimal() and int(length) <= _most(request.url.path)):
            return secured(PlainTextResponse("the body is too long", 413), policy)
        if "transfer-encoding" in request.headers:
            return secured(PlainTextResponse("a length is needed", 411), policy)
        response = secured(await go_on(request), policy)
        for name, value in (headers or {}).items():
            response.headers[name] = value
        return response
