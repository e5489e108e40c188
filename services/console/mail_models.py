"""What goes over the API about lists of senders, protected names, and how long mail is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.console.models import Short, Strict
from services.core.customers import (
    NETWORKS_MOST,
    QUARANTINE_DAYS_MOST,
    QUEUE_DAYS_MOST,
    RETENTION_HOURS_MOST,
    WARNING_HOURS_MOST,
)
from services.core.protection import ADDRESSES_MOST, BRANDS_MOST, DOMAINS_MOST, PERSONS_MOST

SENDERS_AT_ONCE = 200


class Sender(BaseModel):
    """An approved or blocked sender."""

    model_config = ConfigDict(populate_by_name=True)

    sender: str  # an address, or @domain
    for_: str = Field(alias="for")  # all, @domain, or recipient:DIGEST
    list_: Literal["approved", "blocked"] = Field(alias="list")
    by: str
    at: float


class Senders(BaseModel):
    """The lists, in the order of scope and sender; `more` are not shown."""

    senders: list[Sender]
    more: int


class SenderChange(Strict):
    """Approve or block senders, or take them out of the lists."""

    model_config = ConfigDict(populate_by_name=True)

    senders: Annotated[list[Short], Field(min_length=1, max_length=SENDERS_AT_ONCE)]
    for_: Short = Field(default="all", alias="for")  # all, @domain, a recipient's address, or recipient:DIGEST
    list_: Literal["approved", "blocked", "none"] = Field(alias="list")


class Person(Strict):
    """Somebody whose name strangers may not use."""

    name: Short
    addresses: Annotated[list[Short], Field(max_length=ADDRESSES_MOST)] = Field(default_factory=list)  # elsewhere


class Brand(Strict):
    """A name that only its own domains may use."""

    name: Short
    domains: Annotated[list[Short], Field(min_length=1, max_length=DOMAINS_MOST)]


class Protection(Strict):
    """Whom somebody who deceives the customer would pretend to be."""

    persons: Annotated[list[Person], Field(max_length=PERSONS_MOST)] = Field(default_factory=list)
    partners: Annotated[list[Short], Field(max_length=DOMAINS_MOST)] = Field(default_factory=list)
    brands: Annotated[list[Brand], Field(max_length=BRANDS_MOST)] = Field(default_factory=list)
    allowed: Annotated[list[Short], Field(max_length=DOMAINS_MOST)] = Field(default_factory=list)


class Hosts(Strict):
    """MTAs that mail comes from: addresses and networks."""

    allow: Annotated[list[Short], Field(max_length=NETWORKS_MOST)] = Field(default_factory=list)
    block: Annotated[list[Short], Field(max_length=NETWORKS_MOST)] = Field(default_factory=list)
    forwarders: Annotated[list[Short], Field(max_length=NETWORKS_MOST)] = Field(default_factory=list)


class Retention(Strict):
    """How long mail is kept, and why."""

    queue_days: Annotated[float, Field(ge=1, le=QUEUE_DAYS_MOST)]  # that it waits for the customer's MTA
    delay_warning_hours: Annotated[float, Field(ge=0, le=WARNING_HOURS_MOST)]  # until its sender is told; 0: never
    quarantine_days: Annotated[float, Field(ge=1, le=QUARANTINE_DAYS_MOST)]
    helpdesk_reads: bool = False  # the help desk may look into held mail
    retention_hours: Annotated[float, Field(ge=0, le=RETENTION_HOURS_MOST)]  # after its end, for replay; 0: not at all
