"""Back-off: growth, cap, spread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.backoff import delay

MIDDLE = 0.5  # the chance that moves nothing


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 60), (1, 60), (2, 120), (3, 240), (5, 960), (6, 1800), (50, 1800), (10**9, 1800)]
)
def test_doubles_up_to_the_cap(attempts: int, seconds: float) -> None:
    assert delay(attempts, MIDDLE, first=60, most=1800) == pytest.approx(seconds)


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_stays_within_the_jitter(attempts: int, chance: float) -> None:
    middle = delay(attempts, MIDDLE, first=60, most=1800)
    assert middle * 0.8 <= delay(attempts, chance, first=60, most=1800) <= middle * 1.2


def test_two_that_failed_together_do_not_return_together() -> None:
    assert delay(3, 0.1, first=60, most=1800) != delay(3, 0.9, first=60, most=1800)
