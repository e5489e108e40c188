"""Into how many partitions an installation cuts its topics: GATEPOST_PARTITIONS, the same for every process of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from schemas import catalog
from services.core.errors import ConfigError
from services.runtime.config import load

EMBEDDED = 2  # one machine: each stage may be two processes, and a partition more costs CPU at every record


class CutConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator said."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=catalog.PARTITIONS_MOST)] = catalog.PARTITIONS


def apply(environ: Mapping[str, str]) -> None:
    """Cut the catalogue's topics as the environment says; raise ConfigError."""
    catalog.cut(load(CutConfig, environ).partitions)


def require(found: int | None) -> bool:
    """Return whether the topics are there; raise ConfigError when they are cut otherwise than this process was told.

    `found`: the partitions of mail.received.v1, None while there is no such topic. A process that is told otherwise
    would put messages where nobody joins them, and a command would read a part of the topics and call it all.
    """
    if found is None:
        return False
    wanted = catalog.RECEIVED.partitions
    if found != wanted:
        raise ConfigError(
            f"GATEPOST_PARTITIONS: {wanted} here, and the topics of this installation have {found};"
            " every process and command must be told the same"
        )
    return True


async def require_of(client: Any) -> bool:  # noqa: ANN401 - aiokafka ships no types
    """As `require`, of the broker that an aiokafka client is connected to; raise KafkaError when it doesn't answer."""
    parts = (await client.fetch_all_metadata()).partitions_for_topic(catalog.RECEIVED.name)
    return require(None if parts is None else len(parts))
