"""The tables of the trace. `migrations/` makes them; a test holds the two together.

Every row of a message lies on the day on which its id was made, whenever the event came: so all of it goes together,
and PostgreSQL has a partition a day, which is dropped when it is over. A refusal at the door has an id of its own.
Tallies are sums alone, outlive the rows that they were made of, and are written in the same transaction as these.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text, text

METADATA: Final = MetaData()
BY_DAY: Final = "RANGE (day)"
USUAL: Final = ("delivered", "refused")  # where nearly all of it is in the end: no index would help to find these
UNUSUAL: Final = text("trace_recipients.state NOT IN ('delivered', 'refused')")

MESSAGES: Final = Table(
    "trace_messages",
    METADATA,
    Column("day", Integer, primary_key=True),  # days since the epoch, UTC
    Column("id", Text, primary_key=True),
    Column("customer", Text, nullable=False),  # empty: refused before it was known whose mail it is
    Column("domain", Text, nullable=False),
    Column("refused", Text, nullable=False),  # the reason; empty for a message that was accepted
    Column("at", Double, nullable=False),  # when it was received or refused, seconds since the epoch
    Column("sender", Text, nullable=False),  # the reverse-path as it was said
    Column("sender_key", Text, nullable=False),  # in lower case, as it is searched for
    Column("sender_domain", Text, nullable=False),
    Column("client_ip", Text, nullable=False),
    Column("helo", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("subject_key", Text, nullable=False),  # in lower case
    Column("message_id", Text, nullable=False),
    Column("size", Integer, nullable=False),  # octets
    # Each ends with the order of a page, which is then a walk along the index. Of what customers share there are two:
    # for one customer who gets little of it, and for all of them.
    Index("trace_messages_customer", "customer", "day", "id"),
    Index("trace_messages_domain", "domain", "day", "id"),
    Index("trace_messages_sender", "sender_key", "customer", "day", "id"),
    Index("trace_messages_sender_of_all", "sender_key", "day", "id"),
    Index("trace_messages_sender_domain", "sender_domain", "customer", "day", "id"),
    Index("trace_messages_sender_domain_of_all", "sender_domain", "day", "id"),
    Index("trace_messages_client", "client_ip", "customer", "day", "id"),
    Index("trace_messages_client_of_all", "client_ip", "day", "id"),
    Index("trace_messages_message_id", "message_id", "customer"),
    postgresql_partition_by=BY_DAY,
)

RECIPIENTS: Final = Table(
    "trace_recipients",
    METADATA,
    Column("day", Integer, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),  # as the sender wrote it
    Column("customer", Text, nullable=False),
    Column("recipient_key", Text, nullable=False),  # in lower case
    Column("state", Text, nullable=False),  # decide.Where
    Column("rank", Double, nullable=False),  # decide.rank: which of two states is the later one
    Index("trace_recipients_recipient", "recipient_key", "day", "id"),  # an address is one customer's
    # With the customer, so that others' are passed over without a look at their rows.
    Index("trace_recipients_state", "state", "day", "id", "customer", postgresql_where=UNUSUAL, sqlite_where=UNUSUAL),
    postgresql_partition_by=BY_DAY,
)

EVENTS: Final = Table(
    "trace_events",
    METADATA,
    Column("day", Integer, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("step", Text, primary_key=True),  # decide.step_of: the same event twice is one row
    Column("customer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("at", Double, nullable=False),  # by its producer
    Column("event", Text, nullable=False),  # as JSON
    postgresql_partition_by=BY_DAY,
)

TALLIES: Final = Table(
    "trace_tallies",
    METADATA,
    Column("customer", Text, primary_key=True),  # tally.EVERYBODY: the whole service
    Column("hour", Integer, primary_key=True),  # since the epoch, UTC
    Column("kind", Text, primary_key=True),  # tally.Kind
    Column("name", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Index("trace_tallies_hour", "hour"),  # what is too old goes by it
)

# Of days that are over: see `tops`.
TOPS: Final = Table(
    "trace_tops",
    METADATA,
    Column("customer", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("senders", Text, nullable=False),  # how many messages each of them sent, as JSON
    Column("recipients", Text, nullable=False),
    Index("trace_tops_day", "day"),  # what is too old goes by it
)

TOPS_DAYS: Final = Table(
    "trace_tops_days",
    METADATA,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("state", Integer, nullable=False),  # tops.State
)

ALL: Final = (MESSAGES, RECIPIENTS, EVENTS)  # that are cut by day
