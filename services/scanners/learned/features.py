"""What the classifier looks at: a set of short names, `kind:value`, for one message.

Left out on purpose is what would only recognise where the training messages came from: names of hosts, lists and
people, dates and time zones, fields that a receiving MTA adds, and the path's own host names.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Set
from email.utils import parsedate_tz
from typing import Final

from services.scanners.auth.dmarc import organizational
from services.scanners.facts import Facts, mailbox
from services.scanners.free_mail import FREE_MAIL
from services.scanners.learned import coherence, path
from services.scanners.learned.coherence import step

VERSION: Final = 2  # of what the names below mean; a model of another version can't be used
WORDS: Final = 3000  # of the text that are looked at

_WORD = re.compile(r"[^\W\d_]{2,24}|\$\s?\d[\d,.]*|\d{1,3}\s?%|!{2,}|\d+")
_NO_WORDS = re.compile(r"\b(?:https?://|www\.)\S+|\S+@\S+", re.IGNORECASE)
_FIELDS: Final = frozenset(
    {
        "auto-submitted",
        "bcc",
        "cc",
        "content-disposition",
        "content-language",
        "disposition-notification-to",
        "errors-to",
        "list-id",
        "list-unsubscribe",
        "precedence",
        "sender",
        "dkim-signature",
        "feedback-id",
        "importance",
        "in-reply-to",
        "mime-version",
        "organization",
        "references",
        "reply-to",
        "thread-index",
        "user-agent",
        "x-accept-language",
        "x-mailer",
        "x-mimeole",
        "x-msmail-priority",
        "x-originating-ip",
        "x-priority",
    }
)
_EXPECTED: Final = ("date", "message-id", "to", "from", "subject", "mime-version")
_DATE = re.compile(r"[A-Z][a-z]{2}, [ \d]?\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}( \(.*\))?")
_DAY = re.compile(r"[A-Z][a-z]{2}, ")
_ANSWER = re.compile(r"\s*(?:(?:re|aw|sv|fwd?)\s*:\s*)+")
_LIST_TAG = re.compile(r"\[[^\]]{1,30}\]")
_LETTERS = re.compile(r"[a-z]{3,}")
_TRAILING_CODE = re.compile(r"\s{6,}\S+$")
_RUN = re.compile(r"(.)\1+")
_QUOTE = re.compile(r"^\s?>", re.MULTILINE)
_SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)
_LOOKS: Final = {
    "font-color": re.compile(r"<font[^>]{0,500}color"),
    "big-font": re.compile(r"size=[\"']?\+?[4-9]"),
    "script": re.compile(r"<script"),
    "form": re.compile(r"<form"),
    "hidden": re.compile(r"font-size\s*:\s*[01]|display\s*:\s*none|visibility\s*:\s*hidden"),
    "web-bug": re.compile(r"<img[^<>]{0,300}(?:width|height)\s*=\s*[\"']?[01][\"'\s>]"),
    "background": re.compile(r"background"),
    "comment": re.compile(r"<!--"),
    "cut-word": re.compile(r"[a-z]<!--[^>]{0,40}-->[a-z]"),
    "center": re.compile(r"<center|align=[\"']?center"),
    "style": re.compile(r"style="),
}
_URL_PORT = re.compile(r"https?://[^/]*:\d+")
_URL_WORDS: Final = frozenset(
    {
        *("affiliate", "asp", "cgi", "click", "exe", "htm", "html", "images", "img", "opt", "optout", "php"),
        *("email", "id", "remove", "removal", "track", "unsubscribe", "user"),
    }
)
_GIVEN_AWAY: Final = frozenset({"tk", "ml", "ga", "cf", "gq"})  # top-level domains whose names cost nothing for years
_ONE_PLACE: Final = frozenset({"link:most-way", "out:link-way", "return:on-its-way", "id:on-its-way"})
_LONG: Final = 100  # letters from which a share of capitals means something


def features(facts: Facts, rules: Iterable[str]) -> set[str]:
    """Return the features of a message, the codes of the rules that hit among them; malformed parts have none."""
    found = {f"rule:{code}" for code in rules}
    _fields(facts, found)
    _sender(facts, found)
    _date(facts, found)
    _form(facts, found)
    _subject(facts, found)
    _body(facts, found)
    _links(facts, found)
    path.features(facts, found)
    coherence.features(facts, found)
    return found


def consistent(found: Set[str]) -> bool:
    """Return whether the sender is who it says: its domain had a part in the path, and its links lead to it.

    A domain that cost nothing is left behind after a campaign: who it says it is means nothing.
    """
    return "path:sender" in found and "link:to-sender" in found and "from:given-away" not in found


def one_place(found: Set[str]) -> bool:
    """Return whether a message has one home, though not that of its From: a service's own newsletter.

    Whoever brought it is where its links lead, where one leaves it, and where bounces and the Message-ID belong.
    """
    return found >= _ONE_PLACE


def _fields(facts: Facts, found: set[str]) -> None:
    names = {field.name for field in facts.mail.fields}
    found.update(f"has:{name}" for name in names & _FIELDS)
    found.update(f"no:{name}" for name in _EXPECTED if name not in names)
    mailer = (facts.mail.header("x-mailer") or facts.mail.header("user-agent"))[:200].lower()
    if mailer:
        words = _LETTERS.findall(mailer)[:2]
        found.add(f"mailer:{' '.join(words)[:40]}" if words else "mailer:odd")
    _message_id(facts, found)
    to = facts.mail.header("to")[:2000].lower()
    found.add(f"to:n{step(to.count('@'), 4)}")
    if "undisclosed" in to:
        found.add("to:undisclosed")
    if mailbox(next(iter(facts.mail.values("to")), b""))[0]:
        found.add("to:named")


def _message_id(facts: Facts, found: set[str]) -> None:
    value = facts.mail.header("message-id").strip()[:300]
    if not value:
        return
    local, _, domain = value.strip("<>").rpartition("@")
    domain = domain.lower()
    same = domain and facts.from_domain and organizational(domain) == organizational(facts.from_domain)
    found.add("id:own" if same else "id:elsewhere")
    if "." not in domain:
        found.add("id:no-domain")
    shape = re.sub(r"[0-9a-f]{6,}", "h", local)
    shape = re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"[0-9]", "9", shape)))
    shape = _RUN.sub(r"\1", shape)
    found.add(f"id:{shape[:12]}")


def _sender(facts: Facts, found: set[str]) -> None:  # noqa: C901  # a list of small looks
    name, local = facts.from_name, facts.from_local
    if not name:
        found.add("from:no-name")
    else:
        shown = mailbox(next(iter(facts.mail.values("from")), b""))[0]
        if shown.isupper():
            found.add("from:capitals")
        if "@" in name:
            found.add("from:address-as-name")
        if re.search(r"[!$%*]", name):
            found.add("from:sign")
        if re.search(r"\d", name):
            found.add("from:digit")
        if local:
            same = any(word in local or local[:4] in word for word in _LETTERS.findall(name))
            found.add("from:name-in-address" if same else "from:name-not-in-address")
    digits = sum(char.isdigit() for char in local)
    if digits:
        found.add(f"from:digits{step(digits, 3)}")
    if facts.from_domain in FREE_MAIL:
        found.add("from:free-mail")
    if facts.from_domain.rpartition(".")[2] in _GIVEN_AWAY:
        found.add("from:given-away")
    if facts.reply_domain:
        same = organizational(facts.reply_domain) == organizational(facts.from_domain or "-")
        found.add("reply:own" if same else "reply:elsewhere")
        if facts.reply_domain in FREE_MAIL:
            found.add("reply:free-mail")


def _date(facts: Facts, found: set[str]) -> None:
    value = facts.mail.header("date")[:100]
    if not value:
        return
    try:
        parsed = parsedate_tz(value)
    except (ValueError, IndexError, OverflowError):
        parsed = None
    if parsed is None:
        found.add("date:malformed")
    elif parsed[9] is None:
        found.add("date:no-zone")
    elif parsed[9] % 1800:
        found.add("date:odd-zone")
    if not _DAY.match(value):
        found.add("date:no-day")
    if not _DATE.fullmatch(value):
        found.add("date:form")


def _form(facts: Facts, found: set[str]) -> None:
    parts = [part for part in facts.mail.parts if not part.gap]
    kind = facts.mail.header("content-type").lower().strip().partition(";")[0].strip()
    found.add(f"type:{kind[:30]}")
    for part in parts:
        found.add(f"part:{part.content_type[:30]}")
        if part.charset:
            found.add(f"charset:{part.charset.lower()[:16]}")
        if part.content_type.startswith("text/"):
            found.add(f"encoding:{part.content_type[5:20]}:{part.encoding[:16]}")
    found.update(f"defect:{defect.code}" for defect in facts.mail.defects)
    plain = facts.plain.strip()
    found.add("body:html-only" if facts.html and not plain else "body:both" if facts.html else "body:plain")
    if not facts.html:
        return
    found.update(f"tag:{name[:16]}" for name in facts.tags)
    found.add(f"html:images{step(facts.tags.get('img', 0), 6)}")
    found.add(f"html:text{min(9, int(10 * len(facts.words) / len(facts.html)))}")
    found.update(f"look:{name}" for name, pattern in _LOOKS.items() if pattern.search(facts.html))
    if "<html" not in facts.html:
        found.add("look:fragment")


def _subject(facts: Facts, found: set[str]) -> None:
    shown = facts.subject
    words = _LIST_TAG.sub("", shown.lower())
    answer = _ANSWER.match(words)
    if answer:
        found.add("subject:answer")
        words = words[answer.end() :]
    found.update(f"subject:{_word(word)}" for word in _WORD.findall(words))
    letters = [char for char in shown if char.isalpha()]
    if letters:
        found.add(f"subject:capitals{min(4, int(sum(char.isupper() for char in letters) / len(letters) * 5))}")
    for sign in "!?":
        if sign in shown:
            found.add(f"subject:{sign}")
    if _TRAILING_CODE.search(shown):
        found.add("subject:code")
    if not shown.isascii():
        found.add("subject:not-ascii")
    if b"=?" in next(iter(facts.mail.values("subject")), b""):
        found.add("subject:encoded")
    found.add(f"subject:length{min(7, len(shown) // 10)}")


def _body(facts: Facts, found: set[str]) -> None:
    found.add(f"body:length{step(len(facts.words), 12)}")
    words = [_word(word) for word in _WORD.findall(_NO_WORDS.sub(" ", facts.words))[:WORDS]]
    different = set(words)
    found.update(f"word:{word}" for word in different)
    found.update(f"two:{first} {second}" for first, second in set(itertools.pairwise(words)))
    found.add(f"body:variety{10 * len(different) // max(1, len(words))}")
    head = facts.mail.text[:20_000]
    letters = sum(map(str.isalpha, head))
    if letters > _LONG:
        found.add(f"body:capitals{min(6, int(sum(map(str.isupper, head)) / letters * 20))}")
    shouts = facts.words.count("!")
    if shouts:
        found.add(f"body:!{step(shouts, 5)}")
    if _QUOTE.search(facts.mail.text):
        found.add("body:quotes")
    if _SIGNATURE.search(facts.mail.text):
        found.add("body:signature")


def _links(facts: Facts, found: set[str]) -> None:
    own = organizational(facts.from_domain) if facts.from_domain else "-"
    domains = [organizational(host) for host in (link.host for link in facts.links)]
    found.add(f"link:n{step(len(domains), 6)}")
    found.add(f"link:hosts{step(len({link.host for link in facts.links}), 4)}")
    if domains:
        found.add(f"link:own{4 * sum(domain == own for domain in domains) // len(domains)}")
        found.add("link:one-domain" if len(set(domains)) == 1 else "link:domains")
        found.add("link:to-sender" if own in domains else "link:never-to-sender")
    for link, domain in zip(facts.links, domains, strict=True):
        if re.fullmatch(r"[\d.]+", link.host):
            found.add("link:address")
        if _URL_PORT.match(link.url):
            found.add("link:port")
        found.update(f"link:{sign}" for sign in "?@%" if sign in link.url)
        if link.shown and organizational(link.shown) != domain:
            found.add("link:lies")
        after = link.url[:500].lower().partition("//")[2].partition("/")[2]
        found.update(f"link:{word}" for word in _LETTERS.findall(after) if word in _URL_WORDS)
    if "mailto:" in facts.words or "mailto:" in facts.html:
        found.add("link:mailto")


def _word(word: str) -> str:
    first = word[0]
    if first.isdigit():
        return "9%" if word.endswith("%") else f"9{min(6, len(word))}"
    if first == "$":
        return f"${min(7, sum(char.isdigit() for char in word))}"
    return "!!" if first == "!" else word
