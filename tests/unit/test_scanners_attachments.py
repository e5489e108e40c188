"""Attachments: what a file is, what its name makes of it, what it would do; and what is ordinary stays clean."""

from __future__ import annotations

import base64
import struct
import zipfile

import pytest

from schemas.events import Status
from services.core import filetypes
from services.core.filenames import ending
from services.scanners.checks import attachments
from services.scanners.contract import Finding
from tests.corpora.files import (
    cabinet,
    compound,
    iso,
    office,
    ole_native,
    onenote,
    pdf,
    rar,
    rtf,
    seven_zipped,
    tarred,
    tnef,
    vba,
    zipped,
)
from tests.corpora.wrappings import in_base64
from tests.mails import PLAIN, context, mail

PE = b"MZ" + b"\0" * 58 + b"\x40\0\0\0PE\0\0" + b"\0" * 10
LNK = bytes.fromhex("4c0000000114020000000000c000000000000046") + b"\0" * 60
OLE = compound(("WordDocument", b"x" * 5000))
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
BLOB = base64.b64encode(b"x" * 4000)
RUNS = 'Sub AutoOpen()\r\nCreateObject("WScript.Shell").Run "powershell"\r\nEnd Sub\r\n'
TIDIES = "Sub Tidy()\r\n" + "x = x + 1\r\n" * 100 + "End Sub\r\n"
RELATION = (
    b'<?xml version="1.0"?><Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument'
    b'/2006/relationships/%s" Target="%s" TargetMode="External"/></Relationships>'
)


async def scan(content: bytes, name: str) -> Finding:
    return await attachments.scan(mail(in_base64(content, name)), context())


def codes(finding: Finding) -> set[str]:
    return {item.code for item in finding.evidence}


def encrypted(name: str, content: bytes) -> bytes:
    data = bytearray(zipped((name, content), way=zipfile.ZIP_STORED))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1
    return bytes(data)


def workbook(kind: int, hidden: int) -> bytes:
    sheet = struct.pack("<IBB", 0, hidden, kind) + b"\x06\0Sheet1"
    return compound(
        (
            "Workbook",
            struct.pack("<HH", 0x809, 4) + b"\0\x06\5\0" + struct.pack("<HH", 0x85, len(sheet)) + sheet + b"\0" * 8,
        )
    )


BAD = {
    "program": (PE, "setup.exe", "ATTACHMENT_PROGRAM"),
    "program called an image": (PE, "photo.jpg", "ATTACHMENT_DISGUISED"),
    "program called a document": (PE, "invoice.pdf", "ATTACHMENT_DISGUISED"),
    "program without a name": (PE, "", "ATTACHMENT_PROGRAM"),
    "shortcut": (LNK, "invoice.lnk", "ATTACHMENT_PROGRAM"),
    "elf": (b"\x7fELF" + b"\0" * 60, "x", "ATTACHMENT_PROGRAM"),
    **{
        f"script .{end}": (b"x = 1\r\n", f"a.{end}", "ATTACHMENT_PROGRAM")
        for end in (
            "js",
            "vbs",
            "hta",
            "ps1",
            "bat",
            "wsf",
            "reg",
            "cmd",
            "jse",
            "scr",
            "pif",
            "chm",
            "jar",
            "msi",
            "rdp",
        )
    },
    "dots and spaces at the end": (b"x", "a.js. .", "ATTACHMENT_PROGRAM"),
    "double ending": (b"x", "invoice.pdf.js", "ATTACHMENT_DOUBLE_ENDING"),
    "double ending of an image": (b"x", "invoice.doc.iso", "ATTACHMENT_DOUBLE_ENDING"),
    "name turned": (b"x", "invoice\u202efdp.exe", "ATTACHMENT_NAME_TURNED"),
    "name padded": (b"x", "invoice.pdf" + " " * 40 + ".exe", "ATTACHMENT_NAME_PADDED"),
    "disk image": (iso("a.txt", b"x"), "a.iso", "ATTACHMENT_DISK_IMAGE"),
    "disk image called something else": (iso("a.txt", b"x"), "a.dat", "ATTACHMENT_DISK_IMAGE"),
    "virtual disk": (b"conectix" + b"\0" * 600, "a.bin", "ATTACHMENT_DISK_IMAGE"),
    "program in a zip": (zipped(("a/setup.exe", PE)), "a.zip", "ATTACHMENT_PROGRAM"),
    "script in a 7z": (seven_zipped("a.js", b"x"), "a.7z", "ATTACHMENT_PROGRAM"),
    "script in a tar": (tarred("a.vbs", b"x"), "a.tar", "ATTACHMENT_PROGRAM"),
    "script in a rar that nothing here unpacks": (rar("a.js", b"x", method=3), "a.rar", "ATTACHMENT_PROGRAM"),
    "script in a cabinet": (cabinet("a.js", b"x"), "a.cab", "ATTACHMENT_PROGRAM"),
    "shortcut in a disk image": (iso("a.lnk", LNK), "a.img", "ATTACHMENT_PROGRAM"),
    "program in a winmail.dat": (tnef("a.exe", PE), "winmail.dat", "ATTACHMENT_PROGRAM"),
    "program in an encrypted zip": (encrypted("a.exe", PE), "a.zip", "ATTACHMENT_PROGRAM"),
    "program in a note": (onenote(PE), "a.one", "ATTACHMENT_PROGRAM"),
    "script in a note": (onenote(b"@echo off\r\nstart x\r\n"), "a.one", "ONENOTE_FILE"),
    "program in a document": (compound(("\x01Ole10Native", ole_native("a.exe", PE))), "a.doc", "ATTACHMENT_PROGRAM"),
    "script in a document": (compound(("\x01Ole10Native", ole_native("a.js", b"x"))), "a.doc", "ATTACHMENT_PROGRAM"),
    "program attached to a pdf": (pdf(PE), "a.pdf", "ATTACHMENT_PROGRAM"),
    "archive deep in archives": (
        zipped(("a.zip", zipped(("b.zip", zipped(("c.zip", zipped(("d.txt", b"x")))))))),
        "a.zip",
        "ARCHIVE_NESTED",
    ),
    "old archive": (b"\0" * 7 + b"**ACE**" + b"\0" * 50, "a.ace", "ARCHIVE_ODD"),
    "encrypted zip": (encrypted("a.txt", b"x"), "a.zip", "ATTACHMENT_ENCRYPTED"),
    "encrypted 7z": (seven_zipped("a.txt", b"x" * 100, password="p"), "a.7z", "ATTACHMENT_ENCRYPTED"),
    "encrypted document": (compound(("EncryptedPackage", b"x" * 5000)), "a.docx", "ATTACHMENT_ENCRYPTED"),
    "template from elsewhere": (
        office(("word/_rels/settings.xml.rels", RELATION % (b"attachedTemplate", b"https://x.test/t.dotm"))),
        "a.docx",
        "OFFICE_REMOTE_TEMPLATE",
    ),
    "template on a foreign machine": (
        office(("word/_rels/settings.xml.rels", RELATION % (b"attachedTemplate", b"\\\\x.test\\t.dotm"))),
        "a.docx",
        "OFFICE_REMOTE_TEMPLATE",
    ),
    "object from elsewhere": (
        office(("word/_rels/document.xml.rels", RELATION % (b"oleObject", b"mhtml:https://x.test!x"))),
        "a.docx",
        "OFFICE_REMOTE_OBJECT",
    ),
    "template of an rtf": (rb"{\rtf1{\*\template http://x.test/t}}", "a.doc", "OFFICE_REMOTE_TEMPLATE"),
    "object of an rtf that updates": (rb"{\rtf1{\object\objupdate{\*\objdata 0102}}}", "a.rtf", "OFFICE_OBJECT_RUNS"),
    "dde in a document": (
        office(("word/footnotes.xml", b'<w:instrText xml:space="preserve"> DDEAUTO c:\\windows</w:instrText>')),
        "a.docx",
        "OFFICE_DDE",
    ),
    "dde in a table": (b"a,b\r\n=cmd|' /C calc'!A0,1\r\n", "a.csv", "OFFICE_DDE"),
    "macro that runs": (office(("word/vbaProject.bin", vba(RUNS))), "a.docm", "OFFICE_MACRO_RUNS"),
    "macro that runs, in an old document": (vba(RUNS), "a.doc", "OFFICE_MACRO_RUNS"),
    "macro": (office(("word/vbaProject.bin", vba(TIDIES))), "a.docm", "OFFICE_MACRO"),
    "macro whose source is gone": (
        compound(("VBA/dir", b"\1\0\xb0"), ("VBA/Module1", b"x" * 5000)),
        "a.doc",
        "OFFICE_MACRO_UNREAD",
    ),
    "macro sheet": (office(("xl/macrosheets/sheet1.xml", b"<x/>")), "a.xlsm", "OFFICE_MACRO_SHEET"),
    "macro sheet of an old workbook": (workbook(1, 0), "a.xls", "OFFICE_MACRO_SHEET"),
    "hidden macro sheet": (workbook(1, 2), "a.xls", "OFFICE_MACRO_SHEET"),
    "pdf that starts a program": (pdf(extra=b"<< /OpenAction << /S /Launch >> >>"), "a.pdf", "PDF_LAUNCH"),
    "pdf with a script": (pdf(extra=b"<< /OpenAction << /S /JavaScript /JS (x) >> >>"), "a.pdf", "PDF_SCRIPT"),
    "pdf with a script in packed objects": (pdf(objects=b"1 0 << /AA << /S /JavaScript >> >>"), "a.pdf", "PDF_SCRIPT"),
    "pdf with hidden names": (pdf(extra=b"<< /S /J#61vaScript >>"), "a.pdf", "PDF_NAMES_HIDDEN"),
    "html that builds a file": (
        b"<html><script>var b=new Blob([atob('"
        + BLOB
        + b"')]);a.href=URL.createObjectURL(b);a.download='x.zip';a.click()"
        b"</script></html>",
        "a.html",
        "HTML_SMUGGLING",
    ),
    "html that saves a file of its own": (
        b'<html><a id=a href="data:application/zip;base64,'
        + BLOB
        + b'" download="x.zip"></a><script>a.click()</script>',
        "a.htm",
        "HTML_SMUGGLING",
    ),
    "html in utf-16": (
        "\ufeff<html><script>new Blob([atob('x')]);a.download='f'</script>".encode("utf-16-le"),
        "a.html",
        "HTML_SMUGGLING",
    ),
    "html that asks for a password": (
        b'<html><form action="https://x.test/p"><input type="password" name=p></form></html>',
        "invoice.html",
        "HTML_ASKS_PASSWORD",
    ),
    "html that writes itself": (
        b"<html><script>document.write(unescape('%3c'))</script></html>",
        "a.html",
        "HTML_WRITES_ITSELF",
    ),
    "html that leads away": (
        b'<html><meta http-equiv="refresh" content="0;url=https://x.test"></html>',
        "a.html",
        "HTML_LEADS_AWAY",
    ),
    "drawing with a script": (
        b'<svg xmlns="x"><script>location="https://x.test"</script></svg>',
        "a.svg",
        "SVG_SCRIPT",
    ),
    "drawing that acts": (b'<svg xmlns="x" onload="f()"></svg>', "a.svg", "SVG_SCRIPT"),
    "drawing that leads away": (b'<svg xmlns="x"><a href="https://x.test">x</a></svg>', "a.svg", "SVG_LINK"),
    "shortcut to a page": (b"[InternetShortcut]\r\nURL=https://x.test/\r\n", "a.url", "ATTACHMENT_SHORTCUT"),
    "shortcut to a foreign machine": (
        b"[InternetShortcut]\r\nURL=file://x.test/a.exe\r\n",
        "a.url",
        "ATTACHMENT_SHORTCUT",
    ),
    "page called a document": (b"<html><body><p>x</body></html>", "invoice.pdf", "ATTACHMENT_TYPE_DIFFERS"),
}


@pytest.mark.parametrize(("content", "name", "code"), BAD.values(), ids=BAD.keys())
async def test_it_is_said(content: bytes, name: str, code: str) -> None:
    finding = await scan(content, name)
    assert code in codes(finding), finding
    assert (finding.status is Status.SUSPICIOUS) == (finding.score >= 6)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"just text\r\n", "notes.txt"),
        (PNG, "photo.png"),
        (pdf(), "paper.pdf"),
        (office(), "letter.docx"),
        (office(("word/_rels/document.xml.rels", RELATION % (b"hyperlink", b"https://x.test/"))), "letter.docx"),
        (OLE, "old.doc"),
        (rtf(b"nothing much"), "letter.rtf"),
        (zipped(("a.txt", b"x"), ("b.pdf", pdf())), "papers.zip"),
        (b"<html><body><p>A report.</p></body></html>", "report.html"),
        (b'<svg xmlns="x"><path d="M0 0"/></svg>', "drawing.svg"),
        (b"a,b\r\n1,=2+3\r\n", "table.csv"),
        (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "invite.ics"),
        (PLAIN, "forwarded.eml"),
        (b"x", "\u200f\u05e9\u05dc\u05d5\u05dd.txt"),
    ],
)
async def test_what_is_ordinary(content: bytes, name: str) -> None:
    finding = await scan(content, name)
    assert (finding.status, finding.evidence) == (Status.CLEAN, ())


async def test_what_lies_in_an_archive_is_told_apart() -> None:
    finding = await scan(zipped(("in.exe", PE), ("a.pdf", pdf())), "a.zip")
    assert finding.files == (".zip", "zip", ".exe", "pe", ".pdf", "pdf")
    assert finding.packed == (".exe", "pe", ".pdf", "pdf")  # what acts when it is opened comes first
    assert (await scan(PE, "run.exe")).packed == ()


async def test_a_mail_without_attachments() -> None:
    assert await attachments.scan(mail(PLAIN), context()) == Finding(status=Status.CLEAN)


async def test_evidence_is_bounded_and_the_gravest_comes_first() -> None:
    finding = await scan(zipped(*((f"{n}.exe", PE) for n in range(50)), ("x.pdf.exe", PE)), "a.zip")
    assert [item.code for item in finding.evidence].count("ATTACHMENT_PROGRAM") == 3
    assert finding.evidence[0].code == "ATTACHMENT_DOUBLE_ENDING"


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("a.PDF", "pdf"),
        ("a.exe. . ", "exe"),
        ("x/y.tar.gz", "gz"),
        ("c:\\a\\b.JS", "js"),
        ("none", ""),
        ("a.\u202eexe", "exe"),
    ],
)
def test_ending(name: str, end: str) -> None:
    assert ending(name) == end


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"hello", "text"),
        (bytes(range(256)), "data"),
        (PE, "pe"),
        (b"MZ is the postcode of Mainz and not a program at all, whatever a scanner may say of it.", "text"),
        (zipped(("META-INF/MANIFEST.MF", b"x")), "jar"),
        (zipped(("a", b"x")), "zip"),
        (office(), "ooxml"),
        (OLE, "ole"),
        (pdf(), "pdf"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "html"),
        ("\ufeffWindows Registry Editor Version 5.00".encode("utf-16-le"), "reg"),
        (b'<?xml version="1.0"?><svg>', "svg"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "class"),
        (b"\xca\xfe\xba\xbe\0\0\0\2\0", "macho"),
        (PLAIN, "mail"),
    ],
)
def test_types_by_content(data: bytes, kind: str) -> None:
    assert filetypes.of(data) == kind


async def test_kinds_are_endings_and_types_of_files_and_of_members_of_archives() -> None:
    assert set((await scan(zipped(("in/a.JS", b"x = 1"), ("b.png", PNG)), "c.ZIP")).files) >= {
        ".zip",
        "zip",
        ".js",
        ".png",
    }
    document = set((await scan(office(), "d.docx")).files)
    assert ".docx" in document
    assert ".xml" not in document
    assert (await attachments.scan(mail(PLAIN), context())).files == ()
