"""Which of a customer's recipients a trial is for. Pure."""

from __future__ import annotations

from schemas.events import Customer

UNTRIED = "trial"  # the rule under which mail for the others passes


def tries(customer: Customer, recipient: str) -> bool:
    """Return whether the customer tries us on this recipient's mail; whoever isn't on trial does on everybody's.

    Mail for the others passes as if we weren't there: it is relayed, whatever it holds.
    """
    if not customer.trial.recipients:
        return True
    folded = recipient.casefold()
    return folded in customer.trial.recipients or f"@{folded.rpartition('@')[2]}" in customer.trial.recipients
