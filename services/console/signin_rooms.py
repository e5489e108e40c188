"""The pages of the ways in beside the password, and of one's own second factors."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from fastapi import Response

from services.console import models_signin
from services.console.caller import NotFound, Refused
from services.console.pages import SCRIPTED, Doors, Frame, Visit, go
from services.console.roles import Role
from services.console.signin import Halfway, Session
from services.console.signon import MAY_BE_MADE
from services.console.sso_pages import SsoPages
from services.console.texts import text

USERS_COME: Final[dict[str, models_signin.UsersSignOn]] = {"": "", "known": "known", "all": "all"}


class SignInRooms:
    """Each page, and what its forms do."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors
        self._sso = SsoPages(frame, doors, lambda desk: desk.signon_in)

    def open(self) -> None:
        """Add every page."""
        door = self._doors.open
        door("/second", self.second, self.do_second, anybody=True)
        door("/passkey", self.passkey, self.do_passkey, anybody=True)
        self._sso.open()
        door("/me/factors", self.factors, self.do_factors)
        door("/me/passkeys", self.new_passkey, self.do_new_passkey)
        door("/c/{customer}/sign-in", self.rules, self.do_rules)

    # --- after the password

    async def second(self, visit: Visit) -> Response:
        step = self._doors.step_of(visit)
        found = await visit.desk.signin.halfway(step) if step else None
        if found is None:
            return go("/login")
        passkeys = visit.desk.passkeys
        options = "" if passkeys is None else await passkeys.ask_second(step)
        page = await self._page(_bare(visit), "second", options=options, kinds=found[1])
        return _scripted(page) if options else page

    async def do_second(self, visit: Visit) -> Response:
        step, agent = self._doors.step_of(visit), _agent(visit)
        if visit.field("action") == "passkey":
            return await self.do_passkey(visit)
        session = await visit.desk.signin.second(step, visit.field("code"), visit.client, agent)
        return self._doors.begin(go("/"), session.text)

    # --- by passkey alone

    async def passkey(self, visit: Visit) -> Response:
        if visit.desk.passkeys is None:
            raise NotFound("no passkeys here")
        try:
            step, options = await visit.desk.passkeys.ask(visit.client)
        except Refused as error:
            return await self._refused(visit, "login", error, address="", passkeys=True)
        page = await self._page(_bare(visit), "passkey", options=options)
        return _scripted(self._doors.step(page, step))

    async def do_passkey(self, visit: Visit) -> Response:
        if visit.desk.passkeys is None:
            raise NotFound("no passkeys here")
        step = self._doors.step_of(visit)
        session = await visit.desk.passkeys.sign_in(step, visit.field("answer"), visit.client, _agent(visit))
        return self._doors.begin(go("/"), session.text)

    # --- one's own second factors

    async def factors(self, visit: Visit) -> Response:
        found = await visit.desk.factors.factors(visit.who)
        return await self._page(
            visit,
            "factors",
            factors=found,
            seed=visit.shown.get("seed"),
            codes=visit.shown.get("codes", ()),
        )

    async def do_factors(self, visit: Visit) -> Response:
        factors, who = visit.desk.factors, visit.who
        match visit.field("action"):
            case "begin":
                seed = await factors.begin_totp(who)
                return await self.factors(dataclasses.replace(visit, shown={"seed": seed}))
            case "confirm":
                return await self._confirm(visit)
            case "remove":
                await factors.remove_totp(who)
                return go("/me/factors", "factor-removed")
            case "codes":
                made = await factors.new_recovery_codes(who)
                return await self.factors(dataclasses.replace(visit, shown={"codes": made.codes}))
            case "forget":
                await factors.remove_passkey(who, passkey=visit.field("passkey"))
                return go("/me/factors", "factor-removed")
        raise NotFound("no such action")

    async def _confirm(self, visit: Visit) -> Response:
        """A wrong code shows the same picture again: the authenticator has it already."""
        factors, who = visit.desk.factors, visit.who
        try:
            made = await factors.confirm_totp(who, body=models_signin.Code(code=visit.field("code")))
        except Refused as error:
            said = text(error.key, visit.language, **error.values)
            seed = await factors.pending_totp(who)
            return await self.factors(dataclasses.replace(visit, error=said, shown={"seed": seed}))
        return await self._added(visit, made)

    async def new_passkey(self, visit: Visit) -> Response:
        try:
            asked = await visit.desk.factors.begin_passkey(visit.who)
        except Refused as error:
            said = text(error.key, visit.language, **error.values)
            return await self.factors(dataclasses.replace(visit, error=said))
        page = await self._page(visit, "passkey_new", options=asked.options, label=visit.field("label"))
        return _scripted(self._doors.step(page, asked.step))

    async def do_new_passkey(self, visit: Visit) -> Response:
        body = models_signin.NewPasskey(
            step=self._doors.step_of(visit), answer=visit.field("answer"), label=visit.field("label").strip()
        )
        return await self._added(visit, await visit.desk.factors.add_passkey(visit.who, body=body))

    async def _added(self, visit: Visit, made: models_signin.RecoveryCodes) -> Response:
        if not made.codes:
            return go("/me/factors", "factor-added")
        who = dataclasses.replace(visit.who, factor_due=False)
        return await self.factors(dataclasses.replace(visit, caller=who, shown={"codes": made.codes}))

    # --- of a customer

    async def rules(self, visit: Visit) -> Response:
        found = await visit.desk.signon.sign_in(visit.who, customer=visit.customer)
        roles = [role for role in Role if role in MAY_BE_MADE]
        return await self._page(visit, "sign_in", rules=found, roles=roles, users=USERS_COME)

    async def do_rules(self, visit: Visit) -> Response:
        signon, who, customer = visit.desk.signon, visit.who, visit.customer
        path = f"/c/{customer}/sign-in"
        match visit.field("action"):
            case "factor":
                rule = models_signin.FactorRule(required=visit.field("required") == "yes")
                await signon.require_factor(who, customer=customer, body=rule)
            case "provider":
                chosen = [role for role in MAY_BE_MADE if role.value == visit.field("role")]
                body = models_signin.Provider(
                    issuer=visit.field("issuer").strip(),
                    client=visit.field("client").strip(),
                    secret=visit.field("secret").strip(),
                    role=chosen[0] if chosen else None,
                    users=USERS_COME.get(visit.field("users"), ""),
                )
                await signon.set_provider(who, customer=customer, body=body)
            case "remove":
                await signon.remove_provider(who, customer=customer)
            case _:
                raise NotFound("no such action")
        return go(path, "sign-in-saved")

    # --- helpers

    async def _refused(self, visit: Visit, template: str, error: Refused, **values: Any) -> Response:  # noqa: ANN401  # for the template
        said = text(error.key, visit.language, **error.values)
        return await self._page(dataclasses.replace(_bare(visit), error=said), template, **values)


def enter(doors: Doors, admitted: Session | Halfway, to: Response) -> Response:
    """Begin the session and send the browser `to`; or first to where the second factor is shown."""
    if isinstance(admitted, Halfway):
        return doors.step(go("/second"), admitted.text)
    return doors.begin(to, admitted.text)


def _bare(visit: Visit) -> Visit:
    """Return the visit as of somebody who isn't in yet: whoever is in keeps his session until the new one begins."""
    return dataclasses.replace(visit, caller=None)


def _agent(visit: Visit) -> str:
    return visit.request.headers.get("user-agent", "")


def _scripted(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = SCRIPTED
    return response
