"""From folders of messages to a model. The order and the names of the files don't matter, only what is in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from schemas.events import Envelope, Received
from services.core.errors import ConfigError
from services.core.stored import unpack
from services.scanners.facts import Facts, gather
from services.scanners.heuristics import apply
from services.scanners.learned import fit, model
from services.scanners.learned.features import features
from services.scanners.mail import Mail

LEAST_SOURCES: Final = 3
LEAST_SOURCES_TWO: Final = 6  # of two words in a row: there are many, and most say who wrote
NEWSLETTER_WEIGHT: Final = 20.0  # mail that was asked for and looks like bulk is rare here and costly to be wrong about
FEEDBACK_WEIGHT: Final = 5.0  # what a customer says of his own mail
LEAST_MESSAGES: Final = 20  # of each kind
LARGEST: Final = 2_097_152  # octets of a message
_STORED: Final = b"GATEPOST/1 "
_LINE_END = re.compile(rb"\r?\n")


def train(ham: Path, spam: Path, feedback: Sequence[Path] = ()) -> bytes:
    """Return the file of a model that learned from the folders; raise ConfigError, one line, when it can't.

    A feedback folder has a folder `ham` (released, or reported as clean) and a folder `spam` (reported as spam).
    """
    examples = [*read(ham, spam=False), *read(spam, spam=True)]
    for folder in feedback:
        told = [(folder / "ham", False), (folder / "spam", True)]
        if not any(place.is_dir() for place, _ in told):
            raise ConfigError(f"{folder}: neither a folder ham nor a folder spam is in it")
        for place, is_spam in told:
            if place.is_dir():
                examples += read(place, spam=is_spam, weight=FEEDBACK_WEIGHT)
    return build(examples)


def build(examples: Sequence[fit.Example]) -> bytes:
    """Return the file of a model; raise ConfigError when there is too little of ham or spam."""
    spam = sum(example.spam for example in examples)
    ham = len(examples) - spam
    if min(ham, spam) < LEAST_MESSAGES:
        raise ConfigError(f"{ham} ham and {spam} spam are too few: {LEAST_MESSAGES} of each are the least")
    names = fit.vocabulary(examples, LEAST_SOURCES, LEAST_SOURCES_TWO)
    weights, bias = fit.fit(examples, names)
    return model.dump(names, weights, bias, ham, spam)


def read(folder: Path, *, spam: bool, weight: float = 1.0) -> list[fit.Example]:
    """Return the messages of the folder and the folders in it, each once, ordered by their digests."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder")
    found: dict[bytes, Mail] = {}
    try:
        for path in folder.rglob("*"):
            if path.is_file() and 0 < path.stat().st_size <= LARGEST:
                mail = parse(path.read_bytes())
                found[hashlib.sha256(mail.raw).digest()] = mail
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    return [example(found[key], spam=spam, weight=weight) for key in sorted(found)]


def parse(data: bytes) -> Mail:
    """Return the message of a file: an .eml, or an object of the store with its envelope."""
    if data.startswith(_STORED):
        return Mail(*unpack(data))
    raw = _LINE_END.sub(b"\r\n", data)
    nobody = Envelope(reverse_path="", recipients=(), client_ip="")
    return Mail(
        Received(
            id="0" * 26,
            customer="",
            domain="",
            key="",
            envelope=nobody,
            size=len(raw),
            received_at=0.0,
            server="",
            plan=(),
        ),
        raw,
    )


def example(mail: Mail, *, spam: bool, weight: float = 1.0) -> fit.Example:
    """Return what the fitting needs of a message."""
    facts = gather(mail)
    found = frozenset(features(facts, (rule.code for rule in apply(facts))))
    if not spam and _looks_like_bulk(found):
        weight *= NEWSLETTER_WEIGHT
    return fit.Example(found, spam, _source(facts), weight)


def _looks_like_bulk(found: Iterable[str]) -> bool:
    names = set(found)
    return bool(names & {"body:html-only", "body:both"}) or (
        bool(names & {"word:unsubscribe", "has:list-unsubscribe"}) and "has:list-id" not in names
    )


def _source(facts: Facts) -> str:
    """Return the list that a message came through, or else the domain that sent it."""
    for field in ("list-id", "x-beenthere", "x-mailing-list"):
        name = facts.mail.header(field)[:200].lower()
        if name:
            return f"list {name.rpartition('<')[2].strip('<> ')}"
    return f"domain {facts.from_domain}"
