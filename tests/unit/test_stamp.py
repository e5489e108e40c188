"""The notice on a message: where people read it, and nowhere where it would break what somebody has signed."""

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

from services.core.compose import compose
from services.core.headers import header_end
from services.core.stamp import may_be_stamped, stamp
from tests.unit.test_compose import HOST, branch, disposition

NOTICE = "Licenza scaduta: più protezione dal 2026-11-29 <non> c'è. " + "Avvisare il proprio amministratore. " * 3


def stamped(message: bytes) -> bytes:
    """Return all of the message as it goes out, header block and all."""
    view = memoryview(message)
    pieces = stamp(view, NOTICE)
    assert pieces is not None, "was left as it is"
    return message[: header_end(view)] + b"".join(pieces)


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
    accents = " ".join(NOTICE.split())
    wanted = accents if cte != "7bit" else accents.replace("ù", "u").replace("è", "e")  # as much as ASCII can say
    assert wanted in out["text/plain"]
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
    assert stamp(memoryview(message), NOTICE) is None


@pytest.mark.parametrize(
    "message",
    [
        b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\naABpAA==\r\n",
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
    assert stamp(memoryview(message), NOTICE) is None


def test_a_mail_of_a_thousand_levels_costs_nothing() -> None:
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level) for level in range(1000)
    )
    assert stamp(memoryview(deep + b"\r\nhi\r\n"), NOTICE) is None


@given(st.binary(max_size=400))
def test_nothing_that_comes_in_raises(body: bytes) -> None:
    for head in (
        b"",
        b"\r\n",
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n',
        b"Content-Type: text/html\r\n\r\n",
    ):
        stamp(memoryview(head + body), NOTICE)


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
    out = b"".join(compose(disposition(auth_results=results), branch(), signed, hostname=HOST, notice=NOTICE))
    assert dkim.verify(out, dnsfunc=lambda *_, **__: record)
    assert "X-Gatepost-Notice" in email.message_from_bytes(out)
    assert out.endswith(signed)
    broken = b"".join(
        compose(disposition(auth_results=(("dkim", "fail"),)), branch(), signed, hostname=HOST, notice=NOTICE)
    )
    assert not dkim.verify(broken, dnsfunc=lambda *_, **__: record)
    assert "Licenza scaduta" in broken.decode().partition("\r\n\r\n")[2]


def test_who_sends_a_field_of_ours_along_is_not_believed() -> None:
    out = b"".join(compose(disposition(), branch(), b"X-Gatepost-Notice: pay me\r\n\r\nhi\r\n", hostname=HOST))
    assert b"pay me" not in out
