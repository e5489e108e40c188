"""What the console writes to people: composed here, purely; sent through the mail path, as accepted mail."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from services.console.strangers import Stranger
from services.console.texts import text
from services.core.headers import field
from services.quarantine.decide import Held
from services.quarantine.tables import State

TERMS: Final = ("licence", "lapse", "purge")  # what may be about to end
DMARC: Final = "v=DMARC1; p=none"  # for a domain that has no record yet
_ENDS: Final = {State.RELEASED: "released", State.DELETED: "deleted"}  # that a user is told of; the first that fits
ACCOUNT: Final = "account"  # as Received.own says it: delivery sends it wherever its recipient is


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """A file that comes with a mail."""

    name: str  # in ASCII, without quotation marks
    type: str  # its media type
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Mail:
    """A mail before it has a form: paragraphs, and perhaps one link."""

    subject: str
    paragraphs: tuple[str, ...]
    link: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()


def with_link(kind: str, language: str, link: str, service: str) -> Mail:
    """Return the mail with a link to activate an account, or to set a new password."""
    return Mail(
        subject=text(f"mail.{kind}.subject", language, service=service),
        paragraphs=(
            text(f"mail.{kind}.intro", language, service=service),
            text(f"mail.{kind}.limit", language),
            text("mail.not-you", language),
        ),
        link=link,
    )


def to_stranger(kind: str, who: Stranger, base: str, service: str) -> Mail:
    """Return the mail with a link to somebody who has no account."""
    return Mail(
        subject=text(f"mail.{kind}.subject", who.language, service=service, domain=who.domain),
        paragraphs=(
            text(f"mail.{kind}.intro", who.language, service=service, domain=who.domain, customer=who.name),
            text(f"mail.{kind}.limit", who.language),
            text("mail.not-you", who.language),
        ),
        link=base + who.path,
    )


def welcome(language: str, domain: str, mx: Sequence[str], networks: Sequence[str], link: str, service: str) -> Mail:
    """Return the mail that says what to change once a domain is set up."""
    facts = [(f"{domain}. MX {10 * (place + 1)}", f"{host}.") for place, host in enumerate(mx)]
    facts += [(text("mail.welcome.network", language), network) for network in networks]
    return Mail(
        subject=text("mail.welcome.subject", language, domain=domain),
        paragraphs=(
            text("mail.welcome.intro", language, domain=domain, service=service),
            text("mail.welcome.firewall", language),
            text("mail.welcome.wait", language),
        ),
        link=link,
        facts=tuple(facts),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What a customer has to know to send through us."""

    host: str
    starttls: int
    tls: int
    spf: tuple[str, ...]
    domains: tuple[str, ...]
    dmarc: str


def outbound(language: str, customer: str, how: Sending, link: str, service: str) -> Mail:
    """Return the mail that says where to send, and what DNS has to say, once outgoing mail is switched on."""
    facts = [
        (text("mail.outbound.host", language), how.host),
        (text("mail.outbound.starttls", language), str(how.starttls)),
        (text("mail.outbound.tls", language), str(how.tls)),
        *((text("mail.outbound.spf", language, domain=domain), " ".join(how.spf)) for domain in how.domains),
        *((text("mail.outbound.dmarc", language), f'_dmarc.{domain}. TXT "{how.dmarc}"') for domain in how.domains),
    ]
    return Mail(
        subject=text("mail.outbound.subject", language, customer=customer),
        paragraphs=(
            text("mail.outbound.intro", language, customer=customer, service=service),
            text("mail.outbound.dkim", language),
            text("mail.outbound.order", language),
        ),
        link=link,
        facts=tuple(facts),
    )


def wanted(language: str, link: str, service: str) -> Mail:
    """Return the mail that says that users ask for held messages which they may not release."""
    return Mail(
        subject=text("mail.wanted.subject", language, service=service),
        paragraphs=(text("mail.wanted.intro", language, service=service), text("mail.wanted.where", language)),
        link=link,
    )


def answered(language: str, rows: Sequence[Held], link: str, service: str) -> Mail:
    """Return the mail that tells a user what became of a message that he asked for; `rows`: of each address of his."""
    states = {row.state for row in rows}
    end = next((name for state, name in _ENDS.items() if state in states), "over")
    facts = [
        (text("mail.wish.sender", language), rows[0].header_from or rows[0].reverse_path),
        (text("mail.wish.about", language), rows[0].subject),
    ]
    return Mail(
        subject=text(f"mail.wish.{end}.subject", language),
        paragraphs=(text(f"mail.wish.{end}.intro", language, service=service),),
        link=link,
        facts=tuple(facts),
    )


def ends(kind: str, language: str, customer: str, end: float, link: str, service: str) -> Mail:
    """Return the mail that says when a licence ends, its grace, or the data; and what follows."""
    date = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d")
    return Mail(
        subject=text(f"mail.{kind}.subject", language, date=date),
        paragraphs=(
            text(f"mail.{kind}.intro", language, customer=customer, service=service, date=date),
            text(f"mail.{kind}.after", language),
        ),
        link=link,
    )


def with_report(
    language: str, subject: str, facts: Sequence[tuple[str, str]], attachments: Sequence[Attachment], link: str
) -> Mail:
    """Return the mail that a report comes with; `subject` says what it is of."""
    return Mail(
        subject=subject,
        paragraphs=(text("mail.report.intro", language), text("mail.report.change", language)),
        link=link,
        facts=tuple(facts),
        attachments=tuple(attachments),
    )


def compose(mail: Mail, *, to: str, identity: str, hostname: str, language: str, now: float) -> bytes:
    """Return the message: plain text and HTML that say the same."""
    boundary = "=_" + hashlib.sha256(identity.encode()).hexdigest()[:32]
    head = [
        field("From", f"Gatepost <postmaster@{hostname}>"),
        field("To", to),
        field("Subject", mail.subject),
        field("Date", format_datetime(datetime.fromtimestamp(now, UTC))),
        field("Message-ID", f"<{identity}@{hostname}>"),
        field("Auto-Submitted", "auto-generated"),
        field("Content-Language", language),
        b"MIME-Version: 1.0\r\n",
    ]
    kind = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'.encode()
    parts = [
        f"--{boundary}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".encode()
        + "\r\n".join(body.splitlines()).encode("utf-8", "replace")
        + b"\r\n"
        for kind, body in (("text/plain", _plain(mail)), ("text/html", _html(mail, language)))
    ]
    body = b"".join([kind, *parts, f"--{boundary}--\r\n".encode()])
    return b"".join([*head, _with_files(body, mail.attachments, f"{boundary}_m") if mail.attachments else body])


def _with_files(body: bytes, attachments: Sequence[Attachment], boundary: str) -> bytes:
    """Return the body, which begins with its Content-Type, and the files behind it (RFC 2046 section 5.1.3)."""
    pieces = [f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'.encode(), body]
    for each in attachments:
        pieces += [
            f"--{boundary}\r\nContent-Type: {each.type}\r\nContent-Transfer-Encoding: base64\r\n".encode(),
            f'Content-Disposition: attachment; filename="{each.name}"\r\n\r\n'.encode(),
            base64.encodebytes(each.data).replace(b"\n", b"\r\n"),
        ]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def _plain(mail: Mail) -> str:
    first, *rest = mail.paragraphs
    lines = [first, ""]
    lines += [f"{name}: {value}" for name, value in mail.facts] + ([""] if mail.facts else [])
    lines += [mail.link, ""] if mail.link else []
    return "\n".join(lines + [line for paragraph in rest for line in (paragraph, "")])


def _html(mail: Mail, language: str) -> str:
    first, *rest = (html.escape(paragraph) for paragraph in mail.paragraphs)
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;padding:4px 16px 4px 0">{html.escape(name)}</th>'
        f"<td><code>{html.escape(value)}</code></td></tr>"
        for name, value in mail.facts
    )
    link = html.escape(mail.link, quote=True)
    body = [f"<p>{first}</p>", f"<table>{rows}</table>" if rows else "", f'<p><a href="{link}">{link}</a></p>']
    body += [f"<p>{paragraph}</p>" for paragraph in rest]
    return (
        f'<!doctype html>\n<html lang="{language}"><body style="font-family:sans-serif;max-width:44em">\n'
        + "\n".join(line for line in body if line)
        + "\n</body></html>"
    )
