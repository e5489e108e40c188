"""aiokafka's connections take a write after the connection's end for what it is.

They expect OSError of such a write, and uvloop raises RuntimeError (see `streams`). It then passes through everything
that would connect again: the task that keeps the client's view of its cluster, a poll, a heartbeat. Of a few hundred
broken connections one is written to before its reader has heard of the end.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


def mend() -> None:
    """Let both ways of sending raise KafkaConnectionError, and close, when the connection has ended."""
    for name in ("send", "_send_sasl_token"):
        sends = getattr(AIOKafkaConnection, name)
        if not hasattr(sends, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _careful(sends))


def _careful(sends: Any) -> Any:  # noqa: ANN401 - aiokafka ships no types
    @wraps(sends)
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        writer = self._writer
        if writer is not None and writer.is_closing():
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self._host}:{self._port} has ended")
        return sends(self, *args, **kwargs)

    return send
