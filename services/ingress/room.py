"""A budget of octets that all messages under way share, and what one of them has of it."""

from __future__ import annotations


class Budget:
    """So many octets may be held at a time. What goes over is known, never refused here: it is here already."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    @property
    def over(self) -> bool:
        """Whether more is held than should be."""
        return self.held > self.limit


class Room:
    """The octets that one message holds of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    def hold(self, octets: int) -> bool:
        """Say how many octets the message holds now; return whether all together keep within the budget."""
        self._budget.held += octets - self._held
        self._held = octets
        return not self._budget.over
