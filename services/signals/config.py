"""What the operator may set for signals: GATEPOST_SIGNALS_<FIELD>."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final

import msgspec

from services.core.conduct import WINDOW, Bounds
from services.core.signals import Kind
from services.signals.decide import STEP, Limit

APP = "gatepost-signals"  # the name of the app, and of its group
PREFIX = "GATEPOST_SIGNALS_"
ACCOUNT_SENDERS: Final = 10  # reverse-paths that an account used before it is held itself, and not the one of them

Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class SignalsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How much is too much. A count of 0 turns its signal off."""

    harvest_window: Annotated[float, msgspec.Meta(ge=STEP, le=3_600, multiple_of=STEP)] = 600.0
    harvest_address: Count = 25  # unknown recipients within the window, from one address
    harvest_network: Count = 60  # from one /24 or /64
    harvest_sender: Count = 60  # with one reverse-path
    harvest_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.25  # of all the recipients it asked for
    harvest_lapse: Seconds = 1_800.0  # how long the signal holds after the last time that the limit was passed

    address_rate: Count = 2_000  # messages within one minute by the clock, from one address
    customer_rate: Count = 10_000  # messages within one minute by the clock, for one customer
    customer_recipients: Count = 40_000  # their recipients
    rate_lapse: Seconds = 120.0

    outbreak: Count = 10  # messages alike within the window that may be one of an outbreak
    outbreak_window: Annotated[float, msgspec.Meta(ge=STEP, le=3_600, multiple_of=STEP)] = 900.0
    outbreak_customers: Annotated[int, msgspec.Meta(ge=1, le=40)] = 2  # any of these three makes it one
    outbreak_sources: Annotated[int, msgspec.Meta(ge=1, le=40)] = 3  # networks that it comes from
    outbreak_recipients: Annotated[int, msgspec.Meta(ge=1, le=40)] = 20
    outbreak_lapse: Seconds = 3_600.0

    submit_address: Count = 1_000  # messages within the window that a customer's client hands in
    submit_address_window: Annotated[float, msgspec.Meta(ge=STEP, le=3_600, multiple_of=STEP)] = 300.0
    submit_sender: Count = 500  # with one reverse-path
    submit_sender_window: Annotated[float, msgspec.Meta(ge=STEP, le=3_600, multiple_of=STEP)] = 600.0
    submit_customer: Count = 10_000  # of one customer
    submit_customer_window: Annotated[float, msgspec.Meta(ge=STEP, le=3_600, multiple_of=STEP)] = 600.0

    conduct_burst: Count = 500  # recipients within ten minutes of an account; it is held where many are strangers
    conduct_day: Count = 1_000  # strangers in a day
    conduct_growth: Annotated[float, msgspec.Meta(ge=1)] = 5.0  # and so many times what any of the last 14 days had
    conduct_failed: Count = 50  # recipients that don't exist
    conduct_bad: Count = 20  # recipients of what scanners are sure of
    conduct_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = (
        0.3  # of its recipients: strangers of a burst, failed, bad
    )

    standstill: Seconds = 60.0  # without progress in a partition that has records; then the process starts anew

    def limits(self) -> dict[str, Limit]:
        """Return the limit of each kind of signal."""
        return {
            Kind.HARVEST_ADDRESS: self._harvest(self.harvest_address),
            Kind.HARVEST_NETWORK: self._harvest(self.harvest_network),
            Kind.HARVEST_SENDER: self._harvest(self.harvest_sender),
            Kind.ABUSE_RATE: Limit(self.address_rate, STEP, self.rate_lapse),
            Kind.CUSTOMER_RATE: Limit(self.customer_rate, STEP, self.rate_lapse),
            Kind.CUSTOMER_RECIPIENTS: Limit(self.customer_recipients, STEP, self.rate_lapse),
            Kind.OUTBREAK: Limit(
                self.outbreak,
                self.outbreak_window,
                self.outbreak_lapse,
                customers=self.outbreak_customers,
                sources=self.outbreak_sources,
                recipients=self.outbreak_recipients,
            ),
            Kind.SUBMIT_ADDRESS: Limit(self.submit_address, self.submit_address_window, 0.0),
            Kind.SUBMIT_SENDER: Limit(self.submit_sender, self.submit_sender_window, 0.0),
            Kind.SUBMIT_CUSTOMER: Limit(self.submit_customer, self.submit_customer_window, 0.0),
            Kind.SENDER_CONDUCT: Limit(1, WINDOW, 0.0),
            Kind.ACCOUNT_CONDUCT: Limit(1, WINDOW, 0.0),
        }

    def bounds(self) -> dict[str, Bounds]:
        """Return from where on an account is held, by the kind of its tallies."""
        one = Bounds(
            burst=self.conduct_burst,
            day=self.conduct_day,
            growth=self.conduct_growth,
            failed=self.conduct_failed,
            bad=self.conduct_bad,
            share=self.conduct_share,
        )
        many = dataclasses.replace(one, senders=ACCOUNT_SENDERS)
        return {Kind.SENDER_CONDUCT: one, Kind.ACCOUNT_CONDUCT: many}

    def _harvest(self, count: int) -> Limit:
        return Limit(count, self.harvest_window, self.harvest_lapse, self.harvest_share)
