"""Sizes as people write them: 50MB is 50 times 1,048,576 octets. Pure."""

from __future__ import annotations

import re
from typing import Final

from services.core.tree import Place, quoted

_SIZE: Final = re.compile(r"([0-9]{1,12}) ?([KMG]?)i?B?", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1_024, "M": 1_048_576, "G": 1_073_741_824}


def size(place: Place, low: int, high: int, span: str = "") -> int:
    """Return the octets, between the two, both included; raise ConfigError. `span` is how people are told of these."""
    text = place.text()
    match = _SIZE.fullmatch(text)
    if match is None:
        raise place.wrong(f"{quoted(text)} is not a size, such as 50MB")
    octets = int(match[1]) * _UNITS[match[2].upper()]
    if not low <= octets <= high:
        raise place.wrong(f"{text} is not between {span or f'{low} and {high}'}")
    return octets


def shown(octets: int) -> str:
    """Return the shortest way to write it that says the same."""
    for unit in ("M", "K"):
        if octets and octets % _UNITS[unit] == 0:
            return f"{octets // _UNITS[unit]}{unit}B"
    return str(octets)
