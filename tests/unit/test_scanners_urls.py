"""The urls scanner: what a browser would follow is found, whatever hides it, and judged by its name."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, cast

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from schemas.events import Brand, Status
from services.runtime.dns import Answer
from services.runtime.fakes_dns import FakeDns
from services.scanners.briefing import EMPTY, Briefing
from services.scanners.checks import urls
from services.scanners.contract import Finding
from services.scanners.engines.url_lists import parse_lists
from services.scanners.lookalike import Kind, compare, guarded
from services.scanners.urls import find, qr
from services.scanners.urls.targets import targets
from services.scanners.urls.url import parse, shown
from tests.mails import context, mail, sample

OWN = Briefing(
    domains=("musterbau.example", "mail.acme.example"),
    partners=("hausbank.example",),
    brands=(Brand(name="Rocket Forms", domains=("rocketforms.example",)),),
    allowed=("musterbau.test",),
)
HEAD = (
    b"From: Alice <alice@sender.test>\nTo: bob@example.test\nSubject: x\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"
    b"Message-ID: <1@sender.test>\nMIME-Version: 1.0\n"
)


def page(body: str) -> bytes:
    return HEAD + b"Content-Type: text/html; charset=utf-8\n\n<html><body>" + body.encode() + b"</body></html>\n"


def text(body: str) -> bytes:
    return HEAD + b"Content-Type: text/plain; charset=utf-8\n\n" + body.encode() + b"\n"


def attachment(data: bytes, name: str, kind: str = "application/octet-stream") -> bytes:
    body = base64.encodebytes(data)
    return (
        HEAD
        + b"Content-Type: multipart/mixed; boundary=cut\n\n--cut\nContent-Type: text/plain\n\nsee below\n--cut\n"
        + f'Content-Type: {kind}\nContent-Disposition: attachment; filename="{name}"\n'.encode()
        + b"Content-Transfer-Encoding: base64\n\n"
        + body
        + b"--cut--\n"
    )


async def scan(
    raw: bytes, briefing: Briefing = EMPTY, zone: Mapping[Any, Answer] | None = None, **ports: Any
) -> Finding:
    return await urls.scan(mail(raw), context(zone, briefing=briefing, **ports))


def codes(finding: Finding) -> set[str]:
    return {item.code for item in finding.evidence}


# --- what a URL is


@pytest.mark.parametrize(
    ("written", "host", "hidden"),
    [
        ("http://evil.test/", "evil.test", ""),
        ("  HTTP://EVIL.test:80/ ", "evil.test", ""),
        ("http://evil.test./x", "evil.test", ""),
        ("https:evil.test", "evil.test", ""),
        ("//evil.test/x", "evil.test", ""),
        ("www.evil.test/x", "www.evil.test", ""),
        ("http:\\\\evil.test\\x", "evil.test", "with backslashes"),
        ("ht\ntp://ev\til.test/", "evil.test", "broken over lines"),
        ("http://evil.test/a\r\n b", "evil.test", ""),  # a long address that was folded: nothing is hidden by it
        ("http://%65vil.test/", "evil.test", "percent-encoded"),
        ("http://bank.test@evil.test/", "evil.test", ""),
        ("http://0x7f.1/", "127.0.0.1", "an address written as a number"),
        ("http://2130706433/", "127.0.0.1", "an address written as a number"),
        ("http://0177.0.0.01/", "127.0.0.1", "an address written as a number"),
        ("http://203.0.113.9/", "203.0.113.9", ""),
        ("http://[2001:db8::1]:8080/", "[2001:db8::1]", ""),
        ("http://ｅｖｉｌ。test/", "evil.test", "in letters that only look like ASCII"),
        ("http://1２7.0.0.1/", "127.0.0.1", "an address written as a number"),
        ("http://bücher.test/", "xn--bcher-kva.test", ""),
    ],
)
def test_urls_are_read_as_a_browser_reads_them(written: str, host: str, hidden: str) -> None:
    url = parse(written)
    assert url is not None
    assert (url.host, url.hidden) == (host, hidden)


@pytest.mark.parametrize(
    "written", ["", "hello", "/path", "http://", "http://a b/", "http://exa%00mple.test/", "a@b.test"]
)
def test_what_is_no_url(written: str) -> None:
    assert parse(written) is None


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60))
def test_nothing_raises(text: str) -> None:
    for raw in (text, f"http://{text}", f"https://bank.test@{text}/", f"data:{text}"):
        url = parse(raw)
        if url is not None:
            assert shown(url.host).isprintable()
            list(targets(url))


def test_the_registered_domain_is_by_the_list_of_public_suffixes() -> None:
    of = {url.host: url.domain for raw in ("http://a.b.co.uk/", "http://x.github.io/") if (url := parse(raw))}
    assert of == {"a.b.co.uk": "b.co.uk", "x.github.io": "x.github.io"}


def test_an_internationalised_name_is_shown_both_ways() -> None:
    assert shown("xn--bcher-kva.test") == "bücher.test (xn--bcher-kva.test)"


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("https://eur01.safelinks.protection.outlook.com/?url=http%3A%2F%2Fevil.test%2Fa&data=05%7C", "evil.test"),
        ("https://urldefense.proofpoint.com/v2/url?u=http-3A__evil.test_a&d=DwM", "evil.test"),
        ("https://urldefense.com/v3/__https://evil.test/a__;!!abc", "evil.test"),
        ("https://www.google.com/url?q=https://evil.test/a&sa=D", "evil.test"),
        ("https://www.google.com/amp/s/x?next=https%3A%2F%2Fevil.test", "evil.test"),
        ("https://a.test/?u=" + base64.urlsafe_b64encode(b"https://evil.test/login").decode(), "evil.test"),
        ("https://a.test/?u=https%3A%2F%2Fb.test%2F%3Fv%3Dhttps%253A%252F%252Fevil.test%252Fa", "evil.test"),
    ],
)
def test_what_a_url_leads_on_to(outer: str, inner: str) -> None:
    url = parse(outer)
    assert url is not None
    assert inner in {target.host for target in targets(url)}


def test_urls_in_urls_end_somewhere() -> None:
    url = parse("https://a.test/?" + "&".join(f"u{number}=https://b{number}.test/x" for number in range(500)))
    assert url is not None
    assert len(list(targets(url))) <= 8


# --- names


@pytest.mark.parametrize(
    ("host", "kind", "guards"),
    [
        ("www.paypa1.com", Kind.LETTERS, "paypal"),
        ("xn--pypal-4ve.com", Kind.LETTERS, "paypal"),  # a Cyrillic letter
        ("rnicrosoft.com", Kind.LETTERS, "microsoft"),
        ("paypal.com.evil.test", Kind.INSIDE, "paypal"),
        ("www-paypal-com.evil.test", Kind.INSIDE, "paypal"),
        ("paypal-login.test", Kind.LURE, "paypal"),
        ("securepaypal.com", Kind.LURE, "paypal"),
        ("microsofl.com", Kind.SLIP, "microsoft"),
        ("paypal.online", Kind.SUFFIX, "paypal"),
        ("netflix.mailings.test", Kind.NAMED, "netflix"),
        ("rnusterbau.example", Kind.LETTERS, "musterbau.example"),
        ("muster-bau.example", Kind.LETTERS, "musterbau.example"),
        ("musterbua.example", Kind.SLIP, "musterbau.example"),
        ("musterbau.org", Kind.SUFFIX, "musterbau.example"),
        ("musterbau-rechnungen.test", Kind.NAMED, "musterbau.example"),
        ("hausbank-login.test", Kind.LURE, "hausbank.example"),
        ("rocketforms-login.test", Kind.LURE, "Rocket Forms"),
    ],
)
def test_look_alikes(host: str, kind: Kind, guards: str) -> None:
    hit = compare(host, guarded(OWN))
    assert hit is not None
    assert (hit.kind, hit.guarded) == (kind, guards)


@pytest.mark.parametrize(
    "host",
    [
        "www.paypal.com",
        "amazon.de",
        "amazon.co.jp",
        "login.microsoftonline.com",
        "contoso.sharepoint.com",
        "musterbau.example",
        "shop.musterbau.example",
        "musterbau.test",  # allowed
        "hausbank.example",
        "rocketforms.example",
        "outlooksecure.com",  # a word like any other
        "chaser.test",
        "example.org",
        "xn--bcher-kva.test",
    ],
)
def test_honest_names(host: str) -> None:
    assert compare(host, guarded(OWN)) is None


# --- where URLs stand


@pytest.mark.parametrize(
    "body",
    [
        '<a href="http://evil.test/x">here</a>',
        "<a href=http://evil.test/x>here</a>",
        '<a title=">" HREF = "&#104;ttp://evil.test/x">here</a>',
        '<area href="//evil.test/x">',
        '<form action="http://evil.test/x"></form>',
        '<button formaction="http://evil.test/x">',
        '<meta http-equiv="Refresh" content="0; URL=\'http://evil.test/x\'">',
        '<base href="http://evil.test/"><a href="x">here</a>',
        '<a href="#" onclick="window.location=\'http://evil.test/x\'">here</a>',
        '<iframe src="http://evil.test/x"></iframe>',
        '<img srcset="http://evil.test/x 2x">',
        '<div style="background:url(http://evil.test/x)">',
        "<script>location.href = 'http://evil.test/x'</script>",
        "<p>http://evil.test/x</p>",
        "<!-- http://evil.test/x -->",
    ],
)
def test_places_in_a_page(body: str) -> None:
    hosts = {url.host for found in find.in_page(body) if (url := parse(found.raw))}
    assert "evil.test" in hosts


def test_a_page_without_end_is_read_up_to_a_limit() -> None:
    body = "".join(f'<a href="http://h{number}.test/">x</a>' for number in range(20_000))
    assert len([found for found in find.in_page(body) if found.kind is find.Kind.LINK]) == find.MOST


def test_punctuation_after_a_url_is_no_part_of_it() -> None:
    assert [found.raw for found in find.in_text("see http://a.test/x. Or (www.b.test/y), or hxxp://c.test!")] == [
        "http://a.test/x",
        "www.b.test/y",
    ]


def code(content: str, form: str = "PNG", pad: int = 0) -> bytes:
    barcode = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.QRCode)
    drawn = barcode.to_image(scale=4)
    height, width = drawn.shape
    picture = Image.frombytes("L", (width, height), bytes(cast("bytes", drawn)))
    canvas = Image.new("L", (picture.width + 2 * pad, picture.height + 2 * pad), 255)
    canvas.paste(picture, (pad, pad))
    buffer = io.BytesIO()
    canvas.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_codes_in_pictures(form: str) -> None:
    assert qr.read(code("https://evil.test/x", form, pad=40)) == ["https://evil.test/x"]


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + bytes(200), b"GIF89a" + b"\xff" * 300, bytes(10_000)])
def test_what_is_no_picture(data: bytes) -> None:
    assert qr.read(data) == []


def test_a_picture_that_would_unpack_to_too_much_is_not_unpacked() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
        + chunk(b"IEND", b"")
    )
    assert qr.read(bomb) == []


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


RELS = b'<Relationships><Relationship Id="r1" Target="http://paypa1.com/t.dotm" TargetMode="External"/></Relationships>'
STREAM = zlib.compress(b"<< /A << /S /URI /URI (http://paypa1.com/x) >> >>")
FILES = {
    "page.html": b"<html><a href='http://paypa1.com/x'>x</a></html>",
    "named-otherwise.dat": b"<!DOCTYPE html><script>location.replace('http://paypa1.com/x')</script>",
    "picture.svg": b'<svg xmlns="x"><a href="http://paypa1.com/x"><text>x</text></a></svg>',
    "invoice.pdf": b"%PDF-1.7\n1 0 obj << /S /URI /URI (http://paypa1.com/\\(x\\)) >> endobj",
    "hex.pdf": b"%PDF-1.7\n1 0 obj << /S /URI /URI <" + b"http://paypa1.com/x".hex().encode() + b"> >> endobj",
    "packed.pdf": b"%PDF-1.7\n1 0 obj << /Type /ObjStm /Filter /FlateDecode /Length 99 >>\nstream\n"
    + STREAM
    + b"\nendstream",
    "letter.docx": zipped(word___rels__document_dot_xml_dot_rels=RELS),
    "meeting.ics": b"BEGIN:VCALENDAR\r\nDESCRIPTION:join http://paypa1\r\n .com/x\r\nEND:VCALENDAR\r\n",
    "note.txt": b"http://paypa1.com/x",
    "wide.txt": "http://paypa1.com/x".encode("utf-16"),
    "link.url": b"[InternetShortcut]\r\nURL=http://paypa1.com/x\r\n",
    "folder.zip": zipped(inner_dot_html=b"<html><a href='http://paypa1.com/x'>x</a></html>"),
    "code.png": code("http://paypa1.com/x", pad=20),
    "coded.zip": zipped(code_dot_png=code("http://paypa1.com/x", pad=20)),
    "coded.pdf": b"%PDF-1.7\n1 0 obj << /Subtype /Image /Filter /DCTDecode >>\nstream\n"
    + code("http://paypa1.com/x", "JPEG", pad=20)
    + b"\nendstream",
}


@pytest.mark.parametrize("name", FILES)
async def test_urls_in_files(name: str) -> None:
    finding = await scan(attachment(FILES[name], name))
    assert "URL_LOOKALIKE" in codes(finding), finding
    assert finding.status is Status.PHISHING
    assert any(f"in {name}" in item.text for item in finding.evidence)


async def test_a_file_of_many_pictures_is_looked_at_up_to_a_limit() -> None:
    pictures = {f"p{number}_dot_png": code(f"http://h{number}.test/x", pad=20) for number in range(30)}
    finding = await scan(attachment(zipped(**pictures), "many.zip"))
    assert "URL_QR_CODE" in codes(finding)


# --- what is made of them


@pytest.mark.parametrize(
    ("raw", "code", "status"),
    [
        (page('<a href="http://evil.test/">www.paypal.com</a>'), "URL_TEXT_LIES", Status.SUSPICIOUS),
        (page('<a href="https://paypal.com@evil.test/">x</a>'), "URL_CREDENTIALS", Status.SUSPICIOUS),
        (page('<a href="http://8.8.8.8/x">x</a>'), "URL_IP_HOST", Status.CLEAN),
        (page('<a href="http://134744072/x">x</a>'), "URL_HIDES_HOST", Status.PHISHING),
        (page('<a href="http://%65vil.test/x">x</a>'), "URL_HIDES_HOST", Status.SUSPICIOUS),
        (page('<a href="http://evil.test:8081/x">x</a>'), "URL_ODD_PORT", Status.CLEAN),
        (page('<a href="https://bit.ly/x">x</a>'), "URL_SHORTENER", Status.CLEAN),
        (page('<a href="https://x.weebly.com/">x</a>'), "URL_FREE_HOSTING", Status.CLEAN),
        (page('<a href="https://docs.google.com/forms/d/x">x</a>'), "URL_FORM_BUILDER", Status.CLEAN),
        (page('<a href="https://www.google.com/url?q=https://evil.test/">x</a>'), "URL_OPEN_REDIRECT", Status.CLEAN),
        (page('<a href="https://www.google.com/url?q=https://paypa1.com/">x</a>'), "URL_LOOKALIKE", Status.PHISHING),
        (page('<a href="https://a.b.c.d.e.f.evil.test/">x</a>'), "URL_LONG_HOST", Status.CLEAN),
        (page('<a href="https://evil.test/setup.msi">x</a>'), "URL_PROGRAM", Status.CLEAN),
        (page('<a href="https://evil.top/">x</a>'), "URL_CHEAP_TLD", Status.CLEAN),
        (page('<a href="data:text/html;base64,AAAA">x</a>'), "URL_DATA_PAGE", Status.SUSPICIOUS),
        (
            page('<a href="search-ms:query=x&crumb=location:\\\\evil.test">x</a>'),
            "URL_OPENS_PROGRAM",
            Status.SUSPICIOUS,
        ),
        (page('<a href="file://evil.test/share/x">x</a>'), "URL_LOCAL_FILE", Status.CLEAN),
        (
            page('<form action="http://evil.test/"><input type="password"></form>'),
            "URL_PASSWORD_FORM",
            Status.SUSPICIOUS,
        ),
        (page('<a href="https://evil.test/#bob@example.test">x</a>'), "URL_NAMES_READER", Status.CLEAN),
        (page('<a href="https://раураl.test/">x</a>'), "URL_MIXED_SCRIPT", Status.PHISHING),
        (page('<img src="https://paypa1.com/logo.png">'), "URL_LOADS_LOOKALIKE", Status.CLEAN),
        (text("Please see https://paypa1.com/x"), "URL_LOOKALIKE", Status.PHISHING),
    ],
)
async def test_evidence(raw: bytes, code: str, status: Status) -> None:
    finding = await scan(raw)
    assert code in codes(finding), finding
    assert finding.status is status


@pytest.mark.parametrize(
    "raw",
    [
        page('<a href="https://www.paypal.com/x">www.paypal.com</a>'),
        page('<a href="https://click.sender.test/t?u=https%3A%2F%2Fshop.test%2F">shop.test</a>'),
        page('<a href="mailto:bob@example.test">bob@example.test</a>'),
        page('<a href="https://eur01.safelinks.protection.outlook.com/?url=http%3A%2F%2Fa.test%2F">a.test</a>'),
        text("The report is at https://intranet.test/report. See you!"),
        text("Please e.g. read sales.department"),
    ],
)
async def test_honest_messages(raw: bytes) -> None:
    finding = await scan(raw)
    assert (finding.status, finding.score < 1.0) == (Status.CLEAN, True), finding


async def test_a_newsletter_that_counts_clicks_is_no_liar() -> None:
    links = "".join(f'<a href="https://t.tracker.test/c/{n}">www.shop{n}.test</a>' for n in range(6))
    assert (await scan(page(links))).score < 1.0


@pytest.mark.parametrize("name", ["ham-newsletter", "ham-receipt", "ham-thread"])
async def test_samples_of_ham(name: str) -> None:
    finding = await urls.scan(sample(name), context())
    assert finding.status is Status.CLEAN


async def test_the_customers_own_names_are_guarded() -> None:
    finding = await scan(page('<a href="https://rnusterbau.example/">x</a>'), OWN)
    assert finding.status is Status.PHISHING
    assert "rnusterbau.example, which is like musterbau.example" in finding.evidence[0].text


async def test_evidence_holds_nothing_of_the_message_but_domains() -> None:
    raw = page('<a href="https://user:secret@8.8.8.8:81/private/path?token=secret#secret@a.test">secret</a>')
    finding = await scan(raw)
    assert finding.evidence
    assert "secret" not in str(finding)
    assert "private" not in str(finding)


# --- lists


LISTS = parse_lists(["dbl.test=6", "fresh:new.test=3", "other.test=2"])


async def test_listed_and_fresh_domains() -> None:
    zone: dict[tuple[str, str], Answer] = {
        ("evil.org.dbl.test", "A"): ("127.0.1.4",),
        ("evil.org.other.test", "A"): ("127.0.0.2",),
        ("evil.org.new.test", "A"): ("127.0.0.2",),
    }
    finding = await scan(text("https://www.evil.org/x"), zone=zone, url_lists=LISTS)
    assert [(item.code, item.score) for item in finding.evidence] == [("URL_LISTED", 8.0), ("URL_FRESH", 3.0)]
    assert finding.evidence[0].text == "a link to evil.org, which is listed (dbl.test, other.test)"
    assert finding.status is Status.PHISHING


@pytest.mark.parametrize("answer", ["127.255.255.254", "127.255.255.252", "127.0.0.1", "127.0.1.255", "192.0.2.1"])
async def test_a_list_that_refuses_to_answer_says_nothing(answer: str) -> None:
    finding = await scan(text("https://evil.org/x"), zone={("evil.org.dbl.test", "A"): (answer,)}, url_lists=LISTS)
    assert finding.evidence == ()


async def test_a_list_that_is_down_is_no_failure() -> None:
    dns = FakeDns()
    dns.down = True
    finding = await scan(text("https://evil.org/x"), dns=dns, url_lists=LISTS)
    assert (finding.status, finding.evidence) == (Status.CLEAN, ())
    assert ("evil.org.dbl.test", "A") in dns.asked


async def test_without_lists_nothing_is_asked() -> None:
    dns = FakeDns()
    await scan(text("https://evil.org/x https://8.8.8.8/"), dns=dns)
    assert dns.asked == []


async def test_own_domains_and_addresses_are_not_asked_for() -> None:
    dns = FakeDns()
    await scan(text("https://www.musterbau.example/ https://8.8.8.8/ http://localhost/"), OWN, dns=dns, url_lists=LISTS)
    assert dns.asked == []
