"""The console's pages: plumbing. A page is given a visit and asks the desk; it knows no table and needs no script.

A form is taken from our own pages alone: by what the browser says of where it comes from, and, within a session, by a
token that only the session's own pages have.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from services.console.caller import EVERY, Caller, FactorDue, Forbidden, Lapsed, NotFound, Refused
from services.console.config import ConsoleConfig
from services.console.credentials import csrf_of
from services.console.desk import Desk
from services.console.forms import MULTIPART, fields_of
from services.console.licence import DAY
from services.console.models import Licence
from services.console.panels import age, number, octets, percent, seconds
from services.console.report import written
from services.console.roles import Act
from services.console.texts import LANGUAGES, known, text
from services.console.web import client_of, guarded
from services.core.clock import Clock
from services.core.errors import Temporary

HERE: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
STATIC: Final = {"console.css": "text/css", "passkey.js": "text/javascript"}
SCRIPTED: Final = f"{POLICY}; script-src 'self'"  # of pages with passkeys: browsers give them to script alone
SESSION_AGE: Final = 43_200  # seconds that a browser keeps the cookie
STEP_AGE: Final = 300  # seconds that it keeps the cookie of somebody who is half-way in


class Person(Protocol):
    """Somebody with a session."""

    @property
    def language(self) -> str:
        """The language of his pages; empty: what his browser asks for."""
        ...


C = TypeVar("C", bound=Person)
C_co = TypeVar("C_co", bound=Person, covariant=True)
D = TypeVar("D", bound="Reception[Any]")


class SessionReader(Protocol[C_co]):
    """Finds out whose a session is."""

    async def session(self, text: str, client: str) -> C_co | None:
        """Return who holds it, None when it is none."""
        ...


class Reception(Protocol[C_co]):
    """What pages stand on: somebody there knows the sessions."""

    @property
    def signin(self) -> SessionReader[C_co]:
        """Who knows them."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AnyVisit(Generic[D, C]):
    """One request of a person's browser."""

    request: Request
    desk: D
    language: str
    client: str
    form: Mapping[str, list[str]]
    caller: C | None = None
    session: str = ""  # what the cookie says
    unknown: bool = False  # whose the cookie is can't be found out now
    error: str = ""  # what went wrong with what was posted, as a sentence
    shown: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # for the page that is shown next

    @property
    def who(self) -> C:
        """The caller; on pages that need a session there is one."""
        if self.caller is None:
            raise AssertionError("a page that needs a session was shown without one")
        return self.caller

    @property
    def customer(self) -> str:
        """The customer that the path names."""
        return str(self.request.path_params.get("customer", ""))

    def path(self, name: str) -> str:
        """Return a parameter of the path."""
        return str(self.request.path_params[name])

    def field(self, name: str, default: str = "") -> str:
        """Return the first value of a form's field."""
        return (self.form.get(name) or [default])[0]

    def query(self, name: str) -> str:
        """Return a parameter of the query, shortened to what can mean something."""
        return self.request.query_params.get(name, "")[:500]


Visit = AnyVisit[Desk, Caller]
Handler = Callable[[AnyVisit[D, C]], Awaitable[Response]]


def templates(*folders: Path) -> Environment:
    """Return the templates of the folders, the first one first; everything that comes from outside is escaped."""
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["when"] = _when
    environment.filters["json"] = functools.partial(json.dumps, ensure_ascii=False, sort_keys=True)
    return environment


class Renders(Protocol[D, C]):
    """Makes a page of a template."""

    async def page(self, visit: AnyVisit[D, C], template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401  # for the template
        """Return the page."""
        ...


class Frame:
    """Renders templates in the visit's language."""

    def __init__(self, config: ConsoleConfig, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self._environment = templates(HERE / "templates")
        self._environment.filters["age"] = lambda at: age(clock.now() - at)
        self._environment.filters.update(
            number=number, octets=octets, percent=percent, seconds=seconds, written=written
        )

    async def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401  # for the template
        """Return the page, with the customer's banner when there is something to tell."""
        licence = await self._licence(visit)
        done = visit.query("done") if visit.request.method != "POST" else ""  # a form's own page has news of its own
        html = self._environment.get_template(f"{template}.html").render(
            t=functools.partial(text, language=visit.language),
            language=visit.language,
            languages=LANGUAGES,
            visit=visit,
            caller=visit.caller,
            customer=visit.customer,
            csrf=csrf_of(visit.session),
            may=(lambda act: visit.caller is not None and visit.caller.may(Act(act))),
            licence=licence,
            days=0 if licence is None or licence.changes_at is None else _days(licence.changes_at, self.clock.now()),
            done=f"done.{done}" if known(f"done.{done}") else "",
            error=visit.error,
            **{**visit.shown, **values},
        )
        return HTMLResponse(html, 409 if visit.error and status == 200 else status)  # noqa: PLR2004  # HTTP's own

    async def _licence(self, visit: Visit) -> Licence | None:
        caller = visit.caller
        if caller is None or not visit.customer or caller.customer not in {EVERY, visit.customer}:
            return None
        return await visit.desk.licences.licence(caller, customer=visit.customer)


def _days(at: float, now: float) -> int:
    return max(0, int((at - now) // DAY))


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC") if at else "-"


class Site(Protocol):
    """Where people reach the pages."""

    @property
    def base(self) -> str:
        """The URL without a final slash."""
        ...

    @property
    def secure(self) -> bool:
        """Whether people come by TLS."""
        ...


class AnyDoors(Generic[D, C]):
    """Opens pages: finds out who asks, and lets no form in that isn't ours."""

    def __init__(self, app: FastAPI, desk: D, frame: Renders[D, C], site: Site, cookie: str = "gatepost") -> None:
        self._app = app
        self._desk = desk
        self._frame = frame
        self._site = site
        # __Host-: no other host of the domain can set it, and it never goes over a plain connection.
        self.cookie = f"__Host-{cookie}" if site.secure else cookie
        self.step_cookie = f"{self.cookie}-step"

    def open(self, path: str, show: Handler[D, C], post: Handler[D, C] | None = None, *, anybody: bool = False) -> None:
        """Add a page. `post` deals with its forms; what it refuses is said on the page itself."""

        async def get(request: Request) -> Response:
            return await self._answer(request, show, None, anybody=anybody)

        async def form(request: Request) -> Response:
            return await self._answer(request, show, post, anybody=anybody)

        self._app.add_api_route(path, get, methods=["GET", "HEAD"], include_in_schema=False)
        if post is not None:
            self._app.add_api_route(path, form, methods=["POST"], include_in_schema=False)

    async def _answer(
        self, request: Request, show: Handler[D, C], post: Handler[D, C] | None, *, anybody: bool
    ) -> Response:
        visit = await self._visit(request)
        if visit.unknown and not anybody:  # not to the login: whoever has a session would be asked to begin another
            return await self._busy(visit)
        if post is not None and not self._ours(request, visit, anybody=anybody):
            return await self._problem(visit, "form", 403)
        if visit.caller is None and not anybody:
            return RedirectResponse("/login", 303)
        return await self._dealt_with(visit, show, post)

    async def _dealt_with(self, visit: AnyVisit[D, C], show: Handler[D, C], post: Handler[D, C] | None) -> Response:
        try:
            return await self._run(visit, show, post)
        except (NotFound, ValidationError):
            return await self._problem(visit, "not-found", 404)
        except Forbidden:
            return await self._problem(visit, "forbidden", 403)
        except FactorDue:
            return RedirectResponse("/me/factors", 303)
        except Lapsed:
            return RedirectResponse(f"/c/{visit.customer}/licence", 303)
        except Temporary:
            return await self._busy(visit)

    async def _busy(self, visit: AnyVisit[D, C]) -> Response:
        answer = await self._problem(dataclasses.replace(visit, caller=None), "busy", 503)
        answer.headers["Retry-After"] = "5"
        return answer

    async def _run(self, visit: AnyVisit[D, C], show: Handler[D, C], post: Handler[D, C] | None) -> Response:
        if post is None:
            return await show(visit)
        try:
            return await post(visit)
        except Refused as error:
            return await show(dataclasses.replace(visit, error=text(error.key, visit.language, **error.values)))
        except ValidationError as error:
            where = ", ".join(".".join(map(str, each["loc"])) for each in error.errors()[:3])
            return await show(dataclasses.replace(visit, error=text("field.bad", visit.language, where=where)))

    async def _visit(self, request: Request) -> AnyVisit[D, C]:
        client = client_of(request)
        session = request.cookies.get(self.cookie, "")
        caller: C | None = None
        unknown = False
        try:
            caller = await self._desk.signin.session(session, client) if session else None
        except Temporary:
            unknown = True
        language = caller.language if caller is not None else ""
        form: Mapping[str, list[str]] = {}
        kind = request.headers.get("content-type", "")
        if request.method == "POST" and (caller is not None or not kind.startswith(MULTIPART)):  # strangers bring none
            form = await asyncio.to_thread(fields_of, kind, await request.body())
        return AnyVisit(
            request=request,
            desk=self._desk,
            language=language if language in LANGUAGES else _asked(request),
            client=client,
            form=form,
            caller=caller,
            session=session if caller is not None else "",
            unknown=unknown,
        )

    def _ours(self, request: Request, visit: AnyVisit[D, C], *, anybody: bool) -> bool:
        origin = request.headers.get("origin")
        if origin is not None and origin != self._site.base:
            return False
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        if visit.caller is None:
            return anybody or not visit.session
        return anybody or hmac.compare_digest(visit.field("csrf"), csrf_of(visit.session))

    async def _problem(self, visit: AnyVisit[D, C], kind: str, status: int) -> Response:
        bare = dataclasses.replace(visit, error="", shown={})
        if not visit.customer or kind != "form":
            bare = dataclasses.replace(bare, caller=None)
        return await self._frame.page(bare, "problem", status, kind=kind)

    def begin(self, response: Response, session: str) -> Response:
        """Set the cookie of a session; whoever was half-way in is in."""
        self._forget(response, self.step_cookie)
        return self._keep(response, self.cookie, session, SESSION_AGE)

    def step(self, response: Response, text: str) -> Response:
        """Set the cookie of somebody who is half-way in."""
        return self._keep(response, self.step_cookie, text, STEP_AGE)

    def step_of(self, visit: AnyVisit[D, C]) -> str:
        """Return what that cookie says."""
        return visit.request.cookies.get(self.step_cookie, "")

    def end(self, response: Response) -> Response:
        """Take the session's cookie away."""
        return self._forget(response, self.cookie)

    def _keep(self, response: Response, name: str, value: str, age: int) -> Response:
        response.set_cookie(name, value, max_age=age, path="/", secure=self._site.secure, httponly=True, samesite="lax")
        return response

    def _forget(self, response: Response, name: str) -> Response:
        response.delete_cookie(name, path="/", secure=self._site.secure, httponly=True, samesite="lax")
        return response


Doors = AnyDoors[Desk, Caller]


def _asked(request: Request) -> str:
    """Return the first of our languages that the browser asks for (RFC 9110 section 12.5.4), English without one."""
    weighed: list[tuple[float, str]] = []
    for each in request.headers.get("accept-language", "")[:500].split(","):
        tag, _, rest = each.strip().partition(";")
        try:
            weight = float(rest.strip().removeprefix("q=")) if rest else 1.0
        except ValueError:
            continue
        weighed.append((-weight, tag.partition("-")[0].lower()))
    return next((tag for weight, tag in sorted(weighed, key=lambda pair: pair[0]) if tag in LANGUAGES and weight), "en")


def go(path: str, done: str = "") -> Response:
    """Send the browser on after a form: loading the page again posts nothing again."""
    return RedirectResponse(path + (f"{'&' if '?' in path else '?'}done={done}" if done else ""), 303)


def make_pages_app(site: Site, policy: str = POLICY) -> FastAPI:
    """Return the application without pages: style sheet, limits and headers."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Told no referrer at all, browsers post forms with `Origin: null`, and nothing shows that they are ours.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
    if site.secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    guarded(app, policy, headers)

    for name, kind in STATIC.items():
        app.add_api_route(f"/static/{name}", _file(name, kind), methods=["GET", "HEAD"], include_in_schema=False)
    return app


def _file(name: str, kind: str) -> Callable[[], Awaitable[Response]]:
    async def file() -> Response:
        return FileResponse(HERE / "static" / name, media_type=f"{kind}; charset=utf-8")

    return file
