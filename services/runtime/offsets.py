"""How far consumer groups have come, and how far topics go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.core.errors import BusUnavailable
from services.runtime.kafka_security import client_settings
from services.runtime.source import Slot

WITHIN_MS = 10_000


async def committed(bootstrap: str, groups: Iterable[str]) -> dict[str, Mapping[Slot, int]]:
    """Return the next offset to read of each group's partitions; a group that never committed has none.

    Raises BusUnavailable.
    """
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, client_id="gatepost-offsets", request_timeout_ms=WITHIN_MS, **client_settings()
    )
    try:
        await admin.start()
        found: dict[str, Mapping[Slot, int]] = {}
        for group in groups:
            offsets = await admin.list_consumer_group_offsets(group)
            found[group] = {
                (slot.topic, slot.partition): position.offset
                for slot, position in offsets.items()
                if position.offset >= 0
            }
    except (KafkaError, OSError) as error:
        raise BusUnavailable(f"{bootstrap}: {error or type(error).__name__}") from error
    finally:
        await admin.close()
    return found
