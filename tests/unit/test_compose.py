"""What is delivered is what was received, under our own header fields."""

from __future__ import annotations

import base64
import email
import email.policy
from email.header import decode_header, make_header
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Action, Branch, Disposition, Envelope, Received, Status
from services.core.compose import claims, compose
from services.core.headers import clean, field, fields, header_end

HOST = "mx.gatepost.test"
PLAIN = b"From: a@a.test\r\nTo: b@b.test\r\nSubject: hello\r\n\r\nbody\r\n"


def disposition(**changes: Any) -> Disposition:
    envelope = {
        "reverse_path": "a@a.test",
        "recipients": ("b@b.test",),
        "client_ip": "192.0.2.7",
        "helo": "mail.a.test",
        **changes.pop("envelope", {}),
    }
    received = Received(
        id="01HF7YAT00000000000000TEST",
        customer="acme",
        domain="b.test",
        key="mail/acme/ST/01HF7YAT00000000000000TEST",
        envelope=Envelope(**envelope),
        size=1,
        received_at=1_700_000_000.0,
        server=HOST,
        plan=("content",),
    )
    base: dict[str, Any] = {
        "received": received,
        "branches": (),
        "status": Status.CLEAN,
        "score": 1.25,
        "decided_at": 1.0,
    }
    return Disposition(**{**base, **changes})


def branch(**changes: Any) -> Branch:
    base: dict[str, Any] = {"recipients": ("b@b.test",), "action": Action.DELIVER, "rule": "default", "reason": ""}
    return Branch(**{**base, **changes})


def composed(message: bytes, *, of: Disposition | None = None, **changes: Any) -> bytes:
    return b"".join(compose(of or disposition(), branch(**changes), message, hostname=HOST))


def read(data: bytes) -> Any:
    return email.message_from_bytes(data, policy=email.policy.default)


def test_adds_our_fields_on_top_and_changes_nothing_else() -> None:
    out = composed(PLAIN, rule="tag spam")
    assert out.endswith(PLAIN)
    parsed = read(out)
    assert parsed["X-Gatepost"] == 'id=01HF7YAT00000000000000TEST; status=clean; score=1.2; rule="tag spam"'
    assert parsed["Authentication-Results"] == f"{HOST}; none"
    received = " ".join(str(parsed["Received"]).split())
    assert received == (
        f"from mail.a.test ([192.0.2.7]) by {HOST} with ESMTP id 01HF7YAT00000000000000TEST for <b@b.test>; "
        "Tue, 14 Nov 2023 22:13:20 +0000"
    )
    assert parsed.keys()[:3] == ["X-Gatepost", "Authentication-Results", "Received"]
    assert not parsed.defects


@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        ({"esmtp": False}, "with SMTP id"),
        ({"tls": "TLSv1.3 TLS_AES_256_GCM_SHA384"}, "with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id"),
        ({"smtputf8": True}, "with UTF8SMTP id"),
        ({"smtputf8": True, "tls": "TLSv1.3 X"}, "with UTF8SMTPS (TLSv1.3 X) id"),
        ({"client_ip": "2001:db8::1"}, "([IPv6:2001:db8::1])"),
        ({"helo": "evil\r\nX: y (\x00"}, "from evil?X:?y? ("),
        ({"helo": ""}, "from unknown ("),
    ],
)
def test_received_tells_how_it_came(envelope: dict[str, Any], said: str) -> None:
    out = composed(PLAIN, of=disposition(envelope=envelope))
    assert said in " ".join(str(read(out)["Received"]).split())
    assert out.endswith(PLAIN)


def test_several_recipients_are_not_told_of_each_other() -> None:
    assert b" for <" not in composed(PLAIN, recipients=("b@b.test", "c@b.test"))


def test_authentication_results_are_folded_and_harmless() -> None:
    results = (
        ("spf", "pass smtp.mailfrom=a.test"),
        ("dkim", "pass header.d=a.test header.s=selector-that-is-long-enough-to-fold"),
        ("dmarc", "fail header.from=x;dkim=pass\r\nX-Evil: 1 ("),
    )
    out = composed(PLAIN, of=disposition(auth_results=results))
    value = " ".join(str(read(out)["Authentication-Results"]).split())
    assert value.startswith(f"{HOST}; spf=pass smtp.mailfrom=a.test; dkim=pass header.d=a.test")
    assert value.count(";") == 3
    assert "X-Evil" not in read(out)
    assert "(" not in value
    assert max(map(len, out.split(b"\r\n"))) <= 80


@pytest.mark.parametrize(
    "spoof",
    [
        b"X-Gatepost: id=1; status=clean\r\n",
        b"x-gatepost-anything: 1\r\n",
        b"X-GATEPOST : 1\r\n",
        b"X-Gatepost\r\n : 1\r\n",
        b"X-Gatepost: 1\r\n folded\r\n\tand more\r\n",
        b"X-Gatepost: 1\n",
        b"Other: 1\rX-Gatepost: 1\r\n",
        b"Authentication-Results: mx.gatepost.test; spf=pass\r\n",
        b"authentication-results: (hi \\) (there)) MX.gatepost.TEST.; spf=pass\r\n",
        b'Authentication-Results: "mx.gatepost.test" 1; spf=pass\r\n',
        b"Authentication-Results:\r\n mx.gatepost.test; dkim=pass\r\n",
        b"Authentication-Results: (never ends; mx.gatepost.test\r\n",
    ],
)
def test_what_claims_to_be_ours_goes(spoof: bytes) -> None:
    kept = b"Other: 1\r" if spoof.startswith(b"Other") else b""
    for message in (
        spoof + PLAIN,
        PLAIN.replace(b"To:", spoof + b"To:"),
        PLAIN.replace(b"\r\n\r\n", b"\r\n" + spoof + b"\r\n"),
    ):
        out = composed(message)
        assert out.lower().count(b"x-gatepost") == 1
        assert out.lower().count(b"authentication-results") == 1
        assert out.endswith(message.replace(spoof, kept))


@pytest.mark.parametrize(
    "innocent",
    [
        b"Authentication-Results: mx.other.test; spf=pass\r\n",
        b"Authentication-Results: (mx.gatepost.test) mx.other.test; spf=pass\r\n",
        b"ARC-Authentication-Results: i=1; mx.gatepost.test; spf=pass\r\n",
        b"X-Gate: post\r\n",
        b"NotX-Gatepost: 1\r\n",
    ],
)
def test_what_does_not_stays(innocent: bytes) -> None:
    assert composed(innocent + PLAIN).endswith(innocent + PLAIN)


def test_the_body_is_never_looked_at() -> None:
    message = (
        PLAIN + b"X-Gatepost: in the body\r\nAuthentication-Results: mx.gatepost.test; spf=pass\r\n\r\nSubject: x\r\n"
    )
    assert composed(message).endswith(message)
    assert composed(message, tag_subject="[T]").endswith(message.partition(b"\r\n\r\n")[2])


def test_the_body_is_passed_without_a_copy() -> None:
    message = memoryview(PLAIN + b"x" * 1_000_000)
    body = compose(disposition(), branch(tag_subject="[T]"), message, hostname=HOST)[-1]
    assert isinstance(body, memoryview)
    assert body.obj is message.obj


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (b"", b""),
        (b"\r\nbody", b"\r\nbody"),
        (b"no header\r\nat all\r\n", b"\r\nno header\r\nat all\r\n"),
        (b" a blank first\r\n\r\nbody\r\n", b"\r\n a blank first\r\n\r\nbody\r\n"),
        (b"Subject: no body", b"Subject: no body"),
        (b"From a@a.test Mon Jan  1\r\nSubject: x\r\n\r\nb", b"From a@a.test Mon Jan  1\r\nSubject: x\r\n\r\nb"),
        (b"A: 1\nB: 2\n\nbody\n", b"A: 1\nB: 2\n\nbody\n"),
    ],
)
def test_odd_messages_keep_their_octets(message: bytes, shown: bytes) -> None:
    ours = composed(b"")
    assert composed(message) == ours + shown


@pytest.mark.parametrize(
    ("tag", "subject", "shown"),
    [
        ("[SPAM] ", b"Subject: hello\r\n", "[SPAM] hello"),
        ("[SPAM]", b"subject:hello\r\n", "[SPAM] hello"),
        ("[SPAM]", b"Subject:\r\n hello\r\n", "[SPAM] hello"),
        ("[SPAM]", b"Subject: \r\n", "[SPAM]"),
        ("[SPAM]", b"", "[SPAM]"),
        ("[SPAM]", b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n", "[SPAM] grüße"),
        ("[ÄRGER]", b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n", "[ÄRGER] grüße"),
        ("[ÄRGER]", b"Subject: hello\r\n", "[ÄRGER] hello"),
        ("[ÄRGER]", b"", "[ÄRGER]"),
        ("[S]\r\nX-Evil: 1", b"Subject: hello\r\n", "[S] X-Evil: 1 hello"),
        ("[" + "lang " * 40 + "ä]", b"Subject: hello\r\n", "[" + "lang " * 40 + "ä] hello"),
    ],
)
def test_a_tag_comes_before_the_subject(tag: str, subject: bytes, shown: str) -> None:
    out = composed(b"From: a@a.test\r\n" + subject + b"To: b@b.test\r\n\r\nbody\r\n", tag_subject=tag)
    raw = email.message_from_bytes(out)
    assert raw.keys().count("Subject") + raw.keys().count("subject") == 1
    assert " ".join(str(make_header(decode_header(" ".join(raw["Subject"].split())))).split()) == shown
    assert "X-Evil" not in raw
    assert raw.get_payload() == "body\r\n"
    assert max(map(len, out.split(b"\r\n"))) <= 100


def test_a_long_subject_is_folded_after_the_tag() -> None:
    out = composed(b"Subject: " + b"x" * 75 + b"\r\n\r\n", tag_subject="[SPAM]")
    assert b"\r\nSubject: [SPAM]\r\n " + b"x" * 75 + b"\r\n" in b"\r\n" + out


def test_every_subject_is_tagged() -> None:
    out = composed(b"Subject: one\r\nSubject: two\r\n\r\n", tag_subject="[T]")
    assert out.endswith(b"Subject: [T] one\r\nSubject: [T] two\r\n\r\n")


def test_headers_that_a_rule_adds() -> None:
    wanted = (
        ("X-Spam", "yes"),
        ("X-Long", "word " * 40),
        ("X-Evil", "a\r\nBcc: x@x.test\x00\r\n\r\nbody"),
        ("Bad Name", "1"),
        ("Bad\r\nName", "1"),
        ("", "1"),
        ("X-Gatepost-Mine", "1"),
        ("X-Umlaut", "grün"),
    )
    parsed = read(composed(PLAIN, add_headers=wanted))
    assert parsed["X-Spam"] == "yes"
    assert parsed["X-Long"].split() == ["word"] * 40
    assert parsed["X-Evil"] == "a Bcc: x@x.test body"
    assert str(parsed["X-Umlaut"]) == "grün"
    assert parsed["Bcc"] is None
    assert not [name for name in parsed if name.startswith(("Bad", "X-Gatepost-"))]
    assert parsed.get_payload() == "body\r\n"


@given(st.text(), st.text())
def test_nothing_written_can_hold_a_second_field(name: str, value: str) -> None:
    out = composed(PLAIN, add_headers=((name, value),), tag_subject=value, rule=value)
    ours = out[: header_end(out)]
    names = [found.name for found in fields(ours)]
    assert b"" not in names
    assert len(names) <= 7
    assert out.endswith(b"\r\n\r\nbody\r\n")
    assert b"\x00" not in ours


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b":", b"X-Gatepost", b"Subject", b"a", b"\x00", b"\xff"]))
)
def test_no_header_block_confuses_it(pieces: list[bytes]) -> None:
    message = b"".join(pieces)
    end = header_end(message)
    header = message[:end]
    assert b"".join(header[found.start : found.end] for found in fields(header)) == header
    out = composed(message, tag_subject="[T]")
    assert out.endswith(message[end:])
    kept = out[len(composed(b"", tag_subject="[T]")) :] if not end else out
    assert not [f for f in list(fields(kept[: header_end(kept)]))[1:] if f.name.startswith(b"x-gatepost")]


@pytest.mark.parametrize("size", [65_533, 65_534, 65_535, 65_536, 65_537, 131_060, 131_072])
def test_the_end_of_a_long_header_is_found_across_windows(size: int) -> None:
    header = b"A: " + b"x" * (size - 5) + b"\r\n"
    assert header_end(header + b"\r\nbody") == size
    assert header_end(header) == size


def test_clean_keeps_one_line() -> None:
    assert clean("a\r\n\x00b\u2028c\ud800") == "a b c"
    assert field("X", "\u00fc" * 300).count(b"\r\n ") >= 3


def test_claims_of_nothing() -> None:
    assert not claims(b"\r\n", HOST)
    assert not claims(b"other.test", HOST)
    assert claims(b'"unfinished', HOST)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@pytest.mark.parametrize("canonical", [b"simple", b"relaxed"])
def test_a_signature_still_verifies(key: rsa.RSAPrivateKey, canonical: bytes) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    message = PLAIN + b".\r\n..dots\r\n  blanks  \r\n\xff8-bit\r\n" + b"long" * 300_000 + b"\r\n\r\n\r\n"
    signature = dkim.sign(
        message,
        b"sel",
        b"a.test",
        private,
        canonicalize=(canonical, canonical),
        include_headers=[b"from", b"to", b"subject"],
    )
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)

    def dns(name: bytes, **_: Any) -> bytes:
        assert name == b"sel._domainkey.a.test."
        return record

    out = composed(signature + message, add_headers=(("X-Spam", "no"),))
    assert dkim.verify(signature + message, dnsfunc=dns)
    assert dkim.verify(out, dnsfunc=dns)
    assert not dkim.verify(out.replace(b"hello", b"hullo"), dnsfunc=dns)
