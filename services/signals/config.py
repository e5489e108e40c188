"""What the operator may set for signals: GATEPOST_SIGNALS_<FIELD>."""

from __future__ import annotations

from typing import Annotated

import msgspec

from services.core.signals import Kind
from services.signals.decide import STEP, Limit

APP = "gatepost-signals"  # the name of the app, and of its group
PREFIX = "GATEPOST_SIGNALS_"

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
        }

    def _harvest(self, count: int) -> Limit:
        return Limit(count, self.harvest_window, self.harvest_lapse, self.harvest_share)
