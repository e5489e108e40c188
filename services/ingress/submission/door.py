"""The door for what goes out: from our customers' clients, for anybody."""

from __future__ import annotations

from schemas.events import Direction
from services.core.canonical import Decoder
from services.core.direction import plan_of
from services.core.directory import DirectoryView
from services.ingress import decide
from services.ingress.submission import decide as rules
from services.ingress.submission.config import SubmissionConfig
from services.ingress.submission.guards import SubmissionGuards, Submitter
from services.ingress.visitor import Visitor


class Submission:
    """A `services.ingress.door.Door`."""

    def __init__(self, config: SubmissionConfig, directory: DirectoryView, guards: SubmissionGuards) -> None:
        self._config = config
        self._directory = directory
        self._guards = guards

    def offers(self, client: decide.Client) -> list[str]:
        """See Door. A password is taken only where nobody on the way can read it."""
        return [] if client.tls is None else ["AUTH PLAIN LOGIN"]

    def sender(self, argument: str, visitor: Visitor) -> decide.Sender | decide.Refusal:
        """See Door."""
        if not isinstance(visitor, Submitter):
            raise TypeError(f"submission does not know {type(visitor).__name__}")
        found = rules.sender(argument, visitor.customers(), visitor.submitter, self._directory, self._config)
        if isinstance(found, decide.Refusal):
            return found
        guards = self._guards
        return guards.stopped(found, visitor.account) or guards.too_much(visitor.ip, found) or found

    def recipient(
        self,
        argument: str,
        sender: decide.Sender,
        accepted: int,
        visitor: Visitor,  # noqa: ARG002  # known by MAIL
    ) -> decide.Accepted | decide.Refusal:
        """See Door."""
        return rules.recipient(argument, sender, accepted, self._directory, self._config)

    def content(self, decoder: Decoder, sender: decide.Sender) -> decide.Refusal | None:
        """See Door."""
        if sender.owner is None:
            raise TypeError("a sender without an owner")
        return rules.content(decoder, sender.owner)

    def plan(self, plan: tuple[str, ...]) -> tuple[str, ...]:
        """See Door."""
        return plan_of(Direction.OUTBOUND, plan)
