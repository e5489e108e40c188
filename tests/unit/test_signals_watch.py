"""The watch over signals: what is a standstill, and what is none."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.core.clock import ManualClock
from services.core.errors import BusUnavailable, StartError
from services.runtime.lag import Reach
from services.runtime.metrics import value
from services.runtime.source import Slot
from services.signals.watch import EVERY, Standstill, watch

ONE, TWO = ("mail.rejections.v1", 1), ("mail.rejections.v1", 2)
PATIENCE = 3 * EVERY
Look = Mapping[Slot, Reach] | None


def test_a_partition_stands_still_from_the_first_look_at_which_it_is_behind() -> None:
    standstill = Standstill()
    assert standstill.seen({ONE: Reach(5, 5)}, 0.0) == {}
    assert standstill.seen({ONE: Reach(5, 6)}, 60.0) == {ONE: 0.0}  # what it did before says nothing of this record
    assert standstill.seen({ONE: Reach(5, 9), TWO: Reach(0, 1)}, 65.0) == {ONE: 5.0, TWO: 0.0}
    assert standstill.seen({ONE: Reach(6, 9), TWO: Reach(0, 1)}, 70.0) == {ONE: 0.0, TWO: 5.0}


def test_a_partition_that_went_away_and_came_back_begins_anew() -> None:
    standstill = Standstill()
    assert standstill.seen({ONE: Reach(5, 6)}, 0.0) == {ONE: 0.0}
    assert standstill.seen({}, 5.0) == {}
    assert standstill.seen({ONE: Reach(5, 6)}, 10.0) == {ONE: 0.0}


class Ended(Exception):  # noqa: N818 - it is no error: the looks of a test are over
    pass


class Watching:
    """Plays looks to the watch, one a turn; None is a broker that is away."""

    def __init__(self, *looks: Look, held_up: bool = False) -> None:
        self._looks = list(looks)
        self._held_up = held_up
        self._clock = ManualClock()

    def slots(self) -> frozenset[Slot]:
        return frozenset({ONE, TWO})

    def held_up(self) -> bool:
        return self._held_up

    async def _read(self, slots: frozenset[Slot]) -> Mapping[Slot, Reach]:
        assert slots == {ONE, TWO}
        look = self._looks.pop(0)
        if look is None:
            raise BusUnavailable("away")
        return look

    async def _pause(self, seconds: float) -> None:
        if not self._looks:
            raise Ended
        self._clock.advance(seconds)

    async def run(self) -> None:
        await watch(self, self._read, self._clock, self._pause, PATIENCE)


async def test_a_standstill_ends_the_app_after_its_patience_and_not_before() -> None:
    with pytest.raises(Ended):
        await Watching(*[{ONE: Reach(5, 6)}] * 3).run()
    assert value("gatepost_signals_standstill_seconds") == 2 * EVERY
    assert value("gatepost_signals_behind") == 1
    with pytest.raises(StartError, match=r"partition 1 of mail\.rejections\.v1 is not read on"):
        await Watching(*[{ONE: Reach(5, 6), TWO: Reach(1, 1)}] * 4).run()


async def test_a_backlog_that_is_worked_off_is_none() -> None:
    with pytest.raises(Ended):
        await Watching(*[{ONE: Reach(n, 1_000)} for n in range(20)]).run()


async def test_a_broker_that_is_away_never_ends_the_app() -> None:
    behind = {ONE: Reach(5, 6)}
    with pytest.raises(Ended):
        await Watching(*[None] * 20, behind, behind, None, behind, behind, behind).run()


async def test_an_app_that_waits_for_the_broker_or_its_tables_is_not_at_a_standstill() -> None:
    with pytest.raises(Ended):
        await Watching(*[{ONE: Reach(5, 6)}] * 20, held_up=True).run()
