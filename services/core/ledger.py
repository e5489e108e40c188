"""The balance of accepted messages (invariant 2): accepted = ended + in flight, for each recipient. Pure.

A book is of one partition: all events of a message lie in the same one, so what one partition needs is all that is in
memory at a time. Of a message with one recipient it keeps 16 octets of its id and a number.
"""

from __future__ import annotations

import dataclasses
import enum
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from schemas.events import Outcome, Received, State
from services.core.ids import born, is_message_id

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE: Final = {letter: at for at, letter in enumerate(_ALPHABET)}
_STATES: Final = tuple(State)
_NUMBER: Final = {state: at + 1 for at, state in enumerate(_STATES)}
_STATE_BITS, _ACCEPTED = 0xF, 0x10  # of an entry; above them the recipient's checksum and the customer
_SUM_AT, _CUSTOMER_AT = 5, 37


class Fault(enum.StrEnum):
    """What doesn't balance."""

    LOST = "lost"  # accepted, no outcome, and nothing holds it
    TWO_OUTCOMES = "two-outcomes"  # a recipient ended in two ways
    NOT_ACCEPTED = "not-accepted"  # an outcome of a message or a recipient that was never accepted
    WITHDRAWN_WRONGLY = "withdrawn-wrongly"  # its sender was told 451, it is said; and its object is there
    NO_OBJECT = "no-object"  # in flight, and the store doesn't have it
    NO_REASON = "no-reason"  # an object that nobody waits for
    NO_EVENT = "no-event"  # an object that the log knows nothing of: `gatepost recover` publishes it


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Named:
    """One message, and where it is about a recipient that recipient."""

    id: str
    fault: Fault
    recipient: str = ""
    customer: str = ""
    detail: str = ""


@dataclasses.dataclass(slots=True)
class Account:
    """One customer's sums. Recipients are what is counted; `messages` is for the reader."""

    messages: int = 0
    accepted: int = 0
    ended: Counter[str] = dataclasses.field(default_factory=Counter)  # by state
    waiting: Counter[str] = dataclasses.field(default_factory=Counter)  # in flight, by what holds it
    lost: int = 0

    @property
    def terminal(self) -> int:
        """Recipients with an outcome."""
        return sum(self.ended.values())

    @property
    def in_flight(self) -> int:
        """Recipients that something holds."""
        return sum(self.waiting.values())

    @property
    def balanced(self) -> bool:
        """Whether accepted = ended + in flight."""
        return self.accepted == self.terminal + self.in_flight

    def add(self, other: Account) -> None:
        """Take another partition's sums in."""
        self.messages += other.messages
        self.accepted += other.accepted
        self.ended += other.ended
        self.waiting += other.waiting
        self.lost += other.lost


class _Many:
    """A message with several recipients."""

    __slots__ = ("accepted", "customer", "states")

    def __init__(self, customer: int) -> None:
        self.customer = customer
        self.accepted = False
        self.states: dict[int, int] = {}  # checksum of a recipient → number of its state, 0 while it has none


class Book:
    """What one partition says. `accepted` for every Received, then `ended` for every Outcome."""

    def __init__(self, since: float = 0.0) -> None:
        """`since`: messages accepted before it are left out, seconds since the epoch."""
        self.since = since
        self.older = 0  # outcomes of messages from before the book begins
        self.repeated: Counter[str] = Counter()  # the same outcome again: customer → recipients
        self.doubts: list[Named] = []  # found so far; a second look decides
        self._one: dict[bytes, int] = {}
        self._many: dict[bytes, _Many] = {}
        self._customers: list[str] = []
        self._number: dict[str, int] = {}

    def accepted(self, received: Received) -> None:
        """Note that a message is ours; again changes nothing."""
        if born(received.id) < self.since:
            return
        key, customer = packed(received.id), self._of(received.customer)
        sums = {_sum(recipient) for recipient in received.envelope.recipients}
        if len(sums) == 1:
            self._one.setdefault(key, _ACCEPTED | sums.pop() << _SUM_AT | customer << _CUSTOMER_AT)
            return
        many = self._many.setdefault(key, _Many(customer))
        many.accepted = True
        for each in sums:
            many.states.setdefault(each, 0)

    def ended(self, outcome: Outcome) -> None:
        """Note how a message ended for some recipients."""
        if not is_message_id(outcome.id) or born(outcome.id) < self.since:
            self.older += 1
            return
        key = packed(outcome.id)
        for recipient in dict.fromkeys(outcome.recipients):
            before = self._end(key, _sum(recipient), _NUMBER[outcome.state])
            if before is None:
                self._doubt(outcome, recipient, Fault.NOT_ACCEPTED, outcome.state.value)
            elif before == _NUMBER[outcome.state]:
                self.repeated[outcome.customer] += 1
            elif before:
                told = f"{_STATES[before - 1].value}, then {outcome.state.value}"
                self._doubt(outcome, recipient, Fault.TWO_OUTCOMES, told)

    def _end(self, key: bytes, checksum: int, state: int) -> int | None:
        """Return the number of the state that the recipient had before, None when it was never accepted."""
        one = self._one.get(key)
        if one is not None:
            if one >> _SUM_AT & 0xFFFFFFFF != checksum:
                return None
            if not one & _STATE_BITS:
                self._one[key] = one | state
            return one & _STATE_BITS
        many = self._many.get(key)
        if many is None or checksum not in many.states:
            return None
        before = many.states[checksum]
        if not before:
            many.states[checksum] = state
        return before

    def _doubt(self, outcome: Outcome, recipient: str, fault: Fault, detail: str) -> None:
        self.doubts.append(Named(outcome.id, fault, recipient, outcome.customer, detail))

    def open(self) -> dict[str, frozenset[int]]:
        """Return the messages that have not ended for everybody, with the checksums of who is left."""
        found = {
            unpacked(key): frozenset({entry >> _SUM_AT & 0xFFFFFFFF})
            for key, entry in self._one.items()
            if not entry & _STATE_BITS
        }
        for key, many in self._many.items():
            if left := frozenset(checksum for checksum, state in many.states.items() if not state):
                found[unpacked(key)] = left
        return found

    def knows(self, message: str) -> bool:
        """Return whether the message was accepted."""
        key = packed(message)
        return key in self._one or key in self._many

    def accounts(self) -> dict[str, Account]:
        """Return each customer's sums of what was accepted and what ended."""
        found = [Account() for _ in self._customers]
        for entry in self._one.values():
            account = found[entry >> _CUSTOMER_AT]
            account.messages += 1
            account.accepted += 1
            if state := entry & _STATE_BITS:
                account.ended[_STATES[state - 1].value] += 1
        for many in self._many.values():
            account = found[many.customer]
            account.messages += 1
            account.accepted += len(many.states)
            account.ended.update(_STATES[state - 1].value for state in many.states.values() if state)
        return dict(zip(self._customers, found, strict=True))

    def withdrawn(self) -> Iterator[str]:
        """Yield the messages that are said never to have been accepted, for any recipient."""
        number = _NUMBER[State.WITHDRAWN]
        for key, entry in self._one.items():
            if entry & _STATE_BITS == number:
                yield unpacked(key)
        for key, many in self._many.items():
            if number in many.states.values():
                yield unpacked(key)

    def __len__(self) -> int:
        return len(self._one) + len(self._many)

    def _of(self, customer: str) -> int:
        number = self._number.get(customer)
        if number is None:
            number = self._number[customer] = len(self._customers)
            self._customers.append(customer)
        return number


def left(recipients: Iterable[str], sums: frozenset[int]) -> list[str]:
    """Return those of the recipients whose checksums are in `sums`."""
    return [recipient for recipient in dict.fromkeys(recipients) if _sum(recipient) in sums]


def _sum(recipient: str) -> int:
    # Among the recipients of one message: were two of a thousand to have the same sum, once in ten thousand such
    # messages, they would be counted as one.
    return zlib.crc32(recipient.encode("utf-8", "replace"))


def packed(message: str) -> bytes:
    """Return the 16 octets that a message id stands for."""
    number = 0
    for letter in message:
        number = number << 5 | _VALUE[letter]
    return number.to_bytes(17)[-16:]


def unpacked(key: bytes) -> str:
    """Return the message id of the 16 octets."""
    number = int.from_bytes(key)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
