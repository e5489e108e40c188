"""What a scanner is told about the customer and the moment: the workers follow no topic, so each scan brings it along.

The parent process makes a briefing of what it follows, once for each change, and sends its octets with every scan; a
worker decodes the same octets once. A fact is added as a field with a default, and filled in `Briefings._make`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from schemas.events import Brand, Customer, DataRule, Person

CUSTOMERS_MOST: Final = 1_000  # whose briefings are kept encoded
_DECODED_MOST: Final = 256


class Briefing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, cache_hash=True):
    """The facts that checks need and no message holds. Empty in all: nobody knows anything of the customer."""

    customer: str = ""
    domains: tuple[str, ...] = ()  # the customer's own, lower case, A-labels
    persons: tuple[Person, ...] = ()  # whose names strangers may not use
    partners: tuple[str, ...] = ()  # domains whose look-alikes are looked for, beside the customer's own
    brands: tuple[Brand, ...] = ()  # beside those that everybody knows
    allowed: tuple[str, ...] = ()  # domains that look like another and are in order
    salt: str = ""  # hex: the key for digests of this customer's correspondents
    data_loss: tuple[DataRule, ...] = ()  # long: only the scanner that looks for them is told
    forwarders: tuple[str, ...] = ()  # networks whose hosts forward others' mail
    sends: bool = False  # through us as well, so that what it sent is known


EMPTY: Final = Briefing()
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Briefing)


def brief(customer: Customer, *, data_loss: bool = False) -> Briefing:
    """Return what scanners are told of the customer; `data_loss`: with its data-loss rules."""
    return Briefing(
        customer=customer.id,
        domains=tuple(domain.name for domain in customer.domains),
        persons=customer.protect.persons,
        partners=customer.protect.partners,
        brands=customer.protect.brands,
        allowed=customer.protect.allowed,
        salt=customer.salt,
        forwarders=customer.forwarders,
        sends=customer.outbound.enabled,
        data_loss=customer.outbound.data_loss if data_loss else (),
    )


@lru_cache(maxsize=_DECODED_MOST)
def decode(octets: bytes) -> Briefing:
    """Return the briefing in the octets, the same object for the same octets; none stand for an empty one."""
    return _decoder.decode(octets) if octets else EMPTY


class Briefings:
    """Encoded briefings by customer, made again when what they are made of is another object."""

    def __init__(self, customer: Callable[[str], Customer | None]) -> None:
        self._customer = customer
        self._made: OrderedDict[tuple[str, bool], tuple[Customer, bytes]] = OrderedDict()

    def of(self, customer: str, *, data_loss: bool = False) -> bytes:
        """Return the octets that go with a scan for this customer; none for one that isn't known (any more).

        `data_loss`: with its data-loss rules.
        """
        known = self._customer(customer)
        key = (customer, data_loss)
        if known is None:
            self._made.pop(key, None)
            return b""
        made = self._made.get(key)
        if made is None or made[0] is not known:
            made = (known, _encoder.encode(self._make(known, data_loss=data_loss)))
            self._made[key] = made
        self._made.move_to_end(key)
        while len(self._made) > CUSTOMERS_MOST:
            self._made.popitem(last=False)
        return made[1]

    def _make(self, customer: Customer, *, data_loss: bool) -> Briefing:
        return brief(customer, data_loss=data_loss)
