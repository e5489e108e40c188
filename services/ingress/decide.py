"""What ingress decides, and on what grounds. Pure: facts in, an answer out; nothing here acts, waits or remembers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from schemas.events import Customer, Direction, Domain, Envelope, Evidence, Received, Rejection
from services.core import replies
from services.core.address import Address, parse
from services.core.canonical import HEAD_LIMIT, Decoder, Defect
from services.core.directory import POSTMASTER, DirectoryView
from services.core.errors import BadAddress
from services.core.heading import Heading
from services.core.networks import networks
from services.core.replies import Reply
from services.core.stored import object_key
from services.ingress.bounce import untagged
from services.ingress.commands import BadCommand, parse_path
from services.ingress.config import IngressConfig

_TEXT_LIMIT: Final = 320  # characters of a client's words that an event may carry
_UNPRINTABLE: Final = re.compile(r"[^ -~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_RECEIVED: Final = re.compile(rb"^received:(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_OWN_LINE: Final = re.compile(rb"^x-gatepost:[^\n]*\bid=[0-7][0-9A-HJKMNP-TV-Z]{25}\b", re.IGNORECASE | re.MULTILINE)
_NO_HEADING: Final = Heading()
_DEFECTS: Final = {
    Defect.SMUGGLING: replies.SMUGGLING,
    Defect.NUL: replies.NUL_IN_MESSAGE,
    Defect.LONG_LINE: replies.LONG_LINE_IN_MESSAGE,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """What is known of the other side of a connection."""

    ip: str
    port: int = 0
    helo: str = ""
    esmtp: bool = False
    tls: str | None = None
    front: tuple[Evidence, ...] = ()  # what is held against it, or for it
    connected_at: float = 0.0  # seconds since the epoch, as all times here


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no. A reason makes it a Rejection event; a mere mistake in the protocol has none."""

    reply: Reply
    reason: str = ""
    customer: str = ""  # whose recipient it was
    evidence: tuple[Evidence, ...] = ()  # what the reason stands on; for the operator, never for the client


@dataclasses.dataclass(frozen=True, slots=True)
class Sender:
    """A MAIL command that was taken."""

    reverse_path: str  # empty for the null sender
    size: int = 0  # as declared, octets; 0: not declared
    eight_bit: bool = False
    smtputf8: bool = False
    at: float = 0.0  # when it was taken
    data_at: float = 0.0  # when the message began to come in
    owner: Customer | None = None  # whose outgoing mail it is; None: it comes in from anybody
    submitter: str = ""  # with an owner: who handed it in


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """A RCPT command that was taken."""

    customer: Customer
    domain: Domain
    address: Address
    evidence: tuple[Evidence, ...] = ()


def connection(in_all: int, from_address: int, config: IngressConfig) -> Refusal | None:
    """Return why a new connection is refused, given how many there are; None lets it in."""
    if in_all >= config.max_connections:
        return Refusal(replies.TOO_BUSY, "too-many-connections")
    if from_address >= config.max_connections_per_address:
        return Refusal(replies.TOO_MANY_FROM_YOU, "too-many-connections-from-address")
    return None


def sender(  # noqa: PLR0911  # each return is one rule, in the order in which they apply
    argument: str, directory: DirectoryView, config: IngressConfig, *, ignored: frozenset[str] = frozenset()
) -> Sender | Refusal:
    """Return the sender that MAIL names (RFC 5321 section 4.1.1.2, with RFC 1870, 6152, 6531), or why it is refused.

    `ignored` names the parameters that may be there and say nothing here.
    """
    try:
        mailbox, parameters = parse_path("FROM:", argument)
    except BadCommand:
        return Refusal(replies.BAD_ARGUMENT)
    if not directory.ready() or not directory.plan():
        return Refusal(replies.UNAVAILABLE)
    if parameters.keys() - {"SIZE", "BODY", "SMTPUTF8"} - ignored:
        return Refusal(replies.BAD_PARAMETER)
    size, body = parameters.get("SIZE", "0"), (parameters.get("BODY", "7BIT") or "").upper()
    smtputf8 = "SMTPUTF8" in parameters
    if (
        size is None
        or re.fullmatch("[0-9]{1,20}", size) is None
        or body not in {"7BIT", "8BITMIME"}
        or parameters.get("SMTPUTF8") is not None
    ):
        return Refusal(replies.BAD_ARGUMENT)
    if int(size) > config.max_size:
        return Refusal(replies.TOO_BIG, "too-big")
    path = _mailbox(mailbox, smtputf8=smtputf8, bad=replies.BAD_SENDER, reason="bad-sender") if mailbox else ""
    if isinstance(path, Refusal):
        return path
    return Sender(str(path), int(size), eight_bit=body == "8BITMIME", smtputf8=smtputf8)


def recipient(  # noqa: PLR0911  # each return is one rule, in the order in which they apply
    argument: str,
    sender: Sender,
    accepted: int,
    directory: DirectoryView,
    config: IngressConfig,
    admits: Callable[[Customer], Refusal | None] = lambda _: None,
) -> Accepted | Refusal:
    """Return the recipient that RCPT names, with its customer, or why it is refused; `accepted` were before it.

    `admits` says whether the customer takes anything from this client, before it is told which recipients exist.
    """
    try:
        mailbox, parameters = parse_path("TO:", argument)
    except BadCommand:
        return Refusal(replies.BAD_ARGUMENT)
    if parameters:
        return Refusal(replies.BAD_PARAMETER)
    if mailbox.lower() == POSTMASTER:
        mailbox = postmaster(directory, config)
    address = _mailbox(mailbox, smtputf8=sender.smtputf8, bad=replies.BAD_RECIPIENT, reason="bad-recipient")
    if isinstance(address, Refusal):
        return address
    found = directory.lookup_domain(address.domain)
    if found is None:
        return Refusal(replies.RELAYING_DENIED, "relaying-denied")
    customer, domain = found
    if (refusal := admits(customer)) is not None:
        return refusal
    mailbox_of = untagged(address) if customer.bounce_key else address
    if not directory.recipient_known(customer, domain, mailbox_of):
        return Refusal(replies.UNKNOWN_RECIPIENT, "unknown-recipient", customer.id)
    if sender.size > customer.max_size:
        return Refusal(replies.TOO_BIG, "too-big", customer.id)
    if accepted >= config.max_recipients:
        return Refusal(replies.TOO_MANY_RECIPIENTS, "too-many-recipients", customer.id)
    return Accepted(customer, domain, address)


def postmaster(directory: DirectoryView, config: IngressConfig) -> str:
    """Return whose mail a postmaster without a domain gets (RFC 5321 section 4.5.1).

    It is the configured address; without one the postmaster of our own name's domain, or of the nearest one above it
    that a customer has. Where there is none the address stays as it is, and is refused as what it is: no address.
    """
    if config.postmaster:
        return config.postmaster
    name = config.hostname.lower()
    while name:
        if directory.lookup_domain(name) is not None:
            return f"{POSTMASTER}@{name}"
        name = name.partition(".")[2]
    return POSTMASTER


def _mailbox(text: str, *, smtputf8: bool, bad: Reply, reason: str) -> Address | Refusal:
    try:
        address = parse(text)
    except BadAddress:
        return Refusal(bad, reason)
    if not smtputf8 and not text.isascii():
        return Refusal(replies.NEEDS_SMTPUTF8, reason)
    return address


def size_limit(accepted: Iterable[Accepted], config: IngressConfig) -> int:
    """Return how many octets the message may have: one answer is for all recipients, so the strictest limit counts."""
    return min([config.max_size, *(each.customer.max_size for each in accepted)])


def content(decoder: Decoder, limit: int, config: IngressConfig) -> Refusal | None:
    """Return why a message that was read to its end is refused; None takes it."""
    if decoder.size > limit:
        return Refusal(replies.TOO_BIG, "too-big")
    if decoder.defect is not None:
        return Refusal(_DEFECTS[decoder.defect], decoder.defect)
    if looped(decoder.head(HEAD_LIMIT), config):
        return Refusal(replies.LOOP, "loop")
    return None


def looped(head: bytes, config: IngressConfig) -> bool:
    """Return whether the header section says that the message runs in a circle (RFC 5321 section 6.3).

    It does with more Received lines than `max_received`, or when it came through here `max_passes` times before. Once
    or twice is no loop: one customer's user forwards to another's. What counts as a pass is a Received line of ours
    with an id of ours; where those were taken out on the way, our X-Gatepost line is one.
    """
    lines = _RECEIVED.findall(head)
    if len(lines) > config.max_received:
        return True
    own = _own(config.hostname)
    passes = sum(1 for line in lines if own.search(line))
    if not passes and _OWN_LINE.search(head):
        passes = 1
    return passes >= config.max_passes


@lru_cache(maxsize=8)
def _own(hostname: str) -> re.Pattern[bytes]:
    name = re.escape(hostname.encode())
    return re.compile(rb"\bby\s+" + name + rb"\s[^;]*\bid\s+[0-7][0-9A-HJKMNP-TV-Z]{25}\b", re.IGNORECASE)


def split(accepted: Iterable[Accepted]) -> tuple[tuple[Accepted, ...], ...]:
    """Return the recipients in groups of one customer and domain each: a message is stored once for each group."""
    groups: dict[tuple[str, str], list[Accepted]] = {}
    for each in accepted:
        groups.setdefault((each.customer.id, each.domain.name), []).append(each)
    return tuple(tuple(group) for group in groups.values())


def received(
    ids: Mapping[str, Sequence[Accepted]],
    client: Client,
    sender: Sender,
    *,
    size: int,
    now: float,
    server: str,
    plan: tuple[str, ...],
    heading: Heading = _NO_HEADING,
) -> tuple[Received, ...]:
    """Return the event of each group of recipients, by the message ids chosen for them."""
    events = []
    for part, (message, group) in enumerate(ids.items()):
        customer, domain = group[0].customer.id, group[0].domain.name
        front = () if client.ip in networks(group[0].customer.allow) else client.front
        envelope = Envelope(
            reverse_path=sender.reverse_path,
            recipients=tuple(str(each.address) for each in group),
            client_ip=client.ip,
            client_port=client.port,
            helo=printable(client.helo),
            esmtp=client.esmtp,
            tls=client.tls,
            eight_bit=sender.eight_bit,
            smtputf8=sender.smtputf8,
        )
        events.append(
            Received(
                id=message,
                customer=customer,
                domain=domain,
                key=object_key(customer, message),
                envelope=envelope,
                size=size,
                received_at=now,
                server=server,
                plan=plan,
                front=tuple(dict.fromkeys((*front, *(piece for each in group for piece in each.evidence)))),
                connected_at=client.connected_at,
                mail_at=sender.at,
                data_at=sender.data_at,
                subject=heading.subject,
                message_id=heading.message_id,
                direction=Direction.INBOUND if sender.owner is None else Direction.OUTBOUND,
                submitter=sender.submitter,
                part=part,
            )
        )
    return tuple(events)


def rejection(
    refusal: Refusal, client: Client, now: float, *, reverse_path: str = "", recipient: str = ""
) -> Rejection:
    """Return the event that tells of a refusal; the client's words are cut and cleaned."""
    return Rejection(
        client_ip=client.ip,
        at=now,
        reason=refusal.reason,
        reply=str(refusal.reply),
        helo=printable(client.helo),
        reverse_path=printable(reverse_path),
        recipient=printable(recipient),
        customer=refusal.customer,
        client_port=client.port,
        connected_at=client.connected_at,
        evidence=refusal.evidence,
    )


def printable(text: str) -> str:
    """Return the text as an event and a log may carry it: printable, and not long."""
    return _UNPRINTABLE.sub("?", text[:_TEXT_LIMIT])
