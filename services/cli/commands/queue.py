"""`gatepost queue`."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.options import command, data_option


@click.group(invoke_without_command=True)
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
