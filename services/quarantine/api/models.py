"""What the API says and takes, as OpenAPI describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.quarantine.decide import Held
from services.quarantine.tables import State

Address = Annotated[str, Field(min_length=1, max_length=600)]


class Strict(BaseModel):
    """A body that holds nothing else."""

    model_config = ConfigDict(extra="forbid")


class Message(BaseModel):
    """A held message for one recipient. Times are seconds since the epoch."""

    id: str
    recipient: str
    sender: str
    header_from: str
    subject: str
    status: str
    score: float
    rule: str
    reason: str
    state: State
    size: int
    received_at: float
    held_at: float
    expires_at: float
    ended_at: float
    ended_by: str
    note: str
    reported: str
    final: str
    asks: bool  # the caller may not release it himself: a release asks somebody who may

    @classmethod
    def of(cls, row: Held, *, asks: bool = False) -> Message:
        """Return the row as the API says it."""
        return cls(
            id=row.id,
            recipient=row.recipient,
            sender=row.reverse_path,
            header_from=row.header_from,
            subject=row.subject,
            status=row.status,
            score=row.score,
            rule=row.rule,
            reason=row.reason,
            state=row.state,
            size=row.size,
            received_at=row.received_at,
            held_at=row.held_at,
            expires_at=row.expires_at,
            ended_at=row.ended_at,
            ended_by=row.ended_by,
            note=row.note,
            reported=row.reported,
            final=row.final,
            asks=asks,
        )


class Messages(BaseModel):
    """A page of messages."""

    messages: list[Message]
    after: str  # give it as `after` for the next page; empty: this was the last


class Part(BaseModel):
    """An attachment."""

    name: str
    type: str
    size: int


class Preview(BaseModel):
    """What may be shown of a message. `html` is sanitised."""

    text: str
    html: str
    attachments: list[Part]
    whole: bool


class For(Strict):
    """For whom; all that the caller may act for when it is empty."""

    recipients: list[Address] = Field(default=[], max_length=1_000)


class Report(For):
    """What the message is."""

    as_: Literal["clean", "spam"] = Field(alias="as")
    remember: bool = False  # approve or block its sender for these recipients


class ReleaseTo(Strict):
    """Who gets a copy as an attachment."""

    to: Address


class Asked(BaseModel):
    """The command went out; its effect shows in the message."""

    command: str
    recipients: list[str]
    decided: Literal["now", "later"] = "now"  # later: a release was asked for, and somebody else decides


class Sender(BaseModel):
    """An approved or blocked sender."""

    sender: str
    for_: str = Field(serialization_alias="for")  # all, @domain, or recipient:DIGEST
    list_: Literal["approved", "blocked"] = Field(serialization_alias="list")
    by: str
    at: float


class Senders(BaseModel):
    """The lists of a customer."""

    senders: list[Sender]


class SenderChange(Strict):
    """Approve or block a sender; `remove` takes the entry out."""

    sender: Address  # an address, or @domain
    for_: Address = Field(default="all", alias="for")  # all, @domain, or a recipient's address
    list_: Literal["approved", "blocked", "remove"] = Field(alias="list")


class Digest(Strict):
    """A recipient's choice."""

    language: Literal["", "en", "it"] = ""  # empty: the organisation's
    digest: bool = True
    hours: list[Annotated[int, Field(ge=0, le=23)]] = Field(default=[], max_length=24)  # of `offered`; empty: all
    days: list[Annotated[int, Field(ge=0, le=6)]] = Field(default=[], max_length=7)  # 0 is Monday; empty: every day


class Digests(Digest):
    """A recipient's choice, and what his organisation offers."""

    offered: list[int]  # the hours at which digests are sent
    timezone: str


class Problem(BaseModel):
    """Why not."""

    detail: str
