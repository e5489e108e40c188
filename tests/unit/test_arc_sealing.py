"""What is sealed verifies, by our verifier and by one that is not ours; where no seal may be added there is none."""

from __future__ import annotations

import os
from typing import Any

import dkim as dkimpy
import msgspec
import pytest

from schemas.events import Action, Branch, Direction, Disposition, Received, Status
from services.core import arc, dkim
from services.core.clock import ManualClock
from services.core.compose import compose
from services.core.headers import header_end
from services.delivery.session import Letter
from services.delivery.sign import Signing
from services.runtime.dkim_keys import DkimKeys
from services.runtime.fakes_store import MemoryStore
from services.scanners.auth import arc as verifying
from services.scanners.auth.dkim import Verifier
from services.scanners.mime import walk
from tests.samples import NOW, received
from tests.unit.test_scanners_arc import KEYS as ZONE
from tests.unit.test_scanners_arc import once

RESULTS = (("spf", "pass smtp.mailfrom=sender.test"), ("dmarc", "pass header.from=sender.test"), ("arc", "pass"))
PLAIN = b"From: alice@sender.test\r\nTo: bob@example.test\r\nSubject: offers\r\n\r\nhello \t you\r\n\r\n"
KEY = dkim.Key("example.test", "gp1", dkim.new_private(dkim.RSA))


def sealed(message: bytes, seen: str = "none", key: dkim.Key = KEY) -> bytes:
    end = header_end(message)
    digest = dkim.body_hash([message[end + 2 :]])
    return arc.seal(key, message[:end], digest, "mx.gatepost.test; dmarc=pass", seen, NOW) + message


def txt(name: str, key: dkim.Key = KEY) -> bytes:
    if name == f"{key.selector}._domainkey.{key.domain}":
        return dkim.record(key.private).encode()
    (answer,) = ZONE.get((name, "TXT"), (b"",))
    assert isinstance(answer, bytes)
    return answer


def ours(message: bytes, key: dkim.Key = KEY) -> tuple[str, tuple[str, ...]]:
    tree = walk(message)
    verifier = Verifier(tree.fields, bytes(tree.body), NOW)
    found = verifying.evaluate(verifying.read(tree.fields), verifier, lambda name: [txt(name, key)])
    return found.result, found.sealers


def theirs(message: bytes, key: dkim.Key = KEY) -> bytes:
    cv, _, _ = dkimpy.arc_verify(message, dnsfunc=lambda name, timeout=5: txt(name.decode().rstrip("."), key))  # noqa: ARG005  # as dkimpy calls it
    return bytes(cv)


def test_a_first_set_verifies_and_nothing_that_was_changed_does() -> None:
    message = sealed(PLAIN)
    assert ours(message) == ("pass", ("example.test",))
    assert theirs(message) == b"pass"
    for changed in (
        message.replace(b"offers", b"orders"),
        message + b"more",
        message.replace(b"dmarc=pass", b"dmarc=fail"),
    ):
        assert ours(changed)[0] == "fail"
        assert theirs(changed) == b"fail"


def test_a_chain_goes_on() -> None:
    before = once().replace(b"\nSubject: ", b"\nSubject: [list] ")  # what breaks the set before ours
    message = sealed(before, "pass")
    assert ours(message) == ("pass", ("list.test", "example.test"))
    assert theirs(message) == b"pass"


@pytest.mark.parametrize("seen", ["fail", "none"])
def test_a_chain_that_does_not_verify_gets_no_further_set(seen: str) -> None:
    assert sealed(once(), seen) == once()


@pytest.mark.parametrize(
    "fields",
    [
        b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=x; s=x; b=x\r\n",
        b"ARC-Seal: none\r\n",
        b"".join(
            b"%s: i=%d; a=b\r\n" % (name, n)
            for n in (1, 3)
            for name in (b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results")
        ),
        b"ARC-Seal: i=1\r\n" * 2,
        b"ARC-Seal: i=99999999\r\n",
    ],
)
def test_a_chain_that_is_not_whole_gets_none_either(fields: bytes) -> None:
    assert sealed(fields + PLAIN, "pass") == fields + PLAIN


# --- what delivery seals


async def given(event: Received, branch: Branch, keys: DkimKeys) -> bytes:
    disposition = Disposition(
        received=event, branches=(branch,), status=Status.CLEAN, score=0.0, auth_results=RESULTS[:2], decided_at=NOW
    )
    parts = compose(disposition, branch, PLAIN, hostname="mx.gatepost.test")
    letter = Letter(reverse_path="a@b.test", recipients=("b",), parts=parts, size=sum(map(len, parts)), eight_bit=False)
    signed = await Signing(keys, ManualClock(NOW), "mx.gatepost.test")(disposition, branch, letter)
    assert signed.size == sum(map(len, signed.parts))
    return b"".join(bytes(part) for part in signed.parts)


def branch(**changes: Any) -> Branch:
    one = Branch(recipients=("bob@example.test",), action=Action.DELIVER, rule="r", reason="")
    return msgspec.structs.replace(one, **changes)


async def test_what_is_tagged_or_redirected_is_sealed_and_the_rest_is_left_alone() -> None:
    keys = DkimKeys(MemoryStore(), b"k" * 32, ManualClock(NOW), os.urandom)
    tagged = branch(tag_subject="[spam]")
    assert b"ARC-" not in await given(received(), tagged, keys)  # no keys yet
    (rsa, _) = await keys.make("example", "example.test")
    await keys.use("example", "example.test", "gp1")
    key = (await keys.signing("example", "example.test"))[0]
    assert rsa.stored.selector == key.selector == "gp1"
    for each in (tagged, branch(redirect_to="carla@example.test")):
        message = await given(received(), each, keys)
        assert ours(message, key) == ("pass", ("example.test",))
        assert theirs(message, key) == b"pass"
        assert b"ARC-Authentication-Results: i=1; mx.gatepost.test; spf=pass" in message.replace(b"\r\n ", b" ")
    for event, each in (
        (received(), branch()),
        (received(own="digest"), tagged),
        (received(bounce_of="x"), tagged),
        (received(direction=Direction.OUTBOUND), tagged),
    ):
        assert b"ARC-" not in await given(event, each, keys)


async def test_keys_that_cannot_be_had_are_nothing_to_wait_for() -> None:
    store = MemoryStore()
    keys = DkimKeys(store, b"k" * 32, ManualClock(NOW), os.urandom)
    await keys.make("example", "example.test")
    await keys.use("example", "example.test", "gp1")
    stranger = DkimKeys(store, b"x" * 32, ManualClock(NOW), os.urandom)
    assert b"ARC-" not in await given(received(), branch(tag_subject="[spam]"), stranger)
