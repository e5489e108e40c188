"""Whom of a customer's people the service tells when it stops something. Pure."""

from __future__ import annotations

from schemas.events import Outbound
from services.core.directory import POSTMASTER


def administrators(settings: Outbound, sender: str) -> tuple[str, ...]:
    """Return whom the customer names, or the postmaster of the sender's domain (RFC 2142); nobody for no sender."""
    domain = sender.rpartition("@")[2]
    return settings.notify or ((f"{POSTMASTER}@{domain}",) if domain else ())
