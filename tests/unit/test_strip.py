"""Attachments that a rule takes out: a note in their place, and not one octet of the rest otherwise."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Action, Customer, Match, Rule, Status, Verdict
from services.core.strip import Wanted, hits, strip
from services.policy.decide import branches
from tests.unit.test_compose import disposition

EXE = b"MZ" + b"\0" * 58 + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(200)
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 8
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def read(octets: bytes | memoryview) -> EmailMessage:
    message = email.message_from_bytes(bytes(octets), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not any(part.defects for part in message.walk()), [part.defects for part in message.walk()]
    return message


def letter(*files: tuple[str, bytes], text: str = "hello\n", html: str = "") -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "anna@acme.test"
    message["Subject"] = "multipart/signed"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for name, octets in files:
        message.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def taken(octets: bytes, *patterns: str, packed: tuple[str, ...] = (), language: str = "en") -> tuple[bytes, list[str]]:
    done = strip(octets, Wanted(patterns, packed, "no programs", language))
    return bytes(done.message), list(done.removed)


def kept(octets: bytes | memoryview) -> list[tuple[str, bytes]]:
    """Return names and octets of what a mail program shows as attachments."""
    return [
        (part.get_filename() or "", content)
        for part in read(octets).walk()
        if part.get_content_disposition() == "attachment"
        and isinstance(content := part.get_payload(decode=True), bytes)
    ]


def notes(octets: bytes | memoryview) -> list[str]:
    found = [part.get_content() for part in read(octets).walk() if part.get_content_type() == "text/plain"]
    return [" ".join(text.split()) for text in found if "taken out" in text]


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("all", ["run.exe", "Fattura 1.doc", "a.pdf", "run.txt"]),
        ("dangerous", ["run.exe", "run.txt"]),  # what it is counts, whatever it is called
        (".exe", ["run.exe"]),
        ("pdf", ["a.pdf"]),
        ("pe", ["run.exe", "run.txt"]),
        ("fattura*.do?", ["Fattura 1.doc"]),
        ("*", ["run.exe", "Fattura 1.doc", "a.pdf", "run.txt"]),
        (".zip", []),
        ("sealed", []),
    ],
)
def test_what_the_pattern_means_goes_and_the_rest_stays(pattern: str, gone: list[str]) -> None:
    files = [("run.exe", EXE), ("Fattura 1.doc", b"\xd0\xcf\x11\xe0" * 9), ("a.pdf", PDF), ("run.txt", EXE)]
    before = letter(*files, html="<p>hello</p>\n")
    after, removed = taken(before, pattern)
    assert removed == gone
    assert kept(after) == [(name, octets) for name, octets in files if name not in gone]
    body = read(after).get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == ["hello"]
    for name, note in zip(gone, notes(after), strict=True):
        assert f"Name: {name} Size: " in note
        assert "the rule no programs of your organisation" in note
    # Octet by octet: what stands before the first and behind the last that went.
    if gone:
        assert after[: after.index(b"An attachment")].split(b"--=")[0] == before.split(b"--=")[0]
    else:
        assert after == before


def test_the_note_speaks_the_customers_language_and_shows_a_name_as_text() -> None:
    before = letter(("=?utf-8?q?\u202egnp=2Eexe?= <b>", EXE))
    after, _ = taken(before, ".exe", "*", language="it")
    (note,) = (part for part in read(after).iter_parts() if "rimosso" in part.get_content())
    assert "\u202e" not in note.get_content()
    assert "la regola no programs della vostra organizzazione rimuove" in note.get_content()


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: application/octet-stream; name=run.exe",
        "Content-Type: text/plain; name*=utf-8''run%2Eexe",
        "Content-Type: text/plain\r\nContent-Disposition: attachment; filename*0=run.; filename*1=exe",
        'Content-Type: image/png\r\nContent-Disposition: inline; filename="RUN.EXE. "',
        "Content-Type: image/png; name=a.png\r\nContent-Disposition: attachment; filename=run.exe",
        "Content-Type: image/png; name=run.exe\r\nContent-Disposition: attachment; filename=a.png",
        'Content-Type: x; name="=?utf-8?b?cnVuLmV4ZQ==?="',
        "Content-Type: text/plain\r\nContent-Type: application/octet-stream; name=run.exe",  # told in two ways
        "Content-Type: text/plain\r\nno field\r\nContent-Disposition: attachment; filename=run.exe",
        "Content-Type: application/x\r\nContent-Transfer-Encoding: x-own",
        "Content-Type: multipart/mixed",  # no boundary
        "Content-Type: multipart/mixed; boundary=y; boundary=z",
        "Content-Type: message/partial; id=x; number=1; total=2",
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64",
    ],
)
def test_however_it_is_named_or_hidden_it_goes(headers: str) -> None:
    before = (
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n"
        f"--b\r\n{headers}\r\n\r\nwhatever\r\n--b--\r\n"
    ).encode()
    after, removed = taken(before, ".exe")
    assert len(removed) == 1
    assert b"whatever" not in after
    assert after.startswith(before[: before.index(b"hello") + 7])
    assert after.endswith(b"\r\n--b--\r\n")
    assert len(notes(after)) == 1


def test_a_uuencoded_file_makes_the_text_an_attachment() -> None:
    uu = "begin 644 run.exe\r\n%:&5L;&\\\r\n`\r\nend\r\n"
    after, removed = taken(letter(text=f"hello\r\n{uu}"), ".exe")
    assert removed == ["run.exe"]
    assert b"begin" not in after
    assert len(notes(after)) == 1


def test_a_message_that_is_nothing_but_an_attachment_becomes_the_note() -> None:
    before = (
        b"Subject: x\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n\r\n%PDF-1\r\n"
    )
    after, removed = taken(before, "all")
    assert removed == ["a.pdf"]
    message = read(after)
    assert (message.get_content_type(), message["subject"], message["content-disposition"]) == ("text/plain", "x", None)
    assert "Name: a.pdf" in message.get_content()


def test_a_message_in_a_message_is_looked_into() -> None:
    inner = EmailMessage(policy=email.policy.SMTP)
    inner["Subject"] = "inner"
    inner.set_content(EXE, maintype="application", subtype="octet-stream", filename="run.exe")
    outer = EmailMessage(policy=email.policy.SMTP)
    outer.set_content("see below\n")
    outer.add_attachment(inner)
    before = outer.as_bytes()
    after, removed = taken(before, "dangerous")
    assert removed == ["run.exe"]
    (nested,) = (part.get_content() for part in read(after).iter_attachments())
    assert nested["subject"] == "inner"
    assert "Name: run.exe" in nested.get_content()
    _, removed = taken(before, "all")
    assert len(removed) == 1


def test_pictures_of_the_text_and_meetings_are_no_attachments() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content("hello\n")
    message.add_alternative("<p>hello <img src=cid:logo></p>\n", subtype="html")
    html = message.get_payload(1)
    assert isinstance(html, EmailMessage)
    html.add_related(PNG, maintype="image", subtype="png", cid="<logo>")
    message.add_alternative("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", subtype="calendar")
    before = message.as_bytes()
    assert taken(before, "all") == (before, [])
    html.add_related(EXE, maintype="image", subtype="png", cid="<logo2>")
    after, removed = taken(message.as_bytes(), "all")
    assert removed == [""]
    assert EXE not in [part.get_payload(decode=True) for part in read(after).walk()]


def test_what_a_report_consists_of_stays() -> None:
    before = (
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nnot delivered\r\n--b\r\n"
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n\r\n--b\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nhello\r\n--b--\r\n"
    )
    assert taken(before, "all") == (before, [])


def test_of_alternatives_the_text_is_still_what_is_shown() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content("hello\n")
    message.add_alternative("<p>hello</p>\n", subtype="html")
    message.add_alternative(EXE, maintype="application", subtype="octet-stream", filename="run.exe")
    after, removed = taken(message.as_bytes(), "all")
    assert removed == ["run.exe"]
    parts = list(read(after).iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    for part in parts:
        assert part.get_content().find("hello") < part.get_content().find("run.exe")


SIGNED = (
    b'Subject: multipart/signed\r\nContent-Type: multipart/signed; protocol="application/pgp-signature"; micalg=x;\r\n'
    b" boundary=s\r\n\r\n--s\r\n%s\r\n--s\r\nContent-Type: application/pgp-signature; name=signature.asc\r\n\r\n"
    b"-----BEGIN PGP SIGNATURE-----\r\n--s--\r\n"
)


def test_a_signature_around_what_was_changed_goes_too_and_says_so() -> None:
    inner = letter(("run.exe", EXE))
    after, removed = taken(SIGNED % inner, ".exe")
    message = read(after)
    assert removed == ["run.exe"]
    assert (message.get_content_type(), message["subject"]) == ("multipart/mixed", "multipart/signed")
    assert b"PGP SIGNATURE" not in after
    assert "This message was signed" in list(message.iter_parts())[-1].get_content()


def test_a_signed_message_without_such_a_file_stays_signed() -> None:
    for before in (SIGNED % letter(("a.pdf", PDF)), SIGNED % letter()):
        assert taken(before, ".exe") == (before, [])
    before = SIGNED % letter()
    assert taken(before, "all") == (before, [])


def test_a_program_is_no_signature() -> None:
    before = (SIGNED % letter()).replace(b"-----BEGIN PGP SIGNATURE-----", EXE)
    after, removed = taken(before, "all")
    assert removed == ["signature.asc"]
    assert EXE not in after


@pytest.mark.parametrize(
    "kind", ["application/pkcs7-mime; smime-type=enveloped-data", "multipart/encrypted; boundary=b"]
)
def test_encrypted_mail_stays_unless_it_is_what_is_meant(kind: str) -> None:
    before = f"Subject: x\r\nContent-Type: {kind}\r\n\r\n--b\r\n\r\nsecret\r\n--b--\r\n".encode()
    assert taken(before, "all", "dangerous") == (before, [])
    after, removed = taken(before, "sealed")
    assert removed == [""]
    assert b"secret" not in after


def test_an_archive_goes_with_what_was_found_in_it() -> None:
    before = letter(("run.exe", EXE), ("a.zip", b"PK\x03\x04" + bytes(60)), ("a.pdf", PDF))
    after, removed = taken(before, ".exe", packed=(".exe",))
    assert removed == ["run.exe", "a.zip"]
    assert "archives that hold .exe" in notes(after)[1]
    assert [name for name, _ in kept(after)] == ["a.pdf"]


def test_what_only_a_scanner_sees_takes_all_out() -> None:
    after, removed = taken(letter(("a.pdf", PDF)), ".exe", packed=(".exe",))
    assert removed == [""]
    assert read(after).get_content_type() == "text/plain"


def test_kinds_that_a_scanner_names() -> None:
    assert hits(("dangerous", "zip"), (".exe", "pe", "zip", ".pdf", ".docm", "iso")) == (
        ".exe", "pe", "zip", ".docm", "iso",
    )  # fmt: skip
    assert hits(("all", "*.exe"), (".exe",)) == ()  # these need nobody to look into archives


# --- whatever comes in

NAMES = st.sampled_from(["run.exe", "a.pdf", "b.zip", "notes.txt", "", "x" * 300 + ".exe", "\u202etxt.exe", "a\nb.exe"])
FILES = st.lists(st.tuples(NAMES, st.one_of(st.binary(max_size=200), st.just(EXE), st.just(PDF))), max_size=4)


@given(FILES, st.lists(st.sampled_from(["all", "dangerous", ".exe", "pdf", "*.zip", "sealed"]), min_size=1))
def test_what_stays_is_octet_by_octet_what_came(files: list[tuple[str, bytes]], patterns: list[str]) -> None:
    named = [(name.replace("\n", " "), octets) for name, octets in files]
    before = letter(*named, html="<p>hello</p>\n")
    after, removed = taken(before, *patterns)
    if not removed:
        assert after == before
        return
    was, now = read(before), read(after)
    assert dict(was.items()) == dict(now.items())
    left = [part.as_bytes() for part in now.iter_attachments()]
    came = [part.as_bytes() for part in was.iter_attachments()]
    assert len(came) == len(files)
    assert len(list(now.iter_parts())) == len(list(was.iter_parts()))
    assert all(part in came for part in left if b"taken out" not in part)
    assert taken(after, *patterns) == (after, [])


@given(st.binary(max_size=600))
def test_no_message_makes_it_fail(noise: bytes) -> None:
    head = b"From: a@b.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    for octets in (noise, head + noise, head + b"--b\r\n" + noise + b"\r\n--b--\r\n"):
        done = strip(octets, Wanted(("all",)))
        assert done.removed or done.message is octets


def test_a_thousand_nested_parts_cost_nothing_and_go() -> None:
    octets = b""
    for n in range(1000):
        octets += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
    octets += b"\r\nx\r\n" + b"".join(b"--b%d--\r\n" % n for n in reversed(range(1000)))
    _, removed = taken(octets, ".exe")
    assert len(removed) == 1


# --- from a rule to delivery


def verdict(**changes: Any) -> Verdict:
    base: dict[str, Any] = {
        "id": "x", "customer": "acme", "scanner": "attachments", "version": "3", "status": Status.CLEAN,
        "scanned_at": 1.0, "origin": 0,
    }  # fmt: skip
    return Verdict(**{**base, **changes})


def test_of_all_rules_up_to_the_one_that_decides_they_add_up() -> None:
    received = disposition().received
    customer = Customer(
        id="acme",
        rules=(
            Rule(name="one", strip=(".exe", "zip")),
            Rule(name="not met", when=Match(senders=("@elsewhere.test",)), strip=("all",)),
            Rule(name="two", strip=("zip", "dangerous"), action=Action.DELIVER),
            Rule(name="never", strip=("sealed",)),
        ),
    )
    (branch,) = branches(received, {"attachments": verdict(files=(".exe", ".js"), packed=(".js",))}, customer)
    assert (branch.rule, branch.strip, branch.packed) == ("two", (".exe", "zip", "dangerous"), (".js",))
