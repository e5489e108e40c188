"""What data-loss rules may name: kinds of numbers, actions, codes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import re2

from schemas.events import DataRule, Evidence

BLOCK, QUARANTINE, ENCRYPT, COPY = "block", "quarantine", "encrypt", "copy"
ACTIONS: Final = (BLOCK, QUARANTINE, ENCRYPT, COPY)
NUMBERS: Final = (  # each has a check digit, or characters that do its work
    "card",
    "iban",
    "it-codice-fiscale",
    "de-steuer-id",
    "fr-nir",
    "es-nif",
    "nl-bsn",
    "pl-pesel",
    "gb-nhs",
    "ch-ahv",
)
PREFIX: Final = "DLP_"
PATTERN_MEMORY: Final = 4_194_304  # octets that one pattern's automaton may take


def met(evidence: Iterable[Evidence]) -> bool:
    """Return whether a data-loss rule was met."""
    return any(piece.code.startswith(PREFIX) for piece in evidence)


def code_of(rule: DataRule) -> str:
    """Return the code of the evidence that the rule was met."""
    return f"{PREFIX}{rule.name.upper().replace('-', '_')}"


def compiled(pattern: str) -> re2._Regexp:
    """Return the pattern; it is matched in linear time, whatever the text. Raises re2.error."""
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    options.never_capture = True
    return re2.compile(pattern, options)
