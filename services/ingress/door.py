"""What a door takes: whose mail, for whom, in what form. The MX is one, submission another: same session."""

from __future__ import annotations

from typing import Protocol

from schemas.events import Direction
from services.core.canonical import Decoder
from services.core.direction import plan_of
from services.core.directory import DirectoryView
from services.ingress import decide
from services.ingress.config import IngressConfig
from services.ingress.visitor import Visitor


class Door(Protocol):
    """Asked at each stage of a transaction. Answers at once: nothing here waits."""

    def offers(self, client: decide.Client) -> list[str]:
        """Return what EHLO offers beside the extensions that every door has."""
        ...

    def sender(self, argument: str, visitor: Visitor) -> decide.Sender | decide.Refusal:
        """Return the sender that MAIL names, or why it is refused."""
        ...

    def recipient(
        self, argument: str, sender: decide.Sender, accepted: int, visitor: Visitor
    ) -> decide.Accepted | decide.Refusal:
        """Return the recipient that RCPT names, or why it is refused; `accepted` were before it."""
        ...

    def content(self, decoder: Decoder, sender: decide.Sender) -> decide.Refusal | None:
        """Return why a message that has the form of one is refused all the same."""
        ...

    def plan(self, plan: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of the scanners have to answer."""
        ...


class Mx:
    """The front door: from anybody, for our customers."""

    def __init__(self, config: IngressConfig, directory: DirectoryView) -> None:
        self._config = config
        self._directory = directory

    def offers(self, client: decide.Client) -> list[str]:  # noqa: ARG002  # the same for all
        """See Door."""
        return []

    def sender(self, argument: str, visitor: Visitor) -> decide.Sender | decide.Refusal:  # noqa: ARG002  # as above
        """See Door."""
        return decide.sender(argument, self._directory, self._config)

    def recipient(
        self, argument: str, sender: decide.Sender, accepted: int, visitor: Visitor
    ) -> decide.Accepted | decide.Refusal:
        """See Door."""
        path = sender.reverse_path
        admits = lambda customer: visitor.admitted(customer, path)  # noqa: E731  # it is what `decide` asks
        return decide.recipient(argument, sender, accepted, self._directory, self._config, admits)

    def content(self, decoder: Decoder, sender: decide.Sender) -> decide.Refusal | None:  # noqa: ARG002  # anything
        """See Door."""
        return None

    def plan(self, plan: tuple[str, ...]) -> tuple[str, ...]:
        """See Door."""
        return plan_of(Direction.INBOUND, plan)
