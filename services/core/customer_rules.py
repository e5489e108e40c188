"""The rules of a customer's policy as an operator writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from schemas.events import Action, Group, Match, Rule, Status
from services.core.address import parse, parse_domain
from services.core.directory_groups import DIRECTORY, NAME
from services.core.errors import BadAddress
from services.core.sizes import size
from services.core.tree import Entries, Place, quoted

RULES_MOST: Final = 200  # of one customer: each is looked at for each recipient
TAG_LIMIT: Final = 60  # characters before a subject
STAMP_LIMIT: Final = 500  # characters below a text: each message of the rule carries them in its events
STRIP_MOST: Final = 50  # kinds of attachments of one rule
STRIP_LIMIT: Final = 100  # characters of one
HEADER_LIMIT: Final = 500  # characters of a header's value
SCORE_MOST: Final = 10_000.0
SIZE_MOST: Final = 157_286_400  # octets; the largest message that any customer may take
GROUP: Final = "group:"  # before a group's name, where recipients are named
GROUPS_MOST: Final = 100
MEMBERS_MOST: Final = 1_000  # of one group
COPIES_MOST: Final = 10  # addresses of one rule that get a copy, or are told

_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SCANNER: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
# A message has one of these at most (RFC 5322 section 3.6), or they are signed, or they are ours to write.
_TAKEN: Final = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "in-reply-to", "references", "subject"}
    | {"received", "return-path", "dkim-signature", "authentication-results", "mime-version"}
)
_TAKEN_PREFIXES: Final = ("content-", "resent-", "arc-", "x-gatepost")
_STATUSES: Final = {status.value: status for status in Status if status is not Status.GONE}
_ACTIONS: Final = {action.value: action for action in Action}
_GROUP: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FILE: Final = re.compile(r"\.?[a-z0-9][a-z0-9_-]{0,38}")
_AUTH: Final = re.compile(r"(?:spf|dkim|dmarc|arc)=(?:pass|fail|softfail|neutral|none|policy|temperror|permerror)")
_YES: Final = {"yes": True, "true": True, "no": False, "false": False}
_PATTERN: Final = re.compile(r"[^\x00-\x1f\x7f/\\]*[*?][^\x00-\x1f\x7f/\\]*")
_RULE: Final = (
    "name", "off", "when", "then", "tag_subject", "add_headers", "redirect_to", "stamp", "strip", "bcc", "notify",
)  # fmt: skip


def parse_groups(place: Place, domains: Collection[str]) -> tuple[Group, ...]:
    """Return the groups of recipients, by name and in the order written; raise ConfigError for what is none."""
    found: dict[str, Group] = {}
    for key, value in place.pairs():
        name = _shaped(key, _GROUP, "the name of a group: a-z, 0-9 and -")
        if name in found:
            raise key.wrong(f"{name} is given twice")
        members = _some(value)
        if len(members) > MEMBERS_MOST:
            raise value.wrong(f"{len(members)} members, and {MEMBERS_MOST} is the most")
        found[name] = Group(name=name, members=tuple(dict.fromkeys(whom(each, domains) for each in members)))
    if len(found) > GROUPS_MOST:
        raise place.wrong(f"{len(found)} groups, and {GROUPS_MOST} is the most")
    return tuple(found.values())


def parse_rules(
    place: Place,
    domains: Collection[str] | None,
    senders: Collection[str] | None = None,
    groups: Collection[str] = (),
) -> tuple[Rule, ...]:
    """Return the rules in the order written; raise ConfigError for the first that means nothing or never applies.

    `domains` are those that recipients may be in, `senders` those of senders; None: any. `groups` are their names.
    """
    places = place.items("a list of rules")
    if len(places) > RULES_MOST:
        raise place.wrong(f"{len(places)} rules, and {RULES_MOST} is the most")
    rules: list[Rule] = []
    for each in places:
        rule = _rule(each, domains, senders, groups)
        if any(rule.name == other.name for other in rules):
            raise each.wrong(f"another rule is named {quoted(rule.name)}, and the trace would not tell them apart")
        rules.append(rule)
    return tuple(rules)


def _rule(
    place: Place, domains: Collection[str] | None, senders: Collection[str] | None, groups: Collection[str]
) -> Rule:
    fields = place.fields(*_RULE, required=["name"])
    rule = Rule(
        name=fields["name"].text(100),
        when=_match(fields["when"], domains, senders, groups) if "when" in fields else Match(),
        action=fields["then"].choice(_ACTIONS) if "then" in fields else None,
        tag_subject=fields["tag_subject"].text(TAG_LIMIT) if "tag_subject" in fields else "",
        add_headers=_headers(fields["add_headers"]) if "add_headers" in fields else (),
        redirect_to=_address(fields["redirect_to"]) if "redirect_to" in fields else "",
        bcc=_copied(fields["bcc"]) if "bcc" in fields else (),
        notify=_copied(fields["notify"]) if "notify" in fields else (),
        stamp=fields["stamp"].text(STAMP_LIMIT) if "stamp" in fields else "",
        strip=_stripped(fields["strip"]) if "strip" in fields else (),
        off=fields["off"].choice(_YES) if "off" in fields else False,
    )
    changes = rule.tag_subject or rule.add_headers or rule.redirect_to or rule.bcc or rule.stamp or rule.strip
    if rule.action is None and not changes and not rule.notify:
        raise place.wrong(f"a rule that does nothing: {', '.join(_RULE[3:-1])} and {_RULE[-1]} are all missing")
    if rule.action is Action.DELETE and changes:
        raise place.wrong("a rule that deletes a message changes nothing in it")
    return rule


def _match(
    place: Place, domains: Collection[str] | None, senders: Collection[str] | None, groups: Collection[str]
) -> Match:
    fields = place.fields(*Match.__struct_fields__)
    if not fields:
        raise place.wrong("no condition; leave `when` out of a rule that always applies")
    if "scanner" in fields and not fields.keys() & {"status", "min_score", "evidence"}:
        raise fields["scanner"].wrong("says which scanner is meant, but not what it found")
    one: dict[str, Callable[[Place], object]] = {
        "scanner": lambda at: _shaped(at, _SCANNER, "a scanner's name, such as virus"),
        "min_score": lambda at: at.number(-SCORE_MOST, SCORE_MOST),
        "min_size": lambda at: size(at, 1, SIZE_MOST),
        "max_size": lambda at: size(at, 1, SIZE_MOST),
    }
    each: dict[str, Callable[[Place], object]] = {
        "status": lambda at: at.choice(_STATUSES),
        "evidence": lambda at: _shaped(at, _CODE, "a code, such as DMARC_REJECT"),
        "auth": lambda at: _shaped(at, _AUTH, "a result such as dmarc=fail"),
        "attachments": lambda at: _shaped(at, _FILE, "an ending such as .exe, or a type such as zip, in lower case"),
        "recipients": lambda at: _recipient(at, domains, groups),
        "senders": lambda at: whom(at, senders),
    }
    found = {name: one[name](at) if name in one else tuple(map(each[name], _some(at))) for name, at in fields.items()}
    match = msgspec.structs.replace(Match(), **found)
    if match.min_size is not None and match.max_size is not None and match.min_size > match.max_size:
        raise place.wrong("min_size is above max_size, so the rule never applies")
    return match


def _some(place: Place) -> list[Place]:
    members = place.members()
    if not members:
        raise place.wrong("an empty list, which nothing matches")
    return members


def _shaped(place: Place, shape: re.Pattern[str], what: str) -> str:
    text = place.text()
    if not shape.fullmatch(text):
        raise place.wrong(f"{quoted(text)} is not {what}")
    return text


def _recipient(place: Place, domains: Collection[str] | None, groups: Collection[str]) -> str:
    text = place.text()
    if text.startswith(DIRECTORY):
        if not NAME.fullmatch(text.removeprefix(DIRECTORY)):
            raise place.wrong(f"{quoted(text)} is not directory:NAME, a name of a-z, 0-9 and -")
        return text
    if not text.startswith(GROUP):
        return whom(place, domains)
    if text.removeprefix(GROUP) not in groups:
        raise place.wrong(f"{quoted(text)} is none of this customer's groups")
    return text


def whom(place: Place, domains: Collection[str] | None) -> str:
    """Return an address or @domain; one that is in none of `domains` would never match."""
    text = place.text()
    try:
        whom = f"@{parse_domain(text[1:])}" if text.startswith("@") else str(parse(text))
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is neither an address nor @domain: {error}") from error
    if domains is not None and whom.rpartition("@")[2] not in domains:
        raise place.wrong(f"{quoted(text)} is in none of this customer's domains, so the rule never applies")
    return whom


def _address(place: Place) -> str:
    text = place.text()
    try:
        return str(parse(text))
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is not an address: {error}") from error


def _copied(place: Place) -> tuple[str, ...]:
    members = _some(place)
    if len(members) > COPIES_MOST:
        raise place.wrong(f"{len(members)} addresses, and {COPIES_MOST} is the most")
    return tuple(dict.fromkeys(_address(each) for each in members))


def _stripped(place: Place) -> tuple[str, ...]:
    members = _some(place)
    if len(members) > STRIP_MOST:
        raise place.wrong(f"{len(members)} kinds of attachments, and {STRIP_MOST} is the most")
    return tuple(dict.fromkeys(_attachment(each) for each in members))


def _attachment(place: Place) -> str:
    text = place.text(STRIP_LIMIT)
    if not _FILE.fullmatch(text) and not _PATTERN.fullmatch(text):
        raise place.wrong(
            f"{quoted(text)} is none of all, dangerous, sealed, an ending such as .exe, a type such as zip in lower "
            "case, or a pattern of names such as invoice*.doc?"
        )
    return text


def _headers(place: Place) -> tuple[tuple[str, str], ...]:
    if not isinstance(place.node, Entries):
        raise place.wrong("expected a mapping of header names to values")
    found: dict[str, tuple[str, str]] = {}
    for key, value in place.pairs():
        name = key.text()
        if not _HEADER.fullmatch(name):
            raise key.wrong(f"{quoted(name)} is not the name of a header field")
        folded = name.lower()
        if folded in _TAKEN or folded.startswith(_TAKEN_PREFIXES):
            raise key.wrong(f"{name} is not a header that a rule may add")
        if folded in found:
            raise key.wrong(f"{name} is given twice")
        found[folded] = (name, value.text(HEADER_LIMIT))
    if not found:
        raise place.wrong("no header in it")
    return tuple(found.values())
