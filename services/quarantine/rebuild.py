"""The index from the topics, when its database is lost; and what people said of messages, for training."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from schemas.catalog import HOLDS
from schemas.events import Customer, Hold
from services.core.errors import KeyDestroyed, ObjectCorrupt, ObjectNotFound
from services.quarantine.index import Index
from services.quarantine.keyring import Keyring
from services.quarantine.vault import Vault
from services.runtime.bus import Bus
from services.runtime.latest import latest

BATCH: Final = 200  # messages of one transaction
FOLDERS: Final = {"clean": "ham", "spam": "spam"}


async def rebuild(bus: Bus, index: Index, keys: Keyring) -> tuple[int, int]:
    """Put into the index what the topic knows and it doesn't; return how many rows and keys that were.

    What is there stays as it is, so it may run beside the service.
    """
    live = await latest(bus, HOLDS, Hold)
    restored = await keys.restore()
    holds, rows = list(live.values()), 0
    for start in range(0, len(holds), BATCH):
        rows += await index.restore(holds[start : start + BATCH])
    return rows, restored


async def export(index: Index, vault: Vault, customer: Customer, folder: Path) -> dict[str, int]:
    """Write what was reported into folder/ham and folder/spam, one file a message; return how many of each.

    Only for a customer who agreed that its mail may be used to train with: raises ValueError for another.
    """
    if not customer.training:
        raise ValueError(f"customer {customer.id} has not agreed to training; `training: true` in the customers file")
    counts = dict.fromkeys(FOLDERS.values(), 0)
    for message, said in sorted((await index.reported(customer.id)).items()):
        try:
            octets = await vault.open(customer.id, message)
        except (ObjectNotFound, ObjectCorrupt, KeyDestroyed):
            continue  # it ended, and nothing of it is kept for this
        place = folder / FOLDERS[said]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{message}.eml").write_bytes(octets)
        counts[FOLDERS[said]] += 1
    return counts
