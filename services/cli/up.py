"""`gatepost up`: broker, store and every service on one machine, in one process group with one log.

The supervisor owns everything: it starts the parts in the order they need each other, keeps them alive, and stops them
the other way round. It never touches a message itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from itertools import count, repeat
from pathlib import Path

from schemas.catalog import CUSTOMERS, PARTITIONS, partition_count
from schemas.events import Customer
from services.cli import apply, ground, settings_file, site
from services.cli.child import RESTART_FIRST, RESTART_MOST, Child
from services.cli.customers_file import CustomerSpec, read_customers
from services.cli.dkim import FILE as DKIM_FILE
from services.console.config import PREFIX as CONSOLE_PREFIX
from services.console.config import ConsoleConfig
from services.console.users.config import PREFIX as USERS_PREFIX
from services.console.users.config import UsersConfig
from services.core.errors import BusUnavailable, ConfigError, StartError, StoreUnavailable
from services.directory.config import DirectoryConfig
from services.quarantine.api.config import ApiConfig
from services.quarantine.index import Index
from services.quarantine.master import MasterConfig
from services.reaper.recover import recover
from services.runtime import cut
from services.runtime.broker import Broker
from services.runtime.config import load
from services.runtime.console_key import NAME as CONSOLE_KEY
from services.runtime.dkim_keys import NAME as DKIM_KEY
from services.runtime.kafka import KafkaBus
from services.runtime.open_store import open_store
from services.runtime.provision import make_topics
from services.runtime.s3_location import s3_location
from services.runtime.s3_provision import provision
from services.runtime.secret_key import make_key
from services.runtime.store import Store
from services.runtime.users_key import NAME as USERS_KEY

log = logging.getLogger("gatepost.up")

SHOWN = 5  # domains that the banner names

GROUPS: dict[str, tuple[str, ...]] = {
    # Each of these costs CPU in its own way, and two cores hold just about these; on Kubernetes every service is apart.
    "ingress": ("ingress",),
    "scanners": ("scanners",),
    "signals": ("signals",),
    "backend": ("policy", "delivery", "quarantine", "reaper"),
    "directory": ("directory",),
    "trace": ("trace",),
    "api": ("api", "console", "users"),  # all wait for people, and one process idles cheaper than three
    "submission": ("submission",),  # where some customer sends through us; last, so that no other's metrics port moves
}
BOOKKEEPING = {"signals", "trace", "api", "shadow"}  # no mail waits for these: where cores are few they come second
SETTINGS: dict[str, dict[str, str]] = {
    **{name: {"GATEPOST_NICE": "10"} for name in BOOKKEEPING},
    # A burst is taken first and scanned then: what waits lies in the log, and a sender that waits goes away.
    "scanners": {"GATEPOST_NICE": "5"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    data: Path
    config: Path | None
    kafka: str
    store: str
    host: str
    port: int
    mailbox_port: int
    log_level: str


async def up(options: Options) -> None:
    """Run everything until SIGINT or SIGTERM; raise StartError or ConfigError, one line, when something can't start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    specs = None if options.config is None else read_customers(options.config)
    given = tuple(sorted(name for name in os.environ if name.startswith("GATEPOST_")))
    _take_settings(options.data)
    with_signals(os.environ)  # a mistake is told before anything starts
    began = time.time()
    with ground.own(options.data) as unclean:
        announced = asyncio.Event()
        running = asyncio.create_task(
            _run(options, specs, stop, announced, given=given, recover_before=began if unclean else None)
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not announced.is_set():
            running.cancel()  # Ctrl-C in the middle of the start: what was started is stopped on the way out
        try:
            await running
        except asyncio.CancelledError:
            log.info("event=start-given-up")
        finally:
            stopping.cancel()
        ground.stopped_cleanly(options.data)
    log.info("event=stopped")


async def _run(
    options: Options,
    specs: list[CustomerSpec] | None,
    stop: asyncio.Event,
    announced: asyncio.Event,
    *,
    given: tuple[str, ...],
    recover_before: float | None,
) -> None:
    for port in (options.port, *(() if specs else (options.mailbox_port,))):
        await ground.port_free(options.host, port, wait=recover_before is not None)
    environ = _environ(options)
    cut.apply(environ)
    if not environ.get("GATEPOST_QUARANTINE_KEY"):
        make_key(Path(environ["GATEPOST_QUARANTINE_KEY_FILE"]))
    _take_key(options, environ, CONSOLE_KEY, "console.key")
    if not environ.get(USERS_KEY):
        make_key(Path(environ[f"{USERS_KEY}_FILE"]))
    environ.setdefault("GATEPOST_RELEASE_PUBLIC_KEY", load(MasterConfig, environ).secrets().public)
    async with contextlib.AsyncExitStack() as stack:
        environ["GATEPOST_KAFKA"] = await stack.enter_async_context(_broker(options))
        store = await _store(environ)
        stack.push_async_callback(store.close)
        bus = KafkaBus(environ["GATEPOST_KAFKA"], "gatepost-up")
        stack.push_async_callback(bus.close)
        alone = await _prepare(bus, options, specs, environ)
        site.save(options.data, _site(options, environ, given, has_mailbox=alone))
        without = set()
        if not with_signals(environ):
            without.add("signals")
        if not await apply.any_directory(bus):
            without.add("directory")
        _take_outbound(options, environ)
        later = () if await apply.any_outbound(bus) else ("submission",)
        children = await stack.enter_async_context(_children(environ, with_mailbox=alone, without=without, later=later))
        async with _kept(children, bus, later):
            if recover_before is not None:
                await _recover(store, bus, environ["GATEPOST_DATABASE"], recover_before)
            announced.set()
            print(banner(options, specs, alone=alone), flush=True)
            await stop.wait()
            log.info("event=stopping")


@contextlib.asynccontextmanager
async def _children(
    environ: Mapping[str, str], *, with_mailbox: bool, without: Collection[str], later: Collection[str]
) -> AsyncIterator[list[Child]]:
    """Every group of services, started; stopped in the order of the flow, so that each empties into the next.

    Those that come `later` are not started yet.
    """
    wanted = {name: units for name, units in GROUPS.items() if name not in without}
    if "directory" in without:  # the console may bring the first one at any time, and who waits for it idles cheaply
        wanted["api"] += ("directory",)
    groups = {**({"mailbox": ("mailbox",)} if with_mailbox else {}), **wanted}
    if environ.get("GATEPOST_SHADOW"):
        groups["shadow"] = ("shadow",)
    children = [
        Child(
            name,
            units,
            {
                **SETTINGS.get(name, {}),
                **environ,
                "GATEPOST_METRICS_PORT": str(port),
            },
            optional=name == "shadow" or name in later,
        )
        for port, (name, units) in zip(_metrics_ports(environ), groups.items(), strict=False)
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for child in children:
                if not child.optional:
                    tasks.create_task(child.start())
        yield children
    except* StartError as several:
        raise several.exceptions[0] from None
    finally:
        for name in (
            "ingress",
            "submission",
            "api",
            "directory",
            "signals",
            "shadow",
            "scanners",
            "backend",
            "trace",
            "mailbox",
        ):
            for child in children:
                if child.name == name:
                    await child.stop()


def _metrics_ports(environ: Mapping[str, str]) -> Iterator[int]:
    """GATEPOST_METRICS_PORT and those after it, one for each process; 0 for all while it isn't set."""
    first = environ.get("GATEPOST_METRICS_PORT", "").strip() or "0"
    if not first.isdecimal():
        raise ConfigError(f"GATEPOST_METRICS_PORT: {first!r} is no port")
    return count(int(first)) if int(first) else repeat(0)


def with_signals(environ: Mapping[str, str]) -> bool:
    """Return whether GATEPOST_SIGNALS leaves the windowed counts on; raise ConfigError for what says neither."""
    said = environ.get("GATEPOST_SIGNALS", "").strip().lower() or "on"
    if said not in {"on", "off"}:
        raise ConfigError("GATEPOST_SIGNALS: on or off")
    return said == "on"


@contextlib.asynccontextmanager
async def _kept(children: list[Child], bus: KafkaBus, later: Collection[str]) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(_keep_later(child, bus) if child.name in later else child.keep(), name=f"keep-{child.name}")
        for child in children
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_later(child: Child, bus: KafkaBus) -> None:
    """Keep the door for what goes out alive, from the moment on when some customer sends through us."""
    async for record in bus.follow(CUSTOMERS, asyncio.Event()):
        if isinstance(record.event, Customer) and record.event.outbound.enabled:
            break
    log.info("process=%s event=wanted", child.name)
    await child.keep()


async def _recover(store: Store, bus: KafkaBus, database: str, before: float) -> None:
    """After an unclean stop, put back on its way what the store holds and the log may have lost."""
    index = await Index.open(database)
    try:
        report = await recover(store, bus, before=before, held=await index.held())
    except (BusUnavailable, StoreUnavailable) as error:
        raise StartError(f"what the last run left could not be recovered: {error}") from error
    finally:
        await index.close()
    log.info("event=recovered published=%d covered=%d", report.published, report.covered)


def _environ(options: Options) -> dict[str, str]:
    """What the services are told; what the operator has set in the environment wins, but for the command line."""
    data = options.data.resolve()
    name = os.environ.get("GATEPOST_HOSTNAME") or _own_name()
    api, directory = load(ApiConfig, os.environ), load(DirectoryConfig, os.environ)
    return {
        f"{USERS_PREFIX}API": f"http://127.0.0.1:{api.api_port}",
        f"{USERS_PREFIX}DIRECTORY": f"http://127.0.0.1:{directory.directory_port}",
        "GATEPOST_STORE": str(data / "objects"),
        "GATEPOST_DATABASE": f"sqlite+aiosqlite:///{data / 'gatepost.db'}",
        "GATEPOST_HOSTNAME": name,
        "GATEPOST_INGRESS_HOSTNAME": name,
        "GATEPOST_INGRESS_CERT_FOLDER": str(data / "tls"),
        "GATEPOST_QUARANTINE_KEY_FILE": str(data / "quarantine.key"),
        f"{USERS_KEY}_FILE": str(data / "users.key"),
        "GATEPOST_PARTITIONS": str(_partitions(options)),
        **os.environ,
        "GATEPOST_LOG_LEVEL": options.log_level,
        "GATEPOST_INGRESS_HOST": options.host,
        "GATEPOST_INGRESS_PORT": str(options.port),
        "GATEPOST_MAILBOX_HOST": "127.0.0.1",
        "GATEPOST_MAILBOX_PORT": str(options.mailbox_port),
        "GATEPOST_MAILBOX_FOLDER": str(data / "mailbox"),
        **({"GATEPOST_STORE": options.store} if options.store else {}),
    }


def _take_outbound(options: Options, environ: dict[str, str]) -> None:
    """Make the master key of the signing keys, and tell submission where to listen; what the operator has set wins."""
    environ.setdefault("GATEPOST_SUBMISSION_HOST", options.host)
    environ.setdefault("GATEPOST_SUBMISSION_TLS_PORT", "2465")
    ports = (environ.get("GATEPOST_SUBMISSION_PORT", "").strip() or "2587", environ["GATEPOST_SUBMISSION_TLS_PORT"])
    if ports[1] not in {"", "0"}:  # what the console tells customers; without the second it keeps to what is usual
        environ.setdefault("GATEPOST_CONSOLE_SUBMISSION_PORTS", ",".join(ports))
    _take_key(options, environ, DKIM_KEY, DKIM_FILE)


def _take_key(options: Options, environ: dict[str, str], setting: str, name: str) -> None:
    """Make a master key in the data folder, unless the operator has set one."""
    if not environ.get(setting) and not environ.get(f"{setting}_FILE"):
        file = options.data.resolve() / name
        make_key(file)
        environ[f"{setting}_FILE"] = str(file)


def _partitions(options: Options) -> int:
    """As many as this folder began with; a broker of our own begins with few."""
    try:
        return site.read(options.data).partitions
    except FileNotFoundError:
        return PARTITIONS if options.kafka else cut.EMBEDDED


def _take_settings(data: Path) -> None:
    """Take what the data folder's settings say into the environment; what stands there already wins."""
    for name, value in settings_file.read(data / settings_file.FILE).items():
        if os.environ.setdefault(name, value) != value:
            log.warning("setting=%s event=environment-wins file=%s", name, data / settings_file.FILE)


def _own_name() -> str:
    """This machine's full name when it has one (RFC 5321 section 2.3.5), else a name that no other machine claims."""
    name = socket.getfqdn()
    full = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,251}[A-Za-z0-9]", name) and "." in name and "localhost" not in name
    return name if full else "gatepost.internal"


@contextlib.asynccontextmanager
async def _broker(options: Options) -> AsyncIterator[str]:
    """The embedded broker, kept alive; or the cluster that the operator named."""
    if options.kafka:
        yield options.kafka
        return
    broker = Broker(options.data / "broker")
    bootstrap = await broker.start()
    keeper = asyncio.create_task(_keep_broker(broker), name="keep-broker")
    try:
        yield bootstrap
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await broker.stop()


async def _keep_broker(broker: Broker) -> None:
    wait = RESTART_FIRST
    while True:
        status = await broker.wait_exit()
        log.error("process=broker event=died code=%s restart_in=%.1fs", status, wait)
        await asyncio.sleep(wait)
        try:
            await broker.start()
            wait = RESTART_FIRST
        except StartError as error:
            wait = min(RESTART_MOST, wait * 2)
            log.error("process=broker event=restart-failed again_in=%.1fs error=%s", wait, error)


async def _store(environ: Mapping[str, str]) -> Store:
    url = environ["GATEPOST_STORE"]
    if url.startswith("s3://"):
        await provision(s3_location(url, environ))
    store = await open_store(url, environ)
    try:
        await store.check()
    except StoreUnavailable as error:
        await store.close()
        raise StartError(f"the store {url} takes no writes: {error}") from error
    return store


async def _prepare(
    bus: KafkaBus, options: Options, specs: list[CustomerSpec] | None, environ: Mapping[str, str]
) -> bool:
    """Topics, plan and customers; return whether the built-in example is all that is served."""
    try:
        await make_topics(bus.bootstrap)
        await bus.start()
        await apply.scanners(bus, environ)
        if specs is None:
            return await apply.example_if_alone(bus, options.mailbox_port)
        await apply.customers(bus, specs)
        return False
    except BusUnavailable as error:
        raise StartError(f"Kafka at {bus.bootstrap} can't be reached: {error}") from error


def _site(options: Options, environ: Mapping[str, str], given: tuple[str, ...], *, has_mailbox: bool) -> site.Site:
    return site.Site(
        kafka=environ["GATEPOST_KAFKA"],
        store=environ["GATEPOST_STORE"],
        database=environ["GATEPOST_DATABASE"],
        smtp=f"{options.host}:{options.port}",
        partitions=partition_count(),
        mailbox=environ["GATEPOST_MAILBOX_FOLDER"] if has_mailbox else "",
        given=given,
    )


def _callable() -> str:
    """The command as a person can type it here: in an environment of its own it is not on the path."""
    if shutil.which("gatepost"):
        return "gatepost"
    beside = Path(sys.executable).with_name("gatepost")
    return os.path.relpath(beside) if beside.exists() else f"{os.path.relpath(sys.executable)} -m services.cli"


def banner(options: Options, specs: list[CustomerSpec] | None, *, alone: bool) -> str:
    """Return what a person should read once everything serves."""
    data = "" if options.data == Path(site.DEFAULT_DATA) else f" --data {options.data}"
    gatepost = _callable()
    console = load(ConsoleConfig, os.environ, CONSOLE_PREFIX).base
    users = load(UsersConfig, os.environ, USERS_PREFIX).base
    if alone:
        taken = "example.test, any recipient; name your own domains with --config FILE"
    elif specs is None:
        taken = "the domains that were applied before"
    else:
        domains = sorted(domain.name for spec in specs for domain in spec.domains)
        more = len(domains) - SHOWN
        taken = ", ".join(domains[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    arrives = f"{gatepost} mailbox{data}" if alone else "the MTAs that the configuration names"
    return f"""
Gatepost is up. Ctrl-C stops it; the next start goes on where this one stopped.

  send mail to   {options.host}:{options.port}   ({taken})
  it arrives at  {arrives}
  what was held  {gatepost} quarantine list{data}
  held for you   {users}
  administer at  {console}   ({gatepost} console operator YOUR-ADDRESS{data} lets you in)
"""
