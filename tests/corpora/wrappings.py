"""EICAR in every wrapping that some reader of mail undoes: the name of each is the name of its test."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from tests.corpora.files import CONTAINERS, yencoded
from tests.mails import EICAR, PLAIN, attached

_CODED: Final = base64.encodebytes(EICAR).strip()
_TOP: Final = b"From: alice@sender.test\nTo: bob@example.test\nSubject: x\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"
_PADDED: Final = base64.encodebytes(EICAR + b"\0" * 30)


def in_base64(content: bytes, name: str = "a.com") -> bytes:
    """Return a message with the attachment."""
    return attached(base64.encodebytes(content).strip(), "base64", name)


def _multipart(content_type: bytes, boundary: bytes = b"cut", *, top: bytes = b"MIME-Version: 1.0\n") -> bytes:
    return (
        _TOP
        + top
        + b"Content-Type: "
        + content_type
        + b"\n\n--"
        + boundary
        + b"\nContent-Type: text/plain\n\nhello\n--"
        + boundary
        + b'\nContent-Type: application/octet-stream; name="a.com"\nContent-Transfer-Encoding: base64\n\n'
        + _CODED
        + b"\n--"
        + boundary
        + b"--\n"
    )


def _part(headers: bytes, body: bytes = _CODED) -> bytes:
    return (
        _TOP
        + b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=cut\n\n--cut\n"
        + headers
        + b"\n\n"
        + body
        + b"\n--cut--\n"
    )


_FILE: Final = b"Content-Type: application/octet-stream\n"


def _levels(count: int) -> bytes:
    inner = _FILE + b"Content-Transfer-Encoding: base64\n\n" + _CODED
    for level in range(count):
        inner = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s\n--b%d--\n" % (level, level, inner, level)
    return _TOP + b"MIME-Version: 1.0\n" + inner


_NESTED: Final = in_base64(EICAR, "deep.com").replace(b"application/octet-stream", b"application/x")
_UUENCODED: Final = b"begin 644 a.com\n" + b"".join(binascii.b2a_uu(EICAR[i : i + 45]) for i in (0, 45)) + b"`\nend"
_SPLIT: Final = b"\n".join(_CODED.replace(b"\n", b"")[i : i + 4] for i in range(0, 92, 4))

_MIME: Final = {
    "base64": in_base64(EICAR),
    "quoted-printable": attached(binascii.b2a_qp(EICAR).replace(b"X5", b"=58=35"), "quoted-printable"),
    "quoted-printable with soft breaks": attached(b"=\n".join(b"=%02X" % octet for octet in EICAR), "quoted-printable"),
    "8bit": attached(EICAR, "8bit"),
    "uuencode": attached(_UUENCODED, "x-uuencode"),
    "uuencoded text": PLAIN + _UUENCODED,
    "yenc": PLAIN + yencoded("a.com", EICAR),
    "attached message": attached(_NESTED.replace(b"cut", b"in"), "7bit").replace(
        b"application/octet-stream", b"message/rfc822", 1
    ),
    "attached message in base64": in_base64(_NESTED).replace(b"application/octet-stream", b"message/rfc822"),
    "attached message as a file": in_base64(_NESTED, "a.eml"),
    "a header that is none, encoded": in_base64(EICAR).replace(b"application/octet-stream", b"message/rfc822"),
    "digest": _part(b"", _NESTED.replace(b"cut", b"in")).replace(b"multipart/mixed", b"multipart/digest", 1),
    "the message itself": EICAR,
    "the whole body": _TOP + b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n" + _CODED,
    "text by name": _part(b"Content-Type: text/plain\nContent-Transfer-Encoding: base64"),
    "image by name": _part(b'Content-Type: image/png; name="a.png"\nContent-Transfer-Encoding: base64'),
    "message by name": _part(b"Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64"),
    "message/partial": _part(
        b"Content-Type: message/partial; id=x; number=1; total=1\nContent-Transfer-Encoding: base64"
    ),
    "message/external-body": _part(
        b"Content-Type: message/external-body; access-type=local-file; name=x\nContent-Transfer-Encoding: base64"
    ),
    "multipart by name": _part(b"Content-Type: multipart/mixed\nContent-Transfer-Encoding: base64"),
    "base64 without its header": in_base64(EICAR).replace(b"Content-Transfer-Encoding: base64", b"X-Odd: 1"),
    "base64 in text": PLAIN + b"\n" + base64.encodebytes(b"\0" * 60 + EICAR),
    "base64 in lines of four": _part(_FILE + b"Content-Transfer-Encoding: base64", _SPLIT),
    "base64 with junk": _part(_FILE + b"Content-Transfer-Encoding: base64", b"-*!".join(bytes((c,)) for c in _CODED)),
    "base64 with padding first": _part(_FILE + b"Content-Transfer-Encoding: base64", b"====\n" + _CODED),
    "base64 with padding in the middle": attached(base64.b64encode(b"x") + b"\n" + base64.b64encode(EICAR), "base64"),
    "base64 in a data URL": PLAIN.replace(b"\n\n", b"\nContent-Type: text/html\n\n", 1)
    + b'<a download="a.com" href="data:application/octet-stream;base64,'
    + _CODED.replace(b"\n", b"")
    + b'">x</a>',
    "percent in a data URL": PLAIN.replace(b"\n\n", b"\nContent-Type: text/html\n\n", 1)
    + b'<a href="data:application/octet-stream,'
    + b"".join(b"%%%02X" % octet for octet in EICAR)
    + b'">x</a>',
    "base64 in a script that is attached in base64": in_base64(
        b"<html><script>atob('" + _CODED.replace(b"\n", b"") + b"')</script></html>", "a.html"
    ),
    "encoding in capitals": in_base64(EICAR).replace(b": base64", b": BASE64 "),
    "encoding with a comment": in_base64(EICAR).replace(b": base64", b": base64 (so they say)"),
    "encoding with a comment first": in_base64(EICAR).replace(b": base64", b": (so they say) base64"),
    "encoding in quotes": in_base64(EICAR).replace(b": base64", b': "base64"'),
    "encoding with a semicolon": in_base64(EICAR).replace(b": base64", b": base64;"),
    "encoding twice": in_base64(EICAR).replace(
        b"Encoding: base64", b"Encoding: 7bit\nContent-Transfer-Encoding: base64"
    ),
    "encoding twice, the first is it": in_base64(EICAR).replace(
        b"Encoding: base64", b"Encoding: base64\nContent-Transfer-Encoding: 7bit"
    ),
    "encoding folded": in_base64(EICAR).replace(b"Encoding: base64", b"Encoding:\n base64"),
    "encoding before its colon": in_base64(EICAR).replace(b"Encoding: base64", b"Encoding : base64"),
    "encoding unknown": in_base64(EICAR).replace(b"Encoding: base64", b"Encoding: x-base64"),
    "after the end": attached(b"x", "7bit") + _PADDED,
    "a part after the end": attached(b"x", "7bit")
    + b"--cut\n"
    + _FILE
    + b"Content-Transfer-Encoding: base64\n\n"
    + _CODED,
    "before the beginning": attached(b"x", "7bit").replace(b"preamble", _PADDED),
    "never closed": in_base64(EICAR).replace(b"--cut--", b""),
    "bare CR as line end": in_base64(EICAR).replace(b"\n--cut\nContent-Type: app", b"\r--cut\rContent-Type: app"),
    "bare CR between headers": in_base64(EICAR).replace(b"stream\nContent-Disp", b"stream\rContent-Disp"),
    "blank line with a space": in_base64(EICAR).replace(b"base64\n\n", b"base64\n \n"),
    "no blank line": in_base64(EICAR).replace(b"base64\n\n", b"base64\n"),
    "NUL in a header": in_base64(EICAR).replace(b"MIME-Version: 1.0", b"MIME-Version: 1\x00.0"),
    "mark before the header": b"\xef\xbb\xbf" + in_base64(EICAR),
    "no MIME-Version": _multipart(b"multipart/mixed; boundary=cut", top=b""),
    "type in capitals": _multipart(b"MULTIPART/MIXED; BOUNDARY=cut"),
    "type unknown": _multipart(b"multipart/odd; boundary=cut"),
    "type without its second half": _multipart(b"multipart; boundary=cut"),
    "type twice": _multipart(b"multipart/mixed; boundary=cut\nContent-Type: text/plain"),
    "type twice, the second is it": _multipart(b"text/plain\nContent-Type: multipart/mixed; boundary=cut"),
    "type with a comment": _multipart(b"multipart/mixed (x); boundary=cut"),
    "text with a boundary": _multipart(b"text/plain; boundary=cut"),
    "boundary folded": _multipart(b"multipart/mixed;\n\tboundary=cut"),
    "boundary in quotes": _multipart(b'multipart/mixed; boundary="cut"'),
    "boundary with escapes": _multipart(b'multipart/mixed; boundary="c\\ut"'),
    "boundary with a comment": _multipart(b"multipart/mixed; boundary=cut(comment)"),
    "boundary with a comment before": _multipart(b"multipart/mixed; boundary=(comment)cut"),
    "boundary twice": _multipart(b"multipart/mixed; boundary=other; boundary=cut"),
    "boundary twice, the first is it": _multipart(b"multipart/mixed; boundary=cut; boundary=other"),
    "boundary in pieces": _multipart(b'multipart/mixed; boundary*0="c"; boundary*1="ut"'),
    "boundary with a charset": _multipart(b"multipart/mixed; boundary*=us-ascii'en'cut"),
    "boundary with percents": _multipart(b"multipart/mixed; boundary*=us-ascii''%63%75%74"),
    "boundary plain and in pieces": _multipart(b'multipart/mixed; boundary=other; boundary*0="c"; boundary*1="ut"'),
    "boundary empty": _multipart(b'multipart/mixed; boundary=""', b""),
    "boundary missing": _multipart(b"multipart/mixed"),
    "boundary with a space at its end": _multipart(b'multipart/mixed; boundary="cut "'),
    "boundary with a space at its end, and it": _multipart(b'multipart/mixed; boundary="cut "', b"cut "),
    "boundary that begins another": _multipart(b"multipart/mixed; boundary=cut").replace(
        b"\n--cut\nContent-Type: app", b"\n--cutter\nContent-Type: app"
    ),
    "boundary of the outer one": _part(
        b"Content-Type: multipart/mixed; boundary=cut",
        b"--cut\n" + _FILE + b"Content-Transfer-Encoding: base64\n\n" + _CODED,
    ),
    "boundary without semicolon": _multipart(b"multipart/mixed boundary=cut"),
    "name in pieces": _part(
        b"Content-Type: application/octet-stream; name*0*=utf-8''a%2E; name*1=com\nContent-Transfer-Encoding: base64"
    ),
    "name in an encoded word": _part(
        b'Content-Type: application/octet-stream; name="=?utf-8?b?YS5jb20=?="\nContent-Transfer-Encoding: base64'
    ),
    "thirty levels": _levels(30),
}


_AS_A_LINE: Final = b"ransfer-Encoding: base64\n\n" + _CODED


def _quoted(raw: bytes) -> bytes:
    """Return the message with quoted-printable where base64 was: nothing finds that by its looks."""
    quoted = b"".join(b"=%02X" % octet for octet in EICAR)
    return raw.replace(_AS_A_LINE, b"ransfer-Encoding: quoted-printable\n\n" + quoted)


WRAPPINGS: Final[dict[str, bytes]] = {
    **_MIME,
    **{f"quoted-printable: {name}": _quoted(raw) for name, raw in _MIME.items() if _AS_A_LINE in raw},
    **{f"attached: {name}": in_base64(make(EICAR), "a.bin") for name, make in CONTAINERS.items()},
}
