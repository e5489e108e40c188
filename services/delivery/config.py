"""What the operator may set for delivery. Each field is read from GATEPOST_<FIELD>."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]


class DeliveryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds. The limits follow RFC 5321 section 4.5.3.2 where it names one."""

    hostname: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")
    ]  # EHLO, authserv-id
    release_public_key: str = ""  # base64 of what releases are signed with; empty: releases aren't checked
    relay_starttls: bool = (
        True  # use TLS where it can be had; no certificate is checked, and plain text is the fallback
    )
    relay_connect_seconds: Seconds = 10.0  # names resolved and TCP up
    relay_command_seconds: Seconds = 60.0  # each reply before the message, the greeting too
    relay_block_seconds: Seconds = 180.0  # each block of the message taken by the network
    relay_reply_seconds: Seconds = 600.0  # the reply after the final dot: ending early makes duplicates
    relay_connections: Count = 20  # to one destination at a time
    relay_crowd: Count = 1_000  # new messages that may wait for one destination; further ones are deferred
    relay_messages_per_connection: Count = 100
    relay_idle_seconds: Seconds = 30.0  # how long an unused connection is kept
    relay_memory_bytes: Count = 268_435_456  # messages held in memory at a time, in all
    retry_first_seconds: Seconds = 60.0
    retry_most_seconds: Seconds = 1_800.0
    probe_first_seconds: Seconds = 1.0  # between connection attempts to a destination that is down
    probe_most_seconds: Seconds = 60.0
    relay_patience_seconds: Seconds = (
        10.0  # an attempt that takes longer goes on as deferred, so that others may commit
    )
    relay_drain_seconds: Seconds = 5.0  # what a stop or a rebalance waits for attempts under way
