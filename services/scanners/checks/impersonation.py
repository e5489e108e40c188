"""Who a message pretends to come from: protected persons, brands, the customer's own and its partners' domains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import disarm

from schemas.events import Evidence
from services.core.contacts import digest
from services.scanners import facts
from services.scanners.auth.dmarc import aligned
from services.scanners.auth.evaluate import Authentication, authenticate
from services.scanners.contract import Context, Cost, Finding, Port, Spec
from services.scanners.correspondence import pairs, readers, refers
from services.scanners.lookalike import Guarded, Kind, compare, guarded, skeleton
from services.scanners.mail import Mail
from services.scanners.persons import names, tokens
from services.scanners.text import clean
from services.scanners.urls import judge
from services.scanners.urls.known import FREE_MAIL, LURES, ROLES
from services.scanners.urls.url import domain_of, shown

SPEC: Final = Spec(name="impersonation", version="2", cost=Cost.CPU, timeout=10.0, ports=frozenset({Port.DNS}))

_ENGINE: Final = "gatepost-impersonation 1"
_ADDRESS: Final = re.compile(r"[\w.+-]{1,64}@((?:[\w-]{1,63}\.){1,5}[a-z]{2,24})", re.IGNORECASE)
_DOMAIN: Final = re.compile(r"(?<![\w@.-])((?:[\w-]{1,63}\.){1,4}[a-z]{2,24})(?![\w.-])", re.IGNORECASE)
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0]"
)
_STYLED: Final = re.compile("[\U0001d400-\U0001d7ff\uff21-\uff5a\u24b6-\u24e9]")
_NAME_LIMIT: Final = 300
_PERSON_WORDS: Final = range(2, 4)
_OWN_SPOOFED: Final = 6.0
_PERSON: Final = 6.0
_CERTAIN: Final = 7.0  # a house of that size has its own mailboxes


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return PHISHING, SUSPICIOUS or CLEAN by whom the header says the message comes from."""
    sender = Sender(mail)
    found = [*_of_names(sender, ctx), *_of_domains(sender, ctx)]
    if sender.domain and _within(sender.domain, ctx.briefing.domains):
        who = await authenticate(mail, ctx.dns, ctx.clock, ctx.arc_sealers, ctx.briefing.forwarders)
        found.extend(_of_own(sender, who))
    found.sort(key=lambda item: -item.score)
    evidence = tuple({item.code: item for item in reversed(found)}.values())
    return Finding(
        status=judge.status(evidence),
        score=round(sum(item.score for item in evidence), 2),
        evidence=tuple(sorted(evidence, key=lambda item: -item.score)),
        engine=_ENGINE,
        contact=digest(ctx.briefing.salt, sender.address) if ctx.briefing.salt and sender.registered else "",
        refers=refers(mail, ctx.briefing.salt) if ctx.briefing.sends else (),
        pairs=pairs(mail, sender.address, ctx.briefing.salt) if ctx.briefing.sends else (),
        readers=readers(mail, ctx.briefing.salt) if ctx.briefing.sends else (),
    )


class Sender:
    """What the header says of the sender; everything bounded."""

    def __init__(self, mail: Mail) -> None:
        name, address = facts.mailbox(next(iter(mail.values("from")), b""))
        self.name = name[:_NAME_LIMIT]
        self.address = address.lower()
        self.domain = _domain(address)
        self.registered = domain_of(self.domain) if self.domain else ""
        self.reply_name, reply = facts.mailbox(next(iter(mail.values("reply-to")), b""))
        self.reply = reply.lower()
        self.reply_domain = _domain(reply)
        self.reply_registered = domain_of(self.reply_domain) if self.reply_domain else ""
        self.listed = bool(mail.values("list-id") or mail.values("list-post") or mail.values("mailing-list"))
        self.envelope = _domain(mail.received.envelope.reverse_path)

    @property
    def free(self) -> bool:
        return self.domain in FREE_MAIL

    @property
    def person_like(self) -> bool:
        """Return whether the display name is like a person's, and not like a department's."""
        words = tokens(self.name)
        return len(words) in _PERSON_WORDS and not ROLES.intersection(words) and all(word.isalpha() for word in words)


def _domain(address: str) -> str:
    domain = address.rpartition("@")[2].strip().rstrip(".").lower() if "@" in address else ""
    if domain.isascii():
        return domain[:255]
    try:
        return domain[:255].encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def _within(domain: str, domains: Iterable[str]) -> bool:
    return any(domain == own or domain.endswith(f".{own}") for own in domains)


def _of_names(sender: Sender, ctx: Context) -> Iterator[Evidence]:
    own = ctx.briefing.domains
    if not _within(sender.domain, own):
        yield from _person(sender, ctx)
        yield from _brand(sender, guarded(ctx.briefing))
    yield from _other_address(sender, guarded(ctx.briefing))
    yield from _letters(sender)
    yield from _reply(sender, own)


def _person(sender: Sender, ctx: Context) -> Iterator[Evidence]:
    match = names(ctx.briefing).match(sender.name)
    if match is None or sender.address in match.person.addresses:
        return
    who = clean(match.person.name, 60)
    if match.exact:
        score = 2.0 if sender.listed else _PERSON
        text = f"the name of {who}, who is protected, from a stranger's address at {shown(sender.domain)}"
        yield Evidence(code="PERSON_NAME", text=text, score=score)
    else:
        text = f"nearly the name of {who}, who is protected, from an address at {shown(sender.domain)}"
        yield Evidence(code="PERSON_NAME_NEARLY", text=text, score=0.5 if sender.listed else 2.5)
        if sender.listed:
            return
    if sender.free or sender.reply_domain in FREE_MAIL:
        where = sender.domain if sender.free else sender.reply_domain
        text = f"a protected person's name, and a free mailbox at {shown(where)}"
        yield Evidence(code="PERSON_FREE_MAIL", text=text, score=2.0)


def _brand(sender: Sender, guard: Guarded) -> Iterator[Evidence]:
    if sender.listed or not sender.name or sender.domain in guard.allowed:
        return
    words = tokens(sender.name)
    joined = "".join(words)
    for label, (known, domains, brand) in guard.labels.items():
        if not brand or label not in joined:
            continue
        if not sender.free and _within(sender.domain, domains):
            continue  # anybody may have a mailbox at gmail.com: that isn't Google's word
        if sender.registered.partition(".")[0] == label or not _says(label, words):
            continue
        alone = [word for word in words if word not in label]
        score = 5.0 if all(word in ROLES or word in LURES for word in alone) else 1.0
        if score > 1 and (sender.free or sender.reply_domain in FREE_MAIL):
            score = _CERTAIN
        text = f"the name {clean(known, 40)} from {shown(sender.domain)}, which is not of that house"
        yield Evidence(code="BRAND_NAME", text=text, score=score)
        return


def _says(label: str, words: list[str]) -> bool:
    """Return whether the words hold the label: as one of them, or as some that stand together."""
    return any(
        "".join(words[start:end]) == label
        for start in range(len(words))
        for end in range(start + 1, min(len(words), start + 3) + 1)
    )


def _other_address(sender: Sender, guard: Guarded) -> Iterator[Evidence]:
    if not sender.registered:
        return
    for found in _ADDRESS.finditer(sender.name):
        other = domain_of(found.group(1).lower())
        if other != sender.registered and not sender.listed:
            score = 5.0 if guard.owned(other) else 2.5
            text = f"the name is an address at {shown(other)}, the sender's is at {shown(sender.domain)}"
            yield Evidence(code="NAME_HOLDS_ADDRESS", text=text, score=score)
            return
    for found in _DOMAIN.finditer(sender.name):
        other = domain_of(found.group(1).lower())
        if other != sender.registered and guard.owned(other) and not guard.owned(sender.domain):
            text = f"the name is {shown(other)}, and the sender is at {shown(sender.domain)}"
            yield Evidence(code="NAME_HOLDS_DOMAIN", text=text, score=4.0)
            return


def _letters(sender: Sender) -> Iterator[Evidence]:
    if sender.name.isascii():
        return
    if _INVISIBLE.search(sender.name):
        yield Evidence(code="NAME_INVISIBLE", text="the sender's name holds letters that can't be seen", score=1.5)
    if _STYLED.search(sender.name):
        yield Evidence(code="NAME_STYLED", text="the sender's name is in letters made to pass filters", score=1.5)
    words = re.findall(r"[^\W\d_]{3,}", sender.name)
    if any(not word.isascii() and disarm.is_mixed_script(word) and skeleton(word).isascii() for word in words):
        yield Evidence(code="NAME_MIXED_SCRIPT", text="a word of the sender's name mixes alphabets", score=3.0)


def _reply(sender: Sender, own: tuple[str, ...]) -> Iterator[Evidence]:
    if not sender.reply_registered or sender.reply_registered == sender.registered or sender.listed:
        return
    if _within(sender.domain, own) and not _within(sender.reply_domain, own):
        text = f"From is at your own {shown(sender.domain)}, and answers go to {shown(sender.reply_domain)}"
        yield Evidence(code="REPLY_TO_LEAVES", text=text, score=3.0)
    elif sender.reply_domain in FREE_MAIL and not sender.free:
        score = 2.0 if sender.person_like else 1.5
        text = f"From is at {shown(sender.domain)}, and answers go to a free mailbox at {shown(sender.reply_domain)}"
        yield Evidence(code="REPLY_TO_FREE", text=text, score=score)
    elif sender.free and sender.reply_domain in FREE_MAIL:
        text = f"answers go to another free mailbox, at {shown(sender.reply_domain)}"
        yield Evidence(code="REPLY_TO_OTHER_FREE", text=text, score=1.5)


_COUSINS: Final = {  # kind: score for a brand, score for the customer's own and partners' domains
    Kind.LETTERS: (8.0, 8.0),
    Kind.INSIDE: (6.0, 8.0),
    Kind.LURE: (6.0, 6.0),
    Kind.SLIP: (3.0, 6.0),
    Kind.NAMED: (1.0, 3.0),
    Kind.SUFFIX: (2.0, 4.0),
}


def _of_domains(sender: Sender, ctx: Context) -> Iterator[Evidence]:
    guard = guarded(ctx.briefing)
    places = (("sender's", sender.domain), ("answers'", sender.reply_domain), ("envelope's", sender.envelope))
    seen: set[str] = set()
    for whose, domain in places:
        if not domain or domain in seen:
            continue
        seen.add(domain)
        hit = compare(domain, guard)
        if hit is None:
            continue
        score = _COUSINS[hit.kind][0 if hit.brand else 1]
        weaker = whose == "envelope's" or (hit.kind in {Kind.NAMED, Kind.SUFFIX} and sender.listed)
        code = "BRAND_DOMAIN" if hit.brand else "COUSIN_DOMAIN"
        text = f"the {whose} domain {shown(domain)} is like {shown(hit.guarded)}, {hit.kind.value}"
        yield Evidence(code=code, text=clean(text), score=score / 2 if weaker else score)


def _of_own(sender: Sender, who: Authentication) -> Iterator[Evidence]:
    """A message from outside that says it is from the customer itself, and nothing speaks for it."""
    if who.dmarc.result in {"pass", "temperror"} or who.forwarded:
        return
    own = who.dmarc.domain or sender.domain
    results = [(item.domain, item.result) for item in who.dkim] + [(who.spf.domain, who.spf.result)]
    if any(result == "temperror" for _, result in results):
        return
    if any(result == "pass" and aligned(domain, own, strict=False) for domain, result in results):
        return
    text = f"From is at your own {shown(sender.domain)}, and neither SPF nor DKIM speaks for it"
    yield Evidence(code="OWN_DOMAIN_SPOOFED", text=text, score=1.5 if sender.listed else _OWN_SPOOFED)
