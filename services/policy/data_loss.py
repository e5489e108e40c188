"""Data-loss rules as policy applies them: the scanner says which are met, and each becomes one rule here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.events import Action, Audit, Branch, DataRule, Disposition, Match, Outbound, Received, Rule, Verdict
from services.core.administrators import administrators
from services.core.data_loss import BLOCK, ENCRYPT, QUARANTINE, code_of
from services.core.direction import outbound

SCANNER: Final = "dlp"

_ENDS: Final[Mapping[str, Action]] = {BLOCK: Action.DELETE, QUARANTINE: Action.QUARANTINE}


def rules_of(settings: Outbound, sender: str) -> tuple[Rule, ...]:
    """Return the customer's data-loss rules; they come before its others, which could let out what they stop.

    `sender` is the reverse-path, whose postmaster is told where the customer names nobody.

    Those that stop a message come first: a rule that only copies must not be what is told of it.
    """
    told = administrators(settings, sender)
    return tuple(_rule(rule, told) for rule in sorted(settings.data_loss, key=lambda rule: rule.then not in _ENDS))


def unasked(received: Received, settings: Outbound) -> tuple[str, ...]:
    """Return the scanner whose answer the rules need, where the message's plan was made without it."""
    wanted = settings.data_loss and outbound(received) and SCANNER not in received.plan
    return (SCANNER,) if wanted else ()


def _rule(rule: DataRule, told: tuple[str, ...]) -> Rule:
    action = _ENDS.get(rule.then)
    return Rule(
        name=rule.name,
        when=Match(scanner=SCANNER, evidence=(code_of(rule),), senders=rule.senders, recipients=rule.recipients),
        action=action,
        refuse=rule.then == BLOCK,
        encrypt=rule.then == ENCRYPT,
        bcc=rule.bcc,
        notify=told if action is not None else (),
    )


def audited(disposition: Disposition, verdicts: tuple[Verdict, ...]) -> tuple[Audit, ...]:
    """Return a line for the auditors for each data-loss rule that was met, with what the scanner says: masked."""
    if not outbound(disposition.received):
        return ()
    met = [piece for verdict in verdicts if verdict.scanner == SCANNER for piece in verdict.evidence]
    return tuple(
        Audit(
            customer=disposition.received.customer,
            what="data-loss",
            subject=f"{disposition.received.id} {piece.code}: {piece.text} ({_did(disposition.branches)})",
            by="policy",
            at=disposition.decided_at,
        )
        for piece in met
    )


def _did(branches: tuple[Branch, ...]) -> str:
    did = ("blocked" if each.refuse else "encrypt" if each.encrypt else each.action.value for each in branches)
    return ", ".join(dict.fromkeys(did))
