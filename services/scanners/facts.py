"""What the content rules look at, taken from a mail once."""

from __future__ import annotations

import dataclasses
import re
from email.utils import parseaddr
from typing import Final
from urllib.parse import urlsplit

from services.scanners import text
from services.scanners.mail import Mail
from services.scanners.markup import Anchor, read

WORDS_LIMIT: Final = 32_768  # characters that are searched for phrases; the point of a message comes early
_SUBJECT_LIMIT: Final = 500
_LINKS: Final = 200
_SPACES = re.compile(r"\s+")
_URL = re.compile(r"\bhttps?://[^\s\"'<>()\[\]{}]{3,1000}", re.IGNORECASE)
_HOST_SHOWN = re.compile(r"\s*(?:https?://)?((?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24})(?:[/:?#]|\s*\Z)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads, and the host that its text shows, empty when it shows none."""

    url: str
    host: str
    shown: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
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

    def count(self, name: str) -> int:
        """Return how many header fields of that name there are."""
        return len(self.mail.values(name))


def gather(mail: Mail) -> Facts:
    """Return the facts of a mail; malformed parts give empty ones."""
    sender_name, sender = parseaddr(mail.header("from")[:1000])
    _, reply = parseaddr(mail.header("reply-to")[:1000])
    page = read(mail.html)
    plain = mail.text.lower()
    return Facts(
        mail=mail,
        subject=mail.header("subject")[:_SUBJECT_LIMIT],
        from_name=sender_name.lower(),
        from_domain=_domain(sender),
        reply_domain=_domain(reply),
        plain=plain,
        html=mail.html.lower(),
        words=_SPACES.sub(" ", f"{plain[:WORDS_LIMIT]} {page.text[:WORDS_LIMIT].lower()}"),
        links=links(page.anchors, mail.text),
    )


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
