"""The pages behind the links of digests. Opening one shows; only its buttons, which post, act.

They need no script and run none: what the message wants to show stands in a frame that may do nothing.
"""

from __future__ import annotations

import asyncio
import html
import urllib.parse
from collections.abc import Callable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from schemas.events import Act, Command, DigestPlan, Event
from services.core.clock import Clock
from services.core.errors import KeyDestroyed, ObjectCorrupt, ObjectNotFound, Temporary
from services.quarantine import ask
from services.quarantine.api.app import Parts
from services.quarantine.api.guard import Failures, secured
from services.quarantine.decide import Held
from services.quarantine.digest import zone_of
from services.quarantine.digests import preference
from services.quarantine.links import Link, read
from services.quarantine.preview import Preview, preview_of
from services.quarantine.tables import WAITING
from services.quarantine.texts import text

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
FORM_MOST: Final = 200  # octets
ACTIONS: Final = ("release", "delete", "report-clean", "report-spam")

_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:52em;margin:2em auto;padding:0 1em;color:#222}"
    "dt{font-weight:bold}dd{margin:0 0 .5em}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f5f5;"
    "padding:1em}iframe{width:100%;height:32em;border:1px solid #999}button{font:inherit;padding:.4em 1em;margin:.2em}"
)


class Pages:
    """Answers for one link at a time."""

    def __init__(self, parts: Parts, key: bytes) -> None:
        self._parts = parts
        self._key = key
        self._failures = Failures(parts.failures, parts.clock)

    async def show(self, request: Request, token: str) -> Response:
        """The message, and what can be done about it."""
        link = self._link(request, token)
        if link is None:
            return _message("bad-link", _asked_language(request), 404)
        language, rows = await self._known(link)
        if not rows:
            return _message("gone", language, 404)
        row = rows[0]
        shown = None
        if row.state in WAITING:
            try:
                octets = await self._parts.vault.open(link.customer, link.message)
                shown = await asyncio.to_thread(preview_of, octets)
            except (ObjectNotFound, ObjectCorrupt, KeyDestroyed):
                shown = None
        plan, asks = self._plan(link.customer), not self._may_release(row)
        return HTMLResponse(_page(row, shown, language, plan, self._parts.clock, asks=asks))

    async def act(self, request: Request, token: str) -> Response:
        """Do what one of the page's buttons says, for the link's recipient alone."""
        link = self._link(request, token)
        if link is None:
            return _message("bad-link", _asked_language(request), 404)
        language, rows = await self._known(link)
        action = await _action(request)
        if action not in ACTIONS:
            return _message("bad-link", language, 400)
        rows = [row for row in rows if row.state in WAITING]
        if not rows:
            return _message("gone", language, 404)
        await self._parts.bus.publish([self._event(action, link, rows[0])])
        said = "ask" if action == "release" and not self._may_release(rows[0]) else action
        return _message(f"done.{said}", language, 202)

    def _may_release(self, row: Held) -> bool:
        return ask.may_release(self._parts.customer(row.customer), row.status)

    def _event(self, action: str, link: Link, row: Held) -> Event:
        by, now = f"{link.recipient} (digest)", self._parts.clock.now()
        if action == "release" and not self._may_release(row):
            return ask.wish(link.message, link.customer, (row.recipient,), by, now)
        if action in ("release", "delete"):
            return ask.command(Command(action), link.message, link.customer, (row.recipient,), by, now)
        return ask.request(Act(action), link.message, link.customer, (row.recipient,), by, now)

    def _link(self, request: Request, token: str) -> Link | None:
        address = request.client.host if request.client else ""
        if self._failures.waits(address):
            return None
        link = read(self._key, token, self._parts.clock.now())
        if link is None:
            self._failures.note(address)
        return link

    async def _known(self, link: Link) -> tuple[str, list[Held]]:
        language, _ = await preference(
            self._parts.index.database, link.customer, self._plan(link.customer), link.recipient
        )
        rows = await self._parts.index.get(link.message, link.customer)
        return language, [row for row in rows if row.recipient.lower() == link.recipient]

    def _plan(self, customer: str) -> DigestPlan:
        known = self._parts.customer(customer)
        return known.digest if known else DigestPlan()


def make_pages(parts: Parts, key: bytes) -> FastAPI:
    """Return the application of the pages' own origin. `key` is the one that links are signed with."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages = Pages(parts, key)

    async def show(request: Request, token: str) -> Response:
        return await pages.show(request, token)

    async def act(request: Request, token: str) -> Response:
        return await pages.act(request, token)

    app.add_api_route("/held/{token}", show, methods=["GET", "HEAD"], response_class=HTMLResponse)
    app.add_api_route("/held/{token}", act, methods=["POST"], response_class=HTMLResponse)

    @app.middleware("http")
    async def secure(request: Request, go_on: Callable[[Request], object]) -> Response:
        response: Response = await go_on(request)  # type: ignore[misc]  # Starlette's own callable
        return secured(response, POLICY)

    @app.exception_handler(Temporary)
    async def busy(request: Request, _error: Exception) -> Response:
        return _message("try-later", _asked_language(request), 503)

    return app


async def _action(request: Request) -> str:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return ""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_MOST:
            return ""
    found = urllib.parse.parse_qs(body.decode("ascii", "replace"), max_num_fields=3)
    return found.get("action", [""])[0]


def _asked_language(request: Request) -> str:
    return "it" if request.headers.get("accept-language", "").lower().startswith("it") else "en"


def _message(key: str, language: str, status: int) -> HTMLResponse:
    return HTMLResponse(_frame(f"<p>{html.escape(text(key, language))}</p>", language, "Gatepost"), status)


def _page(row: Held, shown: Preview | None, language: str, plan: DigestPlan, clock: Clock, *, asks: bool) -> str:
    def say(key: str) -> str:
        return html.escape(text(key, language))

    zone = zone_of(plan.timezone)
    subject = row.subject or text("no-subject", language)
    facts = [
        ("from", row.header_from or row.reverse_path or "<>"),
        ("to", row.recipient),
        ("reason", row.reason),
        ("held", f"{_when(row.held_at, zone)} - {text(f'state.{row.state.value}', language)}"),
        ("until", _when(row.expires_at, zone)),
    ]
    listed = "".join(f"<dt>{say(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
    body = [f"<h1>{html.escape(subject)}</h1>", f"<dl>{listed}</dl>"]
    if row.state in WAITING and clock.now() < row.expires_at:
        words = {**{name: name for name in ACTIONS}, "release": "ask" if asks else "release"}
        buttons = "".join(f'<button name="action" value="{name}">{say(word)}</button>' for name, word in words.items())
        body.append(f'<form method="post"><p>{say(words["release"] + ".hint")}</p>{buttons}</form>')
        body.append(_shown(shown, language))
    return _frame("\n".join(body), language, subject)


def _shown(shown: Preview | None, language: str) -> str:
    if shown is None:
        return f"<p>{html.escape(text('unreadable', language))}</p>"
    parts = [f"<p><small>{html.escape(text('images', language))}</small></p>"]
    if shown.html:
        # srcdoc: a frame without origin, script, forms or a way out, under this page's own policy.
        inside = html.escape(f"<!doctype html><meta charset=utf-8>{shown.html}", quote=True)
        parts.append(f'<iframe sandbox="" title="{html.escape(text("subject", language))}" srcdoc="{inside}"></iframe>')
    if shown.text:
        parts.append(f"<pre>{html.escape(shown.text)}</pre>")
    if not shown.html and not shown.text:
        parts.append(f"<p>{html.escape(text('no-text', language))}</p>")
    if shown.attachments:
        names = "".join(
            f"<li>{html.escape(each.name)} ({html.escape(each.type)}, {each.size:,})</li>" for each in shown.attachments
        )
        parts.append(f"<h2>{html.escape(text('attachments', language))}</h2><ul>{names}</ul>")
    return "\n".join(parts)


def _when(at: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M %Z")


def _frame(body: str, language: str, title: str) -> str:
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>"
    )
