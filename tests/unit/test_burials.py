"""When dead letters are too many."""

from __future__ import annotations

from services.core.burials import LEAST, RUN, WINDOW, Burials


def test_single_failures_among_successes_are_fine() -> None:
    burials = Burials()
    for _ in range(1_000):
        assert burials.failed() is None
        for _ in range(20):
            burials.handled()


def test_a_run_without_a_success_is_too_many() -> None:
    burials = Burials()
    burials.handled()
    assert [burials.failed() for _ in range(RUN - 1)] == [None] * (RUN - 1)
    assert burials.failed() == f"{RUN} records in a row"


def test_a_large_share_is_too_many_even_without_a_run() -> None:
    burials = Burials()
    for _ in range(WINDOW):
        burials.handled()
    answers = []
    for _ in range(2 * LEAST):
        answers.append(burials.failed())
        burials.handled()
    assert answers[: LEAST - 1] == [None] * (LEAST - 1)
    assert any(answer and answer.endswith(f"of the last {WINDOW} records") for answer in answers)
