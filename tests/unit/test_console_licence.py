"""Licences: every state at its edges, and keys that nobody else can make."""

from __future__ import annotations

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from services.console.licence import (
    DAY,
    WARN_DAYS,
    BadLicence,
    Standing,
    State,
    Terms,
    accept,
    days_left,
    issue_key,
    next_change,
    private_key,
    public_key,
    read,
    state_of,
    warning_due,
)

T = 1_700_000_000.0
TRIAL = Standing(trial_until=T)
PAID = Standing(trial_until=T, paid_until=T + 365 * DAY)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TERMS = Terms(id="01K", customer="acme", users=50, since=T - DAY, until=T + 365 * DAY)


@pytest.mark.parametrize(
    ("standing", "at", "state"),
    [
        (TRIAL, T - 1, State.TRIAL),
        (TRIAL, T, State.GRACE),
        (TRIAL, T + 30 * DAY - 1, State.GRACE),
        (TRIAL, T + 30 * DAY, State.LAPSED),
        (TRIAL, T + 120 * DAY - 1, State.LAPSED),
        (TRIAL, T + 120 * DAY, State.PURGE),
        (PAID, T - 1, State.FULL),
        (PAID, T + 365 * DAY - 1, State.FULL),
        (PAID, T + 365 * DAY, State.GRACE),
        (PAID, T + 395 * DAY, State.LAPSED),
        (PAID, T + 485 * DAY, State.PURGE),
        (Standing(trial_until=T, paid_until=T - 10 * DAY), T - 1, State.TRIAL),  # a short key takes no trial away
        (Standing(trial_until=T, grace_days=0, keep_days=0), T, State.PURGE),
    ],
)
def test_each_state_begins_at_its_second(standing: Standing, at: float, state: State) -> None:
    assert state_of(standing, at) is state


ORDER = [State.FULL, State.TRIAL, State.GRACE, State.LAPSED, State.PURGE]
whole = st.integers(0, 2_000).map(lambda days: T + days * DAY)


@given(trial=whole, paid=st.one_of(st.just(0.0), whole), now=whole, later=st.integers(0, 900))
def test_time_alone_only_leads_onwards(trial: float, paid: float, now: float, later: int) -> None:
    standing = Standing(trial_until=trial, paid_until=paid)
    before, after = state_of(standing, now), state_of(standing, now + later * DAY)
    assert ORDER.index(before) <= ORDER.index(after)


@given(trial=whole, paid=st.one_of(st.just(0.0), whole), now=whole)
def test_the_next_change_is_when_the_state_changes(trial: float, paid: float, now: float) -> None:
    standing = Standing(trial_until=trial, paid_until=paid)
    change = next_change(standing, now)
    if change is None:
        assert state_of(standing, now) is State.PURGE
        return
    assert change > now
    assert state_of(standing, change - 0.5) is state_of(standing, now)
    assert state_of(standing, change) is not state_of(standing, now)
    assert days_left(standing, now) == (change - now) // DAY


def test_administrators_are_told_once_of_each_term_and_of_missed_ones_the_latest() -> None:
    told: list[int] = []
    warned: int | None = None
    for day in range(40, -2, -1):
        due = warning_due(TRIAL, T - day * DAY, warned)
        if due is not None:
            told.append(due)
            warned = due
    assert tuple(told) == WARN_DAYS
    assert warning_due(TRIAL, T - 5 * DAY, None) == 7


def test_a_key_gives_what_was_signed_and_renews_at_every_stage() -> None:
    terms = read(KEY.public_key(), issue_key(KEY, TERMS))
    assert terms == TERMS
    for now in (T - 1, T + 1, T + 60 * DAY, T + 130 * DAY):
        assert state_of(accept(terms, "acme", TRIAL, now), now) is State.FULL
    assert read(KEY.public_key(), "\n ".join(issue_key(KEY, TERMS).partition("."))) == TERMS  # as a mail wraps it


@pytest.mark.parametrize(
    ("customer", "standing", "now", "why"),
    [
        ("globex", TRIAL, T, "another customer's"),
        ("acme", TRIAL, T + 365 * DAY, "is over"),
        ("acme", TRIAL, T - 3 * DAY, "has not begun"),
        ("acme", PAID, T, "in force already"),
    ],
)
def test_a_key_that_does_not_count(customer: str, standing: Standing, now: float, why: str) -> None:
    with pytest.raises(BadLicence, match=why):
        accept(TERMS, customer, standing, now)


def test_a_key_of_somebody_elses_or_with_other_terms_is_none() -> None:
    key = issue_key(KEY, TERMS)
    other = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    more = base64.urlsafe_b64encode(msgspec.json.encode(msgspec.structs.replace(TERMS, users=51))).decode().rstrip("=")
    _, payload, signature = key.split(".")
    for bad in (
        issue_key(other, TERMS),
        f"gpl1.{more}.{signature}",
        f"gpl2.{payload}.{signature}",
        f"gpl1.{payload}",
        "",
        "gpl1.." + "A" * 3_000,
        "gpl1.é.é",
    ):
        with pytest.raises(BadLicence):
            read(KEY.public_key(), bad)


@settings(max_examples=30)
@given(st.text(max_size=200))
def test_no_text_is_a_key_by_chance(text: str) -> None:
    with pytest.raises(BadLicence):
        read(KEY.public_key(), text)


def test_terms_that_mean_nothing_are_not_signed_and_keys_are_read_from_text() -> None:
    for changes in ({"users": 0}, {"until": TERMS.since}, {"customer": ""}):
        with pytest.raises(ValueError, match="a licence is"):
            issue_key(KEY, msgspec.structs.replace(TERMS, **changes))
    text = base64.b64encode(bytes(32)).decode()
    assert private_key(f"{text}\n").public_key() == KEY.public_key()
    for bad in ("", "AAAA", "ü"):
        with pytest.raises(BadLicence):
            public_key(bad)
