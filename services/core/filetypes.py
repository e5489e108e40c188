"""What a file is, by its octets and never by its name. Types are short words: zip, ooxml, pe, pdf, html, text, data.

A table of our own: what matters here is some sixty types that a mail client would open or run, told without doubt;
libraries of magic numbers name a thousand, by best guess, and take the first look at a hundred times the cost.
"""

from __future__ import annotations

import re
import struct
from typing import Final

_HEAD: Final = 4096  # octets from the start that are looked at for text and marks
_ENDS: Final = 131_072  # octets at each end of a zip in which its kind shows
_ISO_AT: Final = 32_769

_MAGICS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x7fELF", "elf"),
    (0, bytes.fromhex("feedface"), "macho"),
    (0, bytes.fromhex("feedfacf"), "macho"),
    (0, bytes.fromhex("cefaedfe"), "macho"),
    (0, bytes.fromhex("cffaedfe"), "macho"),
    (0, bytes.fromhex("4c0000000114020000000000c000000000000046"), "lnk"),
    (0, bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3"), "onenote"),
    (0, b"{\\rt", "rtf"),
    (0, b"\x1f\x8b", "gz"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"LZIP", "lzip"),
    (0, bytes.fromhex("28b52ffd"), "zstd"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"\x1f\xa0", "compress"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"MSCF", "cab"),
    (7, b"**ACE**", "ace"),
    (0, b"\x60\xea", "arj"),
    (2, b"-lh", "lzh"),
    (0, b"xar!", "xar"),
    (0, b"070701", "cpio"),
    (257, b"ustar", "tar"),
    (0, b"ITSF", "chm"),
    (0, bytes.fromhex("789f3e22"), "tnef"),
    (0, b"vhdxfile", "disk"),
    (0, b"conectix", "disk"),
    (0, b"KDMV", "disk"),
    (0, b"QFI\xfb", "disk"),
    (0, b"MSWIM\0\0\0", "disk"),
    (0, b"FWS", "swf"),
    (0, b"CWS", "swf"),
    (0, b"ZWS", "swf"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF8", "gif"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"BM", "bmp"),
    (0, b"OggS", "media"),
    (0, b"ID3", "media"),
    (4, b"ftyp", "media"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, bytes.fromhex("0a0d0d0a"), "pcap"),
)
_BY_FIRST: Final = {
    first: tuple(item for item in _MAGICS if item[0] == 0 and item[1][0] == first)
    for first in {item[1][0] for item in _MAGICS if item[0] == 0}
}
_ELSEWHERE: Final = tuple(item for item in _MAGICS if item[0] != 0)
_ZIP_KINDS: Final = (  # the first that is named in the archive
    (b"[Content_Types].xml", b"word/", "ooxml"),
    (b"[Content_Types].xml", b"xl/", "ooxml"),
    (b"[Content_Types].xml", b"ppt/", "ooxml"),
    (b"AppxManifest.xml", b"", "appx"),
    (b"AppxBundleManifest.xml", b"", "appx"),
    (b"AndroidManifest.xml", b"classes.dex", "apk"),
    (b"mimetypeapplication/vnd.oasis", b"", "odf"),
    (b"mimetypeapplication/epub", b"", "epub"),
    (b"META-INF/MANIFEST.MF", b"", "jar"),
    (b"[Content_Types].xml", b"", "ooxml"),
)
_OLE_KINDS: Final = (
    (bytes.fromhex("84100c0000000000c000000000000046"), "msi"),
    ("EncryptedPackage".encode("utf-16-le"), "ole-encrypted"),
    ("__substg1.0_".encode("utf-16-le"), "msg"),
)
_TEXT_KINDS: Final = (  # of text without what stands before its first mark, in lower case
    (re.compile(rb"\s*<svg[\s>]|\s*<(?:\?xml|!doctype svg|!--)[^\0]{0,2000}?<svg[\s>]"), "svg"),
    (re.compile(rb"[^\0]{0,2000}?<hta:application"), "hta"),
    (
        re.compile(
            rb"\s*(?:<!--[^\0]{0,1000}?-->\s*)?<(?:!doctype\s+html|html|head|body|script|meta|iframe|form)[\s>/]"
        ),
        "html",
    ),
    (re.compile(rb"\s*<(?:\?xml[^\0]{0,500}?<)?(?:job|package)[\s>]"), "wsf"),
    (re.compile(rb"\s*<(?:\?xml[^\0]{0,500}?<)?scriptlet[\s>]"), "sct"),
    (re.compile(rb"\s*<\?xml[\s>]"), "xml"),
    (
        re.compile(
            rb"(?:[\x21-\x39\x3b-\x7e]{1,100}:[^\r\n]{0,998}\r?\n(?:[ \t][^\r\n]{0,998}\r?\n)*){0,60}?"
            rb"(?:mime-version:|received: |return-path: |message-id: ?<)"
        ),
        "mail",
    ),
    (re.compile(rb"\s*\[internetshortcut\]"), "url"),
    (re.compile(rb"\s*(?:windows registry editor|regedit4)"), "reg"),
    (re.compile(rb"#!\s*/"), "script"),
    (re.compile(rb"\s*@?echo\s+off\b|\s*@echo\b"), "batch"),
    (re.compile(rb"\s*begin:vcalendar"), "calendar"),
    (re.compile(rb"\s*begin:vcard"), "contact"),
    (re.compile(rb"\s*-----begin "), "armoured"),
)
_ODD: Final = bytes(set(range(32)) - set(b"\t\n\f\r\x1b")) + b"\x7f"
_MARKUP = re.compile(rb"<(?:html|body|table|div|p|a|script|br|form)[\s>/]", re.IGNORECASE)

TEXTS: Final = frozenset(
    {
        "text",
        "html",
        "hta",
        "svg",
        "xml",
        "wsf",
        "sct",
        "mail",
        "url",
        "reg",
        "script",
        "batch",
        "armoured",
        "calendar",
        "contact",
    }
)
IMAGES: Final = frozenset({"png", "jpeg", "gif", "tiff", "bmp", "webp"})
ARCHIVES: Final = frozenset(
    {
        "zip",
        "7z",
        "rar",
        "cab",
        "tar",
        "gz",
        "bz2",
        "xz",
        "lzma",
        "lzip",
        "zstd",
        "compress",
        "ace",
        "arj",
        "lzh",
        "xar",
        "cpio",
        "iso",
        "disk",
    }
)
# What holds files that are saved from it one by one.
HOLDERS: Final = ARCHIVES | {"tnef", "msg", "mail", "odf", "epub", "jar", "appx", "apk"}


def of(data: bytes) -> str:
    """Return the type of the octets: a word of this module, `data` for what is none, `empty` for nothing."""
    if not data:
        return "empty"
    for at, magic, kind in (*_BY_FIRST.get(data[0], ()), *_ELSEWHERE):
        if data.startswith(magic, at):
            return kind
    found = _less_plain(data)
    if found:
        return found
    return text_kind(data) or "data"


def _less_plain(data: bytes) -> str:  # noqa: PLR0911  # a list of cases, the frequent ones first
    """Return the type of what takes more than a look at one place."""
    start = data[:4]
    if start[:2] == b"MZ":
        return _program(data)
    if start in {b"PK\x03\x04", b"PK\x05\x06", b"PK00"}:
        return _zip(data)
    if start == b"\xd0\xcf\x11\xe0":
        return next((name for mark, name in _OLE_KINDS if mark in data), "ole")
    if start == b"\xca\xfe\xba\xbe":  # a fat Mach-O names its few architectures where a class has its version
        return "macho" if data[4:7] == b"\0\0\0" and data[7:8] < b"\x1e" else "class"
    if start == b"RIFF":
        return "webp" if data[8:12] == b"WEBP" else "media"
    if start[:3] == b"BZh" and data[4:10] == b"1AY&SY":
        return "bz2"
    if start[:3] == b"\x5d\0\0" and data[4:5] in (b"\0", b"\1") and data[5:13] == b"\xff" * 8:
        return "lzma"
    return _further_in(data)


def _further_in(data: bytes) -> str:
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data[_ISO_AT : _ISO_AT + 5] in {b"CD001", b"BEA01", b"NSR02", b"NSR03"}:
        return "iso"
    if data[-512:-504] == b"conectix" or data[-512:-508] == b"koly" or _boots(data):
        return "disk"
    return ""


def _program(data: bytes) -> str:
    if len(data) < 64:  # noqa: PLR2004  # the header of a DOS program
        return text_kind(data) or "data"
    (at,) = struct.unpack_from("<I", data, 60)
    if data[at : at + 4] == b"PE\0\0" or data[at : at + 2] in (b"NE", b"LE", b"LX"):
        return "pe"
    return text_kind(data) or "mz"


def _boots(data: bytes) -> bool:
    return data[510:512] == b"\x55\xaa" and (data[54:57] == b"FAT" or data[82:85] == b"FAT" or data[3:7] == b"NTFS")


def _zip(data: bytes) -> str:
    shown = data if len(data) <= 2 * _ENDS else data[:_ENDS] + data[-_ENDS:]
    for mark, also, kind in _ZIP_KINDS:
        if mark in shown and also in shown:
            return kind
    return "zip"


def text_kind(data: bytes) -> str:
    """Return the kind of text that the octets are, in any of the usual charsets; empty when they are none."""
    head = data[:_HEAD]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        charset = "utf-16-le" if head[0] == 0xFF else "utf-16-be"  # noqa: PLR2004  # the byte order mark
        head = head[2:].decode(charset, "replace").encode("utf-8", "replace")
    elif head[1::2].count(0) > len(head) // 3:
        head = head.decode("utf-16-le", "replace").encode("utf-8", "replace")
    head = head.removeprefix(b"\xef\xbb\xbf")
    if len(head.translate(None, _ODD)) < len(head) * 0.98:
        return ""
    lower = head.lower()
    for pattern, kind in _TEXT_KINDS:
        if pattern.match(lower):
            return kind
    return "html" if len(_MARKUP.findall(lower)) > 2 else "text"  # noqa: PLR2004  # more than a word about tags
