"""What a content rule is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from services.scanners.facts import Facts


class Rule(NamedTuple):
    """`test` returns whether the rule hits. The code is what customers' rules refer to: it never changes meaning."""

    code: str
    score: float
    text: str
    test: Callable[[Facts], bool]
    phishing: bool = False  # what it finds is a deception, and not only a nuisance
    elsewhere: bool = False  # urls or impersonation give the points for this sign: here it has none
