"""What a scanner is: one file in `checks/` with a `SPEC` and `async def scan(mail, ctx) -> Finding`.

A scanner reads the mail and asks its ports; it changes nothing. It runs in a worker process, so it may use the CPU;
what it waits for, it awaits. A scanner that cannot tell raises EngineUnavailable or returns `unavailable(...)`, never
a clean finding.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence, Set
from typing import Protocol

import msgspec

from schemas.events import Evidence, Received, Status
from services.core.clock import Clock
from services.core.errors import EngineUnavailable
from services.runtime.dns import Dns
from services.scanners.briefing import EMPTY, Briefing
from services.scanners.engines.url_lists import UrlList
from services.scanners.mail import Mail
from services.scanners.urls.url import Url


class Cost(enum.StrEnum):
    """What a scanner spends: it decides nothing yet and tells the operator where to put workers."""

    CPU = "cpu"
    NETWORK = "network"


class Port(enum.StrEnum):
    """What a scanner may ask for; a worker makes ready only what its scanners name."""

    DNS = "dns"
    SIGNATURES = "signatures"
    URL_LISTS = "url-lists"
    CLAMD = "clamd"
    RSPAMD = "rspamd"
    MODEL = "model"


class Reason(enum.StrEnum):
    """Why a scanner could not tell. The values stand in `Verdict.reason`."""

    ENGINE = "engine"  # an engine is down, or answered something that can't be read
    TOO_BIG = "too-big"
    TIME = "time"
    CRASH = "crash"
    STORE = "store"  # the object is there and can't be read as one of ours


class TooBig(EngineUnavailable):
    """An engine doesn't take what is so long: asking again won't help."""


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """What the pipeline must know of a scanner before it calls it."""

    name: str  # as in plans, rules of customers and the consumer group; [a-z0-9-]+
    version: str  # changes with every change of what it finds
    cost: Cost
    timeout: float  # seconds for one message
    max_size: int = 104_857_600  # octets of a message; larger ones are `too-big`
    ports: frozenset[Port] = frozenset()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one scanner says of one message. `decide.verdict` makes the event of it."""

    status: Status
    score: float = 0.0
    evidence: tuple[Evidence, ...] = ()
    engine: str = ""  # name and version of what looked, with its rules' version
    elapsed_ms: float = 0.0  # set by whoever ran the scanner
    results: tuple[tuple[str, str], ...] = ()  # method and result for Authentication-Results (RFC 8601)
    reason: str = ""  # a Reason, when the status is UNAVAILABLE
    contact: str = ""  # the digest of the correspondent, of whom the parent process knows whether he wrote before
    prints: tuple[str, ...] = ()  # fingerprints that near duplicates share
    files: tuple[str, ...] = ()  # kinds of attachments, as `Verdict.files` has them
    packed: tuple[str, ...] = ()  # and `Verdict.packed`
    refers: tuple[str, ...] = ()  # digests of messages that it answers or returns; the parent knows what was sent
    pairs: tuple[str, ...] = ()  # digests of each recipient with its author
    readers: tuple[str, ...] = ()  # and of each recipient as one who may have sent something; empty: nobody asks


def unavailable(reason: Reason, text: str = "", engine: str = "") -> Finding:
    """Return the finding of a scanner that could not tell; `text` is for a person."""
    evidence = (Evidence(code="UNAVAILABLE", text=text),) if text else ()
    return Finding(status=Status.UNAVAILABLE, evidence=evidence, engine=engine, reason=reason.value)


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """A rule or hash that hit."""

    rule: str
    status: Status
    score: float
    detail: str = ""


class Signatures(Protocol):
    """Rules and hashes over octets."""

    @property
    def version(self) -> str:
        """Return the engine's name and version and a digest of the rules in force."""
        ...

    def match(self, data: bytes, deadline: float) -> list[Match]:
        """Return what hit; `deadline` in seconds from now. Raises EngineUnavailable when the engine gave up."""
        ...


class VirusEngine(Protocol):
    """A virus scanner elsewhere. Both methods raise EngineUnavailable."""

    @property
    def max_size(self) -> int:
        """Return the octets that it takes at once; more are never sent."""
        ...

    @property
    def hold_oversize(self) -> bool:
        """Return whether a message with a file that it doesn't take is held; otherwise our own rules must do."""
        ...

    async def scan(self, data: bytes) -> str | None:
        """Return the name of what was found, or None when the engine said that there is nothing."""
        ...

    async def version(self) -> str:
        """Return the engine's name and version, with that of its signatures."""
        ...


class UrlFeeds(Protocol):
    """Bad domains and URLs that the operator's files list."""

    def listed(self, url: Url) -> str:
        """Return what a file lists of the URL: `domain` or `url`; empty for nothing."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class ContentReply:
    """What a content engine answered."""

    action: str
    score: float
    symbols: Sequence[tuple[str, float, str]]  # name, score, description
    version: str


class ContentEngine(Protocol):
    """A content scanner elsewhere."""

    async def check(self, message: bytes, received: Received) -> ContentReply:
        """Return the engine's answer; raise EngineUnavailable when there is none that can be read."""
        ...


class Classifier(Protocol):
    """What learned from ham and spam."""

    @property
    def version(self) -> str:
        """Return the digest of the model, and how much it learned from."""
        ...

    def weigh(self, found: Set[str]) -> tuple[float, dict[str, float]]:
        """Return the margin of a message's features (more: spam) and what each known feature added to it."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """The ports of a scanner, and what it is told. An engine that isn't configured is None."""

    clock: Clock
    dns: Dns
    signatures: Signatures
    clamd: VirusEngine | None = None
    rspamd: ContentEngine | None = None
    url_lists: tuple[UrlList, ...] = ()
    url_feeds: UrlFeeds | None = None
    arc_sealers: frozenset[str] = frozenset()  # domains whose ARC seals are believed
    briefing: Briefing = EMPTY  # of the customer whose message it is
    model: Classifier | None = None  # None: the one that is shipped


class Scanner(Protocol):
    """A module in `checks/`, as the registry sees it."""

    SPEC: Spec

    async def scan(self, mail: Mail, ctx: Context) -> Finding:
        """Return what the scanner says of the mail."""
        ...
