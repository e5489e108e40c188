"""What the commands of the quarantine do beside releasing: keys, tokens, reports, rebuilding."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from schemas.catalog import CUSTOMERS
from schemas.events import Act, Audit, Command, Customer, Event
from services.cli.printing import stamp, table
from services.cli.site import Site
from services.core.clock import SystemClock
from services.core.errors import BadAddress, ConfigError
from services.core.ids import is_message_id
from services.quarantine import ask
from services.quarantine.index import Index
from services.quarantine.keyring import Keyring
from services.quarantine.master import MasterConfig
from services.quarantine.rebuild import export, rebuild
from services.quarantine.tokens import Role, Tokens
from services.quarantine.vault import Vault
from services.runtime.config import load
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest
from services.runtime.open_store import open_store

BATCH = 500  # events published together


def by() -> str:
    """Return how events name whoever types a command."""
    return f"{getpass.getuser()} (command line)"


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """What the commands work with."""

    bus: KafkaBus
    index: Index
    keys: Keyring
    vault: Vault


@contextlib.asynccontextmanager
async def _room(site: Site, data: Path) -> AsyncIterator[Room]:
    environ = {"GATEPOST_QUARANTINE_KEY_FILE": str(data / "quarantine.key"), **os.environ}
    secrets = load(MasterConfig, environ).secrets()
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(site.store, os.environ)
        stack.push_async_callback(store.close)
        index = await Index.open(site.database)
        stack.push_async_callback(index.close)
        bus = KafkaBus(site.kafka, "gatepost-quarantine")
        stack.push_async_callback(bus.close)
        keys = Keyring(index.database, store, secrets.wrapping, SystemClock(), os.urandom)
        yield Room(bus, index, keys, Vault(store, keys, os.urandom))


@contextlib.asynccontextmanager
async def bus_of(site: Site) -> AsyncIterator[KafkaBus]:
    """The event log, for one command."""
    bus = KafkaBus(site.kafka, "gatepost-quarantine")
    try:
        yield bus
    finally:
        await bus.close()


async def customer_of(bus: KafkaBus, customer: str) -> Customer:
    """Return the customer; raise ConfigError when there is none of this id."""
    found = (await latest(bus, CUSTOMERS, Customer)).get(customer)
    if found is None:
        raise ConfigError(f"there is no customer {customer!r}")
    return found


async def _held_by(site: Site, message: str) -> str:
    """Return the customer of a held message; raise ConfigError when nothing of that id is held."""
    if not is_message_id(message):
        raise ConfigError(f"{message!r} is no message id; `gatepost quarantine list` shows them")
    index = await Index.open(site.database)
    try:
        rows = await index.get(message)
    finally:
        await index.close()
    if not rows:
        raise ConfigError(f"{message} is not held")
    return rows[0].customer


async def release_to(site: Site, message: str, address: str) -> str:
    """Ask for a copy of a held message, and return what a person should read."""
    customer = await _held_by(site, message)
    async with bus_of(site) as bus:
        try:
            to = ask.mine(await customer_of(bus, customer), address)
        except BadAddress as error:
            raise ConfigError(f"{address}: {error}") from error
        await bus.publish([ask.request(Act.RELEASE_TO, message, customer, (), by(), time.time(), to)])
    return f"{message} goes to {to} as an attachment, and stays held"


async def report(site: Site, message: str, what: str) -> str:
    """Report a held message, and return what a person should read."""
    customer = await _held_by(site, message)
    act = Act.REPORT_CLEAN if what == "clean" else Act.REPORT_SPAM
    async with bus_of(site) as bus:
        await bus.publish([ask.request(act, message, customer, (), by(), time.time())])
    return f"{message} reported as {what}"


async def export_reported(site: Site, data: Path, customer: str, folder: Path) -> str:
    """Write what was reported, and return what a person should read."""
    async with _room(site, data) as room:
        known = await customer_of(room.bus, customer)
        try:
            counts = await export(room.index, room.vault, known, folder)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        await room.bus.publish([_audit(customer, "exported", f"{sum(counts.values())} messages")])
    return f"{counts['ham']} clean and {counts['spam']} spam messages written to {folder}"


async def rebuild_index(site: Site, data: Path) -> str:
    """Rebuild the index, and return what a person should read."""
    async with _room(site, data) as room:
        rows, keys = await rebuild(room.bus, room.index, room.keys)
    return f"{rows} rows and {keys} keys put back"


async def destroy_key(site: Site, data: Path, customer: str) -> str:
    """Destroy a customer's keys, end what they held, and return what a person should read.

    The event comes first: whatever happens then, it is known who did it.
    """
    async with _room(site, data) as room:
        await room.bus.publish([_audit(customer, "key-destroyed", "every key")])
        keys = await room.keys.destroy(customer)
        held = await room.index.waiting_of(customer)
        whoever = f"{by()}, who destroyed the key"
        made: list[Event] = [
            ask.command(Command.DELETE, message, customer, (), whoever, time.time()) for message in held
        ]
        for start in range(0, len(made), BATCH):
            await room.bus.publish(made[start : start + BATCH])
    return f"{keys} keys of {customer} destroyed; {len(held)} messages can't be read again, and are being deleted"


async def make_token(site: Site, role: str, customer: str, addresses: tuple[str, ...], label: str, days: float) -> str:
    """Return a new token."""
    async with bus_of(site) as bus:
        if customer:
            known = await customer_of(bus, customer)
            try:
                addresses = tuple(ask.mine(known, address) for address in addresses)
            except BadAddress as error:
                raise ConfigError(f"--address: {error}") from error
        index = await Index.open(site.database)
        try:
            token = await Tokens(index.database, SystemClock()).make(
                Role(role), customer, addresses=addresses, label=label, days=days
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error
        finally:
            await index.close()
        await bus.publish([_audit(customer, "token-created", token.split("_")[1])])
    return token


async def list_tokens(site: Site, customer: str | None) -> None:
    """Print the tokens."""
    index = await Index.open(site.database)
    try:
        found = await Tokens(index.database, SystemClock()).list(customer)
    finally:
        await index.close()
    if not found:
        print("There are no tokens.")
        return
    now = time.time()
    rows = [
        (
            token.id,
            token.role,
            token.customer or "-",
            token.label,
            stamp(token.made_at),
            "revoked" if token.revoked_at else ("expired" if token.expires_at <= now else stamp(token.expires_at)),
        )
        for token in found
    ]
    print(table(("id", "role", "customer", "label", "made (UTC)", "good until (UTC)"), rows))


async def revoke_token(site: Site, token: str) -> str:
    """Revoke a token, and return what a person should read."""
    index = await Index.open(site.database)
    try:
        gone = await Tokens(index.database, SystemClock()).revoke(token)
    finally:
        await index.close()
    if not gone:
        raise ConfigError(f"there is no token {token!r} that is good; `gatepost tokens list` shows them")
    async with bus_of(site) as bus:
        await bus.publish([_audit("", "token-revoked", token)])
    return f"{token} revoked"


def _audit(customer: str, what: str, subject: str) -> Audit:
    return Audit(customer=customer, what=what, subject=subject, by=by(), at=time.time())
