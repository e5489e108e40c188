"""Recipients from a real slapd: what a sync brings, what it refuses, and what stays when the server is away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from schemas.catalog import RECIPIENTS
from schemas.events import Customer, DirectoryState, Domain, Host, LdapSource, Recipient, Scanner
from services.core.address import parse
from services.core.clock import SystemClock
from services.core.directory import Directory, recipient_digest
from services.core.directory_config import endpoint
from services.core.errors import DirectoryRefused
from services.core.secrets import Purpose, Secrets
from services.directory.app import Schedule
from services.directory.config import DirectoryConfig
from services.directory.ldap import ACTIVE_DIRECTORY, LdapReader
from services.directory.sync import Sync, states
from services.directory.wire import addresses
from services.runtime import metrics
from services.runtime.fakes import MemoryBus
from services.runtime.follow import follow
from tests.dialogs.door import connected, opened
from tests.eventually import eventually
from tests.house.slapd import ADMIN, BASE, GROUPS, PASSWORD, PEOPLE, Slapd, entry, group, people, person

SALT = "0a" * 16
SOURCE = LdapSource(url="", base=BASE, bind_dn=ADMIN, password_env="GATEPOST_LDAP_TEST", ca_file="ca.pem")


class Site:
    """A customer, its slapd, and the topics."""

    def __init__(self, slapd: Slapd, *, bus: MemoryBus | None = None, secret: str = PASSWORD) -> None:
        self.slapd = slapd
        self.bus = bus or MemoryBus()
        self.config = DirectoryConfig(directory_secrets=str(slapd.secrets), directory_retry_seconds=0.2)
        self.reader = LdapReader(self.config, {"GATEPOST_LDAP_TEST": secret}, SystemClock())
        self.sync = Sync(self.bus, self.reader, SystemClock())
        self.customer = Customer(
            id="acme",
            salt=SALT,
            domains=(Domain(name="acme.test", relay=(Host(host="mx.acme.test"),)),),
            directory=(msgspec.structs.replace(SOURCE, url=f"ldap://localhost:{slapd.port}"),),
        )
        self.state: DirectoryState | None = None

    async def run(self, *, force: bool = False, whole: bool = False, **changes: object) -> DirectoryState:
        """Sync once, with the source changed."""
        source = msgspec.structs.replace(self.customer.directory[0], **changes)
        self.state = await self.sync.ldap(self.customer, source, self.state, force=force, whole=whole)
        return self.state

    async def known(self) -> Directory:
        """Return the directory that the topics make."""
        directory = Directory()
        directory.apply(self.customer)
        async for record in self.bus.read(RECIPIENTS):
            if record.event is None:
                directory.remove(Recipient, record.key)
            else:
                directory.apply(record.event)
        return directory

    async def knows(self, *names: str) -> list[str]:
        """Return those of the local parts that take mail."""
        directory = await self.known()
        (domain,) = self.customer.domains
        return [name for name in names if directory.recipient_known(self.customer, domain, parse(f"{name}@acme.test"))]


@pytest.fixture
async def slapd(tmp_path: Path) -> AsyncIterator[Slapd]:
    server = Slapd(tmp_path / "slapd")
    server.load(
        person("anna", mail="Anna@Acme.test", mailAlternateAddress=["a.smith@acme.test", "anna@elsewhere.test"]),
        person(
            "ben",
            mail="ben@acme.test",
            proxyAddresses=[
                "SMTP:Ben@acme.test",
                "smtp:b.jones@acme.test",
                "X500:/o=Acme/cn=x",
                "sip:sipben@acme.test",
            ],
        ),
        person("cleo", proxyAddresses="smtp:cléo@acme.test"),
        person("robot"),
        group("sales", mail="sales@acme.test", proxyAddresses="smtp:verkauf@acme.test"),
        person("broken", mail="two words@acme.test"),
    )
    async with server:
        yield server


ALL = ("anna", "a.smith", "ben", "b.jones", "cléo", "sales", "verkauf")


async def test_mail_aliases_proxy_addresses_and_groups_are_recipients_and_nothing_else(slapd: Slapd) -> None:
    site = Site(slapd)
    state = await site.run()
    assert (state.problem, state.addresses, state.added, state.removed) == ("", len(ALL), len(ALL), 0)
    assert await site.knows(*ALL, "robot", "sipben", "words", "uid") == list(ALL)


async def test_who_is_in_which_group_nested_and_by_either_side(slapd: Slapd) -> None:
    anna, ben = (f"uid={name},{PEOPLE}" for name in ("Anna", "ben"))
    await slapd.change(
        "\n".join(
            [
                group("Sales Team", member=[anna.replace(",", ", ")]),
                group("all", member=[f"cn=Sales Team,{GROUPS}", ben, f"cn=all,{GROUPS}"]),
                group("other", member=[ben]),
            ]
        )
    )
    site = Site(slapd)
    await site.run(groups=("sales-team", "all"))

    async def groups() -> dict[str, list[str]]:
        directory = await site.known()
        found = {name: directory.groups_of(site.customer, f"{name}@acme.test") for name in ("anna", "a.smith", "ben")}
        return {name: sorted(names) for name, names in found.items()}

    assert await groups() == {"anna": ["all", "sales-team"], "a.smith": ["all", "sales-team"], "ben": ["all"]}
    await slapd.change(f"dn: cn=all,{GROUPS}\nchangetype: modify\ndelete: member\nmember: {ben}\n")
    await site.run(groups=("*",))  # of what changed alone, and groups all the same
    assert await groups() == {"anna": ["all", "sales-team"], "a.smith": ["all", "sales-team"], "ben": ["other"]}


async def test_no_address_is_in_the_topics_nor_in_the_log(slapd: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site = Site(slapd)
    await site.run()
    stored = b" ".join((raw.value or b"") + raw.key for log in site.bus.logs.values() for raw in log).lower()
    for text in (stored, caplog.text.lower().encode()):
        assert stored
        assert [word for word in (b"anna", b"jones", b"verkauf", PASSWORD.encode()) if word in text] == []


async def test_the_same_directory_again_publishes_no_recipient(slapd: Slapd) -> None:
    site = Site(slapd)
    await site.run()
    before = len(site.bus.events(RECIPIENTS))
    state = await site.run()
    assert len(site.bus.events(RECIPIENTS)) == before
    assert (state.added, state.removed, state.addresses, state.runs) == (0, 0, len(ALL), 1)


@pytest.mark.parametrize("whole", [False, True])
async def test_who_is_added_is_known_and_who_is_removed_is_not_after_one_sync(slapd: Slapd, *, whole: bool) -> None:
    site = Site(slapd)
    await site.run()
    await slapd.change(person("dora", mail="dora@acme.test"))
    await slapd.delete("cleo")
    await slapd.change(
        f"dn: uid=anna,{PEOPLE}\nchangetype: modify\nreplace: mailAlternateAddress\n"
        "mailAlternateAddress: a.miller@acme.test\n"
    )
    state = await site.run(whole=whole, drop_share=0.5)
    assert state.problem == ""
    assert await site.knows("dora", "cléo", "a.smith", "a.miller", "anna", "ben") == ["dora", "a.miller", "anna", "ben"]


async def test_an_entry_stamped_in_the_future_does_not_hide_what_changes_before_then(tmp_path: Path) -> None:
    slapd = Slapd(tmp_path / "slapd")
    slapd.load(
        person("anna", mail="anna@acme.test", createTimestamp="20990101000000Z", modifyTimestamp="20990101000000Z")
    )
    async with slapd:
        site = Site(slapd)
        await site.run()
        await slapd.change(person("ben", mail="ben@acme.test"))
        await site.run()
        await slapd.change(f"dn: uid=ben,{PEOPLE}\nchangetype: modify\nadd: mail\nmail: benny@acme.test\n")
        state = await site.run()
        assert (state.problem, state.runs) == ("", 2)
        assert await site.knows("anna", "ben", "benny") == ["anna", "ben", "benny"]


async def test_an_address_that_two_entries_have_stays_until_the_last_of_them_goes(slapd: Slapd) -> None:
    site = Site(slapd)
    await slapd.change(person("boss", mail="sales@acme.test"))
    await site.run()
    await slapd.delete("boss")
    await site.run()
    assert await site.knows("sales") == ["sales"]
    await slapd.change(f"dn: cn=sales,ou=groups,{BASE}\nchangetype: delete\n")
    await site.run(drop_share=0.5)
    assert await site.knows("sales") == []


async def test_10_000_users_page_by_page_and_then_only_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slapd = Slapd(tmp_path / "slapd")
    slapd.load(*people(10_000))
    async with slapd:
        site = Site(slapd)
        began = time.perf_counter()
        first = await site.run()
        full = time.perf_counter() - began
        assert first.problem == ""
        assert (first.entries, first.addresses) == (10_000, 12_500)
        await slapd.change(person("new", mail="new@acme.test"))
        await slapd.delete("user7", "user8")
        began = time.perf_counter()
        second = await site.run()
        changes = time.perf_counter() - began
        assert (second.problem, second.added, second.removed, second.runs) == ("", 1, 3, 1)
        assert await site.knows("new", "user6", "user7", "alias8", "user9999") == ["new", "user6", "user9999"]
    with capsys.disabled():
        print(f"\n10,000 users, 12,500 addresses: everything {full:.2f} s, what changed {changes:.2f} s")  # noqa: T201  # a figure for the log of the run


async def test_the_server_gives_no_more_than_its_limit_without_paging_and_that_is_not_taken_for_all(
    tmp_path: Path,
) -> None:
    slapd = Slapd(tmp_path / "slapd")
    slapd.load(*people(1_200))
    async with slapd:
        site = Site(slapd)
        assert (await site.run()).addresses == 1_500
        conf = slapd.folder / "slapd.conf"
        conf.write_text(conf.read_text().replace("size.prtotal=unlimited", "size.prtotal=1000"))
        await slapd.stop()
        await slapd.start()
        assert "size limit" in (await site.run(whole=True)).problem
        assert await site.knows("user1199") == ["user1199"]


async def test_a_sync_that_would_drop_many_is_refused_until_it_is_forced(slapd: Slapd) -> None:
    site = Site(slapd)
    await site.run()
    await slapd.delete("anna", "ben")
    state = await site.run()
    assert "4 of 7 addresses would go, more than 20%" in state.problem
    assert await site.knows(*ALL) == list(ALL)
    state = await site.run(force=True)
    assert (state.problem, state.removed) == ("", 4)
    assert await site.knows(*ALL) == ["cléo", "sales", "verkauf"]


async def test_a_filter_or_base_that_finds_nothing_takes_nobody_away(slapd: Slapd) -> None:
    site = Site(slapd)
    await site.run()
    assert "no address" in (await site.run(filter="(uid=nobody)")).problem
    assert "nothing at the base" in (await site.run(base=f"ou=gone,{BASE}")).problem
    assert "the filter is none" in (await site.run(filter="((broken)(")).problem
    assert await site.knows(*ALL) == list(ALL)


async def test_a_changed_filter_reads_everything_again(slapd: Slapd) -> None:
    site = Site(slapd)
    await site.run()
    state = await site.run(filter="(&(objectClass=inetOrgPerson)(mail=*))", drop_share=0.5)
    assert (state.problem, state.runs, state.removed) == ("", 0, 3)
    assert await site.knows("sales", "verkauf", "cléo", "anna") == ["anna"]


@pytest.mark.parametrize(
    ("changes", "secret", "says"),
    [
        ({}, "wrong", "does not take the bind DN with this password"),
        ({}, "", "GATEPOST_LDAP_TEST is not set"),
        ({"ca_file": "other.pem"}, PASSWORD, "certificate is not to be trusted"),
        ({"ca_file": ""}, PASSWORD, "certificate is not to be trusted"),
        ({"ca_file": "gone.pem"}, PASSWORD, "ca_file can't be used"),
        ({"ca_file": "../ca.pem"}, PASSWORD, "names of files, without folders"),
    ],
)
@pytest.mark.parametrize("tls_first", [False, True])
async def test_a_server_that_is_not_the_one_or_a_password_that_is_not_its_own_changes_nothing(
    slapd: Slapd, changes: dict[str, Any], secret: str, says: str, *, tls_first: bool
) -> None:
    site = Site(slapd, secret=secret)
    if tls_first:
        changes = {"url": f"ldaps://localhost:{slapd.tls_port}", **changes}
    state = await site.run(**changes)
    assert says in state.problem
    assert state.failing_since > 0
    assert site.bus.events(RECIPIENTS) == []


async def test_the_certificate_must_name_the_host_that_the_url_names(slapd: Slapd) -> None:
    site = Site(slapd)
    assert (await site.run(url=f"ldap://127.0.0.1:{slapd.port}")).problem == ""
    other = await site.run(url=f"ldap://127.0.0.2:{slapd.port}")
    assert "certificate is not to be trusted" in other.problem


async def test_over_ldaps_and_on_loopback_without_tls(slapd: Slapd) -> None:
    for changes in ({"url": f"ldaps://localhost:{slapd.tls_port}"}, {"plain": True, "ca_file": ""}):
        site = Site(slapd)
        state = await site.run(**changes)
        assert (state.problem, state.addresses) == ("", len(ALL))


async def test_the_password_may_lie_in_a_file(slapd: Slapd) -> None:
    (slapd.secrets / "bind-password").write_text(PASSWORD + "\n")
    state = await Site(slapd, secret="").run(password_env="", password_file="bind-password")
    assert (state.problem, state.addresses) == ("", len(ALL))


@pytest.mark.parametrize(
    ("url", "plain", "says"),
    [
        ("ldap://169.254.169.254", False, "link-local"),
        ("ldap://[::ffff:169.254.169.254]", False, "link-local"),
        ("ldaps://[fd00:ec2::254]", False, "link-local"),
        ("ldap://0.0.0.0", False, "no host's"),
        ("ldap://192.0.2.1", True, "only a server on this machine"),
    ],
)
async def test_servers_that_are_never_asked(slapd: Slapd, url: str, says: str, *, plain: bool) -> None:
    assert says in (await Site(slapd).run(url=url, plain=plain)).problem


async def test_a_server_that_is_down_leaves_the_last_good_directory_and_raises_an_alarm(
    slapd: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(slapd)
    good = await site.run()
    await slapd.stop()
    first = await site.run()
    second = await site.run()
    assert "no connection" in first.problem
    assert 0 < first.failing_since == second.failing_since
    assert (second.succeeded_at, second.addresses) == (good.succeeded_at, len(ALL))
    assert await site.knows(*ALL) == list(ALL)
    assert caplog.text.count("event=directory-alarm") == 2
    labels = {"customer": "acme", "source": "ldap:ldap"}
    assert metrics.value("gatepost_directory_failing_since_seconds", **labels) == first.failing_since
    assert (await states(site.bus))["acme/ldap:ldap"] == second
    await slapd.start()
    assert (await site.run()).failing_since == 0
    assert metrics.value("gatepost_directory_failing_since_seconds", **labels) == 0
    assert metrics.value("gatepost_directory_addresses", **labels) == len(ALL)


async def test_a_server_that_hangs_or_babbles_is_given_up_in_time(slapd: Slapd) -> None:
    talk = asyncio.Event()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if talk.is_set():
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while await reader.read(4_096):  # until the client has had enough
                pass
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    config = DirectoryConfig(directory_connect_seconds=0.3, directory_secrets=str(slapd.secrets))
    site = Site(slapd)
    site.sync = Sync(site.bus, LdapReader(config, {"GATEPOST_LDAP_TEST": PASSWORD}, SystemClock()), SystemClock())
    for says in ("within 0.3 s", "doesn't speak LDAP"):
        began = time.monotonic()
        assert says in (await site.run(url=f"ldap://127.0.0.1:{port}")).problem
        assert time.monotonic() - began < 5
        talk.set()
    listening.close()


def _controller(count: int, server: str) -> str:
    return entry(
        "",
        ("controllerRoot",),
        {
            "supportedCapabilities": ACTIVE_DIRECTORY,
            "highestCommittedUSN": str(count),
            "dsServiceName": f"cn=NTDS Settings,cn={server}",
        },
    )


async def test_active_directory_s_counts_of_changes_are_followed_on_one_controller(tmp_path: Path) -> None:
    slapd = Slapd(tmp_path / "slapd")
    slapd.root_entry(_controller(1000, "DC1"))
    slapd.load(
        person("anna", proxyAddresses="SMTP:anna@acme.test", objectGUID=b"\x00anna\xff", uSNChanged="900"),
        person("ben", proxyAddresses="SMTP:ben@acme.test", objectGUID=b"\x00ben\xff", uSNChanged="950"),
    )
    site = Site(slapd)
    async with slapd:
        state = await site.run()
        assert (state.problem, state.mark, state.addresses) == ("", "1000", 2)
        # Not counted as changed: as long as the counter is believed it isn't read.
        await slapd.change(
            f"dn: uid=ben,{PEOPLE}\nchangetype: modify\nadd: proxyAddresses\nproxyAddresses: smtp:silent@acme.test\n"
        )
        await slapd.change(
            person("dora", proxyAddresses="smtp:dora@acme.test", objectGUID=b"\x00dora\xff", uSNChanged="1001")
        )
        await slapd.delete("anna")
    slapd.root_entry(_controller(1001, "DC1"))
    async with slapd:
        state = await site.run()
        assert (state.problem, state.mark, state.runs) == ("", "1001", 1)
        assert await site.knows("anna", "ben", "dora", "silent") == ["ben", "dora"]
    slapd.root_entry(_controller(5000, "DC2"))
    async with slapd:
        state = await site.run()
        assert (state.problem, state.mark, state.runs) == ("", "5000", 0)
        assert await site.knows("anna", "ben", "dora", "silent") == ["ben", "dora", "silent"]


async def test_the_door_takes_who_was_added_and_refuses_who_was_removed_one_sync_later(slapd: Slapd) -> None:
    site = Site(slapd)
    source = msgspec.structs.replace(site.customer.directory[0], interval_seconds=0.3, drop_share=0.5)
    customer = msgspec.structs.replace(site.customer, directory=(source,))
    directory, stop = Directory(), asyncio.Event()
    await site.bus.publish([customer, Scanner(name="virus", version="1")])
    config = msgspec.structs.replace(site.config, directory_tick_seconds=0.05)
    schedule = Schedule(config, site.bus, site.reader, SystemClock(), directory.customers)
    tasks = [asyncio.create_task(follow(site.bus, directory)), asyncio.create_task(schedule.run(stop))]
    try:
        async with opened(bus=site.bus, view=directory) as door:

            async def taken(name: str) -> bool:
                async with connected(door) as client:
                    await client.until("220")
                    await client.send("EHLO c.test\r\nMAIL FROM:<a@sender.test>\r\n")
                    await client.until("250 2.1.0")
                    await client.send(f"RCPT TO:<{name}@acme.test>\r\n")
                    return (await client.line()).startswith("250")

            await eventually(lambda: taken("anna"))
            assert not await taken("dora")
            await slapd.change(person("dora", mail="dora@acme.test"))
            await eventually(lambda: taken("dora"))
            await slapd.delete("dora")

            async def refused() -> bool:
                return not await taken("dora")

            await eventually(refused)
            await slapd.stop()
            await eventually(lambda: _failing(site.bus))
            assert await taken("anna")
    finally:
        stop.set()
        await asyncio.wait_for(tasks[1], 10)
        tasks[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks[0]


async def _failing(bus: MemoryBus) -> bool:
    return (await states(bus))["acme/ldap:ldap"].failing_since > 0


async def test_what_other_sources_say_of_the_same_address_is_not_touched(slapd: Slapd) -> None:
    site = Site(slapd)
    digest = recipient_digest(SALT, "anna@acme.test")
    await site.bus.publish([Recipient(customer="acme", digest=digest)])
    await site.run()
    await slapd.delete("anna")
    assert (await site.run(drop_share=0.5)).removed == 2
    assert await site.knows("anna", "a.smith") == ["anna"]
    sources = [each.source for each in cast("list[Recipient]", site.bus.events(RECIPIENTS)) if each.digest == digest]
    assert sources == ["", "ldap:ldap"]


# --- passwords and addresses that came by the console


async def test_a_sealed_password_opens_for_its_server_and_name_alone(slapd: Slapd) -> None:
    site, secrets = Site(slapd), Secrets(bytes(32), os.urandom)
    key = {"GATEPOST_CONSOLE_KEY": base64.b64encode(bytes(32)).decode()}
    url = site.customer.directory[0].url
    sealed = secrets.seal(Purpose.DIRECTORY, f"{url}\n{ADMIN}", PASSWORD)
    moved = secrets.seal(Purpose.DIRECTORY, f"ldaps://elsewhere.test\n{ADMIN}", PASSWORD)
    for environ, password, problem in (
        ({}, sealed, "the password is sealed, and GATEPOST_CONSOLE_KEY is not set here"),
        (key, moved, "the password was sealed by another key, or for another server or name"),
        (key, sealed, ""),
    ):
        site.sync = Sync(site.bus, LdapReader(site.config, environ, SystemClock()), SystemClock())
        state = await site.run(password_env="", password_sealed=password)
        assert state.problem == problem
    assert await site.knows(*ALL) == list(ALL)
    state = await site.run(password_env="", password_sealed=sealed, public=True)  # slapd is on this machine
    assert state.problem == "the server is not at a public address"


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.1", "100.64.0.1", "[::1]", "[fd00::1]", "169.254.169.254"])
async def test_a_server_beside_us_is_not_reached_for_who_may_only_name_public_ones(host: str) -> None:
    with pytest.raises(DirectoryRefused, match=r"not at a public address"):
        await addresses(endpoint(f"ldaps://{host}"), link_local=True, loopback_only=False, public_only=True)
