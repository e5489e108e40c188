"""The commit position never passes an unfinished record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.core.prefix import Prefix


def test_nothing_finished_has_no_position() -> None:
    prefix = Prefix()
    prefix.start(7)
    assert prefix.position is None


def test_an_early_finish_waits_for_the_ones_before() -> None:
    prefix = Prefix()
    for offset in (7, 8, 12):
        prefix.start(offset)
    prefix.finish(12)
    prefix.finish(8)
    before = prefix.position
    prefix.finish(7)
    assert (before, prefix.position, prefix.in_flight) == (None, 13, 0)


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=60, unique=True).map(sorted), st.randoms(use_true_random=False)
)
def test_position_is_the_first_unfinished_record(offsets: list[int], chance: object) -> None:
    prefix = Prefix()
    for offset in offsets:
        prefix.start(offset)
    order = list(offsets)
    chance.shuffle(order)  # type: ignore[attr-defined]  # Hypothesis' Random
    unfinished = set(offsets)
    for offset in order:
        prefix.finish(offset)
        unfinished.discard(offset)
        position = prefix.position
        assert position is None or all(position <= still for still in unfinished)
        below = [o for o in offsets if not unfinished or o < min(unfinished)]
        assert position == (below[-1] + 1 if below else None)
