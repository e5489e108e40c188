"""The real ports of the scanners, made from the configuration: in a worker process, or for one file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from services.core.clock import Clock
from services.runtime.dns import Resolver
from services.scanners.config import ScannersConfig
from services.scanners.contract import Context, Match, Port, Signatures, Spec
from services.scanners.engines.clamd import Clamd, addresses
from services.scanners.engines.rspamd import Rspamd
from services.scanners.engines.signatures import Rules
from services.scanners.engines.url_feeds import Feeds
from services.scanners.engines.url_lists import parse_lists
from services.scanners.learned.model import open_model


class NoRules:
    """The Signatures port for workers none of whose scanners asks for it."""

    version = "no rules"

    def match(self, data: bytes, deadline: float) -> list[Match]:  # noqa: ARG002  # the port's signature
        return []


@asynccontextmanager
async def open_ports(
    config: ScannersConfig, specs: Iterable[Spec], clock: Clock, *, strict: bool = True
) -> AsyncIterator[Context]:
    """Yield the context that these scanners need; raise ConfigError for what the operator wrote and can't be used.

    `strict`: see `engines.signatures.Rules`.
    """
    needed = {port for spec in specs for port in spec.ports}
    resolver = Resolver(config.dns, clock)
    rules: Signatures = Rules(config.yara_dir, clock, strict=strict) if Port.SIGNATURES in needed else NoRules()
    clamd = None
    if config.clamd and Port.CLAMD in needed:
        clamd = Clamd(addresses(config.clamd), config.clamd_max, hold_oversize=config.clamd_oversize == "hold")
    rspamd = Rspamd(config.rspamd) if config.rspamd and Port.RSPAMD in needed else None
    model = open_model(config.content_model) if Port.MODEL in needed else None
    try:
        lists = parse_lists(config.url_lists)
        feeds = Feeds(config.url_feeds, clock) if Port.URL_LISTS in needed and config.url_feeds else None
        sealers = frozenset(domain.lower().rstrip(".") for domain in config.arc_sealers)
        yield Context(clock, resolver, rules, clamd, rspamd, lists, feeds, sealers, model=model)
    finally:
        await resolver.close()
        if clamd is not None:
            await clamd.close()
        if rspamd is not None:
            await rspamd.close()
