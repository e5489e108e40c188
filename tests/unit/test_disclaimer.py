"""A disclaimer stands where people read it, everything else stays, and what is signed or encrypted is left alone."""

from __future__ import annotations

import base64
import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Disclaimer
from services.core.disclaimer import with_disclaimer

PLAIN = Disclaimer(text="Acme Ltd\n1 Main Street")
WIDE = Disclaimer(text="Società Acme 1 €", html="<p>Società <b>Acme</b> 1 €</p>")
HEAD = "From: anna@acme.test\r\nSubject: x\r\n"


def read(octets: bytes | memoryview) -> EmailMessage:
    message = email.message_from_bytes(bytes(octets), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def bodies(octets: bytes | memoryview) -> tuple[str, str]:
    """Return text and HTML as a mail program shows them."""
    message = read(octets)
    assert not any(part.defects for part in message.walk()), [part.defects for part in message.walk()]
    found = []
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        found.append("" if part is None else part.get_content())
    return found[0].replace("\r\n", "\n"), found[1].replace("\r\n", "\n")


def test_a_message_of_one_text() -> None:
    octets = with_disclaimer(f"{HEAD}\r\nhello\r\n\r\n".encode(), PLAIN)
    assert bytes(octets) == f"{HEAD}\r\nhello\r\n\r\nAcme Ltd\r\n1 Main Street\r\n".encode()


@pytest.mark.parametrize("charset", ["us-ascii", "utf-8", "iso-8859-1", "iso-8859-15", "utf-16"])
@pytest.mark.parametrize("encoding", ["7bit", "8bit", "quoted-printable", "base64"])
def test_whatever_the_text_is_written_in(charset: str, encoding: str) -> None:
    said = "hello" if charset == "us-ascii" else "grüß dich"
    if encoding in {"7bit", "8bit"} and charset not in {"us-ascii", "utf-8", "iso-8859-1"}:
        return
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "anna@acme.test"
    if charset == "utf-16":
        message.set_payload(said.encode(charset), charset=None)
        message["Content-Type"] = "text/plain; charset=utf-16"
        message["Content-Transfer-Encoding"] = "base64"
        message.set_payload(base64.b64encode(said.encode(charset)).decode())
    else:
        cte = "8bit" if encoding == "7bit" and not said.isascii() else encoding
        message.set_content(said + "\n", charset=charset, cte=cte)
    text, _ = bodies(with_disclaimer(message.as_bytes(), WIDE))
    assert text.startswith(said)
    assert text.rstrip("\n").endswith("Società Acme 1 €")


def test_text_and_html_both_have_it_and_attachments_stay_as_they_are() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "anna@acme.test"
    message.set_content("hello\n")
    message.add_alternative("<html><body><p>hello</p></body></html>\n", subtype="html", charset="iso-8859-1")
    message.add_attachment(b"%PDF \0\1\2", maintype="application", subtype="pdf", filename="a.pdf")
    message.add_attachment("not this text\n", filename="b.txt")
    before = message.as_bytes()
    after = with_disclaimer(before, WIDE)
    text, html = bodies(after)
    assert text == "hello\n\nSocietà Acme 1 €\n"
    assert html.index("Acme") < html.index("</body>")
    assert "Società <b>Acme</b> 1 &#8364;" in html  # what the charset doesn't have
    assert [p.get_payload(decode=True) for p in read(after).iter_attachments()] == [
        p.get_payload(decode=True) for p in read(before).iter_attachments()
    ]
    tail = before[before.index(b"Content-Type: application/pdf") :]
    assert bytes(after).endswith(tail)


def test_html_without_an_own_disclaimer_has_the_text() -> None:
    octets = f"{HEAD}Content-Type: text/html\r\n\r\n<p>hello</p>".encode()
    _, html = bodies(with_disclaimer(octets, Disclaimer(text="A & B\nC")))
    assert "<p>A &amp; B<br>\nC</p>" in html


def test_a_message_of_attachments_alone_gets_a_part() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "anna@acme.test"
    message["MIME-Version"] = "1.0"
    message.make_mixed()
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    after = read(with_disclaimer(message.as_bytes(), WIDE))
    assert [part.get_content_type() for part in after.iter_parts()] == ["application/pdf", "text/plain"]
    assert "Società" in list(after.iter_parts())[1].get_content()


SIGNED = (
    f"{HEAD}Content-Type: multipart/signed; protocol=x; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n"
    "Content-Type: application/pkcs7-signature\r\n\r\nxx\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    "message",
    [
        SIGNED,
        f"{HEAD}Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nxx\r\n",
        f"{HEAD}Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n",
        f"{HEAD}Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n",
        f"{HEAD}\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nhello\r\n",
        f"{HEAD}Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + SIGNED.removeprefix(HEAD) + "\r\n--o--\r\n",
        f"{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nno end\r\n",
        f"{HEAD}Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        f"{HEAD}Content-Type: text/plain; charset=klingon\r\n\r\nhello\r\n",
        f"{HEAD}Content-Transfer-Encoding: x-own\r\n\r\nhello\r\n",
        f"{HEAD}Content-Type: application/pdf\r\n\r\n%PDF\r\n",
        f"no field at all\r\n{HEAD}\r\nhello\r\n",
    ],
)
def test_what_a_change_would_break_is_left_alone(message: str) -> None:
    octets = message.encode()
    assert with_disclaimer(octets, WIDE) is octets


def test_without_a_disclaimer_nothing_is_read() -> None:
    octets = memoryview(b"whatever")
    assert with_disclaimer(octets, Disclaimer()) is octets


@given(st.binary(max_size=600))
def test_no_message_makes_it_fail(noise: bytes) -> None:
    head = b"From: a@b.test\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    for octets in (noise, head + noise, head + b"--b\r\n" + noise + b"\r\n--b--\r\n"):
        assert len(with_disclaimer(octets, WIDE)) >= 0


def test_a_thousand_nested_parts_are_left_alone() -> None:
    octets = HEAD.encode()
    for n in range(40):
        octets += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
    octets += b"\r\nx\r\n" + b"".join(b"--b%d--\r\n" % n for n in reversed(range(40)))
    assert with_disclaimer(octets, WIDE) is octets
