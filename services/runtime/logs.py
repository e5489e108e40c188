"""One line an event on standard error: time, level, room, then key=value. Never content, never a secret."""

from __future__ import annotations

import logging
import re
import sys
import time

import orjson

SELDOM = 10.0  # seconds between two lines of the same kind from a library
KINDS = 1_000  # kinds that are remembered


class _Line(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        stamp = time.strftime(datefmt or "%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{stamp}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        # What a client said may stand in a value; it must not be able to begin a line of its own.
        return text if record.exc_info else text.translate(_ONE_LINE)


_ONE_LINE = {code: f"\\x{code:02x}" for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}


class _Json(_Line):
    """The same line as an object: what the line says as `name=value` is a field of its own."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "room": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _fields(record).items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the values of `name=%s` and `name=word` by their names, from the template: nothing in a value counts.

    Empty for a template that is filled otherwise than by its arguments in turn.
    """
    args = record.args if isinstance(record.args, tuple) else ()
    template = record.msg if isinstance(record.msg, str) else ""
    found: dict[str, object] = {}
    used = 0
    for match in _FIELD.finditer(template):
        name, spec, word = match["name"], match["spec"], match["word"]
        if spec is None:
            if name:
                found[name] = word
            continue
        if used >= len(args):
            return {}
        value, used = args[used], used + 1
        if name:
            found[name] = value if isinstance(value, int | float | str) else str(value)
    return found if used == len(args) else {}


# A field, or an argument outside of any: that one is skipped.
_FIELD = re.compile(r"(?:(?P<name>\w+)=)?(?:(?P<spec>%[-0-9.]*[a-zA-Z])|(?P<word>[\w.-]+))")


class _Seldom(logging.Filter):
    """Lets a library's complaint through once in a while: aiokafka repeats itself by the hundred."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka"):
            return True
        if record.created - self._said.get(record.msg, 0.0) < SELDOM:
            return False
        if len(self._said) > KINDS:
            self._said.clear()
        self._said[record.msg] = record.created
        return True


def set_up(level: str, form: str = "text") -> None:
    """Send every logger's lines to standard error, ours from `level` on, the libraries' from WARNING on.

    `form`: text for people, json for what collects logs, one object a line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Seldom())
    handler.setFormatter(_Json() if form == "json" else _Line("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gatepost").setLevel(level)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # at DEBUG aiosmtpd writes bodies
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    # Says at each start that a new group's coordinator is not there yet; the consume loop says when it is.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
