"""The settings of the quarantine."""

from __future__ import annotations

import msgspec


class QuarantineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_DATABASE and GATEPOST_SWEEP_SECONDS."""

    database: str = "sqlite:///gatepost-data/gatepost.db"  # or postgresql://user:password@host/name
    sweep_seconds: float = 60.0  # between looks for what has expired
    sweep_limit: int = 500  # rows that one look takes at a time

    def __post_init__(self) -> None:
        if self.sweep_seconds <= 0 or self.sweep_limit < 1:
            raise ValueError("sweep_seconds and sweep_limit are greater than 0")
