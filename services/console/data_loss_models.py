"""What goes over the API about data-loss rules: as the customers file has them, and what they would have done."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from services.console.models import Short, Strict
from services.console.policy_models import WhatIf
from services.core.customer_data_loss import (
    ADDRESSES_MOST,
    FILES_MOST,
    LEAST_MOST,
    PATTERN_LIMIT,
    PATTERNS_MOST,
    RULES_MOST,
    WORD_LIMIT,
    WORDS_MOST,
)
from services.core.data_loss import NUMBERS

Addresses = Annotated[list[Short], Field(max_length=ADDRESSES_MOST)]


class DataRule(Strict):
    """What must not leave unseen, and what is done when it would. Any of what is named counts."""

    name: Annotated[str, Field(min_length=1, max_length=32)]  # a-z, 0-9 and -
    then: Literal["block", "quarantine", "encrypt", "copy"]
    numbers: Annotated[list[Short], Field(max_length=len(NUMBERS))] = Field(default_factory=list)
    patterns: Annotated[list[Annotated[str, Field(max_length=PATTERN_LIMIT)]], Field(max_length=PATTERNS_MOST)] = Field(
        default_factory=list
    )  # RE2
    words: Annotated[list[Annotated[str, Field(max_length=WORD_LIMIT)]], Field(max_length=WORDS_MOST)] = Field(
        default_factory=list
    )
    files: Annotated[list[Short], Field(max_length=FILES_MOST)] = Field(default_factory=list)  # SHA-256 in hex
    unread: bool = False  # what can't be looked into
    at_least: Annotated[int, Field(ge=1, le=LEAST_MOST)] = 1  # different ones
    senders: Addresses = Field(default_factory=list)
    recipients: Addresses = Field(default_factory=list)
    bcc: Addresses = Field(default_factory=list)


class DataLoss(BaseModel):
    """The rules in their order; `version` names this state of them."""

    rules: list[DataRule]
    version: str


class NewDataLoss(Strict):
    """Rules in the place of those that `version` names."""

    version: Short
    rules: Annotated[list[DataRule], Field(max_length=RULES_MOST)] = Field(default_factory=list)


class DataLossWhatIf(BaseModel):
    """What other rules would have done with what the scanner said then.

    It keeps no message: of rules that looked for something else, or weren't there, nothing is known (`unknown`).
    """

    found: WhatIf
    unknown: list[str]
