"""Whose matter a branch is. Pure."""

from __future__ import annotations

from schemas.events import Action, Branch


def deals(branch: Branch) -> Action:
    """Return the action whose service gives the branch's recipients their outcome.

    A refusal is delivery's, which tells senders of all that fails. It is no DELIVER itself: a delivery of before there
    were refusals would send it.
    """
    return Action.DELIVER if branch.refuse else branch.action
