"""ARC (RFC 8617): what dkimpy seals passes, what was changed doesn't, and only believed sealers explain anything."""

from __future__ import annotations

import re
from functools import cache

import dkim as dkimpy
import pytest

from schemas.events import Status
from services.runtime.dns import Answer
from services.runtime.fakes_dns import FakeDns
from services.scanners.auth import arc, dkim
from services.scanners.checks import auth
from services.scanners.mime import walk
from tests.mails import context, mail
from tests.samples import NOW
from tests.unit.test_scanners_dkim import key, pem, record, signed

Zone = dict[tuple[str, str], Answer]
KEYS: Zone = {
    ("s1._domainkey.sender.test", "TXT"): (record(key(2048)),),
    ("a._domainkey.list.test", "TXT"): (record(key(2048)),),
    ("a._domainkey.hop.test", "TXT"): (record(key(1024)),),
    ("_dmarc.sender.test", "TXT"): (b"v=DMARC1; p=reject",),
    ("list.test", "TXT"): (b"v=spf1 ip4:192.0.2.0/24 -all",),
}
PASSED = b"spf=pass smtp.mailfrom=sender.test; dkim=pass header.d=sender.test; dmarc=pass header.from=sender.test"


def sealed(message: bytes, domain: bytes, results: bytes = PASSED, bits: int = 2048) -> bytes:
    """Return the message with a set of the domain's, which saw the results."""
    seen = b"Authentication-Results: " + domain + b"; " + results + b"\r\n" + message
    headers = dkimpy.arc_sign(seen, b"a", domain, pem(key(bits)), domain, include_headers=[b"from", b"to", b"subject"])
    return b"".join(headers) + seen


@cache
def once() -> bytes:
    """A list signs what came to it, and its own footer breaks the author's signature."""
    return sealed(signed() + b"-- \r\nthe list's footer\r\n", b"list.test")


@cache
def twice() -> bytes:
    return sealed(once(), b"hop.test", b"arc=pass; dmarc=fail header.from=sender.test", bits=1024)


def evaluate(raw: bytes, zone: Zone = KEYS) -> arc.Result:
    tree = walk(raw)
    chain = arc.read(tree.fields)
    verifier = dkim.Verifier(tree.fields, bytes(tree.body), NOW)

    def texts(name: str) -> list[bytes] | None:
        answer = zone.get((name, "TXT"))
        return None if answer is None else [item for item in answer if isinstance(item, bytes)]

    return arc.evaluate(chain, verifier, texts)


def test_no_chain() -> None:
    assert evaluate(signed()) == arc.Result("none")


def test_what_dkimpy_seals_passes() -> None:
    assert evaluate(once()) == arc.Result("pass", ("list.test",))


def test_a_chain_of_two() -> None:
    result = evaluate(twice())
    assert (result.result, result.sealers, result.oldest_pass) == ("pass", ("list.test", "hop.test"), 0)


def test_dkimpy_thinks_the_same() -> None:
    def dnsfunc(name: bytes, timeout: int = 5) -> bytes:  # noqa: ARG001  # dkimpy calls it so
        (answer,) = KEYS.get((name.decode().rstrip("."), "TXT"), (b"",))
        assert isinstance(answer, bytes)
        return answer

    verdict, _, _ = dkimpy.arc_verify(twice(), dnsfunc=dnsfunc)
    assert verdict == b"pass"


def test_the_first_signature_may_break_later_and_the_chain_still_passes() -> None:
    changed = once().replace(b"the list's footer", b"another footer")
    result = evaluate(sealed(changed, b"hop.test", b"arc=fail", bits=1024))
    # dkimpy seals cv=fail on top of a chain that it finds broken: that ends it for good (section 5.1.2)
    assert (result.result, result.reason) == ("fail", "an earlier host says that it fails")


@pytest.mark.parametrize(
    ("pattern", "instead", "reason"),
    [
        (rb"footer", b"bottom", "message signature 2: body was changed"),
        (rb"Subject: The", b"Subject: No", "message signature 2: signature doesn't verify"),
        (rb"(ARC-Authentication-Results: i=1;)", rb"\1 x.test;", "seal 2: signature doesn't verify"),
        (rb"(ARC-Seal: i=2;)", rb"\1 h=from;", "instance 2: a seal with h="),
        (rb"ARC-Seal: i=2; cv=pass", b"ARC-Seal: i=2; cv=none", "instance 2: cv= is not what it must be"),
        (rb"ARC-Seal: i=1;", b"ARC-Seal: i=3;", "a set is not whole"),
        (rb"ARC-Seal: i=1;", b"ARC-Seal: i=7;", "instances are missing, or too many"),
        (rb"ARC-Seal: i=1;", b"ARC-Seal: i=2;", "an instance twice"),
        (rb"ARC-Authentication-Results: i=1;[^\r]*\r\n(?: [^\r]*\r\n)*", b"", "a set is not whole"),
        (rb"ARC-Message-Signature: i=2; ", b"ARC-Message-Signature: ", "a set without an instance"),
    ],
)
def test_what_was_changed_fails(pattern: bytes, instead: bytes, reason: str) -> None:
    changed, count = re.subn(pattern, instead, twice(), count=1)
    assert count == 1
    result = evaluate(changed)
    assert (result.result, result.reason) == ("fail", reason)


def test_a_key_that_is_not_answered_is_no_failure() -> None:
    zone = {name: answer for name, answer in KEYS.items() if name[0] != "a._domainkey.list.test"}
    result = evaluate(twice(), zone)
    assert (result.result, result.reason) == ("temperror", "seal 1: no answer from DNS for the key")


def test_a_key_that_is_gone_fails() -> None:
    assert evaluate(once(), {**KEYS, ("a._domainkey.list.test", "TXT"): ()}).result == "fail"


def test_more_sets_than_there_may_be_are_not_evaluated() -> None:
    one = b"ARC-Seal: i=%d; a=rsa-sha256; cv=pass; d=x.test; s=a; b=AAAA\r\n"
    chain = arc.read(walk(b"".join(one % number for number in range(1, 60)) + b"\r\n").fields)
    assert chain.problem == "instances are missing, or too many"
    assert chain.key_names == ()


async def test_a_believed_list_explains_why_dmarc_fails() -> None:
    ctx = context(KEYS, arc_sealers=frozenset({"list.test"}))
    finding = await auth.scan(mail(once(), reverse_path="bounces@list.test"), ctx)
    assert finding.status is Status.CLEAN
    assert [item.code for item in finding.evidence] == ["DMARC_FORWARDED"]
    assert dict(finding.results)["arc"] == "pass header.d=list.test header.oldest-pass=0"
    assert dict(finding.results)["dmarc"].startswith("fail ")


@pytest.mark.parametrize(
    ("sealers", "raw"),
    [
        (frozenset[str](), once()),
        (frozenset({"hop.test"}), once()),
        (frozenset({"hop.test"}), twice()),  # whoever is believed says nothing of those before it
        (
            frozenset({"list.test"}),
            sealed(signed() + b"footer\r\n", b"list.test", b"dmarc=fail header.from=sender.test"),
        ),
        (frozenset({"list.test"}), sealed(signed() + b"footer\r\n", b"list.test", b"dmarc=pass header.from=evil.test")),
        (frozenset({"list.test"}), sealed(signed() + b"footer\r\n", b"list.test", b"spf=pass; dkim=none (dmarc=pass)")),
        (frozenset({"list.test"}), once().replace(b"footer", b"bottom")),
    ],
)
async def test_what_explains_nothing(sealers: frozenset[str], raw: bytes) -> None:
    finding = await auth.scan(mail(raw, reverse_path="bounces@list.test"), context(KEYS, arc_sealers=sealers))
    assert finding.status is Status.SUSPICIOUS
    assert "DMARC_REJECT" in [item.code for item in finding.evidence]


async def test_a_dns_that_is_down_is_shown_as_no_chain() -> None:
    ctx = context(KEYS, arc_sealers=frozenset({"list.test"}))
    assert isinstance(ctx.dns, FakeDns)
    ctx.dns.silent.add("a._domainkey.list.test")
    finding = await auth.scan(mail(once(), reverse_path="bounces@list.test"), ctx)
    assert dict(finding.results)["arc"].startswith('none reason="message signature 1: no answer from DNS for the key"')
