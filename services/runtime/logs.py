"""One line an event on standard error: time, level, room, then key=value. Never content, never a secret."""

from __future__ import annotations

import logging
import sys
import time


class _Line(logging.Formatter):
    converter = time.gmtime

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        stamp = time.strftime(datefmt or "%Y-%m-%dT%H:%M:%S", self.converter(record.created))
        return f"{stamp}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        # What a client said may stand in a value; it must not be able to begin a line of its own.
        return text if record.exc_info else text.translate(_ONE_LINE)


_ONE_LINE = {code: f"\\x{code:02x}" for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}


def set_up(level: str) -> None:
    """Send every logger's lines to standard error, ours from `level` on, the libraries' from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gatepost").setLevel(level)
    logging.getLogger("mail.log").setLevel(max(logging.INFO, logging.WARNING))  # at DEBUG aiosmtpd writes bodies
    for noisy in ("aiokafka.consumer.group_coordinator", "aiokafka.conn", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # the consume loop says what an operator needs, once
