"""The settings of the trace."""

from __future__ import annotations

import msgspec


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_DATABASE."""

    database: str = "sqlite:///gatepost-data/gatepost.db"  # or postgresql://user:password@host/name


class TraceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """GATEPOST_TRACE_<FIELD>."""

    days: int = 90  # that a message can be traced
    tally_days: int = 400  # that what was counted is kept: a year, and the month that it is compared with
    gather_seconds: float = 0.1  # that what has come waits for more, to be written together
    batch: int = 500  # events that are written together at most
    sweep_seconds: float = 600.0  # between looks for days that are over

    def __post_init__(self) -> None:
        if self.days < 1 or self.tally_days < 1 or self.batch < 1 or self.gather_seconds < 0 or self.sweep_seconds <= 0:
            raise ValueError("TRACE_DAYS, TRACE_TALLY_DAYS, TRACE_BATCH and TRACE_SWEEP_SECONDS are greater than 0")
