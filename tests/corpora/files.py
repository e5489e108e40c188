"""Containers around a file, made octet by octet where no library of the project writes them."""

from __future__ import annotations

import binascii
import bz2
import dataclasses
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import py7zr
import pycdlib
from backports import zstd


def zipped(*members: tuple[str, bytes], way: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", way) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    """Return a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def seven_zipped(name: str, content: bytes, password: str | None = None) -> bytes:
    """Return a 7z archive."""
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", password=password) as archive:
        archive.writestr(content, name)
    return buffer.getvalue()


def iso(name: str, content: bytes) -> bytes:
    """Return an ISO 9660 image with Joliet names."""
    image = pycdlib.PyCdlib()
    image.new(joliet=3)
    image.add_fp(io.BytesIO(content), len(content), "/FILE.BIN;1", joliet_path=f"/{name}")
    buffer = io.BytesIO()
    image.write_fp(buffer)
    image.close()
    return buffer.getvalue()


def lzipped(content: bytes) -> bytes:
    """Return a file of lzip."""
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
    body = lzma.compress(content, lzma.FORMAT_RAW, filters=filters)
    trailer = struct.pack("<IQQ", zlib.crc32(content), len(content), len(body) + 26)
    return b"LZIP\x01\x10" + body + trailer


def cabinet(name: str, content: bytes) -> bytes:
    """Return a cabinet with one MSZIP folder ([MS-CAB])."""
    deflate = zlib.compressobj(wbits=-15)
    packed = b"CK" + deflate.compress(content) + deflate.flush()
    entry = struct.pack("<IIHHHH", len(content), 0, 0, 0x5A00, 0, 0x20) + name.encode() + b"\0"
    files_at = 36 + 8
    data_at = files_at + len(entry)
    total = data_at + 8 + len(packed)
    header = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, total, 0, files_at, 0, 3, 1, 1, 1, 0, 7, 0)
    return (
        header + struct.pack("<IHH", data_at, 1, 1) + entry + struct.pack("<IHH", 0, len(packed), len(content)) + packed
    )


def _number(value: int) -> bytes:
    octets = b""
    while value > 127:
        octets += bytes((value & 127 | 128,))
        value >>= 7
    return octets + bytes((value,))


def rar(name: str, content: bytes, *, method: int = 0) -> bytes:
    """Return a RAR 5 archive with one file that is stored, or says that it is packed by `method`."""

    def block(body: bytes, data: bytes = b"") -> bytes:
        sized = _number(len(body)) + body
        return struct.pack("<I", zlib.crc32(sized)) + sized + data

    main = block(_number(1) + _number(0) + _number(0))
    info = _number(method << 7)
    file = block(
        _number(2)
        + _number(2)
        + _number(len(content))
        + _number(4)
        + _number(len(content))
        + _number(0o644)
        + struct.pack("<I", zlib.crc32(content))
        + info
        + _number(1)
        + _number(len(name))
        + name.encode(),
        content,
    )
    return b"Rar!\x1a\x07\x01\x00" + main + file + block(_number(5) + _number(0) + _number(0))


def tnef(name: str, content: bytes) -> bytes:
    """Return a winmail.dat with one attachment."""

    def attribute(level: int, tag: int, value: bytes) -> bytes:
        return struct.pack("<BII", level, tag, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)

    return (
        struct.pack("<IH", 0x223E9F78, 1)
        + attribute(1, 0x00089006, struct.pack("<I", 0x00010000))
        + attribute(2, 0x00069002, b"\x01\0" + b"\xff" * 4 + b"\0" * 8)
        + attribute(2, 0x0006800F, content)
        + attribute(2, 0x00018010, name.encode() + b"\0")
    )


def onenote(content: bytes) -> bytes:
    """Return the shape of a OneNote section with an embedded file."""
    return (
        bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3")
        + b"\0" * 1000
        + bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")
        + struct.pack("<QIQ", len(content), 0, 0)
        + content
        + b"\0" * 100
    )


def pdf(attached: bytes = b"", extra: bytes = b"", objects: bytes = b"") -> bytes:
    """Return a PDF with an attached file that is deflated, more objects as they are, and packed ones."""
    body = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    if attached:
        packed = zlib.compress(attached)
        body += b"4 0 obj\n<< /Type /Filespec /F (a.com) /EF << /F 5 0 R >> >>\nendobj\n"
        body += b"5 0 obj\n<< /Type /EmbeddedFile /Filter /FlateDecode /Length %d >>\nstream\n" % len(packed)
        body += packed + b"\nendstream\nendobj\n"
    if objects:
        packed = zlib.compress(objects)
        body += b"6 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length %d >>\nstream\n" % len(packed)
        body += packed + b"\nendstream\nendobj\n"
    return body + extra + b"trailer << /Root 1 0 R >>\n%%EOF\n"


def compound(*streams: tuple[str, bytes]) -> bytes:
    """Return an OLE2 compound file ([MS-CFB]) with these streams by path, short ones in the mini stream."""
    sectors, table = b"", list[int]()
    small, small_table = b"", list[int]()

    def kept(content: bytes) -> int:
        nonlocal sectors
        first = len(table)
        count = -(-len(content) // 512)
        sectors += content.ljust(count * 512, b"\0")
        table.extend([*range(first + 1, first + count), _END][: count or 0])
        return first if count else _END

    starts = []
    for _, content in streams:
        if len(content) >= 4096:
            starts.append(kept(content))
            continue
        count = -(-len(content) // 64)
        starts.append(len(small_table) if count else _END)
        small_table += [*range(len(small_table) + 1, len(small_table) + count), _END][: count or 0]
        small += content.ljust(count * 64, b"\0")
    mini_at = kept(small)
    mini_table = b"".join(struct.pack("<I", item) for item in small_table)
    mini_table_at = kept(mini_table.ljust(-(-len(mini_table) // 512) * 512, b"\xff"))
    directory = b""
    for entry in _directory([name for name, _ in streams]):
        start, length = (mini_at, len(small)) if entry.kind == _ROOT else (0, 0)
        if entry.kind == _STREAM:
            start, length = starts[entry.stream], len(streams[entry.stream][1])
        encoded = (entry.name + "\0").encode("utf-16-le")
        directory += encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded), entry.kind, 1)
        directory += struct.pack("<III", _NONE, entry.right, entry.child) + b"\0" * 16 + struct.pack("<IQQ", 0, 0, 0)
        directory += struct.pack("<IQ", start, length)
    directory_at = kept(directory)
    total = len(table)
    table_sectors = -(-(total + 1) // 127)
    table += [0xFFFFFFFD] * table_sectors
    fat = b"".join(struct.pack("<I", item) for item in table).ljust(table_sectors * 512, b"\xff")
    header = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 16 + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 6
    header += struct.pack("<IIIIII", 0, table_sectors, directory_at, 0, 4096, mini_table_at)
    header += struct.pack("<III", -(-len(mini_table) // 512), _END, 0)
    header += b"".join(struct.pack("<I", total + number) for number in range(table_sectors))
    return header.ljust(512, b"\xff") + sectors + fat


_END = 0xFFFFFFFE
_STORAGE, _STREAM, _ROOT, _NONE = 1, 2, 5, 0xFFFFFFFF


@dataclasses.dataclass
class _Entry:
    name: str
    kind: int
    stream: int = 0
    child: int = _NONE
    right: int = _NONE


def _directory(paths: list[str]) -> list[_Entry]:
    """Return the entries of a directory, each folder's members as a chain to the right."""
    entries = [_Entry("Root Entry", _ROOT)]
    folders = {"": 0}
    last: dict[int, int] = {}

    def add(parent: int, entry: _Entry) -> int:
        entries.append(entry)
        number = len(entries) - 1
        if parent in last:
            entries[last[parent]].right = number
        else:
            entries[parent].child = number
        last[parent] = number
        return number

    for stream, path in enumerate(paths):
        *above, name = path.split("/")
        parent = 0
        for depth, folder in enumerate(above, 1):
            key = "/".join(above[:depth])
            if key not in folders:
                folders[key] = add(parent, _Entry(folder, _STORAGE))
            parent = folders[key]
        add(parent, _Entry(name, _STREAM, stream))
    return entries


def vba(source: str) -> bytes:
    """Return a vbaProject.bin with one module ([MS-OVBA]), its source packed as literals."""

    def record(kind: int, value: bytes) -> bytes:
        return struct.pack("<HI", kind, len(value)) + value

    def packed(data: bytes) -> bytes:
        out = b"\1"
        for at in range(0, len(data), 3600):
            piece = data[at : at + 3600]
            body = b"".join(b"\0" + piece[step : step + 8] for step in range(0, len(piece), 8))
            out += struct.pack("<H", (len(body) - 1) | 0xB000) + body
        return out

    name = b"Module1"
    wide = "Module1".encode("utf-16-le")
    directory = (
        record(0x01, struct.pack("<I", 1))
        + record(0x02, struct.pack("<I", 0x409))
        + record(0x14, struct.pack("<I", 0x409))
        + record(0x03, struct.pack("<H", 1252))
        + record(0x04, b"Project")
        + record(0x05, b"")
        + record(0x40, b"")
        + record(0x06, b"")
        + record(0x3D, b"")
        + record(0x07, struct.pack("<I", 0))
        + record(0x08, struct.pack("<I", 0))
        + struct.pack("<HIIH", 0x09, 4, 1, 1)
        + record(0x0C, b"")
        + record(0x3C, b"")
        + record(0x0F, struct.pack("<H", 1))
        + record(0x13, struct.pack("<H", 0xFFFF))
        + record(0x19, name)
        + record(0x47, wide)
        + record(0x1A, name)
        + record(0x32, wide)
        + record(0x1C, b"")
        + record(0x48, b"")
        + record(0x31, struct.pack("<I", 0))
        + record(0x1E, struct.pack("<I", 0))
        + record(0x2C, struct.pack("<H", 0xFFFF))
        + record(0x21, b"")
        + record(0x2B, b"")
        + record(0x10, b"")
    )
    return compound(
        ("PROJECT", b"Module=Module1\r\n"),
        ("VBA/dir", packed(directory)),
        ("VBA/_VBA_PROJECT", b"\xcc\x61\xff\xff\0\0\0"),
        ("VBA/Module1", packed(source.encode("cp1252"))),
    )


def ole_native(name: str, content: bytes) -> bytes:
    """Return an Ole10Native stream with a file in it."""
    path = name.encode() + b"\0"
    body = b"\x02\0" + path + path + b"\0\0\x03\0" + struct.pack("<I", len(path)) + path
    body += struct.pack("<I", len(content)) + content
    return struct.pack("<I", len(body)) + body


def rtf(content: bytes) -> bytes:
    """Return an RTF whose object is broken up by groups and control words."""
    digits = binascii.hexlify(content)
    return b"{\\rtf1{\\object\\objemb{\\*\\objdata " + digits[:9] + b"\r\n{\\*\\x1 }" + digits[9:] + b"}}}"


def yencoded(name: str, content: bytes) -> bytes:
    """Return a yEnc block."""
    body = b""
    for octet in content:
        coded = (octet + 42) % 256
        body += b"=" + bytes(((coded + 64) % 256,)) if coded in b"\0\n\r=" else bytes((coded,))
    return b"=ybegin line=128 size=%d name=%s\r\n%s\r\n=yend size=%d\r\n" % (
        len(content),
        name.encode(),
        body,
        len(content),
    )


def office(*members: tuple[str, bytes]) -> bytes:
    """Return a document of Word with these parts besides its own."""
    return zipped(
        ("[Content_Types].xml", b'<?xml version="1.0"?><Types/>'), ("word/document.xml", b"<w:document/>"), *members
    )


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "zip": lambda data: zipped(("a.com", data)),
    "zip stored": lambda data: zipped(("a.com", data), way=zipfile.ZIP_STORED),
    "zip bzip2": lambda data: zipped(("a.com", data), way=zipfile.ZIP_BZIP2),
    "zip lzma": lambda data: zipped(("a.com", data), way=zipfile.ZIP_LZMA),
    "zip in zip": lambda data: zipped(("in.zip", zipped(("a.com", data)))),
    "zip without its directory": lambda data: zipped(("a.com", data)).partition(b"PK\x01\x02")[0],
    "first of two zips": lambda data: zipped(("a.com", data)) + zipped(("b.txt", b"nothing")),
    "zip behind a program": lambda data: b"MZ" + b"x" * 100 + zipped(("a.com", data)),
    "tar": lambda data: tarred("a.com", data),
    "tar.gz": lambda data: gzip.compress(tarred("a.com", data)),
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzip": lzipped,
    "zstd": zstd.compress,
    "7z": lambda data: seven_zipped("a.com", data),
    "rar": lambda data: rar("a.com", data),
    "cab": lambda data: cabinet("a.com", data),
    "iso": lambda data: iso("a.com", data),
    "winmail.dat": lambda data: tnef("a.com", data),
    "onenote": onenote,
    "pdf": pdf,
    "ooxml": lambda data: office(("word/embeddings/a.bin", data)),
    "ole package": lambda data: compound(("\x01Ole10Native", ole_native("a.com", data))),
    "ole package in ooxml": lambda data: office(
        ("word/embeddings/oleObject1.bin", compound(("\x01Ole10Native", ole_native("a.com", data))))
    ),
    "rtf object": rtf,
}
