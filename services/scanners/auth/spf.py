"""SPF (RFC 7208) with pyspf, evaluated against known answers: no question ever leaves from here.

A look-up that isn't known yet raises NeedsDns; whoever evaluates resolves it and evaluates again.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

import spf as pyspf

from services.runtime.dns import Answer

VOID_LIMIT: Final = 2  # RFC 7208 section 4.6.4
Question = tuple[str, str]
Answers = Mapping[Question, Answer | None]  # None: DNS gave no answer

_TERM = re.compile(r"^[+?~-]?(include|redirect|a|mx)[:=]([A-Za-z0-9_.-]+)", re.IGNORECASE)
_AHEAD: Final = 10  # questions asked ahead for one record: as many as a record may lead to


class NeedsDns(Exception):  # noqa: N818  # a question, no error
    """An answer is missing."""

    def __init__(self, name: str, rdtype: str) -> None:
        super().__init__(name, rdtype)
        self.question: Question = (name, rdtype)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What SPF says. `identity` is mailfrom, or helo for the null sender (section 2.4)."""

    result: str
    identity: str
    domain: str
    explanation: str = ""


def evaluate(client_ip: str, reverse_path: str, helo: str, answers: Answers) -> Result:
    """Return the result under these answers; raise NeedsDns for one that is missing."""
    identity = "mailfrom" if reverse_path else "helo"
    domain = (reverse_path.rpartition("@")[2] if reverse_path else helo).rstrip(".").lower()
    if not domain or "." not in domain or domain.startswith("["):
        return Result("none", identity, domain)
    if not _is_address(client_ip):
        return Result("none", identity, domain, "no client address")
    result, _, explanation = _Query(client_ip, reverse_path, helo, answers).check()
    return Result(str(result), identity, domain, str(explanation))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def ahead(record: bytes, address_type: str) -> list[Question]:
    """Return what an SPF record will ask for, so that it can be asked for at once; terms with macros are left out."""
    questions: list[Question] = []
    for term in record.decode("ascii", "replace").split():
        found = _TERM.match(term)
        if found:
            kind, name = found.group(1).lower(), found.group(2).lower().rstrip(".")
            rdtype = {"a": address_type, "mx": "MX"}.get(kind, "TXT")
            questions.append((name, rdtype))
    return questions[:_AHEAD]


class _Query(pyspf.query):  # type: ignore[misc]  # pyspf ships no types
    """pyspf with its one way out replaced."""

    def __init__(self, client_ip: str, reverse_path: str, helo: str, answers: Answers) -> None:
        self._answers = answers
        super().__init__(client_ip, reverse_path, helo, strict=True)

    def dns(
        self,
        name: str,
        qtype: str,
        cnames: object = None,  # noqa: ARG002  # the port follows CNAMEs itself
        ignore_void: bool = False,  # pyspf calls it so
    ) -> list[Any]:
        """Return the records as pyspf wants them; count void look-ups as section 4.6.4 has it."""
        question = (str(name).lower().rstrip("."), qtype)
        if question not in self._answers:
            raise NeedsDns(*question)
        answer = self._answers[question]
        if answer is None:
            raise pyspf.TempError("DNS gave no answer")
        if not answer and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > VOID_LIMIT:
                raise pyspf.PermError(f"Void lookup limit of {VOID_LIMIT} exceeded")
        return [_as_pyspf(item, qtype) for item in answer]


def _as_pyspf(item: str | bytes, qtype: str) -> str | tuple[bytes] | tuple[int, str]:
    if isinstance(item, bytes):
        return (item,)
    if qtype == "MX":
        preference, _, host = item.partition(" ")
        return (int(preference), host)
    return item
