"""What the embedded broker is told: the settings of a single Kafka node that shares a small machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MESSAGE_BYTES = 2 * 1024 * 1024  # octets; an event carries no body, the largest is a list of recipients


def settings(logs: Path, port: int, controller_port: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the settings of server.properties: both listeners on 127.0.0.1, data in `logs`; `extra` wins.

    Nothing here asks Kafka to flush: it acknowledges when the record is in the page cache. So a broker that is killed
    loses nothing, and a machine that loses power loses the last seconds of the log. The store is synced, and
    `gatepost recover` publishes again what it holds.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(logs),
        # a topic that was not provisioned is an error, never an empty topic with the wrong number of partitions
        "auto.create.topics.enable": "false",
        "num.partitions": "1",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.segment.bytes": str(16 * 1024 * 1024),
        "transaction.state.log.num.partitions": "2",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.segment.bytes": str(16 * 1024 * 1024),
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # groups form at once: nobody else is going to join from another machine
        "group.initial.rebalance.delay.ms": "0",
        "message.max.bytes": str(MESSAGE_BYTES),
        "replica.fetch.max.bytes": str(MESSAGE_BYTES),
        # small: Kafka's defaults (128 MB to clean, 10 MB an index, 1 GB a segment) are for machines of its own
        "log.segment.bytes": str(64 * 1024 * 1024),
        "log.index.size.max.bytes": str(1024 * 1024),
        "log.cleaner.threads": "1",
        "log.cleaner.dedupe.buffer.size": str(2 * 1024 * 1024),
        "log.cleaner.io.buffer.size": str(128 * 1024),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "num.recovery.threads.per.data.dir": "2",
        # the broker signs off, so the next start needn't wait for the last session to expire
        "controlled.shutdown.enable": "true",
        # after a kill the next start waits this long for the dead session; a stall shorter than this goes unnoticed
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "controller.quorum.election.timeout.ms": "500",
        "controller.quorum.fetch.timeout.ms": "1000",
        # an idle broker writes to its metadata log every 5 s instead of twice a second
        "metadata.max.idle.interval.ms": "5000",
        **(extra or {}),
    }


def render(values: Mapping[str, str]) -> str:
    """Return the text of a Java properties file, backslashes and what is not ASCII escaped."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in values.items())


def _escape(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2)]
    return "".join(chr(code) if " " <= chr(code) <= "~" else f"\\u{code:04x}" for code in codes)
