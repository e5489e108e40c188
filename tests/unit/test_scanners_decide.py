"""Verdicts: what goes on the wire is bounded, finite and valid; the registry finds what is a scanner."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import wire
from schemas.events import Evidence, Rescan, Status, Verdict
from services.core.errors import ConfigError, ObjectCorrupt, ObjectNotFound, StoreUnavailable
from services.core.stored import pack
from services.runtime.fakes_store import MemoryStore
from services.scanners import decide, registry
from services.scanners.cache import MailCache
from services.scanners.config import ScannersConfig, read
from services.scanners.contract import Cost, Finding, Reason, Spec, unavailable
from services.scanners.mail import Mail
from services.scanners.run import run
from tests.mails import PLAIN, context, crlf, mail
from tests.samples import NOW, received

SPEC = Spec("odd", "7", Cost.CPU, timeout=0.05, max_size=1000)
SURROGATES = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates too: orjson refuses them


@given(
    st.builds(
        Finding,
        status=st.sampled_from(Status),
        score=st.floats(),
        evidence=st.lists(st.builds(Evidence, code=SURROGATES, text=SURROGATES, score=st.floats()), max_size=60).map(
            tuple
        ),
        engine=SURROGATES,
        results=st.lists(st.tuples(SURROGATES, SURROGATES), max_size=30).map(tuple),
        reason=st.sampled_from(["", "engine", "time"]),
    )
)
def test_every_finding_becomes_an_event(finding: Finding) -> None:
    verdict = decide.verdict(SPEC, received(), finding, origin=3, now=NOW)
    assert wire.decode(wire.encode(verdict), Verdict) == verdict
    assert (verdict.reason != "") is (finding.status is Status.UNAVAILABLE)
    assert len(verdict.evidence) <= decide.MAX_EVIDENCE
    assert all(len(item.text) <= 200 for item in verdict.evidence)


def test_who_is_asked() -> None:
    message = received()
    rescan = Rescan(received=message, scanners=("virus",), attempt=1, origin=9, asked_at=NOW)
    assert decide.wanted(message, "auth") is message
    assert decide.wanted(rescan, "virus") is message
    assert decide.wanted(rescan, "auth") is None


@pytest.mark.parametrize(
    ("score", "status"),
    [(5.99, Status.CLEAN), (6.0, Status.SUSPICIOUS), (14.9, Status.SUSPICIOUS), (15.0, Status.SPAM)],
)
def test_scores(score: float, status: Status) -> None:
    assert decide.by_score(score) is status


@pytest.mark.parametrize(
    ("reason", "needed"),
    [(Reason.CRASH, True), (Reason.TIME, True), (Reason.STORE, True), (Reason.ENGINE, False), (Reason.TOO_BIG, False)],
)
def test_who_needs_a_person(reason: Reason, needed: bool) -> None:
    assert decide.needs_a_person(unavailable(reason)) is needed
    assert not decide.needs_a_person(Finding(status=Status.CLEAN))


# --- one scanner on one mail


class Slow:
    """A scanner that waits for ever."""

    SPEC = SPEC

    async def scan(self, mail: Mail, ctx: object) -> Finding:  # noqa: ARG002  # the contract's signature
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_scanner_that_waits_too_long() -> None:
    finding = await run(Slow(), mail(PLAIN), context())
    assert (finding.status, finding.reason) == (Status.UNAVAILABLE, "time")


async def test_a_message_that_is_too_big() -> None:
    finding = await run(Slow(), mail(PLAIN + b"x" * 1000), context())
    assert (finding.status, finding.reason) == (Status.UNAVAILABLE, "too-big")


# --- the registry


def test_the_built_in_scanners_are_found() -> None:
    found = registry.discover()
    assert {"auth", "content", "impersonation", "urls", "virus"} <= set(found)
    assert list(found) == sorted(found)
    assert list(registry.choose(("virus",))) == ["virus"]


def test_a_name_that_is_no_scanner() -> None:
    with pytest.raises(ConfigError, match=r"no scanner is called url; there are .*auth, content, .*urls, virus"):
        registry.choose(("url",))


def test_a_module_that_is_no_scanner() -> None:
    with pytest.raises(ConfigError, match=r"services\.core\.address is no scanner"):
        registry.discover("services.core")


def test_config() -> None:
    config = read({"GATEPOST_SCANNERS": "auth,virus", "GATEPOST_CLAMD": "127.0.0.1:3310", "GATEPOST_STORE": "/data"})
    assert config == ScannersConfig(store="/data", scanners=("auth", "virus"), clamd="127.0.0.1:3310")
    assert config.workers >= 1
    with pytest.raises(ConfigError, match="GATEPOST_SCANNER_WORKERS"):
        read({"GATEPOST_SCANNER_WORKERS": "many"})


# --- the mails of a worker


async def stored(store: MemoryStore, size: int = 0) -> tuple[str, str]:
    body = crlf(PLAIN) + b"x" * size
    event = received(size=len(body))
    await store.put(event.key, [pack(event), body])
    return event.key, event.id


def fetches(store: MemoryStore) -> int:
    return sum(1 for operation, _ in store.calls if operation == "get")


async def test_a_mail_is_fetched_once_for_all_its_scanners() -> None:
    store = MemoryStore()
    key, message = await stored(store)
    mails = MailCache(store, 1_000_000)
    first, second = await asyncio.gather(mails.get(key, message), mails.get(key, message))
    assert first is second
    assert await mails.get(key, message) is first
    assert fetches(store) == 1
    assert first.raw == crlf(PLAIN)


async def test_the_cache_is_bounded_by_weight() -> None:
    store = MemoryStore()
    mails = MailCache(store, 60_000)
    keys = [await stored(store, 5_000) for _ in range(3)]
    for key, message in keys:
        await mails.get(key, message)
    await mails.get(*keys[2])
    assert fetches(store) == 3
    await mails.get(*keys[0])
    assert fetches(store) == 4
    big = await stored(store, 100_000)
    await mails.get(*big)
    await mails.get(*big)
    assert fetches(store) == 6


async def test_a_failed_fetch_is_tried_again() -> None:
    store = MemoryStore()
    key, message = await stored(store)
    mails = MailCache(store, 1_000_000)
    store.fail("get", StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await mails.get(key, message)
    assert (await mails.get(key, message)).id == message
    with pytest.raises(ObjectNotFound):
        await mails.get("mail/example/00/none", message)
    with pytest.raises(ObjectCorrupt):
        await MailCache(store, 1_000_000).get(key, "another")


async def test_a_scanner_that_goes_leaves_the_mail_to_the_others() -> None:
    store = MemoryStore()
    key, message = await stored(store)
    gate = store.hold("get")
    mails = MailCache(store, 1_000_000)
    going, staying = (asyncio.create_task(mails.get(key, message)) for _ in range(2))
    await asyncio.sleep(0)
    going.cancel()
    gate.set()
    assert (await staying).id == message
