"""A rule as a form has it, and back. Pure. Lists are written one a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from services.console.caller import Refused
from services.console.policy_models import Condition, Policy, Rule

STATUSES: Final = ("suspicious", "spam", "phishing", "virus", "clean", "unavailable")
ACTIONS: Final = ("", "deliver", "quarantine", "delete")
_WHEN_LISTS: Final = ("evidence", "recipients", "senders", "auth", "attachments")
_WHEN_TEXTS: Final = ("scanner", "min_size", "max_size")

Values = Mapping[str, list[str]]  # what a form has in its fields


def values_of(rule: Rule, place: int) -> Values:
    """Return what the fields of the rule's form say."""
    when = rule.when
    score = "" if when.min_score is None else f"{when.min_score:g}"
    texts = {
        "name": rule.name,
        "on": "" if rule.off else "yes",
        "place": str(place),
        "min_score": score,
        "then": rule.then,
        "tag_subject": rule.tag_subject,
        "headers": "\n".join(f"{name}: {value}" for name, value in rule.add_headers.items()),
        "redirect_to": rule.redirect_to,
        "stamp": rule.stamp,
        "strip": "\n".join(rule.strip),
        "bcc": "\n".join(rule.bcc),
        "notify": "\n".join(rule.notify),
        **{name: getattr(when, name) for name in _WHEN_TEXTS},
        **{name: "\n".join(getattr(when, name)) for name in _WHEN_LISTS},
    }
    return {"status": list(when.status), **{name: [said] for name, said in texts.items()}}


def new(places: int) -> Values:
    """Return the fields of a rule that is not there yet: last, where nothing that is there is changed by it."""
    return values_of(Rule.model_construct(name="", when=Condition()), places + 1)


def read(values: Values) -> Rule:
    """Return the rule that was filled in; raise Refused, or pydantic's ValidationError, for what none can say."""

    def field(name: str) -> str:
        return (values.get(name) or [""])[0]

    when = {
        "status": values.get("status", []),
        "min_score": field("min_score").strip() or None,
        **{name: field(name).strip() for name in _WHEN_TEXTS},
        **{name: lines(field(name)) for name in _WHEN_LISTS},
    }
    return Rule.model_validate(
        {
            "name": " ".join(field("name").split()),
            "off": field("on") != "yes",
            "when": when,
            "then": field("then"),
            "tag_subject": field("tag_subject"),
            "add_headers": _headers(field("headers")),
            "redirect_to": field("redirect_to").strip(),
            "stamp": " ".join(field("stamp").split()),
            "strip": lines(field("strip")),
            "bcc": lines(field("bcc")),
            "notify": lines(field("notify")),
        }
    )


def placed(policy: Policy, old: str, rule: Rule, place: str) -> list[Rule]:
    """Return the policy's rules with this one at its place, the first being 1, and without the one named `old`."""
    rules = without(policy, old)
    rules.insert(max(int(place) - 1, 0) if place.strip().isdecimal() else len(rules), rule)
    return rules


def without(policy: Policy, name: str) -> list[Rule]:
    """Return the policy's rules but for the one of this name."""
    return [rule for rule in policy.rules if rule.name != name]


def moved(policy: Policy, name: str, by: int) -> list[Rule]:
    """Return the policy's rules with one of them so many places further down."""
    rules = list(policy.rules)
    at = next((index for index, rule in enumerate(rules) if rule.name == name), None)
    if at is not None:
        rules.insert(max(0, at + by), rules.pop(at))
    return rules


def switched(policy: Policy, name: str, *, off: bool) -> list[Rule]:
    """Return the policy's rules with one of them switched off or on."""
    return [rule.model_copy(update={"off": off}) if rule.name == name else rule for rule in policy.rules]


def lines(text: str) -> list[str]:
    """Return what stands on the lines of a text, blanks around it and empty lines left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def named(text: str) -> list[tuple[str, list[str]]]:
    """Return the names, one a line, and what stands behind their colons, with commas between."""
    found = []
    for line in lines(text):
        name, _, rest = line.partition(":")
        found.append((name.strip(), [each.strip() for each in rest.split(",") if each.strip()]))
    return found


def listed(named: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return the text of which `named` makes this."""
    return "\n".join(f"{name}: {', '.join(rest)}" if rest else name for name, rest in named)


def _headers(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines(text):
        name, colon, value = line.partition(":")
        if not colon or name.strip() in found:
            raise Refused("rule.header", line=line[:100])
        found[name.strip()] = value.strip()
    return found
