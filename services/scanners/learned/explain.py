"""What moved the classifier, in words for a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

_KINDS: Final = {
    "word": "words of the text",
    "two": "words in a row",
    "subject": "the subject",
    "has": "fields it has",
    "no": "fields it lacks",
    "from": "the sender",
    "reply": "Reply-To",
    "to": "To",
    "id": "the Message-ID's form",
    "mailer": "the mail program",
    "date": "the Date's form",
    "type": "its type",
    "part": "its parts",
    "charset": "its charset",
    "encoding": "its encoding",
    "defect": "defects of form",
    "body": "the text's form",
    "html": "the HTML's form",
    "tag": "HTML elements",
    "look": "the HTML's look",
    "link": "its links",
    "path": "the way it came",
    "return": "where bounces go",
    "list": "how to unsubscribe",
    "out": "links to unsubscribe",
    "address": "addresses it shows",
    "line": "how its lines look",
    "order": "the order of its fields",
    "size": "its size",
}
_GROUPS: Final = 4
_EACH: Final = 5


def in_words(shares: Mapping[str, float], *, spam: bool) -> str:
    """Return the features that spoke most for spam, or for ham, by kind; those of rules are told by the rules."""
    sign = 1.0 if spam else -1.0
    groups: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for name, share in shares.items():
        kind, _, value = name.partition(":")
        if share * sign > 0 and kind in _KINDS:
            groups[kind].append((share * sign, value))
    ordered = sorted(groups.items(), key=lambda item: (-sum(share for share, _ in item[1]), item[0]))[:_GROUPS]
    told = []
    for kind, values in ordered:
        values.sort(key=lambda item: (-item[0], item[1]))
        told.append(f"{_KINDS[kind]} ({', '.join(value for _, value in values[:_EACH])})")
    return "; ".join(told)
