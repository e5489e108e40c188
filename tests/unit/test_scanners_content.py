"""The content scanner: GTUBE always, rspamd's answer where there is one, our table of rules otherwise."""

from __future__ import annotations

import base64
import time
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest

from schemas.events import Received, Status
from services.core.errors import EngineUnavailable
from services.scanners.checks import content
from services.scanners.contract import ContentReply, Finding
from services.scanners.engines import rspamd
from services.scanners.facts import gather
from services.scanners.heuristics import GTUBE, RULES, apply
from services.scanners.learned.features import consistent, features, one_place
from services.scanners.mail import Mail
from services.scanners.markup import read
from tests.mails import DATA, PLAIN, attached, context, mail, sample


class Engine:
    """A ContentEngine that answers what the test wants."""

    def __init__(self, reply: ContentReply | None) -> None:
        self.reply = reply

    async def check(self, message: bytes, received: Received) -> ContentReply:
        assert message
        assert received.envelope.recipients
        if self.reply is None:
            raise EngineUnavailable("down")
        return self.reply


async def scan(raw: bytes, **ports: Any) -> Finding:
    return await content.scan(mail(raw), context(**ports))


def hits(raw: bytes) -> set[str]:
    return {rule.code for rule in apply(gather(mail(raw)))}


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN + GTUBE,
        attached(base64.b64encode(GTUBE), "base64").replace(b"application/octet-stream", b"text/plain"),
        attached(b"=58" + GTUBE[1:], "quoted-printable").replace(b"application/octet-stream", b"text/html"),
    ],
)
async def test_gtube(raw: bytes) -> None:
    for engine in (None, Engine(None)):
        finding = await scan(raw, rspamd=engine)
        assert (finding.status, finding.score) == (Status.SPAM, 1000)
        assert [item.code for item in finding.evidence] == ["GTUBE"]


async def test_an_ordinary_mail_is_clean() -> None:
    finding = await scan(PLAIN)
    assert finding.status is Status.CLEAN
    assert finding.score < 3
    assert [item.code for item in finding.evidence] == ["LEARNED_HAM"]


@pytest.mark.parametrize(
    ("score", "action", "status"),
    [
        (5.9, "no action", Status.CLEAN),
        (6.0, "add header", Status.SUSPICIOUS),
        (15.0, "add header", Status.SPAM),
        (1.0, "reject", Status.SPAM),
        (-3.0, "no action", Status.CLEAN),
    ],
)
async def test_what_rspamd_says(score: float, action: str, status: Status) -> None:
    symbols = [(f"S{number}", float(number) * (-1) ** number, "") for number in range(15)]
    finding = await scan(PLAIN, rspamd=Engine(ContentReply(action, score, symbols, "rspamd 3.4")))
    assert finding.status is status
    assert finding.score >= score
    assert [item.code for item in finding.evidence] == [f"S{number}" for number in range(14, 4, -1)]
    assert finding.engine == "rspamd 3.4"


async def test_what_rspamd_says_of_authentication_is_not_counted_twice() -> None:
    symbols = [("DMARC_POLICY_REJECT", 4.0, ""), ("R_SPF_FAIL", 1.0, ""), ("ARC_NA", 0.0, ""), ("SPAMMY", 3.0, "")]
    finding = await scan(PLAIN, rspamd=Engine(ContentReply("add header", 8.0, symbols, "rspamd 3.4")))
    assert (finding.status, finding.score) == (Status.CLEAN, 3.0)
    assert {item.code: item.score for item in finding.evidence} == {
        "SPAMMY": 3.0,
        "DMARC_POLICY_REJECT": 0.0,
        "R_SPF_FAIL": 0.0,
        "ARC_NA": 0.0,
    }


@pytest.mark.parametrize(("action", "score"), [("greylist", 4.5), ("add header", 5.0), ("rewrite subject", 5.0)])
async def test_only_reject_is_taken_at_its_word(action: str, score: float) -> None:
    finding = await scan(PLAIN, rspamd=Engine(ContentReply(action, score, [], "rspamd 3.4")))
    assert (finding.status, finding.score) == (Status.CLEAN, score)


async def test_a_soft_reject_is_no_answer() -> None:
    with pytest.raises(EngineUnavailable):
        await scan(PLAIN, rspamd=Engine(ContentReply("soft reject", 0.0, [], "rspamd 3.4")))


async def test_an_rspamd_that_is_down_is_never_clean() -> None:
    with pytest.raises(EngineUnavailable):
        await scan(PLAIN, rspamd=Engine(None))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{}", b'{"action": "reject"}', b'{"action": 1, "score": 1}', b"\xff", b"<html>", b"OK"],
)
def test_an_answer_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(EngineUnavailable):
        rspamd.parse(body, "rspamd")


CASES = sorted(path.stem for path in DATA.glob("content-*.eml"))


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    """tests/data/content-<code in lower case>.eml hits that rule."""
    codes = {rule.code for rule in apply(gather(sample(name)))}
    assert name.removeprefix("content-").replace("-", "_").upper() in codes


def test_every_rule_has_a_case() -> None:
    assert {name.removeprefix("content-").replace("-", "_").upper() for name in CASES} == {rule.code for rule in RULES}


ORDINARY = sorted(path.stem for path in DATA.glob("ham-*.eml"))


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("by_a_service", [False, True], ids=["own server", "a service"])
async def test_ordinary_mail_is_clean(name: str, by_a_service: bool) -> None:
    """Notes, receipts, codes, invoices, invitations, list posts, newsletters and letters, in four languages.

    Their senders' own servers bring them, or a service whose domain the envelope shows.
    """
    raw = (DATA / f"{name}.eml").read_bytes()
    domain = "mailer.test" if by_a_service else gather(mail(raw)).from_domain
    finding = await content.scan(just_sent(raw, reverse_path=f"bounces+17@{domain}", helo=f"mx.{domain}"), context())
    assert finding.status is Status.CLEAN, finding.evidence
    assert finding.score < (6 if by_a_service else 3)


def just_sent(raw: bytes, **envelope: Any) -> Mail:
    """Return the mail as if it came a few seconds after its Date."""
    came = mail(raw, **envelope)
    at = parsedate_to_datetime(came.header("date")).timestamp() + 4
    return Mail(msgspec.structs.replace(came.received, received_at=at), came.raw)


async def test_the_classifier_alone_marks_nothing_that_it_doubts() -> None:
    """The sample has nothing that a rule for spam finds, and words that old spam used."""
    raw = (DATA / "ham-code.eml").read_bytes()
    finding = await content.scan(mail(raw, reverse_path="no-reply@tickets.test", helo="mx.tickets.test"), context())
    assert finding.score == 0
    assert [(item.code, item.score) for item in finding.evidence] == [("LEARNED_SPAM", 0)]


async def test_a_sign_that_two_scanners_see_has_points_in_one() -> None:
    finding = await content.scan(sample("content-link-with-user"), context())
    assert {item.code: item.score for item in finding.evidence}["LINK_WITH_USER"] == 0


def html(body: bytes) -> bytes:
    return PLAIN.replace(b"\n\n", b"\nContent-Type: text/html; charset=utf-8\n\n", 1) + body


@pytest.mark.parametrize(
    ("body", "code", "hit"),
    [
        (b'<a href="http://1.2.3.4/x">here</a>', "LINK_TO_ADDRESS", True),
        (b'<a href="http://10.0.0.7/x">here</a>', "LINK_TO_ADDRESS", False),
        (b'<a href="https://evil.example/x">www.bank.test</a>', "LINK_LIES", True),
        (b'<a href="https://click.bank.test/x">www.bank.test</a>', "LINK_LIES", False),
        (b'<a href="https://evil.example/x">read more.</a>', "LINK_LIES", False),
        (b'<a href="https://paypal.com.evil.example/">pay</a>', "LINK_BORROWS_BRAND", True),
        (b'<a href="https://www.paypal.com/">pay</a>', "LINK_BORROWS_BRAND", False),
        (b'<a href="https://www.paypal.com@evil.example/">pay</a>', "LINK_WITH_USER", True),
        (b'<!-- <a href="http://1.2.3.4/x">here</a> -->', "LINK_TO_ADDRESS", False),
    ],
)
def test_links(body: bytes, code: str, hit: bool) -> None:
    assert (code in hits(html(body))) is hit


def test_markup() -> None:
    page = read("<head><title>no</title></head><p>a&amp;b<A HREF='x'>c<b>d</b></a><script>no</script>e<a href=y>f")
    assert page.text.split() == ["a&b", "c", "d", "e", "f"]
    assert [(anchor.href, anchor.text.split()) for anchor in page.anchors] == [("x", ["c", "d"]), ("y", ["f"])]


@pytest.mark.parametrize(
    "junk",
    [
        "<script",
        "<script>",
        "<!--",
        "<a href=x ",
        "<a href=x>",
        "<a href='",
        "<",
        "&",
        "</a>",
        "a@",
        "http://",
        " ",
        "!",
        "<img ",
    ],
)
def test_hostile_markup_ends_soon(junk: str) -> None:
    started = time.process_time()
    hits(html((junk * (262_144 // len(junk))).encode()))
    hits(PLAIN + (junk * (262_144 // len(junk))).encode())
    assert time.process_time() - started < 10  # quadratic time would take far longer


@pytest.mark.parametrize(
    ("value", "name", "domain"),
    [
        ("Alice <alice@sender.test>", "alice", "sender.test"),
        ("Smith, Alice <alice@sender.test>", "smith, alice", "sender.test"),  # a comma that should be quoted, and isn't
        ("The Shop ,_<news@sender.test>", "the shop ,_", "sender.test"),
        ("=?utf-8?q?Smith=2C_Alice?= <alice@sender.test>", "smith, alice", "sender.test"),
        ("=?utf-8?q?eve=40evil=2Etest?= <alice@sender.test>", "eve@evil.test", "sender.test"),
        ('"service@bank.test" <eve@evil.test>', "service@bank.test", "evil.test"),
        ("alice@sender.test (Alice)", "alice", "sender.test"),
        ("alice@sender.test", "", "sender.test"),
        ("<alice@sender.test>", "", "sender.test"),
        ("nobody", "", ""),
        ("", "", ""),
    ],
)
def test_the_sender_that_is_shown(value: str, name: str, domain: str) -> None:
    facts = gather(mail(PLAIN.replace(b"Alice <alice@sender.test>", value.encode())))
    assert (facts.from_name, facts.from_domain) == (name, domain)
    assert ("NO_FROM" in {rule.code for rule in apply(facts)}) is (domain == "")


def test_a_message_that_has_one_home_is_told_from_one_that_has_not() -> None:
    """A service's newsletter leads to whoever brought it, and is left there; a stranger's link leads elsewhere."""
    body = b'<a href="https://letters.test/a">a</a> <a href="https://letters.test/unsubscribe?1">leave</a>'
    raw = html(body).replace(b"Message-ID: <1@sender.test>", b"Message-ID: <1@out.letters.test>", 1)
    brought = {"reverse_path": "bounce-1@letters.test", "helo": "out.letters.test"}
    assert one_place(features(gather(mail(raw, **brought)), ()))
    assert not one_place(features(gather(mail(raw.replace(b"letters.test/", b"other.test/"), **brought)), ()))


def test_a_domain_that_cost_nothing_vouches_for_nobody() -> None:
    for domain, vouched in ((b"shop.test", True), (b"shop.tk", False)):
        body = b'<a href="https://' + domain + b'/a">a</a>'
        raw = html(body).replace(b"alice@sender.test", b"alice@" + domain)
        assert consistent(features(gather(mail(raw, helo=f"mx.{domain.decode()}")), ())) is vouched
