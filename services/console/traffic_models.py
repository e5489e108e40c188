"""What goes over the API of mail: figures, queues, what is held, reports. Times are seconds since the epoch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from services.console.models import Short, Strict
from services.quarantine.tables import State

Days = Literal[1, 7, 30, 90]
ReportDays = Literal[1, 7, 30, 90, 365]
Period = Literal["daily", "weekly", "monthly"]


class Point(BaseModel):
    """What was counted in one step of time. Counted are recipients."""

    at: float
    received: int
    delivered: int
    held: int
    deleted: int
    refused: int
    threats: dict[str, int]
    p50: float | None  # seconds from the message to its delivery, None when there was none
    p95: float | None
    within: float | None = None  # the share of those deliveries that was not longer than the promise, 0 to 1
    waiting: int = 0  # for MTAs, the most at once
    waited: float = 0.0  # seconds that the oldest of these had waited


class Totals(BaseModel):
    """The sums of all steps."""

    received: int
    messages: int  # whatever the number of their recipients
    octets: int
    delivered: int
    held: int
    deleted: int
    refused: int
    bounced: int
    expired: int  # in the queue
    sent: int  # by the customer, to others


class Latency(BaseModel):
    """How long delivery took, of what the customer's MTA took at once."""

    count: int
    p50: float  # seconds
    p95: float
    promise: float
    within: float  # the share that was not longer than the promise, 0 to 1


class Depth(BaseModel):
    """What waits for MTAs now."""

    messages: int
    oldest: float  # when the one that waits longest began to; 0: none waits
    down: int  # destinations that don't answer


class Figures(BaseModel):
    """What became of mail, from `since` to `until` in steps of so many seconds."""

    since: float
    until: float
    step: float
    points: list[Point]
    totals: Totals
    refused: dict[str, int]  # at the door, by reason
    stopped: dict[str, int]  # held or deleted, by the layer that said why
    threats: dict[str, int]
    viruses: dict[str, int]  # messages, by what was found
    latency: Latency
    queue: Depth


class Destination(BaseModel):
    """One of a customer's destinations."""

    destination: str
    state: Literal["open", "slow", "down"]
    waiting: int
    oldest: float  # 0: none waits
    reply: str  # the last answer of the MTA
    held: str  # by whom and why; empty while it is not


class Queue(BaseModel):
    """Every destination of a customer, the fullest first."""

    destinations: list[Destination]


class QueueOrder(Strict):
    """What delivery is to do with a destination."""

    action: Literal["flush", "hold", "resume"]
    destination: Annotated[str, Field(min_length=1, max_length=2_000)]
    why: Annotated[str, Field(max_length=200)] = ""


class HeldItem(Strict):
    """A held message, for one recipient."""

    id: Annotated[str, Field(max_length=26)]
    recipient: Short


class HeldAct(Strict):
    """What is to be done with held messages. Released is the original, after one more look for viruses."""

    action: Literal["release", "delete", "report-clean", "report-spam"]
    items: Annotated[list[HeldItem], Field(min_length=1, max_length=200)]


class HeldPart(BaseModel):
    """A part of a held message that is not shown."""

    name: str
    type: str
    size: int  # octets


class HeldText(BaseModel):
    """What can safely be shown of a held message. `html` runs nothing and loads nothing, and has no links."""

    text: str
    html: str
    attachments: list[HeldPart]
    whole: bool  # False: something was left out because it is too much


class HeldMatching(Strict):
    """What is to be done with all that is held and that a search finds, on whatever page it is."""

    action: Literal["release", "delete", "report-clean", "report-spam"]
    state: State | None = None  # of those that wait; null: any of them
    sender: Short = ""
    recipient: Short = ""
    subject: Short = ""
    reason: Short = ""
    reported: Literal["", "clean", "spam", "wanted"] = ""
    since: float = 0.0  # held from then on, seconds since the epoch
    until: float = 0.0  # 0: until now


class HeldAsked(BaseModel):
    """For how many recipients it was asked: those that could not be meant any more are left out."""

    asked: int
    complete: bool = True  # False: the search finds more, and it is to be asked again


class Top(BaseModel):
    """An address, and how many messages had it."""

    address: str
    count: int


class Report(BaseModel):
    """What became of a customer's mail, with who sent and received most of it, as far as the trace goes back."""

    customer: str
    figures: Figures
    senders: list[Top]
    recipients: list[Top]


class Schedule(BaseModel):
    """A report that is sent by mail at the end of each day, week or month, UTC."""

    id: str
    account: str
    address: str
    period: Period


class Schedules(BaseModel):
    """Every report that a customer has sent."""

    schedules: list[Schedule]


class NewSchedule(Strict):
    """A report to one of the customer's accounts."""

    account: Annotated[str, Field(max_length=26)]
    period: Period
