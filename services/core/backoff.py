"""When to try again: exponential, capped, and spread at random: what failed together does not return together."""

from __future__ import annotations

_DOUBLINGS_MOST = 30  # past this any cap is reached; keeps the power small


def delay(attempts: int, chance: float, *, first: float, most: float, jitter: float = 0.2) -> float:
    """Return the seconds to wait after `attempts` failures (1 or more).

    `first` doubles with each failure up to `most`; `chance` in [0, 1) moves the result by up to ±`jitter` of itself.
    """
    doublings = min(max(attempts, 1) - 1, _DOUBLINGS_MOST)
    return float(min(most, first * 2.0**doublings)) * (1.0 - jitter + 2.0 * jitter * chance)
