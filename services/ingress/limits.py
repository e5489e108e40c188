"""How much of what one client, its neighbours, a recipient or a customer had in the last minute. Pure, and bounded.

A window is counted in two halves of time, this one and the one before: the share of the older one that still lies
within the window is taken as spread evenly. Keys that weren't seen for longest make room for new ones, so that a spread
over a million addresses costs no memory: such a client is caught by what its network or the whole process had.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from schemas.events import Customer
from services.core import replies
from services.core.networks import neighbours
from services.ingress.config import IngressConfig
from services.ingress.decide import Refusal

MINUTE: Final = 60.0  # seconds
HOUR: Final = 3_600.0
KEYS_MOST: Final = 20_000  # of one window; 200 octets each


class Window:
    """Counts by key over the last `length` seconds."""

    def __init__(self, length: float, keys_most: int = KEYS_MOST) -> None:
        self._length = length
        self._most = keys_most
        self._counts: OrderedDict[str, tuple[int, float, float]] = OrderedDict()  # index, in it, in the one before

    def add(self, key: str, now: float, count: float = 1.0) -> float:
        """Count, and return what the window then has."""
        index, current, before = self._at(key, now)
        self._counts[key] = (index, current + count, before)
        self._counts.move_to_end(key)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return current + count + self._carried(before, now)

    def count(self, key: str, now: float) -> float:
        """Return what the window has."""
        if key not in self._counts:
            return 0.0
        _, current, before = self._at(key, now)
        return current + self._carried(before, now)

    def __len__(self) -> int:
        return len(self._counts)

    def _at(self, key: str, now: float) -> tuple[int, float, float]:
        index = int(now // self._length)
        then, current, before = self._counts.get(key, (index, 0.0, 0.0))
        if then == index:
            return index, current, before
        return index, 0.0, current if then == index - 1 else 0.0

    def _carried(self, before: float, now: float) -> float:
        return before * (1.0 - now % self._length / self._length)


class Limits:
    """What the process has counted; each method says whether there is room, and counts what it let in."""

    def __init__(self, config: IngressConfig) -> None:
        self._config = config
        self._here: Counter[str] = Counter()  # open connections by network
        self._of_customer: Counter[str] = Counter()  # open connections that have a recipient of the customer
        self._new = Window(MINUTE)
        self._messages = Window(MINUTE)
        self._recipients = Window(MINUTE)
        self._by_recipient = Window(MINUTE)
        self._by_customer = Window(MINUTE)
        self._errors = Window(MINUTE)
        self._trials = Window(HOUR)

    def connection(self, ip: str, now: float) -> Refusal | None:
        """Return why a new connection is refused, None when it is let in. Refused ones count too."""
        config, network = self._config, neighbours(ip)
        if self._here[network] >= config.max_connections_per_network:
            return Refusal(replies.TOO_MANY_FROM_YOU, "too-many-connections-from-network")
        if self._errors.count(ip, now) >= config.max_errors_per_minute:
            return Refusal(replies.TOO_MANY_ERRORS, "too-many-errors-from-address")
        for key, most, where in (
            (ip, config.max_new_per_address, "-from-address"),
            (network, config.max_new_per_network, "-from-network"),
            ("", config.max_new, ""),
        ):
            if self._new.add(key, now) > most:
                reply = replies.TOO_MANY_FROM_YOU if where else replies.TOO_BUSY
                return Refusal(reply, "too-many-new-connections" + where)
        return None

    def entered(self, ip: str) -> None:
        """Count an open connection."""
        self._here[neighbours(ip)] += 1

    def left(self, ip: str) -> None:
        """Count it no more."""
        _less(self._here, neighbours(ip))

    def message(self, ip: str, now: float) -> Refusal | None:
        """Return why one more transaction is put off, None when it may begin."""
        config = self._config
        if self._messages.count(ip, now) >= config.max_messages_per_address:
            return Refusal(replies.TOO_MANY_MESSAGES, "too-many-messages-from-address")
        network = neighbours(ip)
        if self._messages.count(network, now) >= config.max_messages_per_network:
            return Refusal(replies.TOO_MANY_MESSAGES, "too-many-messages-from-network")
        self._messages.add(ip, now)
        self._messages.add(network, now)
        return None

    def recipient(self, ip: str, recipient: str, customer: str, now: float) -> Refusal | None:
        """Return why a recipient that exists is put off, None when it may be one."""
        config = self._config
        if self._recipients.count(ip, now) >= config.max_recipients_per_address:
            return Refusal(replies.SLOW_DOWN, "too-many-recipients-from-address")
        if self._by_recipient.count(recipient, now) >= config.max_per_recipient:
            return Refusal(replies.RECIPIENT_BUSY, "too-many-messages-for-recipient")
        if self._by_customer.count(customer, now) >= config.max_recipients_per_customer:
            return Refusal(replies.RECIPIENT_BUSY, "too-many-recipients-for-customer")
        self._recipients.add(ip, now)
        self._by_recipient.add(recipient, now)
        self._by_customer.add(customer, now)
        return None

    def trial(self, customer: Customer, now: float) -> Refusal | None:
        """Return why one more recipient of a trial is put off: it has had what is agreed for an hour."""
        if self._trials.count(customer.id, now) >= customer.trial.hourly:
            return Refusal(replies.TRIAL_LIMIT, "trial-limit")
        self._trials.add(customer.id, now)
        return None

    def occupy(self, customer: str) -> Refusal | None:
        """Count an open connection for the customer, unless it has too many; `vacate` gives it back."""
        if self._of_customer[customer] >= self._config.max_connections_per_customer:
            return Refusal(replies.RECIPIENT_BUSY, "too-many-connections-for-customer")
        self._of_customer[customer] += 1
        return None

    def vacate(self, customer: str) -> None:
        """See `occupy`."""
        _less(self._of_customer, customer)

    def error(self, ip: str, now: float) -> bool:
        """Count a mistake, and return whether the address has made too many in the last minute."""
        return self._errors.add(ip, now) > self._config.max_errors_per_minute


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
