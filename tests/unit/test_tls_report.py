"""What is counted of TLS by destination and day, the report that a domain gets of it, and who makes it once."""

from __future__ import annotations

import email
import email.policy
import gzip
import json
from email.message import EmailMessage

import pytest

from schemas.catalog import RECEIVED, TLS_RESULTS
from schemas.events import Customer, Direction, Domain, Host, Received, TlsFailure, TlsResults
from services.core import tlsrpt
from services.core.address import parse
from services.core.clock import ManualClock
from services.core.errors import BusUnavailable
from services.delivery.config import DeliveryConfig
from services.delivery.hops import Hop, Hops, from_pool
from services.delivery.pool import Site
from services.delivery.tls_report import LATE, REPORTED, SPREAD, TlsReports
from services.delivery.tls_results import KINDS_MOST, POLICIES_MOST, Result, Results, day_of
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.fakes_store import MemoryStore

DAY = "2026-11-28"
NOON = tlsrpt.start_of(DAY) + 43_200
STS = ("version: STSv1", "mode: enforce", "mx: mx1.far.test", "max_age: 86400")
SENDER = parse("tls-reports@gatepost.test")
ACME = Customer(id="acme", domains=(Domain(name="gatepost.test", relay=()),))


def ok(domain: str = "far.test", failure: str = "", host: str = "mx1.far.test") -> Result:
    return Result(domain, "sts", STS, host, failure)


def test_sessions_are_counted_by_domain_day_and_policy() -> None:
    clock = ManualClock(NOON)
    results = Results("me", clock.now)
    for each in (
        ok(),
        ok("FAR.test"),
        ok(failure="certificate-expired"),
        Result("far.test", "no-policy-found", (), "x"),
    ):
        results.note(each)
    sts, plain = sorted(results.changed(), key=lambda each: each.policy, reverse=True)
    assert (sts.domain, sts.day, sts.owner, sts.policy, sts.strings) == ("far.test", DAY, "me", "sts", STS)
    assert (sts.successes, sts.failures) == (
        2,
        (TlsFailure(result="certificate-expired", host="mx1.far.test", count=1),),
    )
    assert plain.successes == 1
    assert results.changed() == []
    results.note(ok())
    assert [each.successes for each in results.changed()] == [3]  # all of the day, not what is new
    clock.advance(86_400)
    results.changed()
    results.note(ok())
    assert [(each.day, each.successes) for each in results.changed()] == [("2026-11-29", 1)]


def test_counts_are_bounded() -> None:
    results = Results("me", lambda: NOON)
    for number in range(POLICIES_MOST + 10):
        results.note(ok(f"d{number}.test"))
    for number in range(KINDS_MOST + 10):
        results.note(ok("d1.test", "validation-failure", f"mx{number}.test"))
    found = results.changed()
    assert len(found) == POLICIES_MOST
    assert max(len(each.failures) for each in found) == KINDS_MOST


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ((b"v=TLSRPTv1; rua=mailto:tls@far.test",), ["tls@far.test"]),
        (
            ("v=TLSRPTv1;rua=https://x.test/y,mailto:a%2Bb@x.test?subject=x,mailto:c@x.test;",),
            ["a+b@x.test", "c@x.test"],
        ),
        (("v=TLSRPTv1; rua=https://x.test/y",), []),
        (("v=TLSRPTv1; rua=mailto:a@far.test", "v=TLSRPTv1; rua=mailto:b@far.test"), []),
        (("v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@far.test"), ["a@far.test"]),
        (("v=TLSRPTv1; rua=mailto:no address",), []),
        (("v=TLSRPTv2; rua=mailto:a@far.test",), []),
        ((), []),
    ],
)  # fmt: skip
def test_where_a_domain_wants_its_report(records: tuple[str | bytes, ...], expected: list[str]) -> None:
    assert [str(each) for each in tlsrpt.wanted_by(records)] == expected


def counted(owner: str = "one", **changes: object) -> TlsResults:
    failures = (TlsFailure(result="certificate-expired", host="mx1.far.test", count=3),)
    fields: dict[str, object] = {
        "domain": "far.test", "day": DAY, "owner": owner, "policy": "sts", "strings": STS, "successes": 10,
        "failures": failures, "at": NOON,
    }  # fmt: skip
    return TlsResults(**{**fields, **changes})  # type: ignore[arg-type]  # as above


def test_a_report_adds_up_what_all_processes_saw() -> None:
    plain = counted(policy="no-policy-found", strings=(), failures=(), successes=1)
    octets = tlsrpt.report(
        DAY, [counted(), counted("two"), plain], organization="gatepost.test", contact="a@b.test", identity="id"
    )
    said = json.loads(octets)
    assert said["date-range"] == {"start-datetime": "2026-11-28T00:00:00Z", "end-datetime": "2026-11-28T23:59:59Z"}
    none, sts = said["policies"]
    assert none == {
        "policy": {"policy-type": "no-policy-found", "policy-domain": "far.test"},
        "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
    }
    assert sts["policy"]["mx-host"] == ["mx1.far.test"]
    assert sts["policy"]["policy-string"] == list(STS)
    assert sts["summary"] == {"total-successful-session-count": 20, "total-failure-session-count": 6}
    assert sts["failure-details"] == [
        {"result-type": "certificate-expired", "receiving-mx-hostname": "mx1.far.test", "failed-session-count": 6}
    ]


class House:
    """The reporter with everything that it works with."""

    def __init__(self, *, partitions: bool = True) -> None:
        self.clock = ManualClock(NOON)
        self.bus, self.store = MemoryBus(), MemoryStore()
        self.dns = FakeDns({("_smtp._tls.far.test", "TXT"): (b"v=TLSRPTv1; rua=mailto:tls@far.test",)})
        self.results = Results("me", self.clock.now)
        self.reports = TlsReports(
            SENDER,
            self.results,
            bus=self.bus,
            store=self.store,
            dns=self.dns,
            clock=self.clock,
            mine=lambda _: partitions,
            owner=lambda _: ACME,
        )

    async def mails(self) -> list[Received]:
        return [r.event async for r in self.bus.read(RECEIVED) if isinstance(r.event, Received)]

    async def marked(self) -> set[str]:
        read = self.bus.read(TLS_RESULTS)
        return {r.event.domain async for r in read if isinstance(r.event, TlsResults) and r.event.owner == REPORTED}

    def to_the_time(self) -> None:
        self.clock.advance(43_200 + LATE + SPREAD)


async def test_a_domain_gets_one_mail_the_day_after() -> None:
    house = House()
    house.results.note(ok())
    house.results.note(Result("silent.test", "no-policy-found", (), "mx.silent.test"))
    await house.reports.publish()
    assert await house.reports.report() == 0  # the day isn't over
    house.to_the_time()
    assert await house.reports.report() == 1
    assert await house.reports.report() == 0
    assert await house.marked() == {"far.test", "silent.test"}  # who asks for none isn't asked again
    (mail,) = await house.mails()
    assert (mail.envelope.recipients, mail.envelope.reverse_path) == (("tls@far.test",), "")
    assert (mail.customer, mail.own, mail.direction) == ("acme", "account", Direction.OUTBOUND)
    stored = await house.store.get(mail.key)
    message = email.message_from_bytes(stored[stored.index(b"From: ") :], policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "tlsrpt"
    assert (message["TLS-Report-Domain"], message["TLS-Report-Submitter"]) == ("far.test", "gatepost.test")
    _, attached = message.iter_parts()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    name = attached.get_filename()
    assert name is not None
    assert name.startswith("gatepost.test!far.test!1795824000!1795910399!")
    payload = attached.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert json.loads(gzip.decompress(payload))["policies"][0]["summary"]["total-successful-session-count"] == 1


async def test_a_report_that_is_made_twice_is_the_same_mail() -> None:
    house = House()
    house.results.note(ok())
    await house.reports.publish()
    house.to_the_time()
    due = await house.reports._due()
    for _ in range(2):
        await house.reports._report("far.test", DAY, due["far.test", DAY])
    one, other = await house.mails()
    assert one == other


async def test_another_process_or_a_late_day_or_a_dns_that_is_down_makes_none() -> None:
    other = House(partitions=False)
    await other.bus.publish([counted()])
    other.to_the_time()
    assert await other.reports.report() == 0
    down = House()
    await down.bus.publish([counted()])
    down.to_the_time()
    down.dns.down = True
    assert await down.reports.report() == 0
    assert await down.marked() == set()
    down.dns.down = False
    down.clock.advance(3 * 86_400)
    assert await down.reports.report() == 0


async def test_what_the_broker_does_not_take_is_told_later() -> None:
    house = House()
    house.results.note(ok())
    house.bus.down = True
    with pytest.raises(BusUnavailable):
        await house.reports.publish()
    house.bus.down = False
    await house.reports.publish()
    assert [r.event.successes async for r in house.bus.read(TLS_RESULTS) if isinstance(r.event, TlsResults)] == [1]


def test_a_setting_that_is_no_address_is_refused() -> None:
    assert DeliveryConfig(hostname="x").reporter() is None
    with pytest.raises(ValueError, match="GATEPOST_TLS_REPORT_FROM"):
        DeliveryConfig(hostname="x", tls_report_from="no address")
    assert day_of(NOON) == DAY


# --- source addresses


def test_a_pool_is_the_customers_class_or_the_default() -> None:
    pools = ("default=192.0.2.1", "bulk=192.0.2.9", "bulk=2001:DB8::9")
    config = DeliveryConfig(hostname="x", source_pools=pools)
    assert config.sources("bulk") == ("192.0.2.9", "2001:db8::9")
    assert config.sources("") == config.sources("unheard-of") == ("192.0.2.1",)
    assert DeliveryConfig(hostname="x").sources("bulk") == ()
    for wrong in ("192.0.2.1", "=192.0.2.1", "bulk=mx.test"):
        with pytest.raises(ValueError, match="GATEPOST_SOURCE_POOLS"):
            DeliveryConfig(hostname="x", source_pools=(wrong,))


async def test_only_hosts_that_mx_records_name_are_connected_to_from_a_pool() -> None:
    dns = FakeDns({("far.test", "MX"): ("10 mx1.far.test",)})
    hosts = from_pool((Host(host="far.test", lookup="mx"), Host(host="mta.acme.test")), ("192.0.2.9",))
    found = await Hops(dns).expand(hosts)
    assert [(each.host, getattr(each, "sources", ())) for each in found] == [
        ("mx1.far.test", ("192.0.2.9",)),
        ("mta.acme.test", ()),
    ]
    bare = Hop(host="mx1.far.test", via="far.test")
    assert Site.of("acme", found[0]) != Site.of("acme", bare)  # no connection of one pool serves another
