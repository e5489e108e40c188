"""A dictionary in parts is a dictionary, and none of its parts is walked through by the garbage collector."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from services.core.spread import PARTS, Spread


@given(st.lists(st.tuples(st.text(max_size=2), st.integers() | st.none())))
def test_it_is_a_dictionary(steps: list[tuple[str, int | None]]) -> None:
    spread, model = Spread[int](), dict[str, int]()
    for key, value in steps:
        if value is None:
            assert spread.pop(key) == model.pop(key, None)
        else:
            spread[key] = model[key] = value
    assert len(spread) == len(model)
    assert {key: spread.get(key) for key in model} == model
    assert all(key in spread for key in model)
    assert spread.get("never there") is None


def test_many_keys_lie_in_even_parts_that_are_not_tracked() -> None:
    spread = Spread[bytes]()
    for number in range(16_000):
        spread[f"{number}/0"] = b"x"
    assert len(spread.parts) == PARTS
    assert all(500 < len(part) < 1_500 for part in spread.parts)
    assert not any(gc.is_tracked(part) for part in spread.parts)
