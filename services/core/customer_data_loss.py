"""What an operator writes about data that must not leave a customer unseen.

data_loss:
  - name: cards
    numbers: [card, iban]
    then: block
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

import re2

from schemas.events import DataRule
from services.core.address import parse
from services.core.customer_rules import whom
from services.core.data_loss import ACTIONS, COPY, NUMBERS, QUARANTINE, compiled
from services.core.errors import BadAddress
from services.core.tree import Place, quoted

RULES_MOST: Final = 50
PATTERNS_MOST: Final = 50  # of one rule, as the next two
WORDS_MOST: Final = 2_000
FILES_MOST: Final = 2_000
PATTERN_LIMIT: Final = 500  # characters
WORD_LIMIT: Final = 100
OCTETS_MOST: Final = 262_144  # of all rules: a customer is one record of a topic
ADDRESSES_MOST: Final = 20
LEAST_MOST: Final = 1_000

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LETTER: Final = re.compile(r"\w")


def parse_data_loss(place: Place, domains: Collection[str]) -> tuple[DataRule, ...]:
    """Return the rules in the order written; raise ConfigError for the first that means nothing."""
    places = place.items("a list of rules")
    if len(places) > RULES_MOST:
        raise place.wrong(f"{len(places)} rules, and {RULES_MOST} is the most")
    rules: dict[str, DataRule] = {}
    for each in places:
        rule = _rule(each, domains)
        if rule.name in rules:
            raise each.wrong(f"another rule is named {rule.name}, and the trace would not tell them apart")
        rules[rule.name] = rule
    size = sum(len(text.encode()) for rule in rules.values() for text in (*rule.words, *rule.patterns, *rule.files))
    if size > OCTETS_MOST:
        raise place.wrong(f"words, patterns and files of all rules are {size} octets, and {OCTETS_MOST} is the most")
    return tuple(rules.values())


def _people(place: Place, domains: Collection[str]) -> tuple[str, ...]:
    """Return addresses in the customer's own domains; what they hear of is not for others."""
    members = place.members("a list of addresses")
    if len(members) > ADDRESSES_MOST:
        raise place.wrong(f"{len(members)} addresses, and {ADDRESSES_MOST} is the most")
    return tuple(dict.fromkeys(_person(each, domains) for each in members))


def _rule(place: Place, domains: Collection[str]) -> DataRule:
    fields = place.fields(*DataRule.__struct_fields__, required=["name", "then"])
    some = {
        "numbers": _all(lambda each: each.choice({name: name for name in NUMBERS}), len(NUMBERS)),
        "patterns": _all(_pattern, PATTERNS_MOST),
        "words": _all(_word, WORDS_MOST),
        "files": _all(_digest, FILES_MOST),
        "senders": _all(lambda each: whom(each, domains), ADDRESSES_MOST),
        "recipients": _all(lambda each: whom(each, None), ADDRESSES_MOST),
    }
    found = {name: read(fields[name]) for name, read in some.items() if name in fields}
    unread = (
        fields["unread"].choice({"yes": True, "true": True, "no": False, "false": False})
        if "unread" in fields
        else False
    )
    rule = DataRule(
        name=_name(fields["name"]),
        then=fields["then"].choice({name: name for name in ACTIONS}),
        unread=unread,
        at_least=fields["at_least"].integer(1, LEAST_MOST) if "at_least" in fields else 1,
        bcc=_people(fields["bcc"], domains) if "bcc" in fields else (),
        **found,
    )
    if not (rule.numbers or rule.patterns or rule.words or rule.files or rule.unread):
        raise place.wrong("looks for nothing: numbers, patterns, words, files and unread are all missing")
    if rule.then == COPY and not rule.bcc:
        raise place.wrong("a rule that copies needs bcc")
    if rule.then == QUARANTINE and rule.bcc:
        raise fields["bcc"].wrong("what is held can be read in the quarantine; bcc is for what goes out or is stopped")
    return rule


def _all(read: Callable[[Place], str], most: int) -> Callable[[Place], tuple[str, ...]]:
    def every(place: Place) -> tuple[str, ...]:
        members = place.members()
        if not members:
            raise place.wrong("an empty list, which nothing matches")
        if len(members) > most:
            raise place.wrong(f"{len(members)} entries, and {most} is the most")
        return tuple(dict.fromkeys(map(read, members)))

    return every


def _name(place: Place) -> str:
    text = place.text()
    if not _NAME.fullmatch(text):
        raise place.wrong(f"{quoted(text)} is no name: a letter, then at most 31 of a-z, 0-9 and -")
    return text


def _pattern(place: Place) -> str:
    text = place.text(PATTERN_LIMIT)
    try:
        pattern = compiled(text)
    except re2.error as error:
        raise place.wrong(f"{quoted(text)} is no RE2 expression: {_said(error)}") from error
    if pattern.search("") is not None:
        raise place.wrong(f"{quoted(text)} matches the empty text, and so every message")
    return text


def _said(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)


def _word(place: Place) -> str:
    text = place.text(WORD_LIMIT)
    if not _LETTER.search(text):
        raise place.wrong(f"{quoted(text)} holds no letter and no digit")
    return text


def _digest(place: Place) -> str:
    text = place.text().lower()
    if not _DIGEST.fullmatch(text):
        raise place.wrong(f"{quoted(text)} is not a SHA-256 in hex, as sha256sum prints it")
    return text


def _person(place: Place, domains: Collection[str]) -> str:
    text = place.text()
    try:
        address = parse(text)
    except BadAddress as error:
        raise place.wrong(f"{quoted(text)} is not an address: {error}") from error
    if address.domain not in domains:
        raise place.wrong(f"{quoted(text)} is in none of this customer's domains")
    return str(address)
