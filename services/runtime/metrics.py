"""What a process counts, for Prometheus. The names below are the whole list; docs/metrics.md explains them.

No label has a customer's mail in it, and none has a value that a client can choose: a label's every value is a series.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, make_wsgi_app

from schemas.events import DeadLetter, Disposition, Event, Outcome, Received, Shadow, State, Verdict
from services.core.errors import StartError
from services.runtime.health import Health

_SOON: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds
_LATE: Final = (*_SOON, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 864_000.0)

REFUSALS: Final = Counter("gatepost_refusals", "Connections, senders and recipients refused, by reason.", ["reason"])
ACCEPTED: Final = Counter("gatepost_accepted", "Messages that got their 250, one a customer and domain.")
ACCEPT: Final = Histogram("gatepost_accept_seconds", "From the final dot to the acknowledged event.", buckets=_SOON)
VERDICTS: Final = Counter("gatepost_verdicts", "Verdicts by scanner and status.", ["scanner", "status"])
SCAN: Final = Histogram("gatepost_scan_seconds", "What a scanner took for a message.", ["scanner"], buckets=_SOON)
SHADOWS: Final = Counter("gatepost_shadow_verdicts", "What shadows would have said, by status.", ["shadow", "status"])
DECIDE: Final = Histogram("gatepost_decide_seconds", "From receipt to policy's decision.", buckets=_LATE)
DELIVER: Final = Histogram("gatepost_deliver_seconds", "From receipt to the MTA's answer that took it.", buckets=_LATE)
OUTCOMES: Final = Counter("gatepost_outcomes", "Recipients whose message ended, by state.", ["state"])
DUPLICATES: Final = Counter("gatepost_possible_duplicates", "Recipients who may have got their message twice.")
DEAD_LETTERS: Final = Counter("gatepost_dead_letters", "Records that could not be handled, by group.", ["group"])
WAITING: Final = Gauge("gatepost_waiting", "Entries of this process's tables, by topic: what waits there.", ["topic"])
LAG: Final = Gauge("gatepost_consumer_lag", "Records that a group has yet to read here.", ["group", "topic"])
POLLED: Final = Gauge("gatepost_consumer_polled_timestamp_seconds", "When a consumer last asked the broker.", ["group"])
RETRIES: Final = Counter("gatepost_retries", "Records whose handling failed for now and is tried again.", ["group"])
WORKER_RESTARTS: Final = Counter("gatepost_worker_restarts", "Scanner processes that died and were replaced.")
IMBALANCE: Final = Gauge("gatepost_ledger_imbalance", "Messages that the ledger can't account for: alarm on any.")
CHECKED: Final = Gauge("gatepost_ledger_checked_timestamp_seconds", "When the ledger was last checked.")
IN_FLIGHT: Final = Gauge("gatepost_in_flight", "Messages accepted and not ended, in this process's partitions.")
DIRECTORY_FAILING: Final = Gauge(
    "gatepost_directory_failing_since_seconds",
    "Since when a directory can't be read, seconds since the epoch; 0 while it can.",
    ["customer", "source"],
)
DIRECTORY_ADDRESSES: Final = Gauge(
    "gatepost_directory_addresses", "Addresses that a directory gave at its last good sync.", ["customer", "source"]
)
DIRECTORY_SYNCED: Final = Gauge(
    "gatepost_directory_synced_timestamp_seconds", "When a directory was last read to its end.", ["customer", "source"]
)


SIGNALS_BEHIND: Final = Gauge(
    "gatepost_signals_behind", "Records that signals has yet to count, in the partitions of this process."
)
SIGNALS_STANDSTILL: Final = Gauge(
    "gatepost_signals_standstill_seconds",
    "How long a partition of signals with records waiting has made no progress; the process ends by itself for it.",
)


def published(events: Iterable[object], now: float) -> None:
    """Count what was acknowledged; `now` in seconds since the epoch."""
    for event in events:
        if isinstance(event, Event):
            _count(event, now)


def _count(event: Event, now: float) -> None:
    match event:
        case Received(recovered=False):
            ACCEPTED.inc()
            ACCEPT.observe(max(0.0, now - event.received_at))
        case Verdict():
            for answer in event.answers:
                VERDICTS.labels(answer.scanner, answer.status.value).inc()
                SCAN.labels(answer.scanner).observe(answer.elapsed_ms / 1000)
        case Shadow():
            SHADOWS.labels(event.name, event.verdict.status.value).inc()
        case Disposition(release=""):
            DECIDE.observe(max(0.0, event.decided_at - event.received.received_at))
        case Outcome():
            OUTCOMES.labels(event.state.value).inc(len(event.recipients))
            if event.possible_duplicate:
                DUPLICATES.inc(len(event.recipients))
            if event.state is State.DELIVERED:
                DELIVER.observe(max(0.0, event.at - event.received_at))
        case DeadLetter():
            DEAD_LETTERS.labels(event.group).inc()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a scraper that hangs must not keep the process


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = 10.0  # seconds for a request to come in

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  # the base class's names
        """Say nothing: a scrape is no event."""


def _app(health: Health) -> Callable[..., Iterable[bytes]]:
    exposition = make_wsgi_app()

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics" | "/":
                page: Iterable[bytes] = exposition(environ, start)
                return page
            case "/healthz":
                problems, body = health.alive()
            case "/readyz":
                problems, body = health.readiness()
            case _:
                start("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics, /healthz, /readyz\n"]
        status = "503 Service Unavailable" if problems else "200 OK"
        start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [body]

    return answer


@contextlib.contextmanager
def served(host: str, port: int, health: Health) -> Iterator[None]:
    """Answer GET /metrics, /healthz and /readyz there while the block runs, in a thread; port 0 answers nowhere.

    Raises StartError. A thread, so that a loop that stands still can be seen from outside.
    """
    if not port:
        yield
        return
    kind: type[WSGIServer] = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, _app(health), kind, handler_class=_Quiet)
    except OSError as error:
        raise StartError(f"metrics: port {port} on {host} can't be used: {error.strerror or error}") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)


def value(name: str, **labels: str) -> float:
    """Return what a metric stands at, 0 when it was never touched. For tests."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
