"""Data-loss rules: what the scanner finds, where, and that it shows nothing of it."""

from __future__ import annotations

import base64
import hashlib
import time
import zlib

import msgspec
import pytest

from schemas.events import DataRule, Direction, Evidence, Status
from services.core.data_loss import NUMBERS
from services.scanners.briefing import Briefing
from services.scanners.checks import dlp
from services.scanners.dlp.numbers import CANDIDATES_MOST, TooMany, find
from services.scanners.mail import Mail
from tests.corpora.files import compound, office, rtf, seven_zipped, zipped
from tests.mails import attached, context, mail

CARD = "4111 1111 1111 1111"
CARDS = DataRule(name="cards", then="block", numbers=("card",))


def going_out(raw: bytes) -> Mail:
    found = mail(raw)
    return Mail(msgspec.structs.replace(found.received, direction=Direction.OUTBOUND), found.raw)


def with_file(content: bytes, name: str = "list.csv") -> Mail:
    return going_out(attached(base64.encodebytes(content), "base64", name))


async def met(message: Mail, *rules: DataRule) -> list[Evidence]:
    ctx = context(briefing=Briefing(customer="example", data_loss=rules))
    finding = await dlp.scan(message, ctx)
    assert finding.status is Status.CLEAN  # what a customer doesn't let out is nothing bad by itself
    assert finding.score == 0.0
    return list(finding.evidence)


def text(body: str, subject: str = "the list") -> Mail:
    head = f"From: bob@example.test\nTo: v@far.test\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n"
    return going_out(f"{head}{body}\n".encode())


@pytest.mark.parametrize(
    ("kind", "written", "number"),
    [
        ("card", "4111 1111 1111 1111", "4111111111111111"),
        ("card", "4111-1111-1111-1111", "4111111111111111"),
        ("card", "5555555555554444", "5555555555554444"),
        ("card", "3782 822463 10005", "378282246310005"),
        ("card", "1 4111 1111 1111 1111", "4111111111111111"),  # a number in a row of numbers
        ("card", "4111 1111 1111 1111 5555 5555 5555 4444", "4111111111111111"),
        ("iban", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("iban", "IT60X0542811101000000123456", "IT60X0542811101000000123456"),
        ("iban", "GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432"),
        ("it-codice-fiscale", "RSSMRA80A01H501U", "RSSMRA80A01H501U"),
        ("it-codice-fiscale", "RSS MRA 80A01 H501U", "RSSMRA80A01H501U"),
        ("de-steuer-id", "36 574 261 809", "36574261809"),
        ("fr-nir", "2 95 10 99 126 111 93", "295109912611193"),
        ("es-nif", "54362315K", "54362315K"),
        ("nl-bsn", "1112.22.333", "111222333"),
        ("pl-pesel", "44051401359", "44051401359"),
        ("gb-nhs", "943 476 5870", "9434765870"),
        ("ch-ahv", "756.9217.0769.85", "7569217076985"),
    ],
)
def test_a_number_is_known_as_people_write_it(kind: str, written: str, number: str) -> None:
    assert number in find(kind, f"THE NUMBER: {written}, AS AGREED")
    assert number in find(kind, f"{written}\nFROM HERE")


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("card", "4111 1111 1111 1112"),  # the check digit
        ("card", "9111 1111 1111 1111"),  # nobody issues these
        ("card", "411 11111 1111 1111"),  # not how a card is written
        ("card", "A4111111111111111"),
        ("card", "41111111111111110000000000"),
        ("card", "0000 0000 0000 0000"),
        ("iban", "DE88 3704 0044 0532 0130 00"),
        ("iban", "XX89 3704 0044 0532 0130 00"),
        ("iban", "DE89 3704 0044"),
        ("it-codice-fiscale", "RSSMRA80A01H501V"),
        ("ch-ahv", "756.9217.0769.84"),
    ],
)
def test_what_only_looks_like_one_is_none(kind: str, written: str) -> None:
    assert list(find(kind, f"THE NUMBER: {written}, AS AGREED")) == []


def test_each_kind_that_may_be_named_is_looked_for() -> None:
    for kind in NUMBERS:
        assert list(find(kind, "NOTHING HERE")) == []


@pytest.mark.parametrize("kind", NUMBERS)
def test_hostile_text_takes_linear_time(kind: str) -> None:
    began = time.process_time()
    for hostile in (
        "1 " * 200_000,
        "1111 " * 100_000,
        "DE11" * 100_000,
        "AAAAAA" * 60_000,
        "4111111111111112 " * 30_000,
        "1 " * 200_000 + "1A",
    ):
        try:
            list(find(kind, hostile))
        except TooMany:
            assert len(hostile) > CANDIDATES_MOST
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "message",
    [
        text(f"The card is {CARD}."),
        text("see subject", subject=f"card {CARD}"),
        text("fullwidth 4111 1111 1111 1111 and a gap"),
        text("4111\u200b1111\u200b1111\u200b1111"),
        text("4111\u00a01111\u00a01111\u00a01111"),
        going_out(b"From: b@example.test\nContent-Type: text/html\n\n<p>41<b>11</b> 1111 1111 <i>1111</i></p>\n"),
        with_file(f"name;card\nAnna;{CARD}\n".encode()),
        with_file(f"name;card\nAnna;{CARD}\n".encode("utf-16")),
        with_file(zipped(("in/list.csv", f"Anna;{CARD}\n".encode())), "list.zip"),
        with_file(zipped(("in.zip", zipped(("list.txt", CARD.encode())))), "list.zip"),
        with_file(
            office(
                (
                    "word/header1.xml",
                    b"<w:hdr><w:p><w:r><w:t>4111 11</w:t></w:r><w:r><w:t>11 1111 1111</w:t></w:r></w:p></w:hdr>",
                )
            ),
            "letter.docx",
        ),
        with_file(
            office(
                ("xl/worksheets/sheet1.xml", b'<row><c r="A1"><v>4111111111111111</v></c><c r="B1"><v>7</v></c></row>')
            ),
            "table.xlsx",
        ),
        with_file(
            compound(("WordDocument", b"\0" * 600 + f"card {CARD} ok".encode("utf-16-le") + b"\0" * 4000)), "a.doc"
        ),
        with_file(b"{\\rtf1\\ansi card: 4111 1111 {\\b 1111} 1111\\par}", "a.rtf"),
    ],
)
async def test_a_card_is_found_wherever_it_stands_and_only_its_end_is_told(message: Mail) -> None:
    (evidence,) = await met(message, CARDS)
    assert evidence.code == "DLP_CARDS"
    assert "payment card number ending in 1111" in evidence.text
    assert "4111" not in evidence.text


async def test_a_card_on_a_page_of_a_pdf_is_found() -> None:
    (evidence,) = await met(with_file(page(f"Card: {CARD}"), "invoice.pdf"), CARDS)
    assert evidence.text == "payment card number ending in 1111 in invoice.pdf"


async def test_a_number_in_a_files_name_is_masked_as_well() -> None:
    (evidence,) = await met(with_file(b"nothing", "4111111111111111.txt"), CARDS)
    assert "4111" not in evidence.text.replace("1111.txt", "")
    assert "•1111.txt" in evidence.text


@pytest.mark.parametrize("hostile", ["<script>", "<!--", "<style", "<a ", "<", "<script>x</script", "&#52;", "</p"])
async def test_hostile_markup_takes_linear_time(hostile: str) -> None:
    page = (
        f"From: b@example.test\nContent-Type: text/html\n\n{hostile * (2_000_000 // len(hostile))}\n{CARD}\n".encode()
    )
    began = time.process_time()
    assert await met(going_out(page), CARDS) != []
    assert time.process_time() - began < 5


async def test_what_isnt_shown_of_a_page_is_not_read() -> None:
    page = f"<script>{CARD}</script><!-- {CARD} --><style>{CARD}</style><p>hello</p>"
    assert await met(going_out(f"From: b@example.test\nContent-Type: text/html\n\n{page}\n".encode()), CARDS) == []


async def test_what_comes_in_is_not_looked_at_and_without_rules_nothing_is() -> None:
    message = mail(f"From: a@far.test\n\n{CARD}\n".encode())
    assert await met(message, CARDS) == []
    assert await met(text(CARD)) == []


async def test_the_same_number_twice_is_one() -> None:
    two = msgspec.structs.replace(CARDS, at_least=2)
    assert await met(text(f"{CARD} and {CARD}, 4111-1111-1111-1111"), two) == []
    (evidence,) = await met(text(f"{CARD} and 5555 5555 5555 4444"), two)
    assert evidence.text.endswith(", 2 in all")


async def test_patterns_and_words_are_counted_and_never_shown() -> None:
    pattern = DataRule(name="projects", then="quarantine", patterns=(r"(?i)project\s+zebra-\d{3}",))
    (evidence,) = await met(text("About Project  Zebra-123 and project zebra-124."), pattern)
    assert (evidence.code, evidence.text) == ("DLP_PROJECTS", "what pattern 1 describes in the text, 2 in all")
    words = DataRule(name="secret-words", then="copy", words=("Top Secret", "Straße"))
    (evidence,) = await met(text("This is TOP\nsecret!"), words)
    assert evidence.text == "words of the rule's list in the text"
    assert await met(text("a strasse"), words) != []
    assert await met(text("top of the secretary"), words) == []


async def test_a_registered_file_is_known_by_its_octets_whatever_it_is_called() -> None:
    plan = b"the plan\x00" * 100
    rule = DataRule(name="plans", then="block", files=(hashlib.sha256(plan).hexdigest(),))
    (evidence,) = await met(with_file(zipped(("other.bin", plan)), "a.zip"), rule)
    assert evidence.text == "a.zip/other.bin is a registered file"
    assert await met(with_file(plan + b"!", "a.bin"), rule) == []


async def test_what_cant_be_looked_into_meets_the_rule_that_asks_for_it() -> None:
    rule = DataRule(name="unread", then="quarantine", unread=True)
    (evidence,) = await met(with_file(seven_zipped("list.csv", CARD.encode(), "secret"), "a.7z"), CARDS, rule)
    assert evidence.code == "DLP_UNREAD"
    assert await met(with_file(b"%PDF-1.4\nbroken", "a.pdf"), rule) != []
    assert await met(text("hello"), rule) == []


async def test_an_object_in_a_document_is_looked_into() -> None:
    (evidence,) = await met(with_file(rtf(f"Anna;{CARD}".encode()), "a.rtf"), CARDS)
    assert evidence.code == "DLP_CARDS"


def page(line: str) -> bytes:
    """Return a PDF with one line of text on one page, its content packed."""
    content = zlib.compress(f"BT /F1 12 Tf 72 700 Td ({line}) Tj ET".encode())
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(out)
    rows = b"".join(b"%010d 00000 n \n" % at for at in places)
    out += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\n" % (
        len(places) + 1,
        rows,
        len(places) + 1,
    )
    return out + b"startxref\n%d\n%%%%EOF\n" % start
