"""The console's pages, one after the other."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI, Response

from services.console import models
from services.console.api import make_api
from services.console.caller import Forbidden, NotFound, Refused
from services.console.config import ConsoleConfig
from services.console.data_loss_rooms import DataLossRooms
from services.console.desk import Desk
from services.console.mail_rooms import TLS, MailRooms
from services.console.message_rooms import MessageRooms
from services.console.outbound_room import OutboundRoom
from services.console.pages import Doors, Frame, Visit, go, make_pages_app
from services.console.policy_rooms import PolicyRooms
from services.console.report_rooms import ReportRooms
from services.console.roles import Act, Role, may_manage
from services.console.signin_rooms import SignInRooms, enter
from services.console.traffic_rooms import TrafficRooms
from services.console.users.management import ManagementPages
from services.core.clock import Clock

KEEP: Final = "keep"  # for TLS: each host has its own


def make_console(desk: Desk, config: ConsoleConfig, clock: Clock) -> FastAPI:
    """Return the whole application: the pages, and the API under /api/v1."""
    app = make_pages_app(config)
    app.mount("/api/v1", make_api(desk, clock))
    frame = Frame(config, clock)
    doors = Doors(app, desk, frame, config)
    for rooms in (Rooms, SignInRooms, TrafficRooms, MessageRooms, ReportRooms, PolicyRooms, MailRooms, ManagementPages):
        rooms(frame, doors).open()
    DataLossRooms(frame, doors).open()
    return app


class Rooms:
    """Each page, and what its forms do."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors
        self._regions = frame.config.regions
        self._signup = frame.config.signup

    def open(self) -> None:
        """Add every page."""
        door = self._doors.open
        door("/login", self.login, self.do_login, anybody=True)
        door("/forgot", self.forgot, self.do_forgot, anybody=True)
        door("/link/{link}", self.link, self.do_link, anybody=True)
        if self._signup:
            door("/signup", self.signup, self.do_signup, anybody=True)
            door("/signup/{link}", self.begin, self.do_begin, anybody=True)
        door("/prove/{link}", self.prove, self.do_prove, anybody=True)
        door("/logout", self.me, self.do_logout)
        door("/me", self.me, self.do_me)
        door("/", self.home)
        door("/customers", self.customers, self.do_customers)
        door("/kept/{kept}", self.kept, self.do_kept)
        door("/purges", self.purges)
        door("/purges/{purge}", self.certificate)
        of = "/c/{customer}"
        door(of, self.customer, self.do_customer)
        door(f"{of}/domains", self.domains, self.do_domains)
        door(f"{of}/domains/{{name}}", self.domain, self.do_domain)
        door(f"{of}/directory", self.directory, self.do_directory)
        OutboundRoom(self._page).open(door)
        door(f"{of}/accounts", self.accounts, self.do_accounts)
        door(f"{of}/tokens", self.tokens, self.do_tokens)
        door(f"{of}/licence", self.licence, self.do_licence)
        door(f"{of}/audit", self.audit)

    # --- the way in

    async def login(self, visit: Visit) -> Response:
        offers = {"signup": self._signup, "passkeys": visit.desk.passkeys is not None}
        return await self._page(visit, "login", address=visit.field("address"), **offers)

    async def do_login(self, visit: Visit) -> Response:
        agent = visit.request.headers.get("user-agent", "")
        admitted = await visit.desk.signin.login(visit.field("address"), visit.field("password"), visit.client, agent)
        return enter(self._doors, admitted, go("/"))

    async def do_logout(self, visit: Visit) -> Response:
        await visit.desk.signin.logout(visit.who)
        return self._doors.end(go("/login"))

    async def forgot(self, visit: Visit) -> Response:
        return await self._page(visit, "forgot")

    async def do_forgot(self, visit: Visit) -> Response:
        await visit.desk.signin.forgot(visit.field("address"), visit.client)
        return go("/forgot", "link-on-its-way")

    async def link(self, visit: Visit) -> Response:
        """Opening a link changes nothing: programs that check mail open all of them."""
        address = await visit.desk.signin.link(visit.path("link"), visit.client)
        bare = dataclasses.replace(visit, caller=None)
        return await self._page(bare, "link", 200 if address else 404, address=address or "")

    async def do_link(self, visit: Visit) -> Response:
        password = visit.field("password")
        if password != visit.field("again"):
            raise Refused("password.differ")
        agent = visit.request.headers.get("user-agent", "")
        admitted = await visit.desk.signin.set_password(visit.path("link"), password, visit.client, agent)
        return enter(self._doors, admitted, go("/", "password-set"))

    async def signup(self, visit: Visit) -> Response:
        return await self._page(visit, "signup", regions=self._regions)

    async def do_signup(self, visit: Visit) -> Response:
        body = models.NewTrial(
            name=visit.field("name").strip(),
            address=visit.field("address"),
            region=visit.field("region"),
            language="it" if visit.field("language") == "it" else "en",
        )
        await visit.desk.signup.ask(body, visit.client)
        return go("/signup", "signed-up")

    async def begin(self, visit: Visit) -> Response:
        """Opening a link changes nothing: programs that check mail open all of them."""
        address = await visit.desk.signup.look(visit.path("link"), visit.client)
        bare = dataclasses.replace(visit, caller=None)
        return await self._page(bare, "begin", 200 if address else 404, address=address or "")

    async def do_begin(self, visit: Visit) -> Response:
        link = await visit.desk.signup.begin(visit.path("link"), visit.client)
        return go(f"/link/{link}")

    async def prove(self, visit: Visit) -> Response:
        """As with every link."""
        found = await visit.desk.doorstep.look(visit.path("link"), visit.client)
        domain, of = found or ("", "")
        bare = dataclasses.replace(visit, caller=None)
        return await self._page(bare, "prove", 200 if found else 404, domain=domain, of=of, proved="")

    async def do_prove(self, visit: Visit) -> Response:
        domain = await visit.desk.doorstep.prove(visit.path("link"), visit.client)
        bare = dataclasses.replace(visit, caller=None)
        return await self._page(bare, "prove", domain="", of="", proved=domain)

    async def home(self, visit: Visit) -> Response:
        done = visit.query("done")
        if visit.who.role is Role.OPERATOR:
            return go("/customers", done)
        return go(f"/c/{visit.who.customer}", done)

    async def me(self, visit: Visit) -> Response:
        found = await visit.desk.accounts.sessions(visit.who)
        return await self._page(visit, "me", sessions=found.sessions)

    async def do_me(self, visit: Visit) -> Response:
        if visit.field("action") == "others":
            await visit.desk.accounts.end_other_sessions(visit.who)
            return go("/me", "sessions-ended")
        await visit.desk.accounts.end_session(visit.who, session=visit.field("session"))
        return go("/me", "session-ended")

    # --- customers

    async def customers(self, visit: Visit) -> Response:
        found = await visit.desk.customers.customers(visit.who, after=visit.query("after"))
        kept = (await visit.desk.kept.kept(visit.who)).customers
        return await self._page(
            visit, "customers", customers=found.customers, after=found.after, regions=self._regions, kept=kept
        )

    async def do_customers(self, visit: Visit) -> Response:
        body = models.NewCustomer(
            id=visit.field("id").strip(),
            name=visit.field("name"),
            owner=visit.field("owner"),
            region=visit.field("region"),
            language="it" if visit.field("language") == "it" else "en",
        )
        await visit.desk.customers.add_customer(visit.who, body=body)
        return go("/customers", "customer-added")

    async def customer(self, visit: Visit) -> Response:
        found = await visit.desk.customers.customer(visit.who, customer=visit.customer)
        domains: Sequence[models.Domain] = ()
        if found.licence.state.value not in {"lapsed", "purge"} or visit.who.role is Role.OPERATOR:
            domains = (await visit.desk.domains.domains(visit.who, customer=visit.customer)).domains
        return await self._page(visit, "customer", found=found, domains=domains, remove=visit.query("remove"))

    async def do_customer(self, visit: Visit) -> Response:
        if visit.field("action") == "export":
            found = await visit.desk.customers.export(visit.who, customer=visit.customer)
            name = f'attachment; filename="{visit.customer}.yaml"'
            return Response(found.yaml, media_type="application/yaml", headers={"Content-Disposition": name})
        if visit.field("confirm") != visit.customer:
            raise Refused("customer.confirm")
        await visit.desk.customers.remove_customer(visit.who, customer=visit.customer)
        return go("/customers", "customer-removed")

    async def kept(self, visit: Visit) -> Response:
        found = await visit.desk.kept.kept_customer(visit.who, customer=visit.path("kept"))
        return await self._page(visit, "kept", found=found)

    async def do_kept(self, visit: Visit) -> Response:
        customer = visit.path("kept")
        await visit.desk.kept.take_over(visit.who, customer=customer)
        return go(f"/c/{urllib.parse.quote(customer, safe='')}/accounts", "taken-over")

    async def purges(self, visit: Visit) -> Response:
        found = await visit.desk.purged.purges(visit.who, after=visit.query("after"))
        return await self._page(visit, "purges", purges=found.purges, after=found.after)

    async def certificate(self, visit: Visit) -> Response:
        purge = visit.path("purge")
        found = await visit.desk.purged.certificate(visit.who, purge=purge)
        name = f'attachment; filename="deleted-{purge}.json"'
        headers = {"Content-Disposition": name}
        return Response(found.model_dump_json(indent=1), media_type="application/json", headers=headers)

    # --- domains

    async def domains(self, visit: Visit) -> Response:
        found = await visit.desk.domains.domains(visit.who, customer=visit.customer)
        return await self._page(visit, "domains", domains=found.domains, name=visit.field("name"))

    async def do_domains(self, visit: Visit) -> Response:
        body = models.NewDomain(name=visit.field("name"))
        added = await visit.desk.domains.add_domain(visit.who, customer=visit.customer, body=body)
        return go(_domain_path(visit.customer, added.name), "domain-claimed")

    async def domain(self, visit: Visit) -> Response:
        name = visit.path("name")
        found = await visit.desk.domains.domain(visit.who, customer=visit.customer, name=name)
        mx = None
        if found.proved:
            mx = await visit.desk.domains.mx(visit.who, customer=visit.customer, name=name)
        return await self._page(
            visit,
            "domain",
            found=found,
            mx=mx,
            tls=_levels(found.relay),
            relay=visit.field("relay") or "\n".join(_written(each) for each in found.relay),
            dialogue=visit.shown.get("dialogue"),
            by_mx=visit.shown.get("by_mx"),
        )

    async def do_domain(self, visit: Visit) -> Response:
        name, domains, who, customer = visit.path("name"), visit.desk.domains, visit.who, visit.customer
        path = _domain_path(customer, name)
        match visit.field("action"):
            case "prove":
                await domains.prove_domain(who, customer=customer, name=name)
                return go(path, "domain-proved")
            case "mail-proof":
                mailed = models.ProofMail.model_validate({"local": visit.field("local")})
                await visit.desk.proofs.mail_proof(who, customer=customer, name=name, body=mailed)
                return go(path, "proof-mailed")
            case "route":
                known = await domains.domain(who, customer=customer, name=name)
                body = models.Routing(
                    relay=_relay(visit.field("relay"), visit.field("tls"), known.relay),
                    any_recipient=visit.field("recipients") != "directory",
                )
                await domains.route_domain(who, customer=customer, name=name, body=body)
                return go(path, "domain-routed")
            case "test" | "test-mx" as test:
                asked = models.Test(recipient=visit.field("recipient"), through="mx" if test == "test-mx" else "relay")
                dialogue = await domains.test_domain(who, customer=customer, name=name, body=asked)
                shown = "by_mx" if test == "test-mx" else "dialogue"
                return await self.domain(dataclasses.replace(visit, shown={shown: dialogue}))
            case "remove":
                await domains.remove_domain(who, customer=customer, name=name)
                return go(f"/c/{customer}/domains", "domain-removed")
        raise NotFound("no such action")

    # --- directory

    async def directory(self, visit: Visit) -> Response:
        found = await visit.desk.directories.directories(visit.who, customer=visit.customer)
        wanted = visit.field("source") or visit.query("edit")
        edit = next((each for each in found.directories if each.name == wanted), None)
        tried = visit.shown.get("tried")
        return await self._page(visit, "directory", found=found, edit=edit, tried=tried, tried_name=wanted)

    async def do_directory(self, visit: Visit) -> Response:
        rooms, who, customer = visit.desk.directories, visit.who, visit.customer
        path, source = f"/c/{customer}/directory", visit.field("source").strip()
        match visit.field("action"):
            case "draft":
                body = models.LdapSettings.model_validate(
                    {
                        **{name: visit.field(name) for name in ("url", "base", "filter", "bind_dn", "password")},
                        "groups": visit.field("groups").replace(",", " ").split(),
                        "every_minutes": visit.field("minutes") or 15,
                    }
                )
                await rooms.draft(who, customer=customer, source=source, body=body)
                return go(path, "directory-drafted")
            case "try":
                tried = await rooms.try_directory(who, customer=customer, source=source)
                return await self.directory(dataclasses.replace(visit, shown={"tried": tried}))
            case "use":
                await rooms.use_directory(who, customer=customer, source=source)
                return go(path, "directory-used")
            case "remove":
                await rooms.remove_directory(who, customer=customer, source=source)
                return go(path, "directory-removed")
            case "upload":
                await rooms.upload(who, customer=customer, body=models.Csv(csv=visit.field("csv")))
                return go(path, "list-uploaded")
            case "apply":
                apply = models.CsvApply(force=visit.field("force") == "yes")
                await rooms.apply_upload(who, customer=customer, body=apply)
                return go(path, "list-applied")
        raise NotFound("no such action")

    # --- people

    async def accounts(self, visit: Visit) -> Response:
        found = await visit.desk.accounts.accounts(visit.who, customer=visit.customer)
        roles = [role for role in Role if role is not Role.OPERATOR and may_manage(visit.who.role, role)]
        return await self._page(visit, "accounts", accounts=found.accounts, roles=roles)

    async def do_accounts(self, visit: Visit) -> Response:
        accounts, who, customer = visit.desk.accounts, visit.who, visit.customer
        path, account = f"/c/{customer}/accounts", visit.field("account")
        change = None
        match visit.field("action"):
            case "invite":
                body = models.NewAccount(
                    address=visit.field("address"),
                    name=visit.field("name"),
                    role=_role(visit.field("role")),
                    language="it" if visit.field("language") == "it" else "en",
                    domains=visit.field("domains").lower().split(),
                )
                await accounts.invite(who, customer=customer, body=body)
                return go(path, "account-invited")
            case "link":
                await accounts.send_link(who, customer=customer, account=account)
                return go(path, "link-sent")
            case "sign-out":
                await accounts.sign_out(who, customer=customer, account=account)
                return go(path, "sessions-ended")
            case "factors":
                await visit.desk.factors.reset_factors(who, customer=customer, account=account)
                return go(path, "factors-reset")
            case "close" | "reopen":
                change = models.AccountChange(closed=visit.field("action") == "close")
            case "limit":
                change = models.AccountChange(domains=visit.field("domains").lower().split())
            case "role":
                change = models.AccountChange(role=_role(visit.field("role")))
        if change is None:
            raise NotFound("no such action")
        await accounts.change_account(who, customer=customer, account=account, body=change)
        return go(path, "account-changed")

    async def tokens(self, visit: Visit) -> Response:
        found = await visit.desk.tokens.tokens(visit.who, customer=visit.customer)
        scopes = [act for act in Act if visit.who.may(act)]
        return await self._page(visit, "tokens", tokens=found.tokens, scopes=scopes, made=visit.shown.get("made", ""))

    async def do_tokens(self, visit: Visit) -> Response:
        if visit.field("action") == "revoke":
            await visit.desk.tokens.revoke_token(visit.who, customer=visit.customer, token=visit.field("token"))
            return go(f"/c/{visit.customer}/tokens", "token-revoked")
        if not visit.form.get("scope"):
            raise Refused("token.no-scope")
        asked = {"label": visit.field("label"), "scopes": visit.form["scope"], "days": visit.field("days", "365")}
        body = models.NewToken.model_validate(asked)
        made = await visit.desk.tokens.make_token(visit.who, customer=visit.customer, body=body)
        return await self.tokens(dataclasses.replace(visit, shown={"made": made.token}))

    async def licence(self, visit: Visit) -> Response:
        if visit.who.customer not in {"", visit.customer}:
            raise NotFound(visit.customer)
        return await self._page(visit, "licence")

    async def do_licence(self, visit: Visit) -> Response:
        if visit.field("action") == "trial":
            scope = models.TrialScope(recipients=visit.field("recipients").split())
            await visit.desk.licences.limit_trial(visit.who, customer=visit.customer, body=scope)
            return go(f"/c/{visit.customer}/licence", "trial-limited")
        body = models.LicenceKey(key=visit.field("key"))
        await visit.desk.licences.renew(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/licence", "licence-renewed")

    # --- looking back

    async def audit(self, visit: Visit) -> Response:
        found = await visit.desk.history.audit(visit.who, customer=visit.customer, after=visit.query("after"))
        return await self._page(visit, "audit", lines=found.lines, after=found.after)


def _domain_path(customer: str, name: str) -> str:
    return f"/c/{customer}/domains/{urllib.parse.quote(name, safe='')}"


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as error:
        raise Forbidden(name) from error


def _levels(relay: list[models.Relay]) -> tuple[str, ...]:
    """Return what may be chosen for all hosts: to keep what each has, where that isn't one of the choices, first."""
    there = {each.tls for each in relay}
    return TLS if len(there) <= 1 and there <= set(TLS) else (KEEP, *TLS)


def _written(relay: models.Relay) -> str:
    host = f"[{relay.host}]" if ":" in relay.host else relay.host
    return f"{relay.lookup}:{relay.host}" if relay.lookup else f"{host}:{relay.port}"


def _relay(lines: str, tls: str, known: list[models.Relay]) -> list[models.Relay]:
    """Return the hosts, one a line, best first: HOST[:PORT], or mx:NAME, srv:NAME; `known` may keep their TLS."""
    levels = {_written(each): each.tls for each in known} if tls == KEEP else {}
    found = []
    for place, line in enumerate(filter(None, (each.strip() for each in lines.splitlines()))):
        lookup, colon, name = line.partition(":")
        entry = {"host": name, "lookup": lookup} if colon and lookup in {"mx", "srv"} else {"host": line}
        level = levels.get(line, "") if tls == KEEP else tls
        found.append(models.Relay.model_validate({**entry, "preference": 10 * (place + 1), "tls": level}))
    if not found:
        raise Refused("relay.empty")
    return found
