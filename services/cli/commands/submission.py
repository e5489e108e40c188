"""`gatepost submission`."""

from __future__ import annotations

import os

import click


@click.group()
def submission() -> None:
    """Who may send through Gatepost."""


@submission.command("hash-password")
def submission_hash_password() -> None:
    """Ask for a password and print its hash, for `outbound: accounts:` in the customers file."""
    from services.ingress.submission.passwords import hashed

    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    print(hashed(password.encode(), os.urandom))
