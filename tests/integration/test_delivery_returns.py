"""An MTA comes back to a long queue, and the delivery process is killed in the middle of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.returns import run


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "killed"])
async def test_all_that_waited_arrives_and_twice_only_where_the_outcome_says_so(tmp_path: Path, kill: bool) -> None:
    count = 1_000
    result = await run(tmp_path, count, kill=kill)
    assert len(result.arrived) == len(result.ended) == count
    assert result.twice <= result.marked
    if not kill:
        assert not result.twice
        assert not result.marked
