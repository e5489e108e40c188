"""What is held is sealed, comes out as it went in, and is gone without a trace when it has ended."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from schemas.catalog import DISPOSITIONS, HOLDS, MOVED, OUTCOMES, RECEIVED
from schemas.events import (
    Act,
    Command,
    Customer,
    Disposition,
    Event,
    Hold,
    Moved,
    Outcome,
    QuarantineRequest,
    Received,
    Rechecked,
    Rescan,
    Status,
)
from schemas.events import State as Ending
from services.core.errors import BusUnavailable, KeyDestroyed, ObjectCorrupt, StoreUnavailable
from services.core.exemption import is_exempt
from services.core.sealed import sealed_key
from services.core.stored import unpack
from services.quarantine.decide import Shown, from_hold, holds, to_hold
from services.quarantine.index import Index
from services.quarantine.keyring import Keyring
from services.quarantine.rebuild import export, rebuild
from services.quarantine.vault import Vault
from services.reaper.app import Reaper
from services.reaper.recover import recover
from services.runtime.bus import Record
from services.runtime.fakes import MemoryBus
from tests.integration.test_quarantine import DAY, A, B, C, House, delivered, disposition, quarantined, told
from tests.samples import NOW, received

BODY = b"Subject: A message\r\n\r\nIts body\r\n"
SECRET = b"Its body"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    index = await Index.open(f"sqlite:///{tmp_path / 'a.db'}")
    made = House(index)
    made.customers["example"] = Customer(id="example", quarantine_days=7)
    yield made
    await index.close()


def keys(house: House, *prefixes: str) -> list[str]:
    return sorted(key for key in house.store.objects if key.startswith(prefixes or ("mail", "quarantine", "released")))


async def reaped(house: House, *more: Event) -> None:
    """Let the reaper and the quarantine see what was published, in the order of its publishing."""
    reaper = Reaper(house.bus, house.store)
    for event in more:
        topic = MOVED if isinstance(event, Moved) else OUTCOMES
        record = Record(topic=topic, partition=0, offset=0, key="", event=event, timestamp=house.clock.now())
        if isinstance(event, Moved | Outcome):
            await reaper.handle(record)
        if isinstance(event, Outcome):
            await house.quarantine.handle(record)


def ended(release: Disposition, state: Ending = Ending.DELIVERED) -> Outcome:
    """What delivery says of a release."""
    received = release.received
    return Outcome(
        id=received.id,
        customer=received.customer,
        key=received.key,
        recipients=tuple(name for branch in release.branches for name in branch.recipients),
        total=len(received.envelope.recipients),
        state=state,
        at=NOW,
        received_at=NOW,
    )


async def test_what_is_held_lies_encrypted_and_the_plain_object_goes(house: House) -> None:
    event = await house.hold(quarantined(A, B, C))
    moved = [each for each in house.made if isinstance(each, Moved)]
    assert [(each.recipients, each.total) for each in moved] == [((A, B, C), 3)]
    await reaped(house, *moved)
    assert keys(house) == [sealed_key("example", event.id)]
    assert not any(SECRET in octets for octets in house.store.objects.values())
    assert await house.vault.open("example", event.id) == BODY


async def test_the_plain_object_stays_for_those_who_are_not_held(house: House) -> None:
    event = await house.hold(quarantined(A), delivered(B, C))
    await reaped(house, *house.made)
    assert event.key in house.store.objects
    outcome = Outcome(
        id=event.id,
        customer="example",
        key=event.key,
        recipients=(B, C),
        total=3,
        state=Ending.DELIVERED,
        at=NOW,
        received_at=NOW,
    )
    reaper = Reaper(house.bus, house.store)
    for each in (*[m for m in house.made if isinstance(m, Moved)], outcome):
        await reaper.handle(Record(topic=OUTCOMES, partition=0, offset=0, key="", event=each, timestamp=NOW))
    assert keys(house) == [sealed_key("example", event.id)]


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3_000_000])
async def test_every_length_comes_out_as_it_went_in(house: House, size: int) -> None:
    event = await house.message()
    octets = os.urandom(size)
    await house.vault.seal(disposition(event, quarantined(A)), octets, NOW, NOW + 1)
    assert await house.vault.open("example", event.id) == octets


async def test_a_sealed_object_that_was_changed_opens_nothing(house: House) -> None:
    event = await house.message()
    octets = os.urandom(600_000)
    place = await house.vault.seal(disposition(event, quarantined(A)), octets, NOW, NOW + 1)
    good = house.store.objects[place]
    step = 262_144 + 16
    head = len(good) - (600_000 + 3 * 16)
    changed = {
        "cut": good[: head + 2 * step],
        "swapped": good[:head]
        + good[head + step : head + 2 * step]
        + good[head : head + step]
        + good[head + 2 * step :],
        "flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "header": good.replace(b'"held_at":1700000000.0', b'"held_at":1700000001.0'),
    }
    for name, octets in changed.items():
        assert octets != good, name
        house.store.objects[place] = octets
        with pytest.raises(ObjectCorrupt):
            await house.vault.open("example", event.id)


async def test_one_customer_s_key_opens_no_other_s_mail(house: House) -> None:
    event = await house.message()
    place = await house.vault.seal(disposition(event, quarantined(A)), BODY, NOW, NOW + 1)
    other = await house.keys.current("other")
    house.store.objects[sealed_key("other", event.id)] = house.store.objects[place]
    assert other
    with pytest.raises(KeyDestroyed):
        await house.vault.open("other", event.id)


async def test_another_master_key_opens_nothing(house: House) -> None:
    event = await house.hold(quarantined(A))
    keys = Keyring(house.index.database, house.store, b"x" * 32, house.clock, os.urandom)
    with pytest.raises(KeyDestroyed):
        await Vault(house.store, keys, os.urandom).open("example", event.id)


async def test_destroying_the_key_destroys_the_mail_and_new_mail_has_a_new_key(house: House) -> None:
    event = await house.hold(quarantined(A))
    copy = dict(house.store.objects)
    assert await house.keys.destroy("example") == 1
    with pytest.raises(KeyDestroyed):
        await house.vault.open("example", event.id)
    assert keys(house, "keys") == []
    copy.pop(next(key for key in copy if key.startswith("keys/")))
    house.store.objects.update(copy)  # even with every other object of before
    with pytest.raises(KeyDestroyed):
        await house.vault.open("example", event.id)
    assert await house.handle(house.command(event, Command.RELEASE)) == []
    assert await house.states(event) == {A: "release-stopped"}
    later = await house.hold(quarantined(A))
    assert await house.vault.open("example", later.id) == BODY


async def test_with_the_last_that_is_held_its_customer_s_key_goes_and_new_mail_has_a_new_one(house: House) -> None:
    first, second = await house.hold(quarantined(A, B, C)), await house.message()
    await reaped(house, *house.made)
    await house.vault.seal(disposition(second, quarantined(A)), BODY, NOW, NOW + DAY)
    (key,) = keys(house, "keys")
    house.clock.advance(8 * DAY)
    assert await house.quarantine.sweep() == 3
    await reaped(house, *house.bus.events(OUTCOMES))
    assert keys(house) == [second.key, sealed_key("example", second.id)]
    await house.quarantine.sweep()
    assert keys(house, "keys") == [key]  # something lies sealed, whatever the index says
    assert await house.vault.open("example", second.id) == BODY
    await house.vault.delete("example", second.id)
    await house.quarantine.sweep()
    assert keys(house, "keys") == []
    async with house.index.database.reading() as connection:
        assert (await connection.execute(text("SELECT * FROM quarantine_keys"))).all() == []
    assert first.id != second.id
    later = await house.hold(quarantined(A))
    assert await house.vault.open("example", later.id) == BODY
    await house.quarantine.sweep()
    assert len(keys(house, "keys")) == 1


class Hurried(Keyring):
    """A keyring that another process takes the keys of away, just before it is asked whether they last."""

    times = 1

    async def lasts(self, customer: str, identity: str) -> bool:
        if self.times:
            self.times -= 1
            other = Keyring(self._database, self._store, self._wrapping, self._clock, self._entropy)
            assert await other.discard(customer, _not_needed) == 1
        return await super().lasts(customer, identity)


async def _not_needed() -> bool:
    """It looked just before the object came."""
    return False


async def test_what_is_sealed_while_its_key_is_destroyed_is_sealed_again(house: House) -> None:
    """The trap: a key that had nothing to open when it was looked at, and mail that came in between."""
    ring = Hurried(house.index.database, house.store, house.secrets.wrapping, house.clock, os.urandom)
    vault, event = Vault(house.store, ring, os.urandom), await house.message()
    await vault.seal(disposition(event, quarantined(A)), BODY, NOW, NOW + DAY)
    assert await house.vault.open("example", event.id) == BODY
    ring.times = 9
    with pytest.raises(StoreUnavailable, match="destroyed as soon as they are made"):
        await vault.seal(disposition(await house.message(), quarantined(A)), BODY, NOW, NOW + DAY)


async def test_a_destruction_that_a_crash_cut_off_is_taken_back_or_ended_later(house: House) -> None:
    event = await house.hold(quarantined(A))

    async def crash() -> bool:
        raise StoreUnavailable("by order of the test")

    with pytest.raises(StoreUnavailable):
        await house.keys.discard("example", crash)
    assert await house.vault.open("example", event.id) == BODY  # marked and not destroyed
    house.clock.advance(3_600)
    assert await house.keys.discard("example", lambda: house.vault._holds("example")) == 0
    (key,) = keys(house, "keys")
    assert await house.keys.lasts("example", key.rpartition("/")[2])


async def test_a_crash_at_any_step_of_holding_loses_nothing(house: House) -> None:
    event = await house.message()
    for operation in ("get", "put"):
        house.store.fail(operation, StoreUnavailable("by order of the test"))
        with pytest.raises(StoreUnavailable):
            await house.hold(quarantined(A, B, C), of=event)
        assert event.key in house.store.objects
    house.store.fail("put", StoreUnavailable("by order of the test"), landed=True)
    with pytest.raises(StoreUnavailable):
        await house.hold(quarantined(A, B, C), of=event)
    await house.hold(quarantined(A, B, C), of=event)
    await reaped(house, *house.made)
    assert await house.vault.open("example", event.id) == BODY
    # The record comes once more, the plain object gone: it is held still, and not twice.
    await house.hold(quarantined(A, B, C), of=event)
    assert await house.states(event) == {A: "held", B: "held", C: "held"}


# --- release


async def test_only_the_virus_scanner_looks_again_and_the_original_octets_go(house: House) -> None:
    house.plan = ("auth", "virus")
    event = await house.hold(quarantined(A, B, C))
    await reaped(house, *house.made)
    command = house.command(event, Command.RELEASE, A)
    (question,) = await house.handle(command)
    assert isinstance(question, Rescan)
    assert (question.scanners, question.release) == (("virus",), command.command_id)
    assert await house.states(event) == {A: "releasing", B: "held", C: "held"}
    (release,) = await house.handle(answer(question, Status.CLEAN))
    assert isinstance(release, Disposition)
    assert told([release]) == [("release", (A,))]
    assert bytes(unpack(house.store.objects[release.received.key])[1]) == BODY
    assert is_exempt(house.secrets.signing.public_key(), release)
    await reaped(house, ended(release))
    assert keys(house) == [sealed_key("example", event.id)]  # the plain copy is gone, the others' is not


async def test_an_exemption_fits_nothing_else(house: House) -> None:
    event = await house.hold(quarantined(A, B))
    (release,) = await house.handle(house.command(event, Command.RELEASE, A))
    assert isinstance(release, Disposition)
    public = house.secrets.signing.public_key()
    other = msgspec.structs.replace(release.received, id="01K8Z4N5QJ3M8V7T2R6XW9YB00")
    (branch,) = release.branches
    (exemption,) = release.exemptions
    for forged in (
        msgspec.structs.replace(release, received=other),
        msgspec.structs.replace(release, release="another"),
        msgspec.structs.replace(release, branches=(msgspec.structs.replace(branch, recipients=(A, B)),)),
        msgspec.structs.replace(release, exemptions=(msgspec.structs.replace(exemption, policy="0" * 16),)),
        msgspec.structs.replace(release, exemptions=()),
    ):
        assert not is_exempt(public, forged)
    assert not is_exempt(Ed25519PrivateKey.generate().public_key(), release)


async def test_a_virus_that_is_found_again_stops_the_release(house: House) -> None:
    house.plan = ("virus",)
    event = await house.hold(quarantined(A))
    (question,) = await house.handle(house.command(event, Command.RELEASE))
    assert isinstance(question, Rescan)
    assert await house.handle(answer(question, Status.VIRUS, "EICAR")) == []
    (row,) = await house.index.get(event.id)
    assert (row.state.value, row.note) == ("release-stopped", "virus found again: EICAR")
    assert keys(house, "released") == []
    # It is held as before: it can be tried again, and it expires.
    assert len(await house.handle(house.command(event, Command.RELEASE))) == 1
    assert await house.handle(answer(question, Status.CLEAN)) == []  # the answer to the first question comes too late
    house.clock.advance(8 * DAY)
    assert await house.quarantine.sweep() == 1


async def test_a_scanner_that_can_not_tell_holds_and_is_asked_again(house: House) -> None:
    house.plan = ("virus",)
    event = await house.hold(quarantined(A))
    (question,) = await house.handle(house.command(event, Command.RELEASE))
    assert isinstance(question, Rescan)
    assert await house.handle(answer(question, Status.UNAVAILABLE, "engine")) == []
    assert await house.states(event) == {A: "releasing"}
    assert await house.quarantine.ask_due() == 0
    house.clock.advance(15)
    assert await house.quarantine.ask_due() == 1
    assert await house.index.held() == {event.id: frozenset({A})}
    assert len(await house.handle(answer(question, Status.CLEAN))) == 1


async def test_a_release_is_never_caught_again(house: House) -> None:
    """Its record is delivery's alone; and published again from the store, the same release comes out."""
    event = await house.hold(quarantined(A))
    (release,) = await house.handle(house.command(event, Command.RELEASE))
    assert await house.handle(release) == []
    again = msgspec.structs.replace(event, recovered=True)
    assert await house.handle(disposition(again, quarantined(A))) == [release]
    assert isinstance(release, Disposition)
    await reaped(house, ended(release))
    assert keys(house) == [event.key]  # what was recovered; the reaper has its own account of that
    assert await house.handle(disposition(again, quarantined(A))) == []


async def test_after_the_last_outcome_there_is_no_object_and_no_key(house: House) -> None:
    event = await house.hold(quarantined(A, B, C))
    await reaped(house, *house.made)
    (release,) = await house.handle(house.command(event, Command.RELEASE, A))
    (deleted,) = await house.handle(house.command(event, Command.DELETE, B))
    assert isinstance(release, Disposition)
    await reaped(house, deleted, ended(release, Ending.BOUNCED))
    assert keys(house) == [sealed_key("example", event.id)]
    house.clock.advance(8 * DAY)
    await house.quarantine.sweep()
    await reaped(house, *house.bus.events(OUTCOMES))
    assert keys(house) == []
    assert {row.final or row.state.value for row in await house.index.get(event.id)} == {
        "bounced",
        "deleted",
        "expired",
    }


async def test_a_copy_for_an_analyst_is_a_message_of_its_own(house: House) -> None:
    event = await house.hold(quarantined(A))
    request = QuarantineRequest(
        request_id="r1", id=event.id, customer="example", act=Act.RELEASE_TO, by="olga", at=NOW, to="soc@example.test"
    )
    (copy,) = await house.handle(request)
    assert isinstance(copy, Received)
    assert (copy.own, copy.envelope.reverse_path, copy.envelope.recipients) == ("copy", "", ("soc@example.test",))
    _, octets = unpack(house.store.objects[copy.key])
    assert BODY in bytes(octets)
    assert b"message/rfc822" in bytes(octets)
    assert await house.handle(request) == [copy]  # asked again, the same one
    assert await house.states(event) == {A: "held"}


async def test_reports_are_kept_and_exported_only_with_consent(house: House, tmp_path: Path) -> None:
    event = await house.hold(quarantined(A))
    request = QuarantineRequest(request_id="r1", id=event.id, customer="example", act=Act.REPORT_CLEAN, by=A, at=NOW)
    await house.handle(request)
    customer = house.customers["example"]
    with pytest.raises(ValueError, match="has not agreed"):
        await export(house.index, house.vault, customer, tmp_path / "out")
    agreed = msgspec.structs.replace(customer, training=True)
    assert await export(house.index, house.vault, agreed, tmp_path / "out") == {"ham": 1, "spam": 0}
    assert (tmp_path / "out" / "ham" / f"{event.id}.eml").read_bytes() == BODY


async def test_what_is_learnt_later_makes_held_mail_worse_and_never_better(house: House) -> None:
    event = await house.hold(quarantined(A))
    request = QuarantineRequest(
        request_id="r1",
        id=event.id,
        customer="example",
        act=Act.RAISE,
        by="outbreak",
        at=NOW,
        status=Status.PHISHING,
        note="part of an outbreak",
    )
    await house.handle(request)
    assert (await house.index.get(event.id))[0].status == "virus"
    async with house.index.database.writing() as connection:
        await connection.execute(text("UPDATE quarantine_messages SET status = 'spam'"))
    await house.handle(msgspec.structs.replace(request, request_id="r2"))
    (row,) = await house.index.get(event.id)
    assert (row.status, row.reason) == ("phishing", "part of an outbreak")


# --- losing the database, the log, or both


async def test_the_index_is_rebuilt_from_the_topic(house: House, tmp_path: Path) -> None:
    made: list[Event] = []
    for branches in ((quarantined(A, B),), (quarantined(C, rule="spam"), delivered(A))):
        event = await house.hold(*branches)
        made += house.made
        await house.handle(house.command(event, Command.DELETE, A))
        made += house.made
    await house.bus.publish([each for each in made if isinstance(each, Hold)])
    before = await house.index.list(state=None)
    other = await Index.open(f"sqlite:///{tmp_path / 'new.db'}")
    keys = Keyring(other.database, house.store, house.secrets.wrapping, house.clock, os.urandom)
    assert await rebuild(house.bus, other, keys) == (3, 1)
    assert await other.list(state=None) == before
    assert await rebuild(house.bus, other, keys) == (0, 0)
    assert await Vault(house.store, keys, os.urandom).open("example", before[0].id) == BODY
    disposition_of = await other.disposition(before[0].id)
    await other.close()
    assert disposition_of == await house.index.disposition(before[0].id)
    assert house.bus.events(HOLDS)


async def test_recovery_finds_what_is_held_in_the_store_alone(house: House, tmp_path: Path) -> None:
    event = await house.hold(quarantined(A, B, C))
    await reaped(house, *house.made)
    bus = MemoryBus(house.clock)
    covered = await recover(house.store, bus, before=NOW + 1, held=await house.index.held())
    assert (covered.published, covered.covered) == (0, 1)
    report = await recover(house.store, bus, before=NOW + 1, held={})  # log and database are lost
    assert (report.published, report.unreadable) == (1, 0)
    (again,) = bus.events(DISPOSITIONS)
    assert bus.events(RECEIVED) == []
    index = await Index.open(f"sqlite:///{tmp_path / 'new.db'}")
    fresh = House(index)
    fresh.store.objects.update(house.store.objects)
    assert await fresh.handle(again) == []
    assert await fresh.states(event) == {A: "held", B: "held", C: "held"}
    (row, *_) = await index.get(event.id)
    assert row.subject == "A message"
    await index.close()


async def test_recovery_sweeps_what_ended_and_leaves_no_plain_twin(house: House) -> None:
    event = await house.hold(quarantined(A, B, C))
    plain = dict(house.store.objects)
    await house.bus.publish([each for each in house.made if isinstance(each, Moved)])
    report = await recover(house.store, house.bus, before=NOW + 1, held=await house.index.held())
    assert report.published == 0
    assert keys(house) == [sealed_key("example", event.id)]
    assert event.key in plain
    (outcome,) = await house.handle(house.command(event, Command.DELETE))
    await house.bus.publish([outcome])
    report = await recover(house.store, house.bus, before=NOW + 1, held=await house.index.held())
    assert report.removed == 1
    assert keys(house) == []


async def test_a_sweep_that_was_not_acknowledged_deletes_nothing(house: House) -> None:
    event = await house.hold(quarantined(A))
    await reaped(house, *house.made)
    house.clock.advance(8 * DAY)
    house.bus.down = True
    with pytest.raises(BusUnavailable):
        await house.quarantine.sweep()
    assert sealed_key("example", event.id) in house.store.objects


def answer(question: Rescan, status: Status, said: str = "") -> Rechecked:
    return Rechecked(
        id=question.received.id,
        customer=question.received.customer,
        release=question.release,
        scanner="virus",
        status=status,
        text=said,
        at=NOW,
    )


def test_the_rows_of_a_hold_are_told_whole() -> None:
    """A column that the event forgets would be lost with the database."""
    decided = disposition(received(), quarantined("bob@example.test"))
    (row,) = holds(decided, Shown("S", "F"), NOW, 7, key="quarantine/x", policy="p")
    row = dataclasses.replace(
        row, note="n", reported="clean", final="delivered", ended_by="o", command="c", ended_at=1.0
    )
    assert from_hold(to_hold([row], decided)) == [row]
