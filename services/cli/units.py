"""The services by the names that `gatepost run` takes."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from services.runtime.host import Unit

UNITS = (
    "ingress",
    "submission",
    "scanners",
    "shadow",
    "policy",
    "delivery",
    "quarantine",
    "reaper",
    "mailbox",
    "signals",
    "directory",
    "trace",
    "api",
    "console",
    "users",
)

ROOMS = {
    "api": "quarantine.api",
    "users": "console.users",
    "shadow": "scanners.shadow",
    "submission": "ingress.submission",
}  # of those that are not named after theirs


def unit(name: str) -> Unit:
    """Return the unit's `serve`. Imported only when asked for, so that a process loads only what it runs."""
    room = ROOMS.get(name, name)
    return cast("Unit", import_module(f"services.{room}.serve").serve)
