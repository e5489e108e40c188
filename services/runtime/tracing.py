"""OpenTelemetry traces across the topics: the W3C context travels in the records' headers (traceparent).

Off unless OTEL_EXPORTER_OTLP_ENDPOINT names a collector (OTLP over HTTP). Off, nothing of OpenTelemetry is imported,
and a record costs one comparison. Spans carry ids and counts, never content.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger("gatepost.tracing")

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADER: Final = "traceparent"  # https://www.w3.org/TR/trace-context/
_LIMIT: Final = 64  # octets of a traceparent; version 00 has 55

Headers = Sequence[tuple[str, bytes]]


class Tracing:
    """One for the process. `on` says whether anything is recorded."""

    def __init__(self) -> None:
        self.on = False
        self._tracer: Any = None
        self._provider: Any = None

    def start(self, service: str, environ: Mapping[str, str], exporter: SpanExporter | None = None) -> None:
        """Record from now on, where the environment names a collector or `exporter` is one."""
        if exporter is None and not environ.get(ENDPOINT):
            return
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # what is off isn't loaded
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor  # noqa: PLC0415  # as above

        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # as above

            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            log.info("event=tracing endpoint=%s", environ[ENDPOINT])
        else:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("gatepost")
        self.on = True

    def stop(self) -> None:
        """Send what is left, within the exporter's own deadline, and record no more."""
        if self._provider is not None:
            self.on = False
            self._provider.shutdown()
            self._provider = self._tracer = None

    @contextlib.contextmanager
    def span(self, name: str, message: str = "", headers: Headers = ()) -> Iterator[None]:
        """Record the block as a span about a message, and let what is published within it carry it on.

        It is a child of what the headers name, else of the span around it, else it begins a trace.
        """
        if not self.on:
            yield
            return
        from opentelemetry.trace import SpanKind  # noqa: PLC0415  # what is off isn't loaded

        with self._tracer.start_as_current_span(
            name,
            context=_context(headers),
            kind=SpanKind.CONSUMER if headers else SpanKind.INTERNAL,
            attributes={"gatepost.id": message},
        ):
            yield

    def headers(self) -> list[tuple[str, bytes]]:
        """Return what a record carries of the span that is under way; nothing outside of one."""
        if not self.on:
            return []
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  # as above

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return [(name, text.encode("ascii")) for name, text in carrier.items() if name == HEADER]


def _context(headers: Headers) -> Any:  # noqa: ANN401  # OpenTelemetry's context, or None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  # as above

    for name, octets in headers:
        if name == HEADER and len(octets) <= _LIMIT:
            return TraceContextTextMapPropagator().extract({HEADER: octets.decode("ascii", "replace")})
    return None


TRACING: Final = Tracing()
