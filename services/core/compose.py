"""What is delivered: what was received, byte for byte, under the header fields that we add.

Only three things are ever changed below our own fields: incoming fields with our names go, incoming
Authentication-Results that claim to be ours go (RFC 8601 section 5), and Subject gets a tag where a rule says so.
Everything after the header block is passed on as views of the octets that are given here. What a rule, a disclaimer or
a notice changes in them was changed before: see `changes.py`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from schemas.events import Branch, Disposition, Received
from services.core.direction import outbound, signed_in
from services.core.headers import (
    LINE_AIM,
    Field,
    clean,
    encoded_words,
    field,
    fields,
    header_end,
    is_field_name,
    unfolded,
)

OWN_PREFIX: Final = "x-gatepost"  # of every header field name that is ours
OWN_FIELD: Final = "X-Gatepost"  # id, status, score and rule of a message, one line
NOTICE_FIELD: Final = "X-Gatepost-Notice"  # the notice, whether the body could have it or not

_UNFIT_ATOM = re.compile(r"[^A-Za-z0-9._:\[\]+@=/-]+")
_UNFIT_TEXT = re.compile(r"[^!-~ ]+")
_MBOX = re.compile(rb">?From ")  # a mailbox file's separator, which some senders leave on top


def compose(
    disposition: Disposition, branch: Branch, message: bytes | memoryview, *, hostname: str, notice: str = ""
) -> list[bytes | memoryview]:
    """Return the parts to send, in order: our fields, then the message. `hostname` is our authserv-id.

    `notice` is said in a field. It costs time in proportion to the header block alone.
    """
    view = memoryview(message)
    end = header_end(view)
    header = bytes(view[:end])
    added = _added(disposition, branch, hostname)
    if notice:
        added.append(field(NOTICE_FIELD, notice))
    if header and not next(fields(header)).name and not _MBOX.match(header):
        # Without an empty line a reader would take the text for a field of ours, or a continuation of one.
        return [b"".join([*added, *_subject(branch, header=b""), b"\r\n"]), view]
    kept, subjects = _kept(header, branch, hostname)
    if not subjects:
        added += _subject(branch, header=b"")
    return [b"".join(added), *kept, view[end:]]


def _added(disposition: Disposition, branch: Branch, hostname: str) -> list[bytes]:
    received = disposition.received
    if outbound(received):  # what we thought of it, and which rule, is nobody's business out there
        parts = [trace(received, branch, hostname)]
    else:
        parts = [
            field(
                OWN_FIELD,
                f"id={received.id}; status={disposition.status.value}; score={disposition.score:.1f}; "
                f"rule={_quoted(branch.rule)}",
            ),
            authentication_results(disposition.auth_results, hostname),
            trace(received, branch, hostname),
        ]
    for name, value in branch.add_headers:
        if is_field_name(name) and not name.lower().startswith(OWN_PREFIX):
            parts.append(field(name, value))
    return parts


def _quoted(text: str) -> str:
    plain = _UNFIT_TEXT.sub("?", clean(text)).replace('"', "'").replace("\\", "/")
    return plain if plain and _UNFIT_ATOM.search(plain) is None else f'"{plain}"'


def authentication_results(results: tuple[tuple[str, str], ...], hostname: str) -> bytes:
    """Return the Authentication-Results field (RFC 8601 section 2.2) for pairs of method and result with properties."""
    return field("Authentication-Results", results_text(results, hostname))


def results_text(results: tuple[tuple[str, str], ...], hostname: str) -> str:
    """Return what such a field says; an ARC-Authentication-Results says the same after its instance."""
    told = "; ".join(f"{_UNFIT_ATOM.sub('', method)}={_result(text)}" for method, text in results)
    return f"{hostname}; {told or 'none'}"


def _result(text: str) -> str:
    """Return a result that can't be read as two: parts of it are what the sender wrote."""
    plain = _UNFIT_TEXT.sub("?", clean(text)).replace(";", ",").replace("\\", "/")
    if plain.count('"') % 2:
        plain = plain.replace('"', "'")
    return plain if plain.count("(") == plain.count(")") else plain.replace("(", "[").replace(")", "]")


def trace(received: Received, branch: Branch, hostname: str) -> bytes:
    """Return the Received field of the message's arrival (RFC 5321 section 4.4, names of RFC 3848 and RFC 6531)."""
    envelope = received.envelope
    address = f"IPv6:{envelope.client_ip}" if ":" in envelope.client_ip else envelope.client_ip
    helo = _UNFIT_ATOM.sub("?", envelope.helo)[:255] or "unknown"
    extended = f"{'UTF8SMTP' if envelope.smtputf8 else 'ESMTP'}{'S' if envelope.tls else ''}"
    protocol = f"{extended}{'A' if signed_in(received) else ''}" if envelope.esmtp else "SMTP"
    cipher = f" ({_UNFIT_ATOM.sub(' ', envelope.tls)})" if envelope.tls else ""
    single = branch.recipients[0] if len(set(branch.recipients)) == 1 else ""
    wanted = f" for <{single}>" if single and single.isascii() and _UNFIT_TEXT.search(single) is None else ""
    date = format_datetime(datetime.fromtimestamp(received.received_at, UTC))
    by = _UNFIT_ATOM.sub("?", received.server) or hostname
    return field(
        "Received", f"from {helo} ([{address}]) by {by} with {protocol}{cipher} id {received.id}{wanted}; {date}"
    )


def _kept(header: bytes, branch: Branch, hostname: str) -> tuple[list[bytes], int]:
    """Return the header block without what is not to pass, in as few pieces as can be, and how many subjects it has."""
    pieces: list[bytes] = []
    subjects = 0
    copied = 0
    for found in fields(header):
        replaced: list[bytes] | None = None
        if found.name.startswith(OWN_PREFIX.encode()) or (
            found.name == b"authentication-results" and claims(header[found.value : found.end], hostname)
        ):
            replaced = []
        elif found.name == b"subject":
            subjects += 1
            if branch.tag_subject:
                replaced = _subject(branch, header=header, old=found)
        if replaced is not None:
            pieces += [header[copied : found.start], *replaced]
            copied = found.end
    pieces.append(header[copied:])
    return pieces, subjects


def _subject(branch: Branch, *, header: bytes, old: Field | None = None) -> list[bytes]:
    """Return the Subject field with the rule's tag before what it said; nothing where no tag is wanted."""
    tag = clean(branch.tag_subject)
    if not tag:
        return [] if old is None else [header[old.start : old.end]]
    if old is None:
        return [field("Subject", tag)]
    said = header[old.value : old.end].lstrip(b" \t")
    if tag.isascii():
        start = field("Subject", tag).removesuffix(b"\r\n")
    else:
        # A blank between two encoded words is not shown (RFC 2047 section 6.2): the tag's own word must end with it.
        joined = unfolded(said).startswith(b"=?")
        start = b"Subject: " + encoded_words(tag + " " if joined else tag, len("Subject: "))
    if not unfolded(said):
        return [start + b"\r\n"]
    if said[:1] in (b"\r", b"\n"):
        return [start + said]  # it was folded before its first word, and stays so
    first_line = re.split(rb"[\r\n]", said, maxsplit=1)[0]
    fits = len(start.rpartition(b"\n")[2]) + 1 + len(first_line) <= LINE_AIM
    return [start + (b" " if fits else b"\r\n ") + said]


def claims(value: bytes, hostname: str) -> bool:
    """Return whether an Authentication-Results value says that `hostname` wrote it; so does one that can't be read."""
    text = _skip_comments(unfolded(value).decode("utf-8", "replace"))
    if text is None:
        return True
    if text.startswith('"'):
        match = re.match(r'"((?:[^"\\]|\\.)*)"', text)
        if match is None:
            return True
        name = re.sub(r"\\(.)", r"\1", match[1])
    else:
        name = re.split(r"[\s;(]", text, maxsplit=1)[0]
    return name.strip().rstrip(".").casefold() == hostname.rstrip(".").casefold()


def _skip_comments(text: str) -> str | None:
    """Return the text after leading blanks and comments (RFC 5322 section 3.2.2), None when a comment never ends."""
    depth = 0
    at = 0
    while at < len(text):
        letter = text[at]
        if letter == "(":
            depth += 1
        elif depth and letter == ")":
            depth -= 1
        elif depth and letter == "\\":
            at += 1
        elif not depth and not letter.isspace():
            return text[at:]
        at += 1
    return None if depth else ""
