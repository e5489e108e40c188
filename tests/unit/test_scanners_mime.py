"""MIME: what a reader would open is seen, and no input raises, recurses or takes quadratic time."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.core import transfer
from services.scanners import mime
from services.scanners.text import clean, header, token
from tests.mails import PLAIN, attached, mail


def codes(raw: bytes) -> set[str]:
    return {defect.code for defect in mime.walk(raw).defects}


def test_fields_keep_their_octets() -> None:
    tree = mime.walk(b"A: 1\r\n  folded \r\nB:2\r\n\r\nbody")
    assert [(field.name, field.value, field.raw) for field in tree.fields] == [
        ("a", b" 1\r\n  folded ", b"A: 1\r\n  folded "),
        ("b", b"2", b"B:2"),
    ]
    assert bytes(tree.body) == b"body"


def test_parts_of_nested_messages() -> None:
    inner = attached(b"aGk=", "base64", "deep.txt")
    outer = (
        b"Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: message/rfc822\n\n"
        + inner
        + b"\n--out--\n"
    )
    parts = mail(outer).parts
    assert [(part.path, part.filename, part.data.strip()) for part in parts if not part.gap] == [
        ("1.1.1.1", "", b"hello"),
        ("1.1.1.2", "deep.txt", b"hi"),
    ]


def test_a_message_that_was_encoded_is_read_too() -> None:
    inner = base64.encodebytes(attached(b"aGk=", "base64", "deep.txt"))
    outer = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + inner
    assert "deep.txt" in [part.filename for part in mail(outer).parts]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"From: a\r\nno field here\r\n\r\n", "HEADER_MALFORMED"),
        (b"Content-Type: multipart/mixed\r\n\r\nx", "MIME_NO_BOUNDARY"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx", "MIME_NO_PARTS"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx", "MIME_NOT_CLOSED"),
        (b"A:1\r\n" * 3000 + b"\r\n", "TOO_MANY_FIELDS"),
        (b"A: " + b"x" * 1_100_000, "HEADER_TOO_LONG"),
    ],
)
def test_defects_are_noted(raw: bytes, code: str) -> None:
    assert code in codes(raw)


def test_a_thousand_parts_are_the_most() -> None:
    body = b"--b\r\n\r\nx\r\n" * 1001
    tree = mime.walk(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body + b"--b--\r\n")
    assert len(tree.parts) == mime.MAX_PARTS
    assert [defect.code for defect in tree.defects if defect.limit] == ["TOO_MANY_PARTS"]


def test_fifty_levels_are_the_most() -> None:
    raw = b"Content-Type: text/plain\r\n\r\nx"
    for level in range(60):
        raw = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%s\r\n--b%d--\r\n" % (
            level,
            level,
            raw,
            level,
        )
    assert "TOO_DEEP" in codes(raw)


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        (b"aGVsbG8=", b"hello"),
        (b"aGVs\r\nbG8=\r\n", b"hello"),
        (b"aGVsbG8=d29ybGQ=", b"helloworld"),  # text after padding counts: some readers go on
        (b"a*G-V s!bG8", b"hello"),
        (b"aGVsb", b"hel"),
        (b"", b""),
        (b"=", b""),
    ],
)
def test_base64_as_the_most_forgiving_reader(data: bytes, octets: bytes) -> None:
    assert transfer.base64_lenient(data) == octets


def test_uuencoded_text() -> None:
    assert transfer.uuencoded(b"x\r\nbegin 644 a.txt\r\n%:&5L;&\\\r\n`\r\nend\r\n") == b"hello"


def test_what_two_parsers_disagree_on_is_kept() -> None:
    raw = attached(b"hidden", "8bit").replace(
        b"\n--cut\nContent-Type: application", b"\r--cut\rContent-Type: application"
    )
    assert not any(part.filename for part in mail(raw).parts)  # a bare CR ends no line here, and does elsewhere
    assert b"hidden" in mail(raw).rival
    assert mail(attached(b"aGVsbG8=", "base64")).rival == []


@given(st.binary(max_size=400))
@example(b"\r\n\r\n")
@example(b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n")
@example(b"Content-Type: message/rfc822\r\n\r\n" * 60)
def test_nothing_raises(raw: bytes) -> None:
    found = mail(b"Content-Type: multipart/mixed; boundary=b\n" + raw)
    for part in found.parts:
        assert part.data is not None
    assert found.rival is not None
    assert found.text is not None
    assert found.header("subject") is not None
    mime.walk(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b" + b" " * 400_000 + b"x\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--b" * 100_000,
        b"Content-Type: text/plain" + b"; a=b" * 200_000 + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?q?" * 100_000 + b"\r\n\r\n",
        b"\r\n" * 500_000,
    ],
)
def test_hostile_forms_end_soon(raw: bytes) -> None:
    started = time.process_time()
    found = mail(raw)
    found.header("subject")
    assert all(isinstance(part.data, bytes) for part in found.parts)
    assert time.process_time() - started < 10  # quadratic time would take minutes


def test_header_text() -> None:
    assert header(b" =?utf-8?b?w6TDtg==?=\r\n =?utf-8?q?_=C3=BC?= x") == "äö ü x"
    assert header(b"=?nope?b?AAAA?=") == "=?nope?b?AAAA?="
    assert header(b"\xff\xfe") == "ÿþ"
    assert mail(PLAIN).header("subject") == "The minutes"


@given(st.text())
def test_clean_text_goes_into_an_event(text: str) -> None:
    shown = clean(text, 20)
    assert len(shown) <= 20
    shown.encode("utf-8")
    assert shown.isprintable() or not shown


def test_clean_takes_lone_surrogates_and_line_ends() -> None:
    assert clean("a\udc80b\r\nc\x00") == "a�b��c�"


def test_token_is_one_or_invalid() -> None:
    assert token("mail.example.test") == "mail.example.test"
    assert token('a"b; dkim=pass') == "invalid"
    assert token("") == "invalid"
