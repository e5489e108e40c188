"""Messages in a folder as mail programs know it: a Maildir, and beside it what SMTP said of each message.

new/, cur/, tmp/     the messages, byte for byte as they came
envelopes/NAME.json  sender, recipients and time of the message NAME
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.errors
import email.header
import email.parser
import os
from pathlib import Path
from typing import Final

import msgspec

_FOLDERS: Final = ("tmp", "new", "cur", "envelopes")
_HEAD: Final = 16_384  # octets in which the subject is looked for
_SUBJECT: Final = 200  # characters


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What SMTP said of a message."""

    reverse_path: str
    recipients: tuple[str, ...]
    client_ip: str = ""
    helo: str = ""
    received_at: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One message of the mailbox."""

    path: Path
    reverse_path: str
    recipients: tuple[str, ...]
    subject: str
    size: int  # octets
    received_at: float


def prepare(folder: Path) -> None:
    """Make the folders; raise OSError when that can't be."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)


def deliver(folder: Path, name: str, content: bytes, delivered: Delivered, *, sync: bool) -> None:
    """Put the message into the mailbox under the name; raise OSError, and leave nothing that shows, when that can't be.

    The envelope is there before the message is: nobody ever sees one without the other.
    """
    envelope = msgspec.json.format(msgspec.json.encode(delivered), indent=2) + b"\n"
    _write(folder, folder / "envelopes" / f"{name}.json", envelope, sync=sync)
    _write(folder, folder / "new" / name, content, sync=sync)


def _write(folder: Path, target: Path, content: bytes, *, sync: bool) -> None:
    temporary = folder / "tmp" / target.name
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.rename(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def listing(folder: Path) -> list[Item]:
    """Return what the mailbox at `folder` holds, newest last; what a mail program has taken out is not in it."""
    items = []
    for part in ("cur", "new"):
        for path in (folder / part).glob("*"):
            try:
                items.append(_item(folder, path))
            except FileNotFoundError:  # moved or deleted while we looked
                continue
    return sorted(items, key=lambda item: (item.received_at, item.path.name))


def _item(folder: Path, path: Path) -> Item:
    stat = path.stat()
    name = path.name.partition(":")[0]  # a mail program writes its flags behind a colon
    try:
        envelope = msgspec.json.decode((folder / "envelopes" / f"{name}.json").read_bytes(), type=Delivered)
    except (FileNotFoundError, msgspec.MsgspecError):  # put there by somebody else
        envelope = Delivered(reverse_path="", recipients=(), received_at=stat.st_mtime)
    with path.open("rb") as file:
        subject = _subject(file.read(_HEAD))
    return Item(path, envelope.reverse_path, envelope.recipients, subject, stat.st_size, envelope.received_at)


def _subject(head: bytes) -> str:
    """Return the subject as a person reads it; as it stands when it can't be decoded."""
    raw = email.parser.BytesHeaderParser().parsebytes(head)["Subject"]
    if raw is None:
        return ""
    text = str(raw)
    with contextlib.suppress(email.errors.HeaderParseError, UnicodeError, LookupError, ValueError):
        text = str(email.header.make_header(email.header.decode_header(text)))
    return " ".join(text.split())[:_SUBJECT]
