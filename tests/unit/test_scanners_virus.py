"""The virus scanner: EICAR in every wrapping a reader would undo, archives and forms with limits, rules that reload."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Evidence, Status
from services.core.clock import ManualClock
from services.core.errors import ConfigError, EngineUnavailable
from services.scanners import budget
from services.scanners.checks import virus
from services.scanners.contract import Finding
from services.scanners.engines.signatures import LOOK_EVERY, Rules
from tests.corpora.files import zipped
from tests.corpora.wrappings import WRAPPINGS, in_base64
from tests.mails import EICAR, PLAIN, context, mail


class Engine:
    """A VirusEngine that says what the test wants."""

    max_size = 1_000_000
    hold_oversize = True

    def __init__(self, found: str | None = None, error: str = "") -> None:
        self.found = found
        self.error = error

    async def scan(self, data: bytes) -> str | None:
        assert data
        if self.error:
            raise EngineUnavailable(self.error)
        return self.found

    async def version(self) -> str:
        return "ClamAV 1.0.3/27000"


async def scan(raw: bytes, **ports: Any) -> Finding:
    return await virus.scan(mail(raw), context(**ports))


def codes(finding: Finding) -> set[str]:
    return {item.code for item in finding.evidence}


@pytest.mark.parametrize("raw", WRAPPINGS.values(), ids=WRAPPINGS.keys())
async def test_eicar_is_found(raw: bytes) -> None:
    finding = await scan(raw)
    assert finding.status is Status.VIRUS
    assert finding.evidence[0].code == "VIRUS"
    assert "EICAR_Test_File" in finding.evidence[0].text
    assert finding.engine.startswith("yara-x ")


async def test_the_evidence_names_the_part() -> None:
    (evidence,) = (await scan(in_base64(zipped(("in.zip", zipped(("a.com", EICAR)))), "a.zip"))).evidence
    assert evidence.text == "EICAR_Test_File in a.zip/in.zip/a.com: the test file of eicar.org"


async def test_names_in_evidence_are_harmless() -> None:
    (evidence,) = (
        await scan(in_base64(EICAR, "a\x1b[2J\udc80".encode("utf-8", "replace").decode() + "n" * 500))
    ).evidence
    assert evidence.text.isprintable()
    assert len(evidence.text) <= 200


async def test_an_ordinary_mail_is_clean() -> None:
    finding = await scan(PLAIN)
    assert finding == Finding(status=Status.CLEAN, engine=finding.engine)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"MZ" + b"\0" * 58 + b"\x40\0\0\0PE\0\0" + b"\0" * 10, "Windows_Executable"),
        (bytes.fromhex("4c0000000114020000000000c000000000000046") + b"\0" * 60, "Windows_Shortcut"),
        (b"%PDF-1.4 /OpenAction << /S /Launch >>", "Pdf_Starts_Program"),
        (b"<script>x=new Blob([atob('')]);u=URL.createObjectURL(x);a.download='f'</script>", "Html_Smuggling"),
    ],
)
async def test_the_first_rules(content: bytes, rule: str) -> None:
    finding = await scan(in_base64(content, "a.bin"))
    assert finding.status is Status.SUSPICIOUS
    assert rule in finding.evidence[0].text


# --- forms and archives


async def test_too_many_parts_are_suspicious() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 1200 + b"--b--\n"
    finding = await scan(raw)
    assert finding.status is Status.SUSPICIOUS
    assert "TOO_MANY_PARTS" in codes(finding)


async def test_a_bomb_is_suspicious_and_bounded() -> None:
    finding = await scan(in_base64(zipped(("big", b"\0" * 30_000_000)), "bomb.zip"))
    assert finding.status is Status.SUSPICIOUS
    assert codes(finding) == {"ARCHIVE_LIMIT"}


async def test_archives_nested_too_deep() -> None:
    content = zipped(("a.txt", b"x"))
    for _ in range(8):
        content = zipped(("in.zip", content))
    finding = await scan(in_base64(content, "a.zip"))
    assert finding.status is Status.SUSPICIOUS
    assert "ARCHIVE_LIMIT" in codes(finding)


def test_members_are_bounded() -> None:
    raw = in_base64(zipped(*((f"{number}", b"x") for number in range(budget.MAX_MEMBERS + 100))), "a.zip")
    contents = mail(raw).contents
    assert len([item for item in contents if item.depth == 1]) == budget.MAX_MEMBERS
    assert set(contents.budget.met) == {"ARCHIVE_LIMIT"}


async def test_an_encrypted_member_is_said() -> None:
    content = bytearray(zipped(("a.txt", b"x" * 50)))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 1
    finding = await scan(in_base64(bytes(content), "a.zip"))
    assert codes(finding) == {"ARCHIVE_ENCRYPTED"}


@pytest.mark.parametrize("cut", [5, 20, 40, 60, 90])
async def test_a_broken_archive_is_said(cut: int) -> None:
    finding = await scan(in_base64(zipped(("a.txt", b"hello world"))[:cut], "a.zip"))
    assert codes(finding) == {"ARCHIVE_BROKEN"}


async def test_hostile_text_ends_soon() -> None:
    started = time.process_time()
    for junk in (b"A" * 76, b"A" * 1_000_000, b"begin 644 x\r\n" * 50_000, b"A" * 40 + b" " * 500_000):
        await scan(PLAIN + junk * (1_000_000 // len(junk) or 1))
    assert time.process_time() - started < 20  # quadratic time would take hours


# --- clamd


async def test_what_clamd_finds_counts() -> None:
    finding = await scan(PLAIN, clamd=Engine("Win.Test"))
    assert finding.status is Status.VIRUS
    assert finding.evidence == (Evidence(code="VIRUS", text="Win.Test in message: found by clamd", score=100.0),)
    assert finding.engine.startswith("ClamAV 1.0.3/27000; yara-x ")


async def test_a_clamd_that_is_down_is_never_clean() -> None:
    with pytest.raises(EngineUnavailable):
        await scan(PLAIN, clamd=Engine(error="down"))
    with pytest.raises(EngineUnavailable):
        await scan(in_base64(b"%PDF-1.4 /OpenAction << /S /Launch >>"), clamd=Engine(error="down"))
    assert (await scan(in_base64(EICAR), clamd=Engine(error="down"))).status is Status.VIRUS


async def test_rules_out_of_time_are_never_clean() -> None:
    with pytest.raises(EngineUnavailable):
        Rules("", ManualClock()).match(b"x", 0)


# --- the operator's rules

RULE = 'rule Mine { strings: $a = "secret word" condition: $a }'


def write(path: Path, text: str) -> None:
    path.write_text(text)
    moment = time.time_ns() + hash(text) % 10**9
    os.utime(path, ns=(moment, moment))  # two writes within the clock's step must differ


async def test_rules_and_hashes_of_the_operator(tmp_path: Path) -> None:
    write(tmp_path / "mine.yar", RULE)
    write(tmp_path / "bad.sha256", f"# list\n{hashlib.sha256(b'listed').hexdigest()}  Bad.File\n\n")
    rules = Rules(str(tmp_path), ManualClock())
    assert [match.rule for match in rules.match(b"a secret word", 1)] == ["Mine"]
    assert [match.rule for match in rules.match(b"listed", 1)] == ["Bad.File"]
    assert [match.rule for match in rules.match(EICAR, 1)] == ["EICAR_Test_File"]
    finding = await scan(in_base64(b"listed"), signatures=rules)
    assert finding.status is Status.VIRUS


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    clock = ManualClock()
    rules = Rules(str(tmp_path), clock)
    before = rules.version
    write(tmp_path / "mine.yar", RULE)
    assert rules.match(b"a secret word", 1) == []  # not looked at yet
    clock.advance(LOOK_EVERY)
    assert rules.match(b"a secret word", 1) != []
    assert rules.version != before
    (tmp_path / "mine.yar").unlink()
    clock.advance(LOOK_EVERY)
    assert rules.match(b"a secret word", 1) == []
    assert rules.version == before


def test_a_file_that_breaks_leaves_the_old_rules(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    write(tmp_path / "mine.yar", RULE)
    rules = Rules(str(tmp_path), clock)
    before = rules.version
    write(tmp_path / "mine.yar", "rule Mine {")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            clock.advance(LOOK_EVERY)
            assert rules.match(b"a secret word", 1) != []
    assert rules.version == before
    assert len(caplog.records) == 1
    assert "mine.yar:1" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.yar", "\n\nrule A { condition: $b }", "x.yar:3: unknown pattern"),
        ("x.sha256", "# fine\n\nabc\n", "x.sha256:3: no SHA-256 in hex"),
        ("x.yar", 'include "/etc/passwd"\n', "x.yar:1: "),
    ],
)
def test_a_broken_file_at_the_start(tmp_path: Path, name: str, text: str, said: str) -> None:
    write(tmp_path / name, text)
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")) as refused:
        Rules(str(tmp_path), ManualClock())
    assert "\n" not in str(refused.value)


def test_a_replaced_worker_leaves_a_broken_file_out(tmp_path: Path) -> None:
    write(tmp_path / "a.yar", "rule Half { condition: true }\nrule Broken { condition: $b }")
    write(tmp_path / "b.yar", RULE)
    rules = Rules(str(tmp_path), ManualClock(), strict=False)
    assert [match.rule for match in rules.match(b"a secret word", 1)] == ["Mine"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GATEPOST_YARA_DIR"):
        Rules(str(tmp_path / "nothing"), ManualClock())
