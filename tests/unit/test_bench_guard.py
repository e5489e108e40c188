"""The guard of the bench reads the table that is kept, and fails on what is grossly worse, and on nothing else."""

from __future__ import annotations

import pytest

from bench import guard


def report(ours: tuple[str, str, str, str], peer: tuple[str, str, str, str]) -> str:
    lines = [
        "# bench/peers",
        "| setting | contestant | accept p50 | p99 | end to end p50 | p99 | /s | CPU s/1,000 | lost |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for setting in ("20/s", "8 connections"):
        for name, (accept, arrive, rate, cpu) in ((guard.OURS, ours), (guard.PEER, peer)):
            lines.append(f"| {setting} | {name} | {accept} | 9 | {arrive} | 9 | {rate} | {cpu} = some 1.0 | 0 |")
    return "\n".join(lines)


KEPT = guard.shares(guard.rows(report(("10.0", "80.0", "40.0", "60.0"), ("50.0", "60.0", "100.0", "10.0"))))


def test_shares_are_ours_over_the_peers() -> None:
    assert list(KEPT.values()) == pytest.approx([6.0, 2.5, 6.0])


def test_a_machine_that_is_slower_for_both_is_no_fault() -> None:
    now = guard.shares(guard.rows(report(("30.0", "240.0", "13.0", "180.0"), ("150.0", "180.0", "33.0", "30.0"))))
    assert guard.worse(KEPT, now) == []


def test_what_is_grossly_worse_is_named() -> None:
    now = guard.shares(guard.rows(report(("10.0", "130.0", "19.0", "60.0"), ("50.0", "60.0", "100.0", "10.0"))))
    (fault,) = guard.worse(KEPT, now)
    assert fault.startswith("messages a second at 8 connections: 5.26")


def test_the_table_that_is_kept_can_be_read() -> None:
    kept = guard.shares(guard.rows(guard.KEPT.read_text()))
    assert len(kept) == 3
    assert all(share > 0 for share in kept.values())
