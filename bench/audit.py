"""What the ledger costs for a million messages: memory and time of its books, without the broker.

python -m bench.audit [MESSAGES]
"""

from __future__ import annotations

import os
import resource
import sys
import time

from schemas import wire
from schemas.catalog import PARTITIONS, partition_of
from schemas.events import Envelope, Outcome, Received, State
from services.core.ids import message_id
from services.core.ledger import Book

EVERY = 20  # one message in so many has three recipients


def events(number: int, now: float) -> tuple[Received, Outcome]:
    """Return a message and its outcome."""
    message = message_id(now, os.urandom)
    recipients = tuple(f"user{number % 997}.{each}@example.test" for each in range(3 if number % EVERY == 0 else 1))
    envelope = Envelope(reverse_path="a@sender.test", recipients=recipients, client_ip="192.0.2.1")
    received = Received(
        id=message,
        customer=f"customer{number % 50}",
        domain="example.test",
        key=f"mail/example/{message[-2:]}/{message}",
        envelope=envelope,
        size=1,
        received_at=now,
        server="mx",
        plan=("virus",),
    )
    outcome = Outcome(
        id=message,
        customer=received.customer,
        key=received.key,
        recipients=recipients,
        total=len(recipients),
        state=State.DELIVERED,
        at=now,
        received_at=now,
    )
    return received, outcome


def main(count: int) -> None:
    """Print what one partition after the other costs, decoding included."""
    now = time.time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = 0.0
    per_partition = count // PARTITIONS
    for partition in range(PARTITIONS):
        book = Book()
        done = 0
        while done < per_partition:
            received, outcome = events(done, now)
            if partition_of(received.id, PARTITIONS) != partition:
                continue
            done += 1
            one, other = wire.encode(received), wire.encode(outcome)
            began = time.perf_counter()
            book.accepted(wire.decode(one, Received))
            book.ended(wire.decode(other, Outcome))
            seconds += time.perf_counter() - began
        began = time.perf_counter()
        accounts = book.accounts()
        assert not book.open()  # noqa: S101  # the bench's own check
        seconds += time.perf_counter() - began
        assert sum(account.messages for account in accounts.values()) == per_partition  # noqa: S101  # as above
        del book
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{per_partition * PARTITIONS} messages in {PARTITIONS} partitions")
    print(f"memory of the largest book: {(peak - before) / 1024:.0f} MB")
    print(f"decoding and booking: {seconds:.1f} s, {seconds / count * 1e6:.1f} µs a message")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
