"""A domain's report on how TLS went with it (RFC 8460): what it asks for, the JSON, and the mail. Pure."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import unquote

from schemas.events import TlsResults
from services.core.address import Address, parse
from services.core.errors import BadAddress
from services.core.headers import field

DAY: Final = 86_400.0
RUA_MOST: Final = 5  # addresses that one record may name
_RECORD: Final = re.compile(r"\s*v=TLSRPTv1\s*;\s*rua=([^;]+?)\s*(?:;.*)?", re.DOTALL)


def wanted_by(records: Iterable[str | bytes]) -> tuple[Address, ...]:
    """Return where a domain's TXT records of `_smtp._tls` want reports mailed (section 3); none, or several: nowhere.

    Reports by HTTPS are not sent.
    """
    texts = [record.decode("latin-1") if isinstance(record, bytes) else record for record in records]
    found = [match[1] for text in texts if (match := _RECORD.fullmatch(text))]
    if len(found) != 1:
        return ()
    addresses: dict[Address, None] = {}
    for uri in found[0].split(",")[:RUA_MOST]:
        scheme, _, rest = uri.strip().partition(":")
        try:
            if scheme.lower() == "mailto":
                addresses[parse(unquote(rest.partition("?")[0]))] = None
        except BadAddress:
            continue
    return tuple(addresses)


def start_of(day: str) -> float:
    """Return when a day began, seconds since the epoch; raise ValueError for what is none."""
    return dt.datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=dt.UTC).timestamp()


def report(day: str, results: Sequence[TlsResults], *, organization: str, contact: str, identity: str) -> bytes:
    """Return the JSON of section 4.4; the results are all of one domain and day."""
    start = start_of(day)
    policies: dict[tuple[str, tuple[str, ...]], tuple[int, Counter[tuple[str, str, str]]]] = {}
    for each in results:
        successes, failures = policies.get((each.policy, each.strings), (0, Counter()))
        for failure in each.failures:
            failures[failure.result, failure.host, failure.reason] += failure.count
        policies[each.policy, each.strings] = (successes + each.successes, failures)
    body = {
        "organization-name": organization,
        "date-range": {"start-datetime": _stamp(start), "end-datetime": _stamp(start + DAY - 1)},
        "contact-info": contact,
        "report-id": identity,
        "policies": [
            _policy(results[0].domain, kind, strings, successes, failures)
            for (kind, strings), (successes, failures) in sorted(policies.items())
        ],
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _policy(
    domain: str, kind: str, strings: tuple[str, ...], successes: int, failures: Counter[tuple[str, str, str]]
) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": kind, "policy-domain": domain}
    if strings:
        policy["policy-string"] = list(strings)
    if hosts := [text.removeprefix("mx: ") for text in strings if text.startswith("mx: ")]:
        policy["mx-host"] = hosts
    details = [
        {
            "result-type": result,
            "receiving-mx-hostname": host,
            "failed-session-count": count,
            **({"failure-reason-code": reason} if reason else {}),
        }
        for (result, host, reason), count in sorted(failures.items())
    ]
    return {
        "policy": policy,
        "summary": {
            "total-successful-session-count": successes,
            "total-failure-session-count": sum(failures.values()),
        },
        **({"failure-details": details} if details else {}),
    }


def mail(content: bytes, *, domain: str, day: str, sender: str, to: str, identity: str, now: float) -> bytes:
    """Return the message that brings a report (section 5.3)."""
    submitter = sender.rpartition("@")[2]
    boundary = "=_" + hashlib.sha256(identity.encode()).hexdigest()[:32]
    start = start_of(day)
    name = f"{submitter}!{domain}!{start:.0f}!{start + DAY - 1:.0f}!{identity}.json.gz"
    packed = base64.encodebytes(gzip.compress(content, mtime=0)).replace(b"\n", b"\r\n")
    head = [
        field("From", f"<{sender}>"),
        field("To", f"<{to}>"),
        field("Subject", f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{identity}@{submitter}>"),
        field("TLS-Report-Domain", domain),
        field("TLS-Report-Submitter", submitter),
        field("Date", format_datetime(dt.datetime.fromtimestamp(now, dt.UTC))),
        field("Message-ID", f"<{identity}@{submitter}>"),
        field("Auto-Submitted", "auto-generated"),
        b"MIME-Version: 1.0\r\n",
        f'Content-Type: multipart/report; report-type="tlsrpt";\r\n boundary="{boundary}"\r\n\r\n'.encode(),
    ]
    said = f"This is an aggregate TLS report of {submitter} on {domain} for {day} (UTC), see RFC 8460.\r\n"
    mark = f"--{boundary}".encode()
    parts = [
        mark + b"\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" + said.encode() + b"\r\n",
        mark + b"\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n",
        f'Content-Disposition: attachment;\r\n filename="{name}"\r\n\r\n'.encode() + packed + mark + b"--\r\n",
    ]
    return b"".join([*head, *parts])


def _stamp(when: float) -> str:
    return dt.datetime.fromtimestamp(when, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
