"""Licences: what state a customer is in, and keys that are checked without asking anybody. Pure."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.core.errors import Permanent

DAY: Final = 86_400.0  # seconds
GRACE_DAYS: Final = 30.0
KEEP_DAYS: Final = 90.0  # that a lapsed customer's data stays before it may be purged
WARN_DAYS: Final = (30, 14, 7, 3, 1)  # before the end at which administrators are told
LAPSE_DAYS: Final = (30, 14, 7, 3, 1)  # before the end of the grace
PURGE_DAYS: Final = (30, 7, 1)  # before the data is deleted
_MARK: Final = "gpl1"
_CONTEXT: Final = b"gatepost licence 1\n"
_KEY_MOST: Final = 2_000  # characters


class State(enum.StrEnum):
    """Where a customer stands."""

    TRIAL = "trial"
    FULL = "full"
    GRACE = "grace"  # everything goes on, and administrators are warned
    LAPSED = "lapsed"  # the console shows renewal alone
    PURGE = "purge"  # the data may be deleted for good


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What a customer has; seconds since the epoch."""

    trial_until: float
    paid_until: float = 0.0  # 0: never paid
    grace_days: float = GRACE_DAYS
    keep_days: float = KEEP_DAYS

    @property
    def end(self) -> float:
        """When what it has ends: a key that ends before the trial takes nothing of it away."""
        return max(self.trial_until, self.paid_until)

    @property
    def lapses_at(self) -> float:
        """When the grace that follows the end is over."""
        return self.end + self.grace_days * DAY

    @property
    def purges_at(self) -> float:
        """When the data may be deleted."""
        return self.lapses_at + self.keep_days * DAY


def state_of(standing: Standing, now: float) -> State:
    """Return the state at `now`. Each begins at the second at which the one before it ends."""
    if now < standing.paid_until:
        return State.FULL
    if now < standing.trial_until:
        return State.TRIAL
    lapses = standing.lapses_at
    if now < lapses:
        return State.GRACE
    return State.LAPSED if now < standing.purges_at else State.PURGE


def next_change(standing: Standing, now: float) -> float | None:
    """Return when the state changes next, seconds since the epoch; None when it can't any more."""
    ends = [standing.end, standing.lapses_at, standing.purges_at]
    if standing.paid_until and standing.paid_until < standing.trial_until:
        ends.insert(0, standing.paid_until)
    return next((end for end in ends if now < end), None)


def days_left(standing: Standing, now: float) -> int:
    """Return the whole days until the state changes next, 0 when it changes today or never."""
    change = next_change(standing, now)
    return 0 if change is None else int((change - now) // DAY)


def warning_due(standing: Standing, now: float, warned: float | None) -> int | None:
    """Return which of WARN_DAYS administrators are to be told of now, None for none.

    `warned`: the one that they were told of last, of the same end. Of several that were missed the latest is told.
    """
    return due_before(standing.end, WARN_DAYS, now, warned)


def due_before(end: float, terms: Sequence[int], now: float, warned: float | None) -> int | None:
    """Return which of the terms, days before `end`, is to be told of now; see `warning_due`."""
    left = (end - now) / DAY
    if left <= 0:
        return None
    due = [days for days in terms if left <= days and (warned is None or days < warned)]
    return min(due) if due else None


# --- keys


class BadLicence(Permanent):
    """Not a key that the service's own key has signed, or not one for this customer or this time."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a key gives. Times are seconds since the epoch."""

    id: str
    customer: str
    users: int
    since: float
    until: float


def issue_key(private: Ed25519PrivateKey, terms: Terms) -> str:
    """Return the key, `gpl1.TERMS.SIGNATURE`; raise ValueError for terms that mean nothing."""
    if terms.users < 1 or not terms.since < terms.until or not terms.customer:
        raise ValueError("a licence is for somebody, for one user at least, and ends after it begins")
    payload = msgspec.json.encode(terms)
    return f"{_MARK}.{_text(payload)}.{_text(private.sign(_CONTEXT + payload))}"


def read(public: Ed25519PublicKey, key: str) -> Terms:
    """Return what the key gives; raise BadLicence when our key hasn't signed exactly this."""
    mark, _, rest = "".join(key.split()).partition(".")
    payload_text, _, signature_text = rest.partition(".")
    if mark != _MARK or len(key) > _KEY_MOST:
        raise BadLicence("not a licence key")
    try:
        payload, signature = _octets(payload_text), _octets(signature_text)
        public.verify(signature, _CONTEXT + payload)
        return msgspec.json.decode(payload, type=Terms)
    except (binascii.Error, ValueError, InvalidSignature, msgspec.MsgspecError) as error:
        raise BadLicence("not a licence key of this service") from error


def accept(terms: Terms, customer: str, standing: Standing, now: float) -> Standing:
    """Return the standing with the key in force; raise BadLicence when it is another's, over, or ends no later."""
    if terms.customer != customer:
        raise BadLicence("the key is another customer's")
    if terms.until <= now:
        raise BadLicence("the key's time is over")
    if terms.since > now + DAY:
        raise BadLicence("the key's time has not begun")
    if terms.until <= standing.paid_until:
        raise BadLicence("a key that ends as late or later is in force already")
    return dataclasses.replace(standing, paid_until=terms.until)


def private_key(text: str) -> Ed25519PrivateKey:
    """Return the key of base64 text; raise BadLicence for what is none."""
    return Ed25519PrivateKey.from_private_bytes(_raw(text))


def public_key(text: str) -> Ed25519PublicKey:
    """Return the key of base64 text; raise BadLicence for what is none."""
    return Ed25519PublicKey.from_public_bytes(_raw(text))


def _raw(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:  # noqa: PLR2004  # octets of an Ed25519 key (RFC 8032 section 5.1.5)
        raise BadLicence("not the base64 of 32 octets")
    return raw


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
