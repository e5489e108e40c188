"""What approved and blocked senders change in a decision. Pure.

An approved sender is one of whom we don't believe that it sends spam: scores and the word spam don't count, and every
other rule of the customer does. It never stands against a virus or phishing: accounts are taken over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from schemas.events import Action, Branch, Customer, Status, Verdict
from services.core.senders import Listed, authenticated

APPROVED: Final = "approved-sender"
BLOCKED: Final = "blocked-sender"

_SEVERE: Final = frozenset({Status.VIRUS, Status.PHISHING})
_SPAM: Final = frozenset({Status.SPAM, Status.SUSPICIOUS})

Lists = Callable[[str], Listed | None]  # a recipient → the entry that counts for the message's sender


def severe(answers: Mapping[str, Verdict]) -> bool:
    """Return whether a scanner found what no list may overrule."""
    return any(verdict.status in _SEVERE for verdict in answers.values())


def counts(customer: Customer, reverse_path: str, answers: Mapping[str, Verdict]) -> bool:
    """Return whether an approval holds: the sender is who it says, or the customer does not ask."""
    if customer.approve_unauthenticated:
        return True
    return authenticated(reverse_path, (pair for verdict in answers.values() for pair in verdict.results))


def without_spam(answers: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Return the answers as they would be if nobody had said spam."""
    return {
        name: msgspec.structs.replace(
            verdict,
            status=Status.CLEAN if verdict.status in _SPAM else verdict.status,
            score=min(verdict.score, 0.0),
        )
        for name, verdict in answers.items()
    }


def approved(branch: Branch, listed: Listed) -> Branch:
    """Return the branch with the list as its reason, where it was the list that let it through."""
    if branch.action is not Action.DELIVER:
        return branch
    return msgspec.structs.replace(
        branch, rule=APPROVED, reason=f"{listed.entry.sender} is approved for {listed.scope}"
    )


def blocked(branch: Branch, listed: Listed) -> Branch:
    """Return the branch, held where the rules would have let it through."""
    if branch.action is not Action.DELIVER:
        return branch
    return msgspec.structs.replace(
        branch,
        action=Action.QUARANTINE,
        rule=BLOCKED,
        reason=f"{listed.entry.sender} is blocked for {listed.scope}",
    )
