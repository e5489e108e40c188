"""`gatepost submission`."""

from __future__ import annotations

import os

import click


@click.group()
def submission() -> None:
    """Who may send through Gatepost."""


@submission.command("hash-password")
@click.password_option(prompt="Password of the account", help="Asked for when it isn't given.")
def submission_hash_password(password: str) -> None:
    """Print the hash of a password, for `outbound: accounts:` in the customers file."""
    from services.ingress.submission.passwords import hashed

    print(hashed(password.encode(), os.urandom))
