"""The auth scanner over a zone in memory: RFC 7208, 6376, 7489, and a DNS that is slow or down."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Status
from services.core.clock import ManualClock
from services.runtime.dns import Answer
from services.runtime.fakes_dns import FakeDns
from services.scanners.auth import dmarc, spf
from services.scanners.auth.lookups import Lookups
from services.scanners.briefing import Briefing
from services.scanners.checks import auth
from services.scanners.contract import Finding
from tests.mails import PLAIN, context, crlf, mail
from tests.unit.test_scanners_dkim import key, record, signed

Zone = dict[tuple[str, str], Answer]
GOOD: Zone = {
    ("sender.test", "TXT"): (b"unrelated", b"v=spf1 ip4:192.0.2.0/24 -all"),
    ("s1._domainkey.sender.test", "TXT"): (record(key(2048)),),
    ("_dmarc.sender.test", "TXT"): (b"v=DMARC1; p=reject",),
}


async def scan(zone: Zone, raw: bytes = PLAIN, **envelope: str) -> Finding:
    return await auth.scan(mail(raw, **envelope), context(zone))


def codes(finding: Finding) -> list[str]:
    return [item.code for item in finding.evidence]


async def spf_of(zone: Zone, client_ip: str = "192.0.2.7", sender: str = "a@d.test", helo: str = "mx.d.test") -> str:
    return (await Lookups(FakeDns(zone), ManualClock()).spf(client_ip, sender, helo)).result


async def test_all_three_pass() -> None:
    finding = await scan(GOOD, signed())
    assert finding.status is Status.CLEAN
    assert finding.evidence == ()
    (spf_shown, dkim_shown, dmarc_shown) = finding.results
    assert spf_shown == ("spf", "pass smtp.mailfrom=sender.test")
    assert dkim_shown[1].startswith("pass header.d=sender.test header.s=s1 header.b=")
    assert dmarc_shown == ("dmarc", "pass header.from=sender.test policy.dmarc=reject")


@pytest.mark.parametrize(
    ("policy", "code", "status"),
    [
        (b"reject", "DMARC_REJECT", Status.SUSPICIOUS),
        (b"quarantine", "DMARC_QUARANTINE", Status.SUSPICIOUS),
        (b"none", "DMARC_FAIL", Status.CLEAN),
    ],
)
async def test_a_forged_sender(policy: bytes, code: str, status: Status) -> None:
    zone = {**GOOD, ("_dmarc.sender.test", "TXT"): (b"v=DMARC1; p=" + policy,)}
    finding = await scan(zone, client_ip="203.0.113.9")
    assert finding.status is status
    assert code in codes(finding)
    assert finding.results[0][1] == "fail smtp.mailfrom=sender.test"
    assert finding.results[2][1] == f"fail header.from=sender.test policy.dmarc={policy.decode()}"


async def test_a_forwarder_that_the_customer_trusts_explains_why_all_of_it_fails() -> None:
    changed = signed().replace(b"minutes of", b"hours of")
    told = context(GOOD, briefing=Briefing(customer="acme", forwarders=("203.0.113.0/24",)))
    finding = await auth.scan(mail(changed, client_ip="203.0.113.9"), told)
    assert (finding.status, codes(finding), finding.score) == (Status.CLEAN, ["DMARC_FORWARDED"], 0.0)
    assert "203.0.113.9 is a forwarder" in finding.evidence[0].text
    assert finding.results[2][1] == "fail header.from=sender.test policy.dmarc=reject"  # what it was is said
    other = await auth.scan(mail(changed, client_ip="198.51.100.9"), told)
    assert "DMARC_REJECT" in codes(other)


async def test_a_changed_body_fails_and_says_why() -> None:
    finding = await scan(GOOD, signed().replace(b"minutes of", b"hours of"), client_ip="203.0.113.9")
    assert 'fail reason="body was changed" header.d=sender.test' in finding.results[1][1]
    assert {"DKIM_FAIL", "DMARC_REJECT", "SPF_FAIL"} <= set(codes(finding))


async def test_two_from_fields_never_pass() -> None:
    finding = await scan(GOOD, crlf(b"From: eve@evil.test\n" + PLAIN))
    assert finding.status is Status.SUSPICIOUS
    assert "MULTIPLE_FROM" in codes(finding)
    assert finding.results[2][1] == 'permerror reason="several From fields"'


async def test_a_dns_that_is_down_harms_no_sender() -> None:
    ctx = context(GOOD)
    assert isinstance(ctx.dns, FakeDns)
    ctx.dns.down = True
    finding = await auth.scan(mail(signed()), ctx)
    assert finding.status is Status.CLEAN
    assert finding.score == 0
    assert [text.partition(" ")[0] for _, text in finding.results] == ["temperror", "temperror", "temperror"]


@pytest.mark.parametrize("silent", ["sender.test", "s1._domainkey.sender.test"])
async def test_an_open_answer_that_could_have_passed_is_no_fail(silent: str) -> None:
    ctx = context(GOOD)
    assert isinstance(ctx.dns, FakeDns)
    ctx.dns.silent.add(silent)
    changed, elsewhere = signed().replace(b"minutes of", b"hours of"), "203.0.113.9"
    case = mail(changed) if silent == "sender.test" else mail(signed(), client_ip=elsewhere)
    finding = await auth.scan(case, ctx)
    assert finding.results[2][1].startswith("temperror")
    assert finding.status is Status.CLEAN


async def test_the_questions_of_a_usual_mail_go_out_together() -> None:
    ctx = context(GOOD)
    assert isinstance(ctx.dns, FakeDns)
    await auth.scan(mail(signed()), ctx)
    assert sorted(name for name, _ in ctx.dns.asked) == [
        "_dmarc.sender.test",
        "s1._domainkey.sender.test",
        "sender.test",
    ]


async def test_the_null_sender_is_judged_by_its_helo() -> None:
    zone: Zone = {
        ("mx.sender.test", "TXT"): (b"v=spf1 ip4:192.0.2.7 -all",),
        ("_dmarc.sender.test", "TXT"): (b"v=DMARC1;p=reject",),
    }
    finding = await scan(zone, reverse_path="")
    assert finding.results[0] == ("spf", "pass smtp.helo=mx.sender.test")
    assert finding.results[2][1].startswith("pass")


@pytest.mark.parametrize("client_ip", ["", "unknown", "192.0.2.300"])
async def test_without_a_client_address_spf_says_nothing(client_ip: str) -> None:
    assert (await scan(GOOD, client_ip=client_ip)).results[0][1].startswith("none")


async def test_hostile_names_stay_out_of_the_header() -> None:
    zone: Zone = {}
    finding = await scan(zone, reverse_path='a@x;y"z.test', helo="x")
    assert finding.results[0][1].endswith("smtp.mailfrom=invalid")


# --- SPF by itself


@pytest.mark.parametrize(
    ("records", "client_ip", "result"),
    [
        (b"v=spf1 ip4:192.0.2.7 -all", "192.0.2.7", "pass"),
        (b"v=spf1 ip4:192.0.2.0/29 -all", "192.0.2.9", "fail"),
        (b"v=spf1 ~all", "192.0.2.7", "softfail"),
        (b"v=spf1 ?all", "192.0.2.7", "neutral"),
        (b"v=spf1", "192.0.2.7", "neutral"),
        (b"v=spf1 a -all", "192.0.2.7", "pass"),
        (b"v=spf1 mx -all", "192.0.2.8", "pass"),
        (b"v=spf1 include:inc.test -all", "192.0.2.50", "pass"),
        (b"v=spf1 include:inc.test -all", "192.0.2.51", "fail"),
        (b"v=spf1 redirect=inc.test", "192.0.2.50", "pass"),
        (b"v=spf1 exists:%{i}.list.test -all", "192.0.2.7", "pass"),
        (b"v=spf1 ip6:2001:db8::/32 -all", "2001:db8::1", "pass"),
        (b"v=spf1 include:nothing.test -all", "192.0.2.7", "permerror"),
        (b"v=spf1 bogus:x -all", "192.0.2.7", "permerror"),
        (b"v=spf1 exp=why.test -all", "192.0.2.7", "fail"),
        (b"V=SPF1 IP4:192.0.2.7 -ALL", "192.0.2.7", "pass"),
        (b"v=spf10 -all", "192.0.2.7", "none"),
    ],
)
async def test_spf(records: bytes, client_ip: str, result: str) -> None:
    zone: Zone = {
        ("d.test", "TXT"): (records,),
        ("d.test", "A"): ("192.0.2.7",),
        ("d.test", "MX"): ("10 mail.d.test",),
        ("mail.d.test", "A"): ("192.0.2.8",),
        ("inc.test", "TXT"): (b"v=spf1 ip4:192.0.2.50 -all",),
        ("192.0.2.7.list.test", "A"): ("127.0.0.2",),
    }
    assert await spf_of(zone, client_ip) == result


async def test_two_spf_records_are_an_error() -> None:
    assert await spf_of({("d.test", "TXT"): (b"v=spf1 -all", b"v=spf1 +all")}) == "permerror"


async def test_ten_look_ups_are_the_most() -> None:
    def chain(length: int) -> Zone:
        zone: Zone = {("d.test", "TXT"): (b"v=spf1 include:i0.test -all",)}
        for number in range(length):
            zone[(f"i{number}.test", "TXT")] = (b"v=spf1 include:i%d.test -all" % (number + 1),)
        zone[(f"i{length}.test", "TXT")] = (b"v=spf1 ip4:192.0.2.7 -all",)
        return zone

    assert await spf_of(chain(9)) == "pass"
    assert await spf_of(chain(10)) == "permerror"


async def test_two_void_look_ups_are_the_most() -> None:
    zone: Zone = {("d.test", "TXT"): (b"v=spf1 a:v1.test a:v2.test ip4:192.0.2.7 -all",)}
    assert await spf_of(zone) == "pass"
    zone = {("d.test", "TXT"): (b"v=spf1 a:v1.test a:v2.test a:v3.test ip4:192.0.2.7 -all",)}
    assert await spf_of(zone) == "permerror"


async def test_includes_are_asked_for_together() -> None:
    includes = b" ".join(b"include:i%d.test" % number for number in range(8))
    zone: Zone = {("d.test", "TXT"): (b"v=spf1 " + includes + b" -all",)}
    for number in range(8):
        zone[(f"i{number}.test", "TXT")] = (b"v=spf1 ip4:198.51.100.%d -all" % number,)
    dns = FakeDns(zone)
    for number in range(8):
        dns.slow[f"i{number}.test"] = 0.05
    lookups = Lookups(dns, ManualClock())
    assert (await lookups.spf("192.0.2.7", "a@d.test", "")).result == "fail"
    assert len(dns.asked) == 9


TERMS = st.sampled_from(
    [
        "a",
        "mx",
        "ptr",
        "all",
        "ip4:192.0.2.7",
        "ip4:x",
        "ip6:::1",
        "include:%{d}",
        "include:a.test",
        "redirect=%{o}",
        "exists:%{l}.%{p}.a.test",
        "exp=%{s}",
        "a:%{i}._.test",
        "a/33",
        "mx//129",
        "%%",
        "%{",
        "-all",
        "~",
        "ip4:",
        "include:",
        "a:.",
        "a:..",
        "a:x",
        "exists:%{ir}.%{v}.a.test",
        "ÿ",
        ":",
    ]
)
SENDERS = st.sampled_from(["a@d.test", '"a b@c"@d.test', "a..b@d.test", "@d.test", "\u00fc@d.test", "", "%{d}@d.test"])


@settings(deadline=None, max_examples=300)
@given(st.lists(TERMS, max_size=6), SENDERS, st.sampled_from(["192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7"]))
async def test_no_record_raises(terms: list[str], sender: str, client_ip: str) -> None:
    text = " ".join(["v=spf1", *terms]).encode("latin-1")
    zone: Zone = {("d.test", "TXT"): (text,), ("a.test", "TXT"): (text,), ("d.test", "A"): ("192.0.2.9",)}
    results = {"pass", "fail", "softfail", "neutral", "none", "permerror"}
    assert await spf_of(zone, client_ip, sender, "d.test") in results


def test_no_question_leaves_pyspf() -> None:
    with pytest.raises(spf.NeedsDns) as need:
        spf.evaluate("192.0.2.7", "a@d.test", "mx.d.test", {})
    assert need.value.question == ("d.test", "TXT")


# --- DMARC by itself


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        (["Alice <alice@Sender.TEST>"], "sender.test"),
        (["alice@sender.test, bob@sender.test"], "sender.test"),
        (["alice@sender.test, bob@other.test"], ""),
        (["alice"], ""),
        ([], ""),
        (["a@sender.test", "b@sender.test"], ""),
        (['"service@bank.test" <eve@evil.test>'], "evil.test"),
        (["a@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test"], "xn--bcher-kva.test"),
        (["x" * 5000 + "@sender.test"], ""),
    ],
)
def test_author_domain(values: list[str], domain: str) -> None:
    assert dmarc.author_domain(values)[0] == domain


@pytest.mark.parametrize(
    ("identifier", "domain", "strict", "speaks"),
    [
        ("mail.sender.co.uk", "sender.co.uk", False, True),
        ("mail.sender.co.uk", "sender.co.uk", True, False),
        ("other.co.uk", "sender.co.uk", False, False),
        ("sender.co.uk", "sender.co.uk", True, True),
        ("", "sender.co.uk", False, False),
    ],
)
def test_alignment(identifier: str, domain: str, strict: bool, speaks: bool) -> None:
    assert dmarc.aligned(identifier, domain, strict=strict) is speaks


@pytest.mark.parametrize(
    ("record_text", "policy"),
    [
        (b"v=DMARC1; p=reject; sp=none", "none"),
        (b"v=DMARC1; p=reject", "reject"),
        (b"v=DMARC1; p=oops; rua=mailto:x@y.test", "none"),
        (b"v=DMARC1; p=oops", None),
        (b"v=DMARC2; p=reject", None),
        (b"v=DMARC1;p=quarantine ; pct=50", "quarantine"),
    ],
)
def test_records(record_text: bytes, policy: str | None) -> None:
    found = dmarc.read([record_text, b"v=spf1 -all"], subdomain=True)
    assert (found.policy if found else None) == policy


def test_an_owner_who_only_tests_gets_a_milder_policy() -> None:
    record = dmarc.read([b"v=DMARC1; p=reject; t=y"], subdomain=False)
    assert record is not None
    assert dmarc.evaluate("d.test", record, spf.Result("none", "mailfrom", ""), [], "id").policy == "quarantine"


def test_two_records_are_none() -> None:
    assert dmarc.read([b"v=DMARC1; p=reject", b"v=DMARC1; p=none"], subdomain=False) is None


async def test_a_subdomain_follows_its_organization() -> None:
    zone: Zone = {("_dmarc.sender.test", "TXT"): (b"v=DMARC1; p=none; sp=reject",)}
    finding = await scan(zone, PLAIN.replace(b"alice@sender.test", b"alice@news.sender.test"), client_ip="203.0.113.9")
    assert "DMARC_REJECT" in codes(finding)


def test_pct_samples_by_message() -> None:
    strict = dmarc.Record("reject", 30, strict_dkim=False, strict_spf=False)
    nothing = spf.Result("none", "mailfrom", "")
    policies = [dmarc.evaluate("d.test", strict, nothing, [], f"id-{number}").policy for number in range(1000)]
    assert 200 < policies.count("reject") < 400
    assert set(policies) == {"reject", "quarantine"}
    assert policies[5] == dmarc.evaluate("d.test", strict, nothing, [], "id-5").policy


@pytest.mark.parametrize(
    "value",
    [
        b"x:y; <alice@sender.test>",
        b'"Alice <alice@sender.test>',
        b"Alice ) <alice@sender.test>",
        b"a@sender.test, <eve@evil.test>",
        b"Alice <alice@sender.test> <eve@evil.test>",
        b"alice@sender.test <eve@evil.test>, <alice@sender.test>",
    ],
)
async def test_a_from_that_cannot_be_read_is_no_way_round_dmarc(value: bytes) -> None:
    zone = {**GOOD, ("_dmarc.evil.test", "TXT"): (b"v=DMARC1; p=reject",)}
    raw = PLAIN.replace(b"Alice <alice@sender.test>", value)
    finding = await scan(zone, raw, client_ip="203.0.113.9")
    assert finding.status is Status.SUSPICIOUS
    assert {"DMARC_REJECT", "FROM_UNCLEAR"} & set(codes(finding))
