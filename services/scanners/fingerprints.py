"""Fingerprints that near duplicates share: MinHash over what doesn't change from one message of a campaign to the next.

A campaign changes names, numbers, links and a word here and there. So text is compared by its runs of three words,
without digits, addresses and links; a file by the members of its archive, or by the readable strings in it. Of the
minima, five at a time make a band: of two messages that have 90 % of these in common, 8 bands hold one that is equal in
99.9 % of cases; at 50 % it is 22 %, at 30 % 2 %. A band is a key like any other: equal ones meet in one partition.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import unicodedata
import zipfile
from collections.abc import Iterable
from itertools import islice
from typing import Final

from rensa import RMinHash

from services.scanners.facts import Facts
from services.scanners.mime import Part

LINK: Final = "link"  # among the prints: the message leads somewhere
BANDS: Final = 8
ROWS: Final = 5
FILES_MOST: Final = 3  # attachments of a message that are looked at, the first ones
TEXT_MOST: Final = 65_536  # characters
WORDS_MOST: Final = 4_000
_FEATURES_LEAST: Final = 12  # below, unrelated texts and files have too much in common
_LETTERS_LEAST: Final = 60  # of a text that isn't cut into words
_STRINGS_MOST: Final = 4_000
_FILE_LEAST: Final = 256  # octets
_FILE_MOST: Final = 4_194_304  # octets of a file that are looked into; its digest is of all of it
_MEMBERS_LEAST: Final = 4
_MEMBERS_MOST: Final = 500
_SEED: Final = 20_261
_ORDINARY: Final = (
    "text/",
    "image/",
    "message/",
    "multipart/",
    "application/pgp-",
    "application/pkcs7-",
    "application/x-pkcs7-",
)
_NOISE = re.compile(r"\b(?:https?://|www\.)\S+|\S+@\S+|[\W\d_]+")
_UNSEEN = re.compile(
    "[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+"
)  # put in to make words differ
_STRINGS = re.compile(rb"[\x20-\x7e]{8,200}")


def of_text(words: str) -> tuple[str, ...]:
    """Return the bands of what a person reads; none for a text too short to tell from another."""
    plain = unicodedata.normalize("NFKC", _UNSEEN.sub("", words[:TEXT_MOST])).lower()
    parts = _NOISE.sub(" ", plain).split()[:WORDS_MOST]
    if len(parts) >= _FEATURES_LEAST:
        return _bands("t", {" ".join(parts[n : n + 3]) for n in range(len(parts) - 2)})
    letters = "".join(parts)  # of a script without blanks, or of nothing much
    if len(letters) < _LETTERS_LEAST or letters.isascii():
        return ()
    return _bands("t", {letters[n : n + 4] for n in range(min(len(letters) - 3, WORDS_MOST))})


def of_file(data: bytes) -> tuple[str, ...]:
    """Return the digest of a file, and its bands where there is enough in it to compare."""
    if len(data) < _FILE_LEAST:
        return ()
    exact = "x" + hashlib.blake2b(data, digest_size=16).hexdigest()
    members = _members(data)
    if len(members) >= _MEMBERS_LEAST:
        return (exact, *_bands("m", members))
    strings = {found.group().decode("ascii") for found in islice(_STRINGS.finditer(data[:_FILE_MOST]), _STRINGS_MOST)}
    return (exact, *_bands("s", strings))


def of_mail(facts: Facts) -> tuple[str, ...]:
    """Return all prints of a message, each once, and LINK when it leads somewhere."""
    found = list(of_text(facts.words))
    files = [part for part in facts.mail.parts if _is_file(part)]
    for part in files[:FILES_MOST]:
        found += of_file(part.data)
    if facts.links:
        found.append(LINK)
    return tuple(dict.fromkeys(found))


def _is_file(part: Part) -> bool:
    """Return whether the part is a file of its own: logos and signatures are in everybody's mail."""
    kind = part.content_type
    return not part.gap and (not kind.startswith(_ORDINARY) or (bool(part.filename) and kind.startswith("text/")))


def _members(data: bytes) -> set[str]:
    """Return what the directory of a zip says of each member: an OOXML document is one too. Nothing is unpacked."""
    if data[:4] != b"PK\x03\x04" or len(data) > _FILE_MOST:
        return set()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {f"{item.filename}:{item.CRC}:{item.file_size}" for item in archive.infolist()[:_MEMBERS_MOST]}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeError, struct.error, OSError):
        return set()


def _bands(kind: str, features: Iterable[str]) -> tuple[str, ...]:
    shingles = sorted(features)
    if len(shingles) < _FEATURES_LEAST - 2 and kind != "m":
        return ()
    minhash = RMinHash(num_perm=BANDS * ROWS, seed=_SEED)
    minhash.update(shingles)
    minima = minhash.digest()
    return tuple(
        f"{kind}{band}"
        + hashlib.blake2b(struct.pack(f">{ROWS}I", *minima[band * ROWS : (band + 1) * ROWS]), digest_size=8).hexdigest()
        for band in range(BANDS)
    )
