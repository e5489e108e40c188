"""How much is too much, by whom, and what it costs to know."""

from __future__ import annotations

import tracemalloc

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Customer, Signal, Trial
from services.core.signals import Kind, Signals
from services.ingress.config import IngressConfig
from services.ingress.harvest import Harvest
from services.ingress.limits import KEYS_MOST, Limits, Window
from services.ingress.pregreet import KEEP, Records

CONFIG = IngressConfig()


def limits(**changes: int) -> Limits:
    return Limits(msgspec.structs.replace(CONFIG, **changes))


def reasons(limits: Limits, ips: list[str], now: float = 0.0) -> list[str]:
    answers = [limits.connection(ip, now) for ip in ips]
    return [answer.reason if answer else "" for answer in answers]


@given(st.lists(st.floats(0, 600), max_size=200))
def test_a_window_has_at_least_what_this_half_of_time_had_and_at_most_what_both_had(times: list[float]) -> None:
    window, told = Window(60.0), []
    for now in sorted(times):
        told.append(now)
        had = window.add("a", now)
        younger = sum(1 for then in told if now // 60 == then // 60)
        older = sum(1 for then in told if now - then < 120.0)
        assert younger <= had <= older


def test_a_window_empties() -> None:
    window = Window(60.0)
    for _ in range(10):
        window.add("a", 59.0)
    assert window.count("a", 59.0) == 10
    assert 4.9 < window.count("a", 90.0) < 5.1
    assert window.count("a", 120.0) == 0
    assert window.count("b", 59.0) == 0


def test_a_spread_over_many_addresses_costs_no_memory() -> None:
    door, records = limits(max_new=10_000_000), Records()
    tracemalloc.start()
    try:
        for number in range(200_000):
            ip = f"{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.1"
            if number < 60_000:  # what comes after that, no other table sees
                door.connection(ip, 0.0)
                records.passed(ip, 0.0)
                door.error(ip, 0.0)
            else:
                door._new.add(ip, 0.0)
        taken, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(door._new) == KEYS_MOST
    assert len(records) <= 50_000
    assert most < 40_000_000, taken


def test_new_connections_are_limited_by_address_network_and_in_all() -> None:
    door = limits(max_new_per_address=2, max_new_per_network=4, max_new=6)
    one, other = "192.0.2.1", "192.0.2.2"
    assert reasons(door, [one, one, one, other]) == ["", "", "too-many-new-connections-from-address", ""]
    assert reasons(door, [other, "192.0.2.3"]) == ["", "too-many-new-connections-from-network"]
    far = ["2001:db8::1", "2001:db8:1::1", "2001:db8:2::1"]
    assert reasons(door, far) == ["", "", "too-many-new-connections"]
    assert reasons(door, [one, other], now=200.0) == ["", ""]


def test_one_v6_network_is_one_client() -> None:
    door = limits(max_new_per_network=3)
    same = [f"2001:db8:0:7:{n:x}::1" for n in range(4)]
    assert reasons(door, same) == ["", "", "", "too-many-new-connections-from-network"]


def test_open_connections_are_limited_by_network() -> None:
    door = limits(max_connections_per_network=2)
    for ip in ("192.0.2.1", "192.0.2.2"):
        door.entered(ip)
    assert reasons(door, ["192.0.2.3", "192.0.3.1"]) == ["too-many-connections-from-network", ""]
    door.left("192.0.2.1")
    assert reasons(door, ["192.0.2.3"]) == [""]


def test_mistakes_keep_an_address_out_for_a_while() -> None:
    door = limits(max_errors_per_minute=3)
    assert [door.error("192.0.2.1", 0.0) for _ in range(4)] == [False, False, False, True]
    assert reasons(door, ["192.0.2.1", "192.0.2.2"]) == ["too-many-errors-from-address", ""]
    assert reasons(door, ["192.0.2.1"], now=200.0) == [""]


def test_messages_and_recipients_a_minute_as_the_reference_has_them() -> None:
    door = limits()
    answers = [door.message("192.0.2.1", 0.0) for _ in range(2_001)]
    assert [answer for answer in answers if answer] == [answers[-1]]
    assert answers[-1] is not None
    assert answers[-1].reason == "too-many-messages-from-address"
    many = [door.recipient(f"198.51.100.{n}", "anna@acme.test", "acme", 0.0) for n in range(201)]
    assert [n for n, answer in enumerate(many) if answer] == [200]
    assert door.recipient("192.0.2.9", "bert@acme.test", "acme", 0.0) is None
    assert door.recipient("192.0.2.9", "anna@acme.test", "acme", 120.0) is None


def test_a_network_and_a_customer_have_limits_of_their_own() -> None:
    door = limits(max_messages_per_network=2, max_recipients_per_customer=2, max_connections_per_customer=1)
    assert [bool(door.message(f"192.0.2.{n}", 0.0)) for n in range(3)] == [False, False, True]
    assert [bool(door.recipient("192.0.2.1", f"u{n}@a.test", "acme", 0.0)) for n in range(3)] == [False, False, True]
    assert door.occupy("acme") is None
    assert door.occupy("acme") is not None
    assert door.occupy("zeta") is None
    door.vacate("acme")
    assert door.occupy("acme") is None


def test_a_trial_has_its_recipients_in_an_hour() -> None:
    door, acme = limits(), Customer(id="acme", trial=Trial(hourly=3))
    assert [bool(door.trial(acme, 600.0 * n)) for n in range(4)] == [False, False, False, True]
    assert door.trial(Customer(id="zeta", trial=Trial(hourly=3)), 1_800.0) is None
    assert door.trial(acme, 7_200.0) is None


def test_records_hold_for_a_day_and_are_bounded() -> None:
    records = Records(most=2)
    for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        records.passed(ip, 0.0)
    assert [records.good(f"192.0.2.{n}", 1.0) for n in (1, 2, 3)] == [False, True, True]
    assert not records.good("192.0.2.3", KEEP + 1)
    records.failed("192.0.2.2")
    assert not records.good("192.0.2.2", 1.0)


def harvest(signals: Signals | None = None) -> Harvest:
    few = {"harvest_per_address": 3, "harvest_per_network": 5, "harvest_per_sender": 4}
    return Harvest(msgspec.structs.replace(CONFIG, **few), Signals() if signals is None else signals)


def test_a_harvester_is_known_by_address_network_and_sender() -> None:
    guesses = harvest()
    for n in range(3):
        assert not guesses.suspected("192.0.2.1", "a@b.test", 0.0)
        guesses.asked("192.0.2.1", f"{n}@b.test", 0.0, exists=False)
    assert guesses.suspected("192.0.2.1", "", 0.0)
    assert not guesses.suspected("192.0.2.2", "", 0.0)
    for n in range(2):
        guesses.asked(f"192.0.2.{n + 5}", "", 0.0, exists=False)
    assert guesses.suspected("192.0.2.200", "", 0.0)
    assert not guesses.suspected("192.0.3.1", "", 0.0)
    for n in range(4):
        guesses.asked(f"198.51.{n}.1", "Evil@b.test", 0.0, exists=False)
    assert guesses.suspected("203.0.113.1", "evil@B.test", 0.0)
    assert not guesses.suspected("203.0.113.1", "", 0.0)
    assert not guesses.suspected("192.0.2.1", "", 2_000.0)


def test_a_large_sender_with_a_few_old_addresses_is_no_harvester() -> None:
    guesses = harvest()
    for n in range(40):
        guesses.asked("192.0.2.1", "news@b.test", 0.0, exists=n % 8 != 0)
    assert not guesses.suspected("192.0.2.1", "news@b.test", 0.0)


def test_what_all_pods_have_seen_together_counts_here() -> None:
    signals = Signals()
    guesses = harvest(signals)
    for kind, subject in (
        (Kind.HARVEST_ADDRESS, "192.0.2.1"),
        (Kind.HARVEST_NETWORK, "198.51.100.0/24"),
        (Kind.HARVEST_SENDER, "evil@b.test"),
    ):
        signals.apply(Signal(subject=subject, kind=kind, count=99, window_s=600.0, until=100.0, at=0.0))
    assert guesses.suspected("192.0.2.1", "", 50.0)
    assert guesses.suspected("198.51.100.77", "", 50.0)
    assert guesses.suspected("203.0.113.1", "Evil@b.test", 50.0)
    assert not guesses.suspected("203.0.113.1", "", 50.0)
    assert not guesses.suspected("192.0.2.1", "", 100.0)
