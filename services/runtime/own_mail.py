"""Mail that we write ourselves is accepted mail: it has an id, an object, an event and an outcome like any other."""

from __future__ import annotations

from schemas.events import Envelope, Received
from services.core.address import parse
from services.core.errors import ObjectConflict
from services.core.heading import subject_of
from services.core.stored import object_key, pack, unpack
from services.runtime.store import Store


def own_mail(
    *, identity: str, customer: str, recipient: str, message: bytes, own: str, now: float, hostname: str
) -> Received:
    """Return the event of a message that we wrote, from the null sender to one recipient; raise BadAddress.

    With `own` "account" the recipient may be anybody, else it is one of the customer's.
    """
    envelope = Envelope(reverse_path="", recipients=(recipient,), client_ip="127.0.0.1", helo=hostname, eight_bit=True)
    return Received(
        id=identity,
        customer=customer,
        domain=parse(recipient).domain,
        key=object_key(customer, identity),
        envelope=envelope,
        size=len(message),
        received_at=now,
        server=hostname,
        plan=(),
        subject=subject_of(message),
        own=own,
    )


async def put_own(store: Store, received: Received, message: bytes) -> Received:
    """Store the message and return its event; one that is there already stays as it is, and its event is returned."""
    try:
        await store.put(received.key, [pack(received), message])
    except ObjectConflict:
        return unpack(await store.get(received.key))[0]
    return received
