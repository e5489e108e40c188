"""What stands before every answer: who asks, how often he was wrong, and what each role may do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import HTTPException, Request, Response

from services.core.clock import Clock
from services.quarantine.passes import KIND, shown
from services.quarantine.tokens import Caller, Role, Tokens

MINUTE: Final = 60.0
TOKEN_MOST: Final = 200  # characters
ADDRESSES_MOST: Final = 10_000  # that are remembered for wrong tokens

_EVERYBODY: Final = frozenset(Role)
_PEOPLE: Final = frozenset({Role.ADMINISTRATOR, Role.HELPDESK, Role.USER})
# The owner runs the service and reads nobody's mail; the auditor sees what was done and changes nothing.
MAY: Final[dict[str, frozenset[Role]]] = {
    "list": _EVERYBODY,
    "show": _EVERYBODY,
    "preview": _PEOPLE,
    "release": _PEOPLE | {Role.OWNER},
    "delete": _PEOPLE | {Role.OWNER},
    "report": _PEOPLE,
    "release-to": frozenset({Role.ADMINISTRATOR, Role.HELPDESK}),
    "senders": _EVERYBODY,
    "senders-of-recipient": _PEOPLE | {Role.OWNER},
    "senders-of-all": frozenset({Role.ADMINISTRATOR, Role.OWNER}),
    "digest": _PEOPLE | {Role.AUDITOR, Role.OWNER},
    "digest-change": _PEOPLE,
}

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"


class Failures:
    """Wrong tokens by address, over the last minute."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._seen: OrderedDict[str, list[float]] = OrderedDict()

    def waits(self, address: str) -> bool:
        """Return whether the address was wrong too often."""
        since = self._clock.monotonic() - MINUTE
        recent = [at for at in self._seen.get(address, ()) if at > since]
        if recent:
            self._seen[address] = recent
        else:
            self._seen.pop(address, None)
        return len(recent) >= self._most

    def note(self, address: str) -> None:
        """Count one more."""
        self._seen.setdefault(address, []).append(self._clock.monotonic())
        self._seen.move_to_end(address)
        while len(self._seen) > ADDRESSES_MOST:
            self._seen.popitem(last=False)


class Guard:
    """Lets a caller through to one customer and one kind of act."""

    def __init__(self, tokens: Tokens, failures: Failures, clock: Clock, passes: bytes | None) -> None:
        self._tokens = tokens
        self._failures = failures
        self._clock = clock
        self._passes = passes

    def __call__(self, act: str) -> Callable[[Request, str], Awaitable[Caller]]:
        """Return the dependency that answers 401, 403, 404 or 429 unless the caller may do this."""
        roles = MAY[act]

        async def allowed(request: Request, customer: str) -> Caller:
            caller = await self._caller(request)
            if caller.customer not in ("", customer):
                raise HTTPException(404, "not found")  # whether there is such a customer is none of his business
            if caller.message and (act != "preview" or request.path_params.get("message") != caller.message):
                raise HTTPException(403, "this pass is for one look into one message")
            if caller.role not in roles:
                raise HTTPException(403, "this token's role may not do this")
            return caller

        return allowed

    async def _caller(self, request: Request) -> Caller:
        address = request.client.host if request.client else ""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if kind.lower() == "bearer" else ""
        if token.startswith(KIND):
            # Not counted: nobody guesses a signature, and all users come from the one address of their console.
            return self._passed(token)
        if self._failures.waits(address):
            raise HTTPException(429, "too many wrong tokens", {"Retry-After": "60"})
        caller = await self._tokens.check(token) if len(token) < TOKEN_MOST else None
        if caller is None:
            self._failures.note(address)
            raise HTTPException(401, "a token is needed", {"WWW-Authenticate": "Bearer"})
        return caller

    def _passed(self, token: str) -> Caller:
        caller = shown(self._passes, token, self._clock.now()) if self._passes is not None else None
        if caller is None:
            raise HTTPException(401, "a pass that is good is needed", {"WWW-Authenticate": "Bearer"})
        return caller


def secured(response: Response, policy: str = API_POLICY) -> Response:
    """Return the response with the headers that every one of ours has, where it has none of its own."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", policy)
    return response
