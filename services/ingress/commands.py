"""The command lines of SMTP, read (RFC 5321 section 4.1.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from services.core.errors import Permanent

_PATH: Final = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^">])*)>(.*)', re.DOTALL)
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?")
_HELO: Final = re.compile(r"[!-~\u00a0-\ud7ff\ue000-\U0010ffff]{1,255}")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BadCommand(Permanent):
    """Not a command as RFC 5321 has it."""


class Command(NamedTuple):
    """A verb in upper case, and its argument without the space around it."""

    verb: str
    argument: str


class Path(NamedTuple):
    """The argument of MAIL and RCPT: what stands between the brackets; parameters by their names in upper case."""

    mailbox: str
    parameters: Mapping[str, str | None]


def parse_command(line: bytes) -> Command:
    """Return the command in the line without its CRLF; raise BadCommand for control characters and broken UTF-8."""
    if _CONTROL.search(line):
        raise BadCommand("control character")
    try:
        verb, _, argument = line.decode().partition(" ")
    except UnicodeDecodeError as error:
        raise BadCommand("not UTF-8") from error
    return Command(verb.upper(), argument.strip())


def parse_path(keyword: str, argument: str) -> Path:
    """Return the path after `FROM:` or `TO:`; raise BadCommand. A space after the colon passes: many send it."""
    if not argument[: len(keyword)].upper() == keyword:
        raise BadCommand(f"no {keyword}")
    match = _PATH.fullmatch(argument[len(keyword) :].lstrip(" "))
    if match is None:
        raise BadCommand("no path in brackets")
    mailbox, rest = match.groups()
    if rest and not rest.startswith(" "):
        raise BadCommand("no space after the path")
    parameters: dict[str, str | None] = {}
    for word in rest.split():
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None or parameter[1].upper() in parameters:
            raise BadCommand("broken or repeated parameter")
        parameters[parameter[1].upper()] = parameter[2]
    return Path(mailbox, parameters)


def parse_helo(argument: str) -> str:
    """Return the name that the client calls itself by; raise BadCommand.

    Anything printable passes: RFC 5321 section 4.1.4 forbids to refuse mail for a name that doesn't verify.
    """
    if _HELO.fullmatch(argument) is None:
        raise BadCommand("no name")
    return argument
