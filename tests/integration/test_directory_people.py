"""Who somebody is, by a real slapd: through the sealed door that the consoles ask at."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from schemas.events import Customer, Domain, Host, LdapSource
from services.console.users.directory import DirectoryService, bound, listed
from services.console.users.tables import Kind
from services.core.asked import ASK, Question, asking_key
from services.core.clock import ManualClock, SystemClock
from services.core.errors import DirectoryRefused, DirectoryUnavailable
from services.core.wrapping import wrap
from services.directory.asking import AskingDesk, answer
from services.directory.config import DirectoryConfig
from services.directory.fakes import MemoryPeople
from services.directory.ldap import LdapReader
from services.directory.people import LdapPeople
from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.slapd import ADMIN, BASE, PASSWORD, PEOPLE, Slapd, group, person

KEY = bytes(range(32))
SOURCE = LdapSource(name="main", url="", base=BASE, bind_dn=ADMIN, password_env="GATEPOST_LDAP_TEST", ca_file="ca.pem")
HERS = "correct horse battery"


def acme(*sources: LdapSource) -> Customer:
    domain = Domain(name="acme.test", relay=(Host(host="mx.acme.test"),))
    return Customer(id="acme", salt="0a" * 16, domains=(domain,), directory=sources)


@pytest.fixture
async def slapd(tmp_path: Path) -> AsyncIterator[Slapd]:
    server = Slapd(tmp_path / "slapd")
    server.load(
        person(
            "anna",
            mail="Anna@Acme.test",
            mailAlternateAddress=["a.smith@acme.test", "anna@elsewhere.test"],
            displayName="Anna Smith",
            userPassword=HERS,
        ),
        person("ben", mail="ben@acme.test", proxyAddresses="smtp:b.jones@acme.test"),  # has no password there
        person("one", mail="shared@acme.test", userPassword=HERS),
        person("two", mail="shared@acme.test", userPassword=HERS),
        person("star", mail="*@acme.test", userPassword=HERS),
        group("sales", mail="sales@acme.test", member=[f"uid=anna,{PEOPLE}", f"uid=ben,{PEOPLE}", f"uid=x,{PEOPLE}"]),
    )
    async with server:
        yield server


@contextlib.asynccontextmanager
async def asked(slapd: Slapd, **changes: object) -> AsyncIterator[DirectoryService]:
    (port,) = free_ports(1)
    config = DirectoryConfig(directory_secrets=str(slapd.secrets), directory_port=port)
    reader = LdapReader(config, {"GATEPOST_LDAP_TEST": PASSWORD}, SystemClock())
    customer = acme(msgspec.structs.replace(SOURCE, url=f"ldap://localhost:{slapd.port}", **changes))
    desk = AskingDesk(KEY, LdapPeople(reader), {"acme": customer}.get, SystemClock())
    stop = asyncio.Event()
    serving = asyncio.create_task(answer(desk, config, stop))
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}"

        async def listens() -> bool:
            try:
                async with session.get(url):
                    return True
            except aiohttp.ClientError:
                return False

        await eventually(listens, within=10)
        yield DirectoryService(url, KEY, session, SystemClock())
        stop.set()
        await serving


async def test_a_password_opens_its_own_entry_by_any_of_its_addresses_and_no_other(slapd: Slapd) -> None:
    async with asked(slapd) as directory:
        for address in ("anna@acme.test", "a.smith@acme.test"):
            found = await bound(directory, "acme", address, HERS)
            assert found is not None
            source, anna = found
            assert (source, anna.address, set(anna.aliases), anna.name) == (
                "main",
                "anna@acme.test",
                {"a.smith@acme.test"},
                "Anna Smith",
            )
        for address, password in (
            ("anna@acme.test", "wrong"),
            ("anna@acme.test", ""),
            ("ben@acme.test", HERS),
            ("nobody@acme.test", HERS),
            ("anna@elsewhere.test", HERS),  # hers, but no address of the customer's
            ("shared@acme.test", HERS),  # two entries have it
            ("sales@acme.test", HERS),
            ("*@acme.test)(mail=*", HERS),
            ("nobody@acme.test", PASSWORD),
        ):
            assert await bound(directory, "acme", address, password) is None, address
        with pytest.raises(DirectoryRefused):
            await bound(directory, "globex", "anna@acme.test", HERS)


async def test_everybody_is_told_with_groups_and_their_members(slapd: Slapd) -> None:
    async with asked(slapd) as directory:
        people = {each.address: each for each in await listed(directory, "acme", "main")}
        assert people.keys() == {
            "anna@acme.test",
            "ben@acme.test",
            "shared@acme.test",
            "*@acme.test",
            "sales@acme.test",
        }
        sales = people["sales@acme.test"]
        assert (sales.kind, set(sales.members or ())) == (Kind.GROUP, {"anna@acme.test", "ben@acme.test"})
        assert set(people["ben@acme.test"].aliases) == {"b.jones@acme.test"}
        assert all(re.fullmatch("[0-9a-f]{16}", each.entry) for each in people.values())
    async with asked(slapd, ca_file="other.pem") as directory:
        with pytest.raises(DirectoryRefused, match="certificate"):
            await listed(directory, "acme", "main")
    await slapd.stop()
    async with asked(slapd) as directory:
        with pytest.raises(DirectoryUnavailable):
            await bound(directory, "acme", "anna@acme.test", HERS)


async def test_only_who_has_the_key_is_answered_and_each_question_once() -> None:
    clock = ManualClock()
    people = MemoryPeople()
    desk = AskingDesk(KEY, people, {"acme": acme(SOURCE)}.get, clock)

    def question(key: bytes = KEY, **changes: object) -> bytes:
        asked = Question(customer="acme", address="a@acme.test", password="x", at=clock.now(), nonce="n1")
        asked = msgspec.structs.replace(asked, **changes)
        return wrap(asking_key(key), msgspec.json.encode(asked), ASK, bytes)

    assert await desk.answered(b"rubbish") is None
    assert await desk.answered(question(bytes(32))) is None
    assert await desk.answered(question(at=clock.now() - 61)) is None
    assert await desk.answered(question(nonce="")) is None
    assert people.asked == []
    good = question()
    assert await desk.answered(good) is not None
    assert await desk.answered(good) is None  # kept and sent again, it tells nobody anything
    assert people.asked == ["a@acme.test"]
