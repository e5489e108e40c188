"""The view of signals, and what the signals app counts and tells, without Faust."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from schemas.catalog import SIGNALS, TALLIES, key_of, partition_of
from schemas.events import Envelope, Event, Rejection, Signal, Tally
from services.cli.up import with_signals
from services.core.clock import ManualClock
from services.core.errors import ConfigError, UnreadableEvent
from services.core.signals import Kind, Signals, address_of, network_of
from services.runtime.bus import Tombstone
from services.runtime.config import load
from services.runtime.fakes import MemoryBus
from services.runtime.follow import follow_signals
from services.signals.config import PREFIX, SignalsConfig
from services.signals.decide import STEP, Limit, counts, crossed, gathered, sightings
from tests.eventually import eventually
from tests.samples import received

LIMIT = Limit(count=10, window_s=600.0, lapse_s=1_800.0, share=0.25)
CLOCK = ManualClock()
NOW = CLOCK.now()


def refused(**changes: Any) -> Rejection:
    event = Rejection(
        client_ip="203.0.113.9",
        at=NOW,
        reason="unknown-recipient",
        reply="550 5.1.1 No such recipient here",
        reverse_path="Spam@Sender.test",
        recipient="nobody@example.test",
        customer="example",
    )
    return msgspec.structs.replace(event, **changes)


def tally(count: int = 1, **changes: Any) -> Tally:
    one = Tally(subject="203.0.113.9", kind=Kind.HARVEST_ADDRESS, count=count, at=NOW)
    return msgspec.structs.replace(one, **changes)


def signal(**changes: Any) -> Signal:
    one = Signal(subject="203.0.113.9", kind="harvest-address", count=30, window_s=600.0, until=NOW + 100, at=NOW)
    return msgspec.structs.replace(one, **changes)


# --- the view


def test_a_signal_holds_until_it_lapses() -> None:
    view, clock = Signals(), ManualClock()
    view.apply(signal(until=clock.now() + 60))
    assert view.active(Kind.HARVEST_ADDRESS, "203.0.113.9", clock.now()) == signal(until=NOW + 60)
    assert view.active(Kind.ABUSE_RATE, "203.0.113.9", clock.now()) is None
    assert view.active(Kind.HARVEST_ADDRESS, "203.0.113.8", clock.now()) is None
    clock.advance(60)
    assert view.active(Kind.HARVEST_ADDRESS, "203.0.113.9", clock.now()) is None
    assert list(view.lapsed(clock.now() + 1)) == ["203.0.113.9/harvest-address"]


def test_a_later_signal_replaces_and_a_tombstone_removes() -> None:
    view = Signals()
    view.apply(signal())
    view.apply(signal(count=60, at=NOW + 1))
    assert [found.count for found in view.all_active(NOW)] == [60]
    view.remove("203.0.113.9/harvest-address")
    view.remove("203.0.113.9/harvest-address")
    assert len(view) == 0


def test_what_is_active_comes_latest_first() -> None:
    view = Signals()
    for n in range(3):
        view.apply(signal(subject=f"203.0.113.{n}", at=NOW + n))
    view.apply(signal(subject="203.0.113.7", until=NOW - 1))
    assert [found.subject for found in view.all_active(NOW)] == ["203.0.113.2", "203.0.113.1", "203.0.113.0"]


@pytest.mark.parametrize(
    ("client", "address", "network"),
    [
        ("203.0.113.9", "203.0.113.9", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.9", "203.0.113.0/24"),
        ("2001:DB8:0:1::25", "2001:db8:0:1::25", "2001:db8:0:1::/64"),
    ],
)
def test_an_address_has_one_form_and_one_network(client: str, address: str, network: str) -> None:
    assert address_of(client) == address
    assert network_of(client) == network


async def test_the_view_follows_the_topic() -> None:
    bus, view, caught_up = MemoryBus(), Signals(), asyncio.Event()
    await bus.publish([signal(), signal(subject="203.0.113.1")])
    task = asyncio.create_task(follow_signals(bus, view, caught_up))
    await asyncio.wait_for(caught_up.wait(), 5)
    assert len(view) == 2
    await bus.publish([Tombstone(SIGNALS, key_of(signal()))])
    await eventually(lambda: view.active("harvest-address", "203.0.113.9", NOW) is None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_keys_of_one_kind_are_spread_over_the_partitions() -> None:
    keys = [key_of(signal(subject=f"203.0.113.{n}")) for n in range(64)]
    assert {partition_of(key, SIGNALS.partitions) for key in keys} == set(range(SIGNALS.partitions))


def test_a_signal_lies_where_its_tallies_lie() -> None:
    network = "203.0.113.0/24"
    mine = tally(subject=network, kind=Kind.HARVEST_NETWORK)
    assert key_of(mine) == key_of(signal(subject=network, kind=Kind.HARVEST_NETWORK))
    assert TALLIES.partitions == SIGNALS.partitions


# --- what is counted


def test_an_unknown_recipient_counts_against_address_network_and_sender() -> None:
    assert {(t.kind, t.subject, t.count, t.known) for t in sightings(refused())} == {
        (Kind.HARVEST_ADDRESS, "203.0.113.9", 1, 0),
        (Kind.HARVEST_NETWORK, "203.0.113.0/24", 1, 0),
        (Kind.HARVEST_SENDER, "spam@sender.test", 1, 0),
    }


def test_the_null_sender_is_nobody() -> None:
    assert Kind.HARVEST_SENDER not in {t.kind for t in sightings(refused(reverse_path=""))}


@pytest.mark.parametrize("event", [refused(reason="listed"), received(recovered=True)], ids=["reason", "recovered"])
def test_other_refusals_and_recovered_messages_do_not_count(event: Event) -> None:
    assert sightings(event) == ()


def test_a_message_counts_for_its_client_and_its_customer() -> None:
    envelope = Envelope(reverse_path="a@b.test", recipients=("x@y.test", "z@y.test"), client_ip="2001:db8::1")
    found = {(t.kind, t.subject): t for t in sightings(received(envelope=envelope))}
    assert found[Kind.ABUSE_RATE, "2001:db8::1"].count == 1
    assert found[Kind.CUSTOMER_RATE, "example"].customer == "example"
    assert (found[Kind.CUSTOMER_RATE, "example"].count, found[Kind.CUSTOMER_RECIPIENTS, "example"].count) == (1, 2)
    assert (found[Kind.HARVEST_NETWORK, "2001:db8::/64"].count, found[Kind.HARVEST_SENDER, "a@b.test"].known) == (0, 2)


def test_a_client_that_is_no_address_is_unreadable() -> None:
    with pytest.raises(UnreadableEvent):
        sightings(refused(client_ip="unknown"))


def test_a_burst_becomes_one_tally_and_windows_stay_apart() -> None:
    start = NOW - NOW % STEP
    burst = [tally(at=start + n, known=2) for n in range(90)]
    assert gathered(burst) == [
        tally(count=60, known=120, at=start + 59),
        tally(count=30, known=60, at=start + 89),
    ]


# --- when it is told


def test_it_is_told_at_the_limit_and_not_below() -> None:
    assert crossed(tally(), 9, LIMIT, None, NOW) is None
    told = crossed(tally(), 10, LIMIT, None, NOW)
    assert told == signal(count=10, until=NOW + 1_800.0)


def test_a_large_sender_with_a_few_unknown_recipients_is_no_harvester() -> None:
    assert crossed(tally(), 10, LIMIT, None, NOW, known=31) is None
    assert crossed(tally(), 10, LIMIT, None, NOW, known=30) is not None


def test_it_is_told_again_when_it_doubled_or_half_its_time_is_over() -> None:
    clock = ManualClock()
    told = crossed(tally(), 10, LIMIT, None, clock.now())
    assert told is not None
    assert crossed(tally(), 19, LIMIT, told, clock.now()) is None
    assert crossed(tally(), 20, LIMIT, told, clock.now()) is not None
    clock.advance(899)
    assert crossed(tally(at=clock.now()), 11, LIMIT, told, clock.now()) is None
    clock.advance(1)
    again = crossed(tally(at=clock.now()), 11, LIMIT, told, clock.now())
    assert again is not None
    assert again.until == told.until + 900


def test_what_lapsed_before_it_was_counted_is_not_told() -> None:
    assert crossed(tally(), 50, LIMIT, None, NOW + 1_800) is None


def test_a_backlog_older_than_the_window_does_not_count() -> None:
    assert counts(tally(), LIMIT, NOW + 599)
    assert not counts(tally(), LIMIT, NOW + 600)
    assert not counts(tally(), None, NOW)
    assert not counts(tally(), Limit(0, 600.0, 1.0), NOW)


def test_a_window_is_a_sum_of_tumbling_ones() -> None:
    assert Limit(1, 180.0, 1.0).starts(NOW) == [NOW, NOW - 60, NOW - 120]


# --- settings


def test_a_limit_can_be_set_and_turned_off() -> None:
    config = load(
        SignalsConfig, {"GATEPOST_SIGNALS_HARVEST_NETWORK": "0", "GATEPOST_SIGNALS_ADDRESS_RATE": "5"}, PREFIX
    )
    limits = config.limits()
    assert set(limits) == set(Kind) - {Kind.LEDGER_IMBALANCE}  # that one is no count over a limit
    assert not counts(tally(), limits[Kind.HARVEST_NETWORK], NOW)
    assert limits[Kind.ABUSE_RATE].count == 5


@pytest.mark.parametrize("window", ["30", "90", "7200", "soon"])
def test_a_window_that_tumbling_ones_do_not_make_up_is_refused(window: str) -> None:
    with pytest.raises(ConfigError, match="GATEPOST_SIGNALS_HARVEST_WINDOW"):
        load(SignalsConfig, {"GATEPOST_SIGNALS_HARVEST_WINDOW": window}, PREFIX)


def test_the_app_is_on_unless_it_is_turned_off() -> None:
    assert with_signals({})
    assert with_signals({"GATEPOST_SIGNALS": "On"})
    assert not with_signals({"GATEPOST_SIGNALS": "off"})
    with pytest.raises(ConfigError, match="GATEPOST_SIGNALS: on or off"):
        with_signals({"GATEPOST_SIGNALS": "maybe"})
