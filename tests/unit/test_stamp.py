"""A text below a message: where people read it, and nowhere where it would break what somebody has signed."""

from __future__ import annotations

import base64
import email
import email.policy
from email.message import EmailMessage

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Customer, DigestPlan, Disclaimer
from services.core.changes import changed
from services.core.compose import compose
from services.core.lapse import set_out
from services.core.stamp import may_be_stamped, stamp
from tests.unit.test_compose import HOST, branch, disposition

NOTICE = "Licenza scaduta: più protezione dal 2026-11-29 <non> c'è. " + "Avvisare il proprio amministratore. " * 3


def stamped(message: bytes) -> bytes:
    """Return all of the message as it goes out, header block and all."""
    out = stamp(memoryview(message), set_out(NOTICE))
    assert out != message, "was left as it is"
    return bytes(out)


def texts(message: bytes) -> dict[str, str]:
    """Return the texts as a mail client reads them, by their type."""
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert not any(part.defects for part in parsed.walk())
    return {
        part.get_content_type(): " ".join(part.get_content().split())
        for part in parsed.walk()
        if part.get_content_maintype() == "text"
    }


def made(plain: str = "", html: str = "", *, cte: str | None = None, charset: str = "utf-8") -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = "hello"
    if plain:
        message.set_content(plain, cte=cte, charset=charset)
    if html:
        (message.add_alternative if plain else message.set_content)(html, subtype="html", cte=cte, charset=charset)
    return message


@pytest.mark.parametrize("cte", ["7bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("html", ["<p>Hi</p>", "<html><body><p>Hi</p></BODY></html>", "<p>Hi</p></html>\r\n"])
def test_both_texts_have_it_in_whatever_encoding(cte: str, html: str) -> None:
    out = texts(stamped(made("Hi there\n", html, cte=cte).as_bytes()))
    assert out["text/plain"].startswith("Hi there ____")
    assert " ".join(NOTICE.split()) in out["text/plain"]
    assert "pi&#249; protezione dal 2026-11-29 &lt;non&gt;" in out["text/html"]
    ended = out["text/html"].lower().find("</body>")
    assert ended == -1 or out["text/html"].find("&lt;non&gt;") < ended


def test_a_text_in_another_charset_is_spoken_to_in_it() -> None:
    out = texts(stamped(made("Perché no\n", cte="quoted-printable", charset="iso-8859-1").as_bytes()))
    assert out["text/plain"].startswith("Perché no")
    assert "più protezione" in out["text/plain"]


def test_nothing_but_the_texts_changes() -> None:
    message = made("Hi\n", "<p>Hi</p>")
    message.add_attachment(bytes(range(256)) * 50, maintype="application", subtype="pdf", filename="a.pdf")
    message.add_attachment("a text of its own\n", filename="notes.txt")
    before = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    after = email.message_from_bytes(stamped(message.as_bytes()), policy=email.policy.default)
    assert [part.get_content() for part in before.iter_attachments()] == [
        part.get_content() for part in after.iter_attachments()
    ]
    assert dict(before.items()) == dict(after.items())


def sealed(kind: str, body: str = "x") -> bytes:
    return f'Content-Type: {kind}; boundary="b"\r\n\r\n{body}\r\n'.encode()


PARTS = "--b\r\nContent-Type: text/plain\r\n\r\nsigned text\r\n--b\r\nContent-Type: {}\r\n\r\nsignature\r\n--b--"


@pytest.mark.parametrize(
    "message",
    [
        sealed("multipart/signed", PARTS.format("application/pkcs7-signature")),
        sealed("multipart/signed", PARTS.format("application/pgp-signature")),
        sealed("multipart/mixed", PARTS.format("multipart/signed")),  # a list's footer around what somebody has signed
        sealed("multipart/encrypted", PARTS.format("application/octet-stream")),
        sealed("application/pkcs7-mime", "TUlNRQ=="),
        sealed("multipart/report", PARTS.format("message/delivery-status")),
        b"\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA512\r\n\r\nhello\r\n-----BEGIN PGP SIGNATURE-----\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\nLS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS0tCg==\r\n",
    ],
    ids=["smime", "pgp-mime", "nested", "encrypted", "opaque", "report", "pgp", "pgp-base64"],
)
def test_what_is_signed_or_sealed_stays_as_it_is(message: bytes) -> None:
    octets = memoryview(message)
    assert stamp(octets, set_out(NOTICE)) is octets


@pytest.mark.parametrize(
    "message",
    [
        b"Content-Type: text/plain; charset=utf-7\r\n\r\nhi\r\n",
        b"Content-Type: text/plain; charset=klingon\r\n\r\nhi\r\n",
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nhi\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\nYWJj=ZGVm!\r\n",
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nnever closed\r\n',
        b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nno boundary\r\n--b--\r\n",
        b"Content-Type: image/png\r\n\r\npixels\r\n",
        b"Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\na file\r\n",
    ],
)
def test_what_readers_may_read_in_two_ways_stays_as_it_is(message: bytes) -> None:
    octets = memoryview(message)
    assert stamp(octets, set_out(NOTICE)) is octets


def test_a_mail_of_a_thousand_levels_costs_nothing() -> None:
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level) for level in range(1000)
    )
    octets = memoryview(deep + b"\r\nhi\r\n")
    assert stamp(octets, set_out(NOTICE)) is octets


@given(st.binary(max_size=400))
def test_nothing_that_comes_in_raises(body: bytes) -> None:
    for head in (
        b"",
        b"\r\n",
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n',
        b"Content-Type: text/html\r\n\r\n",
    ):
        assert len(stamp(memoryview(head + body), set_out(NOTICE))) >= len(head)


@pytest.mark.parametrize(
    ("header", "results", "may"),
    [
        (b"From: a@a.test\r\n", (), True),
        (b"DKIM-Signature: v=1\r\n", (("dkim", "pass header.d=a.test"),), False),
        (b"DKIM-Signature: v=1\r\n", (("spf", "pass"), ("dkim", "fail header.d=a.test")), True),
        (b"DKIM-Signature: v=1\r\n", (("dkim", "fail"), ("dkim", "pass header.d=b.test")), False),
        (b"DKIM-Signature: v=1\r\n", (("dkim", "temperror"),), False),  # it may hold for who asks again
        (b"DKIM-Signature: v=1\r\n", (), False),  # nobody has looked
        (b"ARC-Message-Signature: i=1\r\n", (("arc", "pass"),), False),
        (b"ARC-Message-Signature: i=1\r\nDKIM-Signature: v=1\r\n", (("arc", "fail"), ("dkim", "fail")), True),
    ],
)
def test_a_signature_of_the_whole_message_is_kept_while_it_may_hold(
    header: bytes, results: tuple[tuple[str, str], ...], may: bool
) -> None:
    assert may_be_stamped(header, results) is may


def delivered(message: bytes, results: tuple[tuple[str, str], ...]) -> bytes:
    """Return what goes out of a message of a customer whose licence has lapsed."""
    lapsed = Customer(id="acme", lapses_at=1.0, digest=DigestPlan(language="it"))
    of = disposition(auth_results=results)
    done = changed(message, of, branch(), lapsed, now=2.0)
    return b"".join(compose(of, branch(), done.message, hostname=HOST, notice=done.notice))


def test_signed_mail_still_verifies_and_says_it_in_a_field_of_ours() -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    message = b"From: a@a.test\r\n" + made("Hi\n").as_bytes()
    signature = dkim.sign(message, b"s", b"a.test", private, include_headers=[b"from", b"subject"])
    signed = signature + message
    results = (("dkim", "pass header.d=a.test"),)
    out = delivered(signed, results)
    assert dkim.verify(out, dnsfunc=lambda *_, **__: record)
    assert "X-Gatepost-Notice" in email.message_from_bytes(out)
    assert out.endswith(signed)
    broken = delivered(signed, (("dkim", "fail"),))
    assert not dkim.verify(broken, dnsfunc=lambda *_, **__: record)
    assert "non è stata rinnovata" in texts(broken)["text/plain"]


def test_who_sends_a_field_of_ours_along_is_not_believed() -> None:
    out = b"".join(compose(disposition(), branch(), b"X-Gatepost-Notice: pay me\r\n\r\nhi\r\n", hostname=HOST))
    assert b"pay me" not in out


# --- a disclaimer

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
    octets = stamp(f"{HEAD}\r\nhello\r\n\r\n".encode(), PLAIN)
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
    text, _ = bodies(stamp(message.as_bytes(), WIDE))
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
    after = stamp(before, WIDE)
    text, html = bodies(after)
    assert text == "hello\n\nSocietà Acme 1 €\n"
    assert html.index("Acme") < html.index("</body>")
    assert "Societ&#224; <b>Acme</b> 1 &#8364;" in html  # which means the same in any charset
    assert [p.get_payload(decode=True) for p in read(after).iter_attachments()] == [
        p.get_payload(decode=True) for p in read(before).iter_attachments()
    ]
    tail = before[before.index(b"Content-Type: application/pdf") :]
    assert bytes(after).endswith(tail)


def test_html_without_an_own_disclaimer_has_the_text() -> None:
    octets = f"{HEAD}Content-Type: text/html\r\n\r\n<p>hello</p>".encode()
    _, html = bodies(stamp(octets, Disclaimer(text="A & B\nC")))
    assert "<p>A &amp; B<br>\nC</p>" in html


def test_a_message_of_attachments_alone_gets_a_part() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "anna@acme.test"
    message["MIME-Version"] = "1.0"
    message.make_mixed()
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    after = read(stamp(message.as_bytes(), WIDE))
    assert [part.get_content_type() for part in after.iter_parts()] == ["application/pdf", "text/plain"]
    assert "Società" in list(after.iter_parts())[1].get_content()


SIGNED_MAIL = (
    f"{HEAD}Content-Type: multipart/signed; protocol=x; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n"
    "Content-Type: application/pkcs7-signature\r\n\r\nxx\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    "message",
    [
        SIGNED_MAIL,
        f"{HEAD}Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nxx\r\n",
        f"{HEAD}Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n",
        f"{HEAD}Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n",
        f"{HEAD}\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nhello\r\n",
        f"{HEAD}Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
        + SIGNED_MAIL.removeprefix(HEAD)
        + "\r\n--o--\r\n",
        f"{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nno end\r\n",
        f"{HEAD}Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        f"{HEAD}Content-Type: text/plain; charset=klingon\r\n\r\nhello\r\n",
        f"{HEAD}Content-Transfer-Encoding: x-own\r\n\r\nhello\r\n",
        f"{HEAD}Content-Type: application/pdf\r\n\r\n%PDF\r\n",
        f"no field at all\r\n{HEAD}\r\nhello\r\n",
    ],
)
def test_what_a_change_would_break_stays_the_very_same(message: str) -> None:
    octets = message.encode()
    assert stamp(octets, WIDE) is octets


def test_without_a_disclaimer_nothing_is_read() -> None:
    octets = memoryview(b"whatever")
    assert stamp(octets, Disclaimer()) is octets


@given(st.binary(max_size=600))
def test_no_message_makes_it_fail(noise: bytes) -> None:
    head = b"From: a@b.test\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    for octets in (noise, head + noise, head + b"--b\r\n" + noise + b"\r\n--b--\r\n"):
        assert len(stamp(octets, WIDE)) >= 0


def test_a_thousand_nested_parts_are_left_alone() -> None:
    octets = HEAD.encode()
    for n in range(40):
        octets += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
    octets += b"\r\nx\r\n" + b"".join(b"--b%d--\r\n" % n for n in reversed(range(40)))
    assert stamp(octets, WIDE) is octets
