"""What goes over the API about policies: rules as the customers file has them, and what they would have done."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

from services.console.models import Short, Strict
from services.core.customer_rules import COPIES_MOST, GROUPS_MOST, RULES_MOST, STAMP_LIMIT, STRIP_MOST

YAML_MOST: Final = 200_000  # characters
Shorts = Annotated[list[Short], Field(max_length=1_000)]
Copied = Annotated[list[Short], Field(max_length=COPIES_MOST)]
Unscanned = Literal["hold", "deliver", "quarantine"]
StatusName = Literal["clean", "suspicious", "spam", "phishing", "virus", "unavailable"]
ActionName = Literal["", "deliver", "quarantine", "delete"]


class Condition(Strict):
    """When a rule applies: every condition that is set must hold, and of a list one member."""

    status: Annotated[list[StatusName], Field(max_length=6)] = Field(default_factory=list)
    scanner: Short = ""  # whose status, score and evidence; empty: all scanners'
    min_score: float | None = None
    evidence: Shorts = Field(default_factory=list)  # codes
    recipients: Shorts = Field(default_factory=list)  # addresses, @domain, or group:NAME
    senders: Shorts = Field(default_factory=list)
    auth: Shorts = Field(default_factory=list)  # dmarc=fail and the like
    attachments: Shorts = Field(default_factory=list)  # endings with their dot, or types: .exe, zip
    min_size: Short = ""  # such as 10MB, or octets
    max_size: Short = ""


class Rule(Strict):
    """One line of a policy. Without an action it only marks or copies, and the next rule is looked at."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    off: bool = False
    when: Condition = Condition()
    then: ActionName = ""
    tag_subject: Short = ""
    add_headers: Annotated[dict[str, str], Field(max_length=20)] = Field(default_factory=dict)
    redirect_to: Short = ""
    stamp: Annotated[str, Field(max_length=STAMP_LIMIT)] = ""  # below the text
    # all, dangerous, sealed, .exe, zip, or a pattern of names
    strip: Annotated[list[Short], Field(max_length=STRIP_MOST)] = Field(default_factory=list)
    bcc: Copied = Field(default_factory=list)
    notify: Copied = Field(default_factory=list)


class Policy(BaseModel):
    """The rules in their order, and what is done with mail that can't be scanned."""

    rules: list[Rule]
    own: bool  # False: the customer wrote none, and these are Gatepost's
    groups: dict[str, list[str]]  # of recipients, that rules name together
    unscanned: Unscanned
    version: str  # names this state of the policy


class NewPolicy(Strict):
    """A policy in the place of the one that `version` names; with `yaml`, that says the rest."""

    version: Short
    rules: Annotated[list[Rule], Field(max_length=RULES_MOST)] = Field(default_factory=list)
    groups: Annotated[dict[str, Shorts], Field(max_length=GROUPS_MOST)] = Field(default_factory=dict)
    unscanned: Unscanned = "hold"
    yaml: Annotated[str, Field(max_length=YAML_MOST)] = ""


class Treated(BaseModel):
    """What happens to a message for a recipient."""

    action: str  # deliver, quarantine, delete; hold: a scanner could not tell, and is asked again
    redirect_to: str
    tag_subject: str
    add_headers: list[tuple[str, str]]
    stamp: str
    strip: list[str]
    bcc: list[str]
    notify: list[str]
    refuse: bool  # its sender is told
    encrypt: bool  # only over TLS that is verified


class WhatIfChange(BaseModel):
    """A change of treatment, and how many recipients it would have met."""

    before: Treated
    after: Treated
    recipients: int


class WhatIfMessage(BaseModel):
    """A message that would have been treated otherwise."""

    id: str
    at: float
    sender: str
    subject: str
    recipients: list[str]
    before: Treated
    after: Treated
    rule_before: str
    rule_after: str
    reason: str  # of what would have been done


class WhatIf(BaseModel):
    """What a policy would have done to past messages, beside the policy as it is."""

    messages: int  # that were decided once more, the latest first
    otherwise: int
    since: float  # the time of the first of them
    complete: bool  # False: the time was up before all of them were
    unreadable: int
    seconds: float
    changes: list[WhatIfChange]
    examples: list[WhatIfMessage]
