"""What a message's URLs say about it: pure. Each rule gives a piece of evidence at most once, the worst it met."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import disarm

from schemas.events import Evidence, Status
from services.scanners.engines.url_lists import Hit
from services.scanners.lookalike import Guarded, Kind, Resemblance, compare
from services.scanners.text import clean
from services.scanners.urls import find, known
from services.scanners.urls.find import Found
from services.scanners.urls.targets import targets
from services.scanners.urls.url import Url, domain_of, parse, shown, to_unicode

PHISHING_FROM: Final = 7.0
SUSPICIOUS_FROM: Final = 4.0
FEED: Final = 8.0  # what the operator lists is bad
LISTED_MOST: Final = 20.0
DISTINCT_MOST: Final = 200  # URLs of one message that are judged
_SHOWS: Final = re.compile(r"\s*(?:https?://)?(?:www\.)?((?:[\w-]{1,63}\.){1,6}[a-zA-Z]{2,24})(?:[/:?#]|\s*\Z)")
_ADDRESS: Final = re.compile(r"[a-z0-9._+-]{1,64}(?:@|%40)[a-z0-9.-]{3,100}\.[a-z]{2,}", re.IGNORECASE)
_RESERVED: Final = frozenset({"invalid", "localhost", "local", "internal"})
_DEEP: Final = 7  # labels
_LONG_HOST: Final = 70  # characters
_HYPHENS: Final = 4  # in one label
_TRACKED: Final = 4  # links of one host, from which on it is one that counts clicks
_CLICKED: Final = frozenset({find.Kind.LINK, find.Kind.FORM, find.Kind.PASSWORD_FORM, find.Kind.REDIRECT, find.Kind.QR})

_RESEMBLES: Final = {  # kind: score for a brand, score for the customer's own and partners' domains
    Kind.LETTERS: (8.0, 8.0),
    Kind.INSIDE: (8.0, 8.0),
    Kind.LURE: (6.0, 6.0),
    Kind.SLIP: (4.0, 6.0),
    Kind.NAMED: (1.5, 3.0),
    Kind.SUFFIX: (2.0, 3.0),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the rules must know of the message and the customer."""

    names: Guarded
    sender: str  # the registered domain of From
    own: frozenset[str] = frozenset()  # registered domains of the customer
    recipients: frozenset[str] = frozenset()  # canonical addresses


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A URL of the message, read."""

    found: Found
    url: Url
    target: bool = False  # named inside another URL

    @property
    def clicked(self) -> bool:
        return self.found.kind in _CLICKED or self.found.kind is find.Kind.TEXT


def read(found: Iterable[Found]) -> list[Link]:
    """Return the links of a message, each URL once, and after each what it leads on to."""
    links: dict[tuple[str, bool, str], Link] = {}
    for item in found:
        if len(links) >= DISTINCT_MOST:
            break
        url = parse(item.raw)
        if url is None or url.scheme in {"mailto", "tel", "cid", "sms", "callto", "about"}:
            continue
        link = Link(item, url)
        key = (url.href, link.clicked, item.shown if item.kind is find.Kind.LINK else "")
        if key in links:
            continue
        links[key] = link
        if link.clicked:
            for inner in targets(url):
                links.setdefault((inner.href, True, ""), Link(item._replace(shown=""), inner, target=True))
    return list(links.values())


def domains(links: Iterable[Link], about: Known) -> list[str]:
    """Return the registered domains that a reader may be led to, each once: what DNS lists are asked for."""
    led = (link.url for link in links if link.clicked and link.url.host.count(".") and link.url.host[0] != "[")
    found = dict.fromkeys(url.domain for url in led if not url.domain.replace(".", "").isdigit())
    return [domain for domain in found if domain not in about.own and domain.rpartition(".")[2] not in _RESERVED]


def by_lists(hits: Iterable[Hit]) -> Iterator[Evidence]:
    """Yield one piece of evidence for the domain that the lists think worst of, and one for a fresh one."""
    for fresh in (False, True):
        weights: dict[str, list[Hit]] = {}
        for hit in hits:
            if hit.listed.fresh is fresh:
                weights.setdefault(hit.domain, []).append(hit)
        if not weights:
            continue
        domain, worst = max(weights.items(), key=lambda item: sum(hit.listed.weight for hit in item[1]))
        zones = ", ".join(sorted({hit.listed.zone for hit in worst}))
        score = min(LISTED_MOST, sum(hit.listed.weight for hit in worst))
        code = "URL_FRESH" if fresh else "URL_LISTED"
        words = "was seen first a short time ago" if fresh else "is listed"
        yield Evidence(code=code, text=clean(f"a link to {shown(domain)}, which {words} ({zones})"), score=score)


def judge(links: list[Link], about: Known) -> list[Evidence]:
    """Return the evidence that the URLs give, the heaviest first."""
    worst: dict[str, Evidence] = {}
    for evidence in _all(links, about):
        if evidence.code not in worst or worst[evidence.code].score < evidence.score:
            worst[evidence.code] = evidence
    return sorted(worst.values(), key=lambda item: -item.score)


def status(evidence: Iterable[Evidence]) -> Status:
    """Return PHISHING where one thing says it or many do together, SUSPICIOUS where something is odd."""
    total = sum(item.score for item in evidence)
    if total >= PHISHING_FROM:
        return Status.PHISHING
    return Status.SUSPICIOUS if total >= SUSPICIOUS_FROM else Status.CLEAN


def _all(links: list[Link], about: Known) -> Iterator[Evidence]:
    clicks = Counter(link.url.host for link in links if link.found.kind is find.Kind.LINK and not link.target)
    leads = {link.found.raw: link.url.domain for link in links if link.target}
    for link in links:
        if not link.url.host:
            yield from _odd_scheme(link)
            continue
        if not link.clicked:
            if link.url.hidden and not link.url.address:
                continue
            yield from _loaded(link, about)
            continue
        yield from _tricks(link)
        yield from _resembling(link, about)
        yield from _place(link, about)
        yield from _form(link, about)
        if link.found.kind is find.Kind.LINK and not link.target:
            yield from _lies(link, about, clicks, leads)
        yield from _named_reader(link, about)


def _odd_scheme(link: Link) -> Iterator[Evidence]:
    scheme = link.url.scheme
    if scheme not in known.ODD_SCHEMES or link.found.kind is find.Kind.LOADED:
        return
    if scheme == "data":
        head = link.url.path[:40].lower()
        if "html" in head or "svg" in head or "javascript" in head:
            yield _evidence("URL_DATA_PAGE", 6.0, "a link holds a whole page (data:)", link)
    elif scheme in {"javascript", "vbscript"}:
        rest = link.url.path.strip().lower().rstrip(";")
        if rest and rest not in {"void(0)", "void 0", "//", "return false"} and link.found.where:
            yield _evidence("URL_SCRIPT", 1.0, f"a link runs a script ({scheme}:)", link)
    elif scheme == "file":
        yield _evidence(
            "URL_LOCAL_FILE", 3.0, "a link opens a file, which may lie on a stranger's server (file:)", link
        )
    else:
        yield _evidence("URL_OPENS_PROGRAM", 6.0, f"a link opens a program of the reader's machine ({scheme}:)", link)


def _loaded(link: Link, about: Known) -> Iterator[Evidence]:
    hit = compare(link.url.host, about.names) if link.url.domain != about.sender else None
    if hit is not None and hit.kind in {Kind.LETTERS, Kind.INSIDE}:
        yield _evidence("URL_LOADS_LOOKALIKE", 3.0, f"a picture comes from {link.url.shown}, {_resembles(hit)}", link)


def _tricks(link: Link) -> Iterator[Evidence]:
    url = link.url
    if url.hidden:
        score = 5.0 if url.address or "number" in url.hidden or "ASCII" in url.hidden else 4.0
        yield _evidence("URL_HIDES_HOST", score, f"the host {url.shown} is hidden: {url.hidden}", link)
    if url.user:
        host_like = "." in url.user
        words = "a link with what looks like a host" if host_like else "a link with a user's name"
        yield _evidence("URL_CREDENTIALS", 6.0 if host_like else 2.0, f"{words} before its host {url.shown}", link)
    if url.address:
        yield _evidence("URL_IP_HOST", 2.5, f"a link to a bare address, {url.shown}", link)
    if url.odd_port:
        yield _evidence("URL_ODD_PORT", 1.0, f"a link to port {url.odd_port} of {url.shown}", link)
    labels = url.host.split(".")
    if not url.address and (
        len(labels) >= _DEEP
        or len(url.host) >= _LONG_HOST
        or any(label.count("-") >= _HYPHENS and not label.startswith("xn--") for label in labels)
    ):
        yield _evidence("URL_LONG_HOST", 1.0, f"a link to a very long name, {url.shown}", link)
    human = to_unicode(url.host)
    if human != url.host and any(disarm.is_mixed_script(label) for label in human.split(".")):
        yield _evidence("URL_MIXED_SCRIPT", 4.0, f"a link to {url.shown}, whose name mixes alphabets", link)


def _resembling(link: Link, about: Known) -> Iterator[Evidence]:
    if link.url.address or (link.url.domain == about.sender and link.url.domain in about.own):
        return
    hit = compare(link.url.host, about.names)
    if hit is None:
        return
    score = _RESEMBLES[hit.kind][0 if hit.brand else 1]
    if hit.kind is Kind.NAMED and link.url.domain == about.sender:
        score = 0.5
    code = "URL_LOOKALIKE" if hit.kind in {Kind.LETTERS, Kind.INSIDE, Kind.LURE, Kind.SLIP} else "URL_NAMES_ANOTHER"
    yield _evidence(code, score, f"a link to {link.url.shown}, {_resembles(hit)}", link)


def _place(link: Link, about: Known) -> Iterator[Evidence]:
    url = link.url
    if entry := known.listed(url.host, url.path, known.FORM_BUILDERS):
        yield _evidence("URL_FORM_BUILDER", 1.5, f"a link to a form at {entry}, where anybody makes one", link)
    elif entry := known.listed(url.host, url.path, known.SHORTENERS):
        yield _evidence("URL_SHORTENER", 1.0, f"a link shortened by {entry}, which hides where it leads", link)
    elif (entry := known.listed(url.host, url.path, known.FREE_HOSTING)) and url.host != entry:
        yield _evidence("URL_FREE_HOSTING", 1.2, f"a link to {url.shown}, on free hosting", link)
    elif url.domain.rpartition(".")[2] in known.CHEAP_TLDS and url.domain != about.sender:
        yield _evidence("URL_CHEAP_TLD", 0.5, f"a link to {url.shown}, under a top-level domain often abused", link)
    if not link.target and (entry := known.listed(url.host, url.path, known.REDIRECTORS)):
        onward = next((inner for inner in targets(url) if inner.domain != url.domain), None)
        if onward is not None:
            text = f"a link by way of {entry} leads on to {shown(onward.host)}"
            yield _evidence("URL_OPEN_REDIRECT", 1.5, text, link)
    ending = url.path.rpartition("/")[2].rpartition(".")
    if ending[1] and ending[2].lower() in known.EXECUTABLES and ending[2].lower() != "com":
        text = f"a link to a program or archive (.{clean(ending[2].lower(), 8)}) at {url.shown}"
        yield _evidence("URL_PROGRAM", 2.0, text, link)
    if link.found.kind is find.Kind.QR and not link.target:
        yield _evidence("URL_QR_CODE", 2.0, f"a QR code leads to {url.shown}", link)


def _form(link: Link, about: Known) -> Iterator[Evidence]:
    kind = link.found.kind
    if kind is find.Kind.PASSWORD_FORM:
        yield _evidence("URL_PASSWORD_FORM", 6.0, f"a form that asks for a password sends it to {link.url.shown}", link)
    elif kind is find.Kind.FORM and link.url.domain != about.sender:
        yield _evidence("URL_FORM", 1.0, f"a form sends what is filled in to {link.url.shown}", link)
    elif kind is find.Kind.REDIRECT and not link.target:
        where = 3.0 if link.found.where else 2.0
        yield _evidence("URL_LEADS_ON", where, f"opening the page leads on to {link.url.shown} by itself", link)


def _lies(link: Link, about: Known, clicks: Counter[str], leads: dict[str, str]) -> Iterator[Evidence]:
    found = _SHOWS.match(link.found.shown)
    if found is None:
        return
    claimed = found.group(1).lower()
    promised = domain_of(claimed)
    if promised == link.url.domain or leads.get(link.found.raw) == promised or promised == claimed.rpartition(".")[2]:
        return
    if promised.rpartition(".")[2] not in known.LONG_TLDS and len(promised.rpartition(".")[2]) > 4:  # noqa: PLR2004
        return  # Sales.Department: a text with a full stop in it
    guarded = about.names.owned(promised) and not about.names.owned(link.url.host)
    if about.sender in {link.url.domain, promised} or clicks[link.url.host] >= _TRACKED:
        score = 1.0 if guarded and promised != about.sender else 0.3
    else:
        score = 4.0 if guarded else 1.5
    yield _evidence("URL_TEXT_LIES", score, f"a link shows {shown(promised)} and leads to {link.url.shown}", link)


def _named_reader(link: Link, about: Known) -> Iterator[Evidence]:
    """An address after # never reaches the server's log as a query does: pages that steal passwords are told by it."""
    fragment = link.url.fragment
    if fragment and about.sender not in about.own and _ADDRESS.search(fragment):
        yield _evidence("URL_NAMES_READER", 3.0, f"a link to {link.url.shown} carries an address behind #", link)


def _resembles(hit: Resemblance) -> str:
    return f"which is like {shown(hit.guarded)}, {hit.kind.value}"


def _evidence(code: str, score: float, text: str, link: Link) -> Evidence:
    where = f" (in {clean(link.found.where, 60)})" if link.found.where else ""
    return Evidence(code=code, text=clean(f"{text}{where}"), score=score)
