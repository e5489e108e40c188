"""Times on a command line."""

from __future__ import annotations

import pytest

from services.core.errors import ConfigError
from services.core.moments import moment

NOW = 1_763_900_000.0


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("now", NOW),
        ("90s", NOW - 90),
        ("15m", NOW - 900),
        ("2 h", NOW - 7_200),
        ("3d", NOW - 3 * 86_400),
        ("2025-11-23T12:13:20", NOW),
        ("2025-11-23T13:13:20+01:00", NOW),
        ("2025-11-23", NOW - 12 * 3_600 - 13 * 60 - 20),
    ],
)
def test_a_time_is_read_as_people_write_it(said: str, meant: float) -> None:
    assert moment(said, NOW) == meant


@pytest.mark.parametrize("said", ["", "yesterday", "2x", "2025-13-01", "-3h"])
def test_what_is_no_time_is_told(said: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        moment(said, NOW)
