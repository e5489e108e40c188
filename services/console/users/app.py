"""The users' console: each page, and what its forms do. It knows no table: sign-in and held mail are asked."""

from __future__ import annotations

import dataclasses
import functools
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

from services.console.caller import NotFound, Refused
from services.console.credentials import csrf_of
from services.console.pages import HERE as CONSOLE
from services.console.pages import AnyDoors, AnyVisit, go, make_pages_app, templates
from services.console.sso_pages import SsoPages
from services.console.texts import LANGUAGES, known, text
from services.console.users.config import UsersConfig
from services.console.users.held import HeldMail, spelled
from services.console.users.preview import FRAME_HEADERS, framed
from services.console.users.signin import User, UserSignIn
from services.console.users.signon import UserSignOn
from services.console.users.wishes import Wishes
from services.core.clock import Clock
from services.core.ids import is_message_id

HERE: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
COOKIE: Final = "gatepost-users"
CHOSEN_MOST: Final = 50  # messages that one form acts on
ACTIONS: Final = ("release", "delete", "clean", "spam")


@dataclasses.dataclass(frozen=True, slots=True)
class UsersDesk:
    """What the pages stand on."""

    signin: UserSignIn
    signon: UserSignOn
    held: HeldMail
    wishes: Wishes


Visit = AnyVisit[UsersDesk, User]


class UsersFrame:
    """Renders the users' templates in the visit's language."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._environment = templates(HERE / "templates", CONSOLE / "templates")

    async def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401  # for the template
        """Return the page."""
        done = visit.query("done") if visit.request.method != "POST" else ""
        html = self._environment.get_template(f"{template}.html").render(
            t=functools.partial(text, language=visit.language),
            language=visit.language,
            languages=LANGUAGES,
            visit=visit,
            user=visit.caller,
            csrf=csrf_of(visit.session),
            done=f"done.{done}" if known(f"done.{done}") else "",
            error=visit.error,
            **{**visit.shown, **values},
        )
        return HTMLResponse(html, 409 if visit.error and status == 200 else status)  # noqa: PLR2004  # HTTP's own


def make_users(desk: UsersDesk, config: UsersConfig, clock: Clock) -> FastAPI:
    """Return the application."""
    app = make_pages_app(config, POLICY)
    frame = UsersFrame(clock)
    doors = AnyDoors(app, desk, frame, config, COOKIE)
    UsersPages(frame, doors).open()
    SsoPages(frame, doors, lambda desk: desk.signon, "user_").open()
    return app


class UsersPages:
    """Each page, and what its forms do."""

    def __init__(self, frame: UsersFrame, doors: AnyDoors[UsersDesk, User]) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        door = self._doors.open
        door("/login", self.login, self.do_login, anybody=True)
        door("/forgot", self.forgot, self.do_forgot, anybody=True)
        door("/link/{link}", self.link, self.do_link, anybody=True)
        door("/logout", self.messages, self.do_logout)
        door("/", self.messages, self.do_messages)
        door("/held/{message}", self.message, self.do_message)
        door("/held/{message}/text", self.preview)
        door("/senders", self.senders, self.do_senders)
        door("/settings", self.settings, self.do_settings)

    # --- the way in

    async def login(self, visit: Visit) -> Response:
        return await self._page(visit, "user_login", address=visit.field("address"))

    async def do_login(self, visit: Visit) -> Response:
        agent = visit.request.headers.get("user-agent", "")
        begun = await visit.desk.signin.login(visit.field("address"), visit.field("password"), visit.client, agent)
        return self._doors.begin(go("/"), begun.text)

    async def do_logout(self, visit: Visit) -> Response:
        await visit.desk.signin.logout(visit.who)
        return self._doors.end(go("/login"))

    async def forgot(self, visit: Visit) -> Response:
        return await self._page(visit, "user_forgot")

    async def do_forgot(self, visit: Visit) -> Response:
        await visit.desk.signin.forgot(visit.field("address"), visit.client)
        return go("/forgot", "link-on-its-way")

    async def link(self, visit: Visit) -> Response:
        """Opening a link changes nothing, and doesn't say whose it is."""
        good = await visit.desk.signin.link(visit.path("link"), visit.client)
        bare = dataclasses.replace(visit, caller=None)
        return await self._page(bare, "user_link", 200 if good else 404, good=good, address=visit.field("address"))

    async def do_link(self, visit: Visit) -> Response:
        password = visit.field("password")
        if password != visit.field("again"):
            raise Refused("password.differ")
        agent = visit.request.headers.get("user-agent", "")
        begun = await visit.desk.signin.set_password(
            visit.path("link"), visit.field("address"), password, visit.client, agent
        )
        return self._doors.begin(go("/", "password-set"), begun.text)

    # --- held mail

    async def messages(self, visit: Visit) -> Response:
        asked = {name: visit.query(name)[:200] for name in ("sender", "subject", "recipient")}
        everything = visit.query("everything") == "yes"
        query = {**asked, "after": visit.query("after"), "everything": "true" if everything else ""}
        found: dict[str, Any] = {"messages": [], "after": ""}
        try:
            found = await visit.desk.held.messages(visit.who, query)
        except Refused as error:
            visit = dataclasses.replace(visit, error=text(error.key, visit.language, **error.values))
        ended = {"everything": "yes"} if everything else {}
        further = urllib.parse.urlencode({**asked, **ended, "after": found["after"]}) if found["after"] else ""
        return await self._page(
            visit,
            "held",
            messages=_by_message(found["messages"]),
            asked=asked,
            everything=everything,
            searched=any(asked.values()),
            further=further,
        )

    async def do_messages(self, visit: Visit) -> Response:
        chosen = list(dict.fromkeys(each for each in visit.form.get("message", []) if is_message_id(each)))
        action = visit.field("action")
        if not chosen:
            raise Refused("held.nothing-chosen")
        done = ""
        for message in chosen[:CHOSEN_MOST]:
            try:
                done = await self._act(visit, message, action)
            except NotFound:
                if action not in ACTIONS:
                    raise
                continue  # it ended meanwhile: the list says so
        return go("/", done)

    async def message(self, visit: Visit) -> Response:
        rows = await visit.desk.held.message(visit.who, visit.path("message"))
        waiting = [row for row in rows if row["state"] in {"held", "releasing", "release-stopped"}]
        preview: Mapping[str, Any] | None = None
        if waiting:
            try:
                preview = await visit.desk.held.preview(visit.who, visit.path("message"))
            except NotFound:
                preview = None
        return await self._page(visit, "held_message", first=_by_message(rows)[0], waiting=waiting, preview=preview)

    async def do_message(self, visit: Visit) -> Response:
        message = visit.path("message")
        done = await self._act(visit, message, visit.field("action"))
        return go(f"/held/{message}", done)

    async def _act(self, visit: Visit, message: str, action: str) -> str:
        held, who = visit.desk.held, visit.who
        match action:
            case "release":
                if await held.release(who, message):
                    return "held-release"
                await visit.desk.wishes.asked(who, message)
                return "held-ask"
            case "delete":
                await held.delete(who, message)
                return "held-delete"
            case "clean" | "spam":
                await held.report(who, message, action, remember=visit.field("remember") == "yes")
                return f"held-{action}"
        raise NotFound("no such action")

    async def preview(self, visit: Visit) -> Response:
        """What a stranger wrote, for the frame alone: an origin of its own, without script, forms or a way out."""
        shown = await visit.desk.held.preview(visit.who, visit.path("message"))
        return HTMLResponse(framed(shown["html"], shown["text"], visit.language), headers=FRAME_HEADERS)

    # --- lists and choices

    async def senders(self, visit: Visit) -> Response:
        found = await visit.desk.held.senders(visit.who)
        mine = {spelled(each).lower() for each in visit.who.addresses}
        return await self._page(
            visit,
            "senders",
            senders=[{**each, "mine": each["for"] in mine} for each in found],
            sender=visit.field("sender"),
        )

    async def do_senders(self, visit: Visit) -> Response:
        whom = visit.field("for")
        addresses = visit.who.addresses if not whom else tuple(each for each in visit.who.addresses if each == whom)
        listed = visit.field("action")
        if listed not in {"approved", "blocked", "remove"} or not addresses:
            raise NotFound("no such list, or another's address")
        for address in addresses:
            await visit.desk.held.change_sender(visit.who, address, visit.field("sender").strip(), listed)
        return go("/senders", "sender-changed")

    async def settings(self, visit: Visit) -> Response:
        digest = await visit.desk.held.digest(visit.who, visit.who.addresses[0])
        sessions = await visit.desk.signin.sessions(visit.who)
        return await self._page(visit, "settings", digest=digest, sessions=sessions, days=range(7))

    async def do_settings(self, visit: Visit) -> Response:
        if visit.field("action") == "end":
            await visit.desk.signin.end_session(visit.who, visit.field("session"))
            return go("/settings", "session-ended")
        language = "it" if visit.field("language") == "it" else "en"
        offered = (await visit.desk.held.digest(visit.who, visit.who.addresses[0]))["offered"]
        hours, days = _numbers(visit, "hour", set(offered)), _numbers(visit, "day", set(range(7)))
        wanted = visit.field("digest") == "yes"
        if wanted and offered and not (hours and days):
            raise Refused("settings.no-time")
        choice = {
            "language": language,
            "digest": wanted or not offered,
            # All of them is said as none: what the organisation adds later is wanted as well.
            "hours": [] if hours == set(offered) else sorted(hours),
            "days": [] if len(days) == 7 else sorted(days),  # noqa: PLR2004  # a week's
        }
        for address in visit.who.addresses:
            await visit.desk.held.change_digest(visit.who, address, choice)
        await visit.desk.signin.set_language(visit.who, language)
        return go("/settings", "settings-saved")


def _by_message(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry a message: held for several of his addresses, it is released, reported or deleted for all."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = found.setdefault(row["id"], {**row, "recipients": [], "states": {}})
        entry["recipients"].append(row["recipient"])
        entry["states"][row["state"]] = None
        entry["reported"] = entry["reported"] or row["reported"]
    return list(found.values())


def _numbers(visit: Visit, name: str, allowed: set[int]) -> set[int]:
    found = {int(each) for each in visit.form.get(name, []) if each.isdecimal() and len(each) < 3}  # noqa: PLR2004  # an hour or a day has two digits
    return found & allowed
