"""Into how many partitions an installation cuts its topics: GATEPOST_PARTITIONS, the same for every process of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from schemas import catalog
from services.runtime.config import load

EMBEDDED = 2  # one machine: each stage may be two processes, and a partition more costs CPU at every record


class CutConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator said."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=catalog.PARTITIONS_MOST)] = catalog.PARTITIONS


def apply(environ: Mapping[str, str]) -> None:
    """Cut the catalogue's topics as the environment says; raise ConfigError."""
    catalog.cut(load(CutConfig, environ).partitions)
