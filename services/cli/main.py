"""The `gatepost` command. Each command is a few lines here; what it does is in the rooms it calls."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
import uvloop

from services.core.errors import ConfigError, GatepostError
from services.runtime import cut, logs

P = ParamSpec("P")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("gatepost-data"),
    envvar="GATEPOST_DATA",
    show_default=True,
    help="The folder that `gatepost up` keeps everything in.",
)


def command(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async command: a failure of ours becomes one line on standard error and exit code 1 (2 for bad input)."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            uvloop.run(function(*args, **kwargs))
        except ConfigError as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(2)
        except GatepostError as error:
            click.echo(f"gatepost: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:
            sys.exit(1)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gatepost")
def gatepost() -> None:
    """Gatepost: mail comes in, what is bad stays out, and nothing is lost."""
    try:
        cut.apply(os.environ)
    except ConfigError as error:
        click.echo(f"gatepost: {error}", err=True)
        sys.exit(2)


@gatepost.command()
@data_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Customers, domains and policy (YAML). Without it: example.test and a built-in mailbox.",
)
@click.option("--kafka", default="", metavar="HOST:PORT[,…]", help="A Kafka that is already there.")
@click.option("--store", default="", metavar="URL", help="A folder, or s3://BUCKET[/PREFIX].")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to take mail at.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=2525, show_default=True, help="The port to take mail at."
)
@click.option(
    "--mailbox-port",
    type=click.IntRange(1, 65535),
    default=2526,
    show_default=True,
    help="The built-in mailbox's port.",
)
@click.option(
    "--log-level", default="INFO", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), show_default=True
)
@command
async def up(  # the command line's own options
    data: Path,
    config: Path | None,
    kafka: str,
    store: str,
    host: str,
    port: int,
    mailbox_port: int,
    log_level: str,
) -> None:
    """Run everything on this machine: broker, store, every service."""
    from services.cli.up import Options
    from services.cli.up import up as run_all

    logs.set_up(log_level)
    await run_all(Options(data, config, kafka, store, host, port, mailbox_port, log_level))


@gatepost.command()
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True)
def run(names: tuple[str, ...]) -> None:
    """Run services in this process, configured by GATEPOST_* variables."""
    from services.cli.units import UNITS, unit
    from services.runtime.host import main as host

    unknown = [name for name in names if name not in UNITS]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(UNITS)}", param_hint="SERVICE")
    sys.exit(host({name: unit(name) for name in names}))


kafka_option = click.option("--kafka", envvar="GATEPOST_KAFKA", required=True, metavar="HOST:PORT[,…]")


@gatepost.command()
@kafka_option
@click.option(
    "--customers", type=click.Path(path_type=Path, dir_okay=False), help="Apply the customers of this file as well."
)
@click.option("--within", default=0.0, metavar="SECONDS", help="How long to wait for what isn't there yet.")
@command
async def provision(kafka: str, customers: Path | None, within: float) -> None:
    """Make topics, the bucket of GATEPOST_STORE, the tables of GATEPOST_DATABASE and the plan. Safe to run again."""
    from services.cli import provision as provisioning

    logs.set_up("INFO")
    print(await provisioning.provision(kafka, os.environ, customers, within))


@gatepost.command("await")
@kafka_option
@click.option("--within", default=600.0, show_default=True, metavar="SECONDS")
@command
async def await_command(kafka: str, within: float) -> None:
    """Wait until all that `provision` makes is there."""
    from services.cli import provision as provisioning

    logs.set_up("INFO")
    print(await provisioning.wait(kafka, within))


@gatepost.command()
@kafka_option
@click.option("--smtp", required=True, metavar="HOST:PORT", help="The front door.")
@click.option("--to", "recipient", required=True, metavar="ADDRESS", help="Who gets the clean message.")
@click.option("--within", default=120.0, show_default=True, metavar="SECONDS")
@command
async def probe(kafka: str, smtp: str, recipient: str, within: float) -> None:
    """Send a clean message and EICAR through the service, and see that one arrives and the other doesn't."""
    from services.cli import probe as probes

    logs.set_up("ERROR")
    print(await probes.probe(kafka, smtp, recipient, within))


@gatepost.group()
def customers() -> None:
    """Who Gatepost takes mail for."""


@customers.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@command
async def customers_apply(file: Path, data: Path) -> None:
    """Publish the customers of FILE; every service follows without a restart."""
    from services.cli import apply, site
    from services.cli.customers_file import read_customers

    specs = read_customers(file)  # before anything is asked of the broker: a mistake is told at once
    print(await apply.customers_of(site.find(data).kafka, specs))


@gatepost.command()
@data_option
@click.option("--show", metavar="N", type=int, help="Print message N as it arrived.")
@command
async def mailbox(data: Path, show: int | None) -> None:
    """List what arrived at the built-in mailbox."""
    from services.cli import site, views

    where = site.find(data)
    if not where.mailbox:
        raise ConfigError("this Gatepost relays to the MTAs of its configuration; there is no built-in mailbox")
    await asyncio.to_thread(views.mailbox, Path(where.mailbox), show)


@gatepost.group()
def directory() -> None:
    """The recipients that exist, from LDAP and from tables."""


@directory.command("sync")
@data_option
@click.option("--customer", default=None, help="Only this customer's.")
@click.option("--force", is_flag=True, help="Also when it takes more addresses away than `drop_percent` allows.")
@click.option("--full", "whole", is_flag=True, help="Read everything, not only what changed.")
@command
async def directory_sync(data: Path, customer: str | None, force: bool, whole: bool) -> None:
    """Read the customers' LDAP directories now."""
    from services.cli import directory as directories
    from services.cli import site

    await directories.sync(site.find(data), customer, force=force, whole=whole)


@directory.command("status")
@data_option
@command
async def directory_status(data: Path) -> None:
    """Show how each source of recipients is doing, and which fail since when."""
    from services.cli import directory as directories
    from services.cli import site

    await directories.status(site.find(data))


@directory.command("import-csv")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@click.option("--customer", required=True, help="Whose recipients they are.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--force", is_flag=True, help="Also when it takes more addresses away than --drop-percent.")
@click.option("--drop-percent", type=click.FloatRange(0, 100), default=20.0, show_default=True)
@command
async def directory_import(
    file: Path, data: Path, customer: str, dry_run: bool, force: bool, drop_percent: float
) -> None:
    """Make the addresses in FILE, one a row, the ones that were imported for a customer."""
    from services.cli import directory as directories
    from services.cli import site

    where = site.find(data)
    await directories.import_csv(where, customer, file, drop_share=drop_percent / 100, force=force, dry_run=dry_run)


@gatepost.group()
def quarantine() -> None:
    """What policy holds."""


@quarantine.command("list")
@data_option
@click.option("--customer", default=None)
@click.option("--all", "everything", is_flag=True, help="What was released, deleted or expired as well.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@command
async def quarantine_list(data: Path, customer: str | None, everything: bool, limit: int) -> None:
    """List held messages, newest first."""
    from services.cli import site, views

    await views.held_list(site.find(data), customer, None if everything else "held", limit)


@quarantine.command("show")
@click.argument("message")
@data_option
@command
async def quarantine_show(message: str, data: Path) -> None:
    """Show why a message is held."""
    from services.cli import site, views

    await views.held_show(site.find(data), message)


def _quarantine_act(name: str, text: str) -> None:
    @quarantine.command(name, help=text)
    @click.argument("message")
    @click.option("--recipient", "recipients", multiple=True, help="Only for this recipient; may be repeated.")
    @data_option
    @command
    async def act(message: str, recipients: tuple[str, ...], data: Path) -> None:
        from services.cli import act as acts
        from services.cli import site

        print(await acts.quarantine(site.find(data), name, message, recipients))


_quarantine_act("release", "Deliver a held message: the original bytes, to its recipients.")
_quarantine_act("delete", "Delete a held message for good.")


@gatepost.group(invoke_without_command=True)
@data_option
@click.option("--customer", default=None, help="Only this customer's.")
@click.pass_context
def queue(context: click.Context, data: Path, customer: str | None) -> None:
    """What waits for the customers' MTAs; without a command, the destinations."""
    if context.invoked_subcommand is None:
        context.invoke(queue_list, data=data, customer=customer)


@queue.command("list")
@data_option
@click.option("--customer", default=None, help="Only this customer's.")
@command
async def queue_list(data: Path, customer: str | None) -> None:
    """List the destinations that mail waits for, that are down or slow, or that are held."""
    from services.cli import queue as queues
    from services.cli import site

    await queues.destinations(site.find(data), customer)


@queue.command("show")
@click.argument("target", metavar="DESTINATION|MESSAGE")
@data_option
@click.option("--customer", default=None, help="Whose, where several have such a destination.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@command
async def queue_show(target: str, data: Path, customer: str | None, limit: int) -> None:
    """List the messages that wait for a destination, oldest first; or show one message."""
    from services.cli import queue as queues
    from services.cli import site

    await queues.messages(site.find(data), target, customer, limit)


def _queue_act(name: str, text: str) -> None:
    @queue.command(name, help=text)
    @click.argument("target", metavar="DESTINATION|MESSAGE")
    @click.option("--customer", default=None, help="Whose, where several have such a destination.")
    @click.option("--why", required=name in {"hold", "fail"}, default="", help="Kept with the command.")
    @data_option
    @command
    async def act(target: str, customer: str | None, why: str, data: Path) -> None:
        from services.cli import queue as queues
        from services.cli import site

        print(await queues.order(site.find(data), name, target, customer, why))


_queue_act("flush", "Try what waits now, oldest first.")
_queue_act("hold", "Try nothing until resumed. What is held still ends when its time in the queue is over.")
_queue_act("resume", "Take a hold back, and try what waits.")
_queue_act("fail", "End what waits now as bounced; senders who are vouched for are told.")


@quarantine.command("release-to")
@click.argument("message")
@click.argument("address")
@data_option
@command
async def quarantine_release_to(message: str, address: str, data: Path) -> None:
    """Send a copy to somebody of the organisation, as an attachment; the message stays held."""
    from services.cli import keep, site

    print(await keep.release_to(site.find(data), message, address))


@quarantine.command("report")
@click.argument("message")
@click.argument("what", type=click.Choice(["clean", "spam"]))
@data_option
@command
async def quarantine_report(message: str, what: str, data: Path) -> None:
    """Say that a message is clean, or spam."""
    from services.cli import keep, site

    print(await keep.report(site.find(data), message, what))


@quarantine.command("export")
@click.argument("customer")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@data_option
@command
async def quarantine_export(customer: str, folder: Path, data: Path) -> None:
    """Write what people reported into FOLDER/ham and FOLDER/spam, for a customer that agreed to training."""
    from services.cli import keep, site

    print(await keep.export_reported(site.find(data), data, customer, folder))


@quarantine.command("rebuild")
@data_option
@command
async def quarantine_rebuild(data: Path) -> None:
    """Make the index again from the topics, and the customers' keys from the store, after the database was lost."""
    from services.cli import keep, site

    print(await keep.rebuild_index(site.find(data), data))


@quarantine.command("destroy-key")
@click.argument("customer")
@click.option("--yes", is_flag=True, help="Without a question: everything that is held for CUSTOMER is lost.")
@data_option
@command
async def quarantine_destroy_key(customer: str, yes: bool, data: Path) -> None:
    """Destroy CUSTOMER's keys: what is held for it can never be read again, and is deleted."""
    from services.cli import keep, site

    if not yes and not click.confirm(f"All mail that is held for {customer} is lost. Go on?"):
        raise ConfigError("nothing was destroyed")
    print(await keep.destroy_key(site.find(data), data, customer))


@quarantine.command("make-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@command
async def quarantine_make_key(file: Path) -> None:
    """Make a master key in FILE, for GATEPOST_QUARANTINE_KEY_FILE; one that is there stays."""
    from services.quarantine.master import make_key

    if not make_key(file):
        raise ConfigError(f"{file} is there already, and mail may be encrypted with it")
    print(f"{file} made; without it, what is held can't be read: keep a copy")


@quarantine.command("public-key")
@data_option
@command
async def quarantine_public_key(data: Path) -> None:
    """Print the key that releases are checked with: GATEPOST_RELEASE_PUBLIC_KEY of delivery."""
    from services.quarantine.master import MasterConfig
    from services.runtime.config import load

    environ = {"GATEPOST_QUARANTINE_KEY_FILE": str(data / "quarantine.key"), **os.environ}
    print(load(MasterConfig, environ).secrets().public)


@gatepost.group()
def tokens() -> None:
    """Who may use the quarantine's API."""


@tokens.command("create")
@click.option("--role", required=True, type=click.Choice(["owner", "administrator", "helpdesk", "auditor", "user"]))
@click.option("--customer", default="", help="Whose mail; none for the owner.")
@click.option("--address", "addresses", multiple=True, help="A user's own address; may be repeated.")
@click.option("--label", default="", help="Who holds it: it stands in events.")
@click.option("--days", type=click.FloatRange(0.01, 3650), default=365.0, show_default=True)
@data_option
@command
async def tokens_create(  # the command line's own options
    role: str, customer: str, addresses: tuple[str, ...], label: str, days: float, data: Path
) -> None:
    """Make a token and print it, this once."""
    from services.cli import keep, site

    print(await keep.make_token(site.find(data), role, customer, addresses, label, days))


@tokens.command("list")
@click.option("--customer", default=None)
@data_option
@command
async def tokens_list(customer: str | None, data: Path) -> None:
    """List tokens, without their secrets."""
    from services.cli import keep, site

    await keep.list_tokens(site.find(data), customer)


@tokens.command("revoke")
@click.argument("token")
@data_option
@command
async def tokens_revoke(token: str, data: Path) -> None:
    """Revoke a token by its id."""
    from services.cli import keep, site

    print(await keep.revoke_token(site.find(data), token))


@gatepost.group()
def senders() -> None:
    """Approved and blocked senders."""


@senders.command("list")
@click.option("--customer", default=None)
@data_option
@command
async def senders_list(customer: str | None, data: Path) -> None:
    """List the entries, by customer and whom they are for."""
    from services.cli import senders as lists
    from services.cli import site

    await lists.show(site.find(data), customer)


def _senders_act(name: str, text: str) -> None:
    @senders.command(name, help=text)
    @click.argument("customer")
    @click.argument("sender", metavar="ADDRESS|@DOMAIN")
    @click.option("--for", "whom", default="all", show_default=True, help="all, @domain, or a recipient's address.")
    @data_option
    @command
    async def act(customer: str, sender: str, whom: str, data: Path) -> None:
        from services.cli import senders as lists
        from services.cli import site

        print(await lists.change(site.find(data), name, customer, sender, whom))


_senders_act("approve", "Don't take a sender's mail for spam, when it is authenticated. A virus is one all the same.")
_senders_act("block", "Hold a sender's mail.")
_senders_act("remove", "Take a sender out of the list.")


@senders.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@command
async def senders_apply(file: Path, data: Path) -> None:
    """Make the entries for all and for domains those in FILE (YAML); what recipients listed themselves stays."""
    from services.cli import senders as lists
    from services.cli import site

    print(await lists.apply(site.find(data), file))


@gatepost.command()
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False), nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The customers file: its domains and whom it protects are looked for.",
)
@click.option("--customer", default=None, help="Which customer of that file; the first when it isn't given.")
@command
async def scan(files: tuple[Path, ...], as_json: bool, config: Path | None, customer: str | None) -> None:
    """Run every scanner on message files and explain what they say."""
    from services.cli import views
    from services.cli.customers_file import read_briefing

    await views.scanned(files, read_briefing(config, customer), as_json=as_json)


@gatepost.command()
@click.argument("ham", type=click.Path(path_type=Path, file_okay=False))
@click.argument("spam", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--feedback",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder with ham/ (released, reported as clean) and spam/ (reported as spam); may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("gatepost.model"),
    show_default=True,
    help="The file to write; GATEPOST_CONTENT_MODEL names it to the scanners.",
)
@command
async def train(ham: Path, spam: Path, feedback: tuple[Path, ...], out: Path) -> None:
    """Train the content scanner's classifier on the messages of two folders."""
    from services.cli import train as training

    print(await asyncio.to_thread(training.write, ham, spam, feedback, out))


@gatepost.command()
@data_option
@command
async def signals(data: Path) -> None:
    """List who harvests addresses or sends too much at present."""
    from services.cli import site, views

    await views.signals(site.find(data))


@gatepost.command()
@click.argument("wanted", metavar="[ID | rebuild]", default="")
@data_option
@click.option("--customer", default=None, help="Only this customer's; without it everybody's, refusals included.")
@click.option("--recipient", default="", metavar="ADDRESS", help="An address, or @domain.")
@click.option("--sender", default="", metavar="ADDRESS", help="The reverse-path: an address, @domain, or <>.")
@click.option("--subject", default="", metavar="TEXT", help="A part of it.")
@click.option("--client", default="", metavar="IP", help="Who connected.")
@click.option("--state", default="", help="Where it is for a recipient: delivered, deferred, held, bounced, …")
@click.option("--refused/--accepted", default=None, help="Only what was refused at the door, or only what was not.")
@click.option("--since", default="", metavar="WHEN", help="30m, 2h, 7d ago, or a date with or without a time, UTC.")
@click.option("--until", default="", metavar="WHEN")
@click.option("--before", default="", metavar="ID", help="Go on after this line of the page before.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--clear", is_flag=True, help="With rebuild: begin with an empty trace, also for what the topics lost.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def trace(
    wanted: str,
    data: Path,
    since: str,
    until: str,
    clear: bool,
    as_json: bool,
    **conditions: Any,  # noqa: ANN401  # what Query takes, checked by click
) -> None:
    """Show what happened to a message, or find messages and refusals. ID may also be a Message-ID."""
    from services.cli import site
    from services.cli import trace as traces
    from services.trace.query import Query

    logs.set_up("WARNING")
    where = site.find(data)
    if wanted == "rebuild":
        print(await traces.rebuild(where, clear=clear))
        return
    now = time.time()
    query = Query(since=traces.moment(since, now), until=traces.moment(until, now), **conditions)
    await traces.show(where, wanted, query, as_json=as_json)


@gatepost.command()
@data_option
@click.option("--since", default="", metavar="WHEN", help="Only messages accepted since: 2h, 7d ago, or a date, UTC.")
@click.option("--objects", is_flag=True, help="Compare the objects of the store as well.")
@click.option(
    "--young",
    default=120.0,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Objects younger than this may be ahead of their events; 120.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command
async def ledger(data: Path, since: str, objects: bool, young: float, as_json: bool) -> None:
    """Prove that every accepted message has ended or is in flight, and name each that is neither. Exit code 1: some."""
    from services.cli import ledger as ledgers
    from services.cli import site
    from services.cli.trace import moment

    logs.set_up("WARNING")
    where = site.find(data)
    from_ = moment(since, time.time())
    if not await ledgers.ledger(where, since=from_, objects=objects, young=young, as_json=as_json):
        sys.exit(1)


@gatepost.group(invoke_without_command=True)
@data_option
@click.option("--partitions", is_flag=True, help="A line for each partition.")
@click.pass_context
def topics(ctx: click.Context, data: Path, partitions: bool) -> None:
    """List the topics, and how far each group is behind."""
    if ctx.invoked_subcommand is None:
        _topics(data, partitions)


@command
async def _topics(data: Path, partitions: bool) -> None:
    from services.cli import site
    from services.cli import topics as topic_views

    await topic_views.listing(site.find(data), partitions=partitions)


@topics.command("tail")
@click.argument("topic")
@data_option
@click.option("--customer", default=None, help="Only this customer's events.")
@click.option("--since", default=None, metavar="TIME", help="2h, 3d, or 2026-11-23T18:41 (UTC).")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Without --since.")
@click.option("--follow", is_flag=True, help="Go on with what comes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an event.")
@command
async def topics_tail(  # the command line's own options
    topic: str, data: Path, customer: str | None, since: str | None, limit: int, follow: bool, as_json: bool
) -> None:
    """Print a topic's events readably, oldest first."""
    from services.cli import site
    from services.cli import topics as topic_views

    await topic_views.tail(
        site.find(data), topic, customer=customer, since=since, limit=limit, follow=follow, as_json=as_json
    )


@gatepost.command()
@data_option
@click.option("--from", "since", required=True, metavar="TIME", help="2h, 3d, or 2026-11-23T18:41 (UTC).")
@click.option("--to", "until", default="now", show_default=True, metavar="TIME")
@click.option("--customer", default=None, help="Only this customer's messages.")
@click.option("--message", default=None, metavar="ID", help="Only this message.")
@click.option(
    "--scanner", "scanners", multiple=True, metavar="NAME[@FOLDER]", help="A scanner, with a folder of rules."
)
@click.option(
    "--policy", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Customers (YAML) with other rules."
)
@click.option("--diff", is_flag=True, help="Print each difference, not only how many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a difference, and one for the whole.")
@command
async def replay(data: Path, **options: Any) -> None:  # noqa: ANN401 - click's values, by name
    """Run past messages through another scanner or policy, and say who would have been treated otherwise.

    It changes nothing anywhere: nothing is delivered, bounced, released or published.
    """
    from services.cli import replay as replays
    from services.cli import site

    logs.set_up("WARNING")
    await replays.replay(site.find(data), replays.Options(**options))


@gatepost.group()
def deadletters() -> None:
    """Records that could not be handled."""


@deadletters.command("list")
@data_option
@click.option("--group", default=None, help="Only those of this consumer group.")
@command
async def deadletters_list(data: Path, group: str | None) -> None:
    """List the dead letters, oldest first."""
    from services.cli import deadletters as letters
    from services.cli import site

    await letters.listing(site.find(data), group)


@deadletters.command("show")
@click.argument("number", type=click.IntRange(0))
@data_option
@command
async def deadletters_show(number: int, data: Path) -> None:
    """Show one, without its content."""
    from services.cli import deadletters as letters
    from services.cli import site

    await letters.show(site.find(data), number)


@deadletters.command("retry")
@click.argument("numbers", type=click.IntRange(0), nargs=-1)
@data_option
@click.option("--group", default=None, help="All of this consumer group.")
@command
async def deadletters_retry(numbers: tuple[int, ...], data: Path, group: str | None) -> None:
    """Publish the originals again, once what was wrong is put right."""
    from services.cli import deadletters as letters
    from services.cli import site

    if not numbers and group is None:
        raise ConfigError("say which: numbers, or --group NAME")
    await letters.retry(site.find(data), numbers, group)


@gatepost.command("recover")
@data_option
@command
async def recover_command(data: Path) -> None:
    """Publish again what the store holds and no outcome covers, as after the loss of the broker's data."""
    from services.cli import act as acts
    from services.cli import site

    logs.set_up("WARNING")
    print(await acts.recover_all(site.find(data)))


def main() -> None:
    """The entry point."""
    gatepost(prog_name="gatepost")
