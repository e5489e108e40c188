"""Who waits for a destination: an order that stays while everybody comes and goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.destination import Destination, Gate, Health, Probing
from services.delivery.line import BLOCK, Line


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3 * BLOCK)), max_size=400))
def test_a_line_is_a_dictionary_in_order(steps: list[tuple[bool, int]]) -> None:
    line, model = Line(), dict[str, None]()
    for number in range(2 * BLOCK):
        line.add(str(number))
        model[str(number)] = None
    for comes, number in steps:
        key = str(number)
        if comes:
            line.add(key)
            model.setdefault(key)
        else:
            line.discard(key)
            model.pop(key, None)
    keys = list(model)
    assert list(line) == keys
    assert len(line) == len(keys)
    assert line.oldest == next(iter(keys), None)
    assert [line.nth(place) for place in range(len(keys))] == keys
    with pytest.raises(IndexError):
        line.nth(len(keys))


def test_a_walk_leaves_out_who_left_and_who_came_later() -> None:
    line = Line()
    for number in range(3 * BLOCK):
        line.add(str(number))
    walk = line.walk()
    assert [next(walk) for _ in range(3)] == ["0", "1", "2"]
    line.add("late")
    for number in range(2, 3 * BLOCK, 2):
        line.discard(str(number))
    assert list(walk) == [str(number) for number in range(3, 3 * BLOCK, 2)]
    assert not walk


def test_a_second_flush_begins_with_the_oldest_again_and_who_is_let_comes_after_it() -> None:
    destination = Destination(1, "d", "mta.test:25", Gate(20), Health(Probing(1, 2)))
    for key in "abc":
        destination.waiting.add(key)
    destination.flush()
    assert destination.next_ready() == "a"
    destination.flush()
    destination.waiting.add("d")
    destination.let("d")
    assert destination.crowded
    assert [destination.next_ready() for _ in range(5)] == ["a", "b", "c", "d", None]
