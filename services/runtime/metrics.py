"""What a process counts, for Prometheus. The names below are the whole list; docs/operating.md explains them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, start_http_server

from services.core.errors import StartError

REFUSALS: Final = Counter("gatepost_refusals", "Connections, senders and recipients refused, by reason.", ["reason"])
DIRECTORY_FAILING: Final = Gauge(
    "gatepost_directory_failing_since_seconds",
    "Since when a directory can't be read, seconds since the epoch; 0 while it can.",
    ["customer", "source"],
)
DIRECTORY_ADDRESSES: Final = Gauge(
    "gatepost_directory_addresses", "Addresses that a directory gave at its last good sync.", ["customer", "source"]
)


@contextlib.contextmanager
def served(host: str, port: int) -> Iterator[None]:
    """Answer GET /metrics there while the block runs, in a thread; port 0 answers nowhere. Raises StartError."""
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as error:
        raise StartError(f"metrics: port {port} on {host} can't be used: {error.strerror or error}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)


def value(name: str, **labels: str) -> float:
    """Return what a metric stands at, 0 when it was never touched. For tests."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
