"""Replay on a real broker and store, as an operator calls it: right, and without a trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bench.replay import replay
from schemas.catalog import CUSTOMERS, PARTITIONS, SENDERS, TOPICS, key_of
from schemas.events import Action, Customer, Match, Recipient, Rule, SenderEntry
from services.cli.today import today
from services.core.directory import recipient_digest
from services.runtime import groups
from services.runtime.broker import running
from services.runtime.bus import Tombstone
from services.runtime.kafka import KafkaBus
from services.runtime.ports import free_ports
from services.runtime.provision import make_topics
from tests.house.gatepost import House, gatepost, until
from tests.house.sender import plain, send
from tests.house.sink import Sink

CONFIG = """
customers:
  - id: example
    domains:
      - {{name: example.test, relay: ["127.0.0.1:{port}"], recipients: any}}
"""
BUSY = {
    "mail.deferred.v1",
    "delivery.queues.v1",
    "signals.tallies.v1",
    "signals.v1",
}  # grow by themselves: retries, counts
RULE = """
rule Minutes { meta: status = "virus" strings: $a = "minutes of Monday" condition: $a }
"""


async def test_a_history_is_replayed_right_and_leaves_no_trace(tmp_path: Path) -> None:
    async with running(tmp_path / "broker") as broker:
        result = await replay(await broker.start(), tmp_path, 400)
    assert result.messages == 400
    assert result.planted
    assert result.right, result


async def test_what_is_beside_the_rules_is_as_it_is_today(tmp_path: Path) -> None:
    asked = Rule(name="sales", when=Match(recipients=("directory:sales",)), action=Action.QUARANTINE)
    plain_one = Customer(id="example", salt="aa")
    candidate = Customer(id="example", rules=(asked,))  # from a file, which knows no salt
    seller = Recipient(
        customer="example", digest=recipient_digest("aa", "ann@example.test"), source="csv", groups=("sales",)
    )
    blocks = SenderEntry(customer="example", whom="*", sender="a@b.test", approved=False, by="x", at=1.0)
    allows = msgspec.structs.replace(blocks, sender="c@d.test", approved=True)
    async with running(tmp_path / "broker") as broker:
        kafka = await broker.start()
        await make_topics(kafka)
        bus = KafkaBus(kafka, "test")
        await bus.publish([Customer(id="gone", salt="bb"), plain_one, seller, blocks, allows], within=30.0)
        await bus.publish([Tombstone(CUSTOMERS, "gone"), Tombstone(SENDERS, key_of(allows))], within=30.0)
        await bus.close()
        customers, beside = await today(kafka, "test", [candidate])
        assert customers == {"example": plain_one}
        assert beside.senders is not None
        assert [entry.sender for entry in beside.senders.of("example")] == ["a@b.test"]
        assert list(beside.groups_of(candidate, "Ann@example.test")) == ["sales"]
        assert not list(beside.groups_of(candidate, "bob@example.test"))
        _, without = await today(kafka, "test")  # nobody asks for a group: half a million addresses are not read
        assert not list(without.groups_of(plain_one, "ann@example.test"))


@pytest.fixture
async def house(tmp_path: Path, sink: Sink) -> AsyncIterator[House]:
    """Gatepost, up, relaying to the sink."""
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port))
    cut = {"GATEPOST_PARTITIONS": str(PARTITIONS)}  # as this process, which reads the topics itself
    async with House(tmp_path / "data", free_ports(1)[0], "--config", str(config), environ=cut) as house:
        yield house


async def test_a_candidate_scanner_can_neither_deliver_nor_release_nor_bounce(
    house: House, sink: Sink, tmp_path: Path
) -> None:
    """One message was delivered and is gone; one waits for an MTA that refuses for now, and is still in the store."""
    assert (await send(house.port, plain("gone"))).code == 250
    await until(lambda: len(sink.arrivals) == 1, 30)
    sink.refuse = lambda _: "451 4.3.0 later"
    assert (await send(house.port, plain("waits"))).code == 250
    await until(lambda: any("451 4.3.0 later" in line for line in house.log), 30)
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "new.yar").write_text(RULE)
    objects = Path(house.site.store)

    def stored() -> set[tuple[str, int]]:
        return {(str(path), path.stat().st_size) for path in (objects / "mail").rglob("*") if path.is_file()}

    def ends(of: list[groups.Offsets]) -> list[tuple[str, int, int]]:
        return [(each.topic, each.partition, each.end) for each in of if each.topic not in BUSY]

    there = stored()
    assert len(there) == 1
    await asyncio.sleep(1.5)  # what the pipeline still writes of its own accord about these messages
    before = ends(await groups.offsets(house.site.kafka, TOPICS))
    answer = await house.gatepost("replay", "--from", "1h", "--scanner", f"virus@{rules}", "--json")
    assert answer.code == 0, answer.err
    *differences, last = [json.loads(line) for line in answer.out.splitlines()]
    (difference,) = differences
    assert (difference["before"]["action"], difference["after"]["action"]) == ("deliver", "quarantine")
    assert last["summary"]["scans"] == {"object": 1, "recorded": 1}
    assert ends(await groups.offsets(house.site.kafka, TOPICS)) == before
    assert stored() == there
    assert len(sink.arrivals) == 1
    assert "Nothing is held." in (await house.gatepost("quarantine", "list")).out
    text = await house.gatepost("replay", "--from", "1h", "--scanner", f"virus@{rules}", "--diff")
    assert "1 would have been treated otherwise" in text.out
    assert "gone from the store, so their recorded verdicts stand: 1" in text.out
    sink.refuse = lambda _: None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "1h"), "say what to try"),
        (("--from", "yesterday", "--scanner", "virus"), "is no time"),
        (("--from", "1h", "--to", "2h", "--scanner", "virus"), "--from is not before --to"),
        (("--from", "1h", "--scanner", "nobody"), "no scanner is called nobody"),
        (("--from", "1h", "--scanner", "auth@/"), "auth reads no folder of rules"),
        (("--from", "1h", "--message", "x", "--scanner", "virus"), "is no message id"),
    ],
)
async def test_what_can_not_be_meant_is_told(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    environ = {"GATEPOST_KAFKA": "127.0.0.1:9", "GATEPOST_STORE": str(tmp_path), "GATEPOST_DATABASE": "sqlite:///x"}
    answer = await gatepost("replay", *arguments, environ=environ)
    assert answer.code == 2
    assert told in answer.err
