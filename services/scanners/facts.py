"""What the content rules look at, taken from a mail once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from email.utils import getaddresses
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from services.scanners import disguise, lures, text
from services.scanners.mail import Mail
from services.scanners.markup import Anchor

WORDS_LIMIT: Final = 32_768  # characters that are searched for phrases; the point of a message comes early
_SUBJECT_LIMIT: Final = 500
_LINKS: Final = 200
_MAILBOX_LIMIT: Final = 1000  # octets
_ANGLE = re.compile(r"<([^<>]*@[^<>]*)>")
_SPACES = re.compile(r"\s+")
_URL = re.compile(r"\bhttps?://[^\s\"'<>()\[\]{}]{3,1000}", re.IGNORECASE)
_HOST_SHOWN = re.compile(r"\s*(?:https?://)?((?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24})(?:[/:?#]|\s*\Z)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads, and the host that its text shows, empty when it shows none."""

    url: str
    host: str
    shown: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Everything in lower case but `subject`; bounded in length."""

    mail: Mail
    subject: str
    from_name: str
    from_domain: str
    reply_domain: str
    plain: str
    html: str
    words: str  # what a person reads: the plain text and the text of the HTML, one space between words
    links: tuple[Link, ...]
    from_local: str = ""  # what stands before the @ in From
    reply: str = ""  # the address in Reply-To
    tags: Mapping[str, int] = dataclasses.field(default_factory=dict)  # the HTML's elements, see markup.Page
    hidden: int = 0  # characters of the HTML's text that aren't shown
    unseen: int = 0  # characters without width in subject and text, which nobody can read
    foreign: int = 0  # words in letters of two alphabets that look alike

    def count(self, name: str) -> int:
        """Return how many header fields of that name there are."""
        return len(self.mail.values(name))

    @cached_property
    def lures(self) -> Mapping[str, int]:
        """Return how many lures of each kind are in what a person reads, see lures.py; not all who look at it ask."""
        return lures.count(f"{self.subject.lower()}\n{self.from_name}\n{self.words}")


def gather(mail: Mail) -> Facts:
    """Return the facts of a mail; malformed parts give empty ones."""
    name, sender = mailbox(next(iter(mail.values("from")), b""))
    _, reply = mailbox(next(iter(mail.values("reply-to")), b""))
    page = mail.page
    plain = mail.text.lower()
    spoken, unseen, foreign = disguise.read(f"{plain[:WORDS_LIMIT]} {page.text[:WORDS_LIMIT].lower()}")
    name, _, odd = disguise.read(name.lower())
    subject, hidden_there, mixed_there = disguise.read(mail.header("subject")[:_SUBJECT_LIMIT])
    words = _SPACES.sub(" ", spoken)
    return Facts(
        mail=mail,
        subject=subject,
        from_name=name,
        from_domain=_domain(sender),
        reply_domain=_domain(reply),
        plain=plain,
        html=mail.html.lower(),
        words=words,
        links=links(page.anchors, mail.text),
        from_local=sender.rpartition("@")[0].lower(),
        reply=reply.lower(),
        tags=page.tags,
        hidden=page.hidden,
        unseen=unseen + hidden_there,
        foreign=foreign + mixed_there + odd,
    )


def mailbox(value: bytes) -> tuple[str, str]:
    """Return the name and address that a From or Reply-To shows, empty where there is none.

    Names often hold a comma that should have been quoted: what stands before the one address is the name then. An
    encoded word is decoded last: what it hides is a name and never an address (RFC 2047 section 5).
    """
    raw = text.from_bytes(value[:_MAILBOX_LIMIT]).replace("\r", "").replace("\n", "").strip()
    angles = _ANGLE.findall(raw)
    if len(angles) == 1:
        name, address = raw.partition(f"<{angles[0]}>")[0].strip().strip('"'), angles[0].strip()
    else:
        found = [pair for pair in getaddresses([raw]) if "@" in pair[1]]
        name, address = found[0] if found else ("", "")
    return text.header(name.encode("utf-8", "surrogateescape")), address


def links(anchors: tuple[Anchor, ...], plain: str) -> tuple[Link, ...]:
    """Return the web links of both kinds of text, anchors first."""
    found: dict[tuple[str, str], Link] = {}
    for anchor in anchors:
        shown = _HOST_SHOWN.match(anchor.text)
        host = _host(anchor.href)
        if host:
            found[(anchor.href, "a")] = Link(anchor.href, host, shown.group(1).lower() if shown else "")
    for bare in _URL.finditer(plain):
        if len(found) >= _LINKS:
            break
        host = _host(bare.group())
        if host:
            found.setdefault((bare.group(), ""), Link(bare.group(), host))
    return tuple(found.values())


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower() if "@" in address else ""


def _host(url: str) -> str:
    if not url[:8].lower().startswith(("http://", "https://")):
        return ""
    try:
        return text.clean((urlsplit(url).hostname or "").lower(), 255)
    except ValueError:  # no URL after all
        return ""
