"""What is signed verifies: by our own verifier, and by one that is not ours."""

from __future__ import annotations

import base64
import hashlib
import itertools

import dkim as dkimpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core import dkim
from services.core.dkim import body_hash
from services.scanners.auth.dkim import Verifier, canonical_body, signatures
from services.scanners.mime import walk

NOW = 1_760_000_000.0
KEYS = {name: dkim.Key("acme.test", name[:3], dkim.new_private(name)) for name in dkim.ALGORITHMS}
HEADER = (
    b"Received: from a by b; Thu, 9 Oct 2025 09:00:00 +0000\r\n"
    b"From: Anna\r\n\t <anna@acme.test>\r\nTo: victor@elsewhere.test,\r\n  walter@elsewhere.test\r\n"
    b"Subject:  two  blanks\t\r\nDate: Thu, 9 Oct 2025 09:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)
BODIES = {
    "plain": b"hello\r\n",
    "blank lines at the end": b"hello\r\n\r\n \t\r\n\r\n",
    "no line end": b"hello",
    "empty": b"",
    "only blank lines": b"\r\n\r\n",
    "eight-bit and tabs": "grüße \t  an alle \r\n.\r\n".encode(),
    "long": b"x" * 70_000 + b"\r\n" + b"y z \r\n" * 30_000 + b"\r\n" * 40_000,
}


def signed(key: dkim.Key, body: bytes, header: bytes = HEADER) -> bytes:
    return dkim.sign(key, header, body_hash([body]), NOW) + header + b"\r\n" + body


def ours(message: bytes, key: dkim.Key) -> str:
    tree = walk(message)
    (signature,) = signatures(tree.fields)
    return Verifier(tree.fields, bytes(tree.body), NOW).check(signature, [dkim.record(key.private).encode()]).result


@pytest.mark.parametrize("algorithm", dkim.ALGORITHMS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_our_verifier_passes_what_is_signed_and_nothing_that_was_changed(algorithm: str, body: bytes) -> None:
    key = KEYS[algorithm]
    message = signed(key, body)
    assert ours(message, key) == "pass"
    assert ours(message.replace(b"victor", b"zictor"), key) == "fail"
    assert ours(message + b"more", key) == "fail"
    assert ours(message.replace(b"Subject:", b"From: z@zeta.test\r\nSubject:", 1), key) != "pass"
    assert ours(message.replace(b"Date:", b"Reply-To: z@zeta.test\r\nDate:", 1), key) == "fail"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_dkimpy_passes_it(body: bytes) -> None:
    key = KEYS[dkim.RSA]
    names: list[bytes] = []

    def txt(name: bytes, timeout: int = 5) -> bytes:  # noqa: ARG001  # as dkimpy calls it
        names.append(name)
        return dkim.record(key.private).encode()

    assert dkimpy.verify(signed(key, body), dnsfunc=txt)
    assert names == [b"rsa._domainkey.acme.test."]


def test_lines_of_the_field_are_short_and_the_record_fits_into_strings() -> None:
    field = dkim.sign(KEYS[dkim.RSA], HEADER, body_hash([b""]), NOW)
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    record = dkim.record(KEYS[dkim.RSA].private)
    pieces = dkim.strings(record).split('" "')
    assert all(len(piece.strip('"')) <= 255 for piece in pieces)
    assert "".join(piece.strip('"') for piece in pieces) == record


def test_a_key_survives_being_packed() -> None:
    for key in KEYS.values():
        assert dkim.record(dkim.unpacked(dkim.packed(key.private))) == dkim.record(key.private)


@given(
    st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r\n\r\n", b"bc ", b"\r\n" * 3, b"\xff"]), max_size=40),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_a_body_in_pieces_has_the_hash_of_the_whole(pieces: list[bytes], cuts: list[int]) -> None:
    body = b"".join(pieces)
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    parts = [body[low:high] for low, high in itertools.pairwise(edges)]
    expected = base64.b64encode(hashlib.sha256(canonical_body(body, b"relaxed")).digest()).decode()
    assert body_hash(parts) == expected
