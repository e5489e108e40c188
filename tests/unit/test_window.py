"""The records of several partitions come in the order of their times, and none before one that may precede it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.runtime.source import Raw, Slot
from services.runtime.window import Merge

SLOTS: list[Slot] = [("a", 0), ("a", 1), ("b", 0)]


def raw(slot: Slot, offset: int, at: float) -> Raw:
    return Raw(*slot, offset, b"", None, at)


def logs(*times: list[int]) -> dict[Slot, list[Raw]]:
    return {
        slot: [raw(slot, offset, float(at)) for offset, at in enumerate(sorted(some))]
        for slot, some in zip(SLOTS, times, strict=True)
    }


TIMES = st.lists(st.integers(0, 20), max_size=12)


@given(TIMES, TIMES, TIMES, st.integers(1, 5), st.integers(1, 4))
def test_all_of_it_by_time_however_it_arrives(
    first: list[int], second: list[int], third: list[int], portion: int, limit: int
) -> None:
    rest = logs(first, second, third)
    merge = Merge(SLOTS)
    taken: list[Raw] = []
    while not merge.done:
        for slot in merge.lacking():
            some, rest[slot] = rest[slot][:portion], rest[slot][portion:]
            merge.add(slot, some)
            if not some:
                merge.close(slot)
        taken += merge.take(limit)
    order = {slot: number for number, slot in enumerate(SLOTS)}
    every = [record for records in logs(first, second, third).values() for record in records]
    assert taken == sorted(every, key=lambda each: (each.timestamp, order[each.topic, each.partition], each.offset))


def test_none_is_taken_while_one_that_may_precede_it_is_not_here() -> None:
    merge = Merge(SLOTS[:2])
    merge.add(SLOTS[0], [raw(SLOTS[0], 0, 5.0), raw(SLOTS[0], 1, 7.0)])
    assert merge.take(10) == []
    assert merge.lacking() == [SLOTS[1]]
    merge.add(SLOTS[1], [raw(SLOTS[1], 0, 6.0)])
    assert [record.timestamp for record in merge.take(10)] == [5.0, 6.0]
    assert merge.lacking() == [SLOTS[1]]
    assert not merge.done


def test_in_haste_what_is_here_is_taken() -> None:
    merge = Merge(SLOTS[:2])
    merge.add(SLOTS[0], [raw(SLOTS[0], 0, 5.0)])
    assert [record.timestamp for record in merge.take(10, hasty=True)] == [5.0]
    assert sorted(merge.lacking()) == SLOTS[:2]


def test_what_a_closed_partition_brought_is_still_taken() -> None:
    merge = Merge(SLOTS[:1])
    merge.add(SLOTS[0], [raw(SLOTS[0], 0, 5.0)])
    merge.close(SLOTS[0])
    assert not merge.done
    assert len(merge.take(10)) == 1
    assert merge.done
