"""Messages that want more than they may have: the name of each is the name of its test.

data/quine.zip is Russ Cox's zip file that contains itself (2010), as the tests of Go's archive/zip have it.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from typing import Final

from tests.corpora.files import office, tarred, zipped
from tests.corpora.wrappings import in_base64
from tests.mails import DATA

_TOP: Final = b"From: alice@sender.test\nTo: bob@example.test\nSubject: x\nMIME-Version: 1.0\n"
_STEP: Final = 67_108_864
TEN_GB: Final = 160  # steps


def _deflated_zeros(steps: int) -> bytes:
    """Return the deflate stream of `steps` times 64 MiB of zeros: after a full flush the same piece may come again."""
    deflate = zlib.compressobj(9, wbits=-15)
    piece = b"".join(deflate.compress(b"\0" * (_STEP // 64)) for _ in range(64)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return piece * steps + zlib.compressobj(9, wbits=-15).flush()


def _zip_of(name: bytes, packed: bytes, size: int) -> bytes:
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(packed), size, len(name), 0) + name + packed
    entry = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(packed), size, len(name), 0, 0, 0, 0, 0, 0
    )
    return local + entry + name + _end(1, len(entry) + len(name), len(local))


def _end(count: int, size: int, at: int) -> bytes:
    return struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, min(count, 65_535), min(count, 65_535), size, at, 0)


def zeros_in_a_zip() -> bytes:
    """Ten gigabytes, and a header that admits four."""
    return in_base64(_zip_of(b"zeros", _deflated_zeros(TEN_GB), 0xFFFFFFF0), "a.zip")


def zeros_in_a_gzip() -> bytes:
    """A gigabyte in one stream."""
    head = b"\x1f\x8b\x08\0\0\0\0\0\2\xff"
    return in_base64(head + _deflated_zeros(16) + struct.pack("<II", 0, 0), "a.gz")


def zeros_in_zips_in_a_zip() -> bytes:
    """A thousand million in sixteen, in sixteen, as 42.zip has them."""
    inner = zipped(("zeros", b"\0" * 100_000_000))
    for _ in range(3):
        inner = zipped(*((f"{number}.zip", inner) for number in range(16)))
    return in_base64(inner, "a.zip")


def overlapping_zip() -> bytes:
    """Sixty thousand entries of a directory that all mean the same megabyte."""
    name = b"kernel"
    deflate = zlib.compressobj(9, wbits=-15)
    packed = deflate.compress(b"\0" * 1_000_000) + deflate.flush()
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(packed), 10**6, len(name), 0) + name + packed
    entry = (
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(packed), 10**6, len(name), 0, 0, 0, 0, 0, 0
        )
        + name
    )
    return in_base64(local + entry * 60_000 + _end(60_000, 60_000 * len(entry), len(local)), "a.zip")


def quine() -> bytes:
    """A zip whose only member is itself."""
    return in_base64((DATA / "quine.zip").read_bytes(), "r.zip")


def billion_laughs_in_a_document() -> bytes:
    """Entities of entities, in a part of a document."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "lol">{entities}]><w:document>&l9;</w:document>'
    return in_base64(office(("word/footer1.xml", xml.encode()), ("docProps/app.xml", xml.encode())), "a.docx")


def hundred_thousand_parts() -> bytes:
    """A multipart with more parts than a person can open."""
    return _TOP + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 100_000 + b"--b--\n"


def hundred_thousand_members() -> bytes:
    """A zip with more files than may be."""
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"x"
    count = 65_000
    directory = b"".join(
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, number * len(local)
        )
        + b"x"
        for number in range(count)
    )
    return in_base64(local * count + directory + _end(count, len(directory), count * len(local)), "a.zip")


def thousand_multiparts_deep() -> bytes:
    """Multiparts in multiparts."""
    opened = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(1000))
    return _TOP + opened + b"\nx\n" + b"".join(b"--b%d--\n" % n for n in reversed(range(1000)))


def thousand_messages_deep() -> bytes:
    """Messages in messages."""
    return _TOP + b"Content-Type: message/rfc822\n\n" * 1000 + b"x"


def thousand_gzips_deep() -> bytes:
    """Gzip in gzip."""
    data = b"x"
    for _ in range(1000):
        data = gzip.compress(data, 1)
    return in_base64(data, "a.gz")


def memory_asked_for_by_xz() -> bytes:
    """A few octets that ask for a dictionary of four gigabytes."""
    header = b"\xfd7zXZ\0\0\1" + struct.pack("<I", zlib.crc32(b"\0\1"))
    block = b"\2\0\x21\1\x28\0\0\0"  # LZMA2 with the largest dictionary
    return in_base64(header + block + struct.pack("<I", zlib.crc32(block)) + b"\1\0\0x\0" + b"\0" * 50, "a.xz")


def sparse_tar() -> bytes:
    """A tar whose header claims eight gigabytes that never come."""
    data = bytearray(tarred("a", b"x" * 100))
    data[124:136] = b"77777777777\0"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return in_base64(bytes(data), "a.tar")


def pdf_of_zeros() -> bytes:
    """Streams of a PDF that unpack to gigabytes."""
    packed = b"\x78\xda" + _deflated_zeros(4)
    stream = b"%d 0 obj\n<< /Type /ObjStm /Filter /FlateDecode >>\nstream\n%s\nendstream\nendobj\n"
    return in_base64(b"%PDF-1.7\n" + b"".join(stream % (n, packed) for n in range(8)), "a.pdf")


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    make.__name__.replace("_", " "): make
    for make in (
        zeros_in_a_zip,
        zeros_in_a_gzip,
        zeros_in_zips_in_a_zip,
        overlapping_zip,
        quine,
        billion_laughs_in_a_document,
        hundred_thousand_parts,
        hundred_thousand_members,
        thousand_multiparts_deep,
        thousand_messages_deep,
        thousand_gzips_deep,
        memory_asked_for_by_xz,
        sparse_tar,
        pdf_of_zeros,
    )
}
