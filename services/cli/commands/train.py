"""`gatepost train`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from services.cli.options import command


@click.command()
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
