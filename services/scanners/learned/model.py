"""The classifier as it is shipped: names and whole numbers in a file that a person can read, sealed by a digest.

    GATEPOST-MODEL 1 sha256:<of all that follows>
    {"features":1,"ham":…,"spam":…,"bias":…,"names":"…","weights":[…]}

Weights are in thousandths. Names are sorted and joined by line feeds, which no name contains.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Set
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from services.core.errors import ConfigError
from services.scanners.learned import features, fit

MAGIC: Final = "GATEPOST-MODEL 1"
UNIT: Final = 1000
LIMIT: Final = 33_554_432  # octets of a model's file
_SHIPPED: Final = "gatepost.model"


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    features: int
    ham: int
    spam: int
    bias: int
    names: str
    weights: list[int]


class Model:
    """A classifier. `version` names the file's format, its digest and what it learned from."""

    def __init__(self, content: _Content, digest: str) -> None:
        self.version = f"model {digest[:12]} ({content.ham} ham, {content.spam} spam)"
        self._bias = content.bias
        pairs = zip(content.names.split("\n"), content.weights, strict=True)
        self._weights = {name: (fit.voice(name), weight) for name, weight in pairs}

    def __len__(self) -> int:
        return len(self._weights)

    def weigh(self, found: Set[str]) -> tuple[float, dict[str, float]]:
        """Return the margin (above 0: spam) and what each known feature added to it."""
        weights = self._weights
        known = [(name, *weights[name]) for name in found if name in weights]
        scales = {each: scale / UNIT for each, scale in fit.scales(voice for _, voice, _ in known).items()}
        shares = {name: weight * scales[voice] for name, voice, weight in known}
        return self._bias * fit.BIAS / UNIT + math.fsum(shares.values()), shares


def dump(names: list[str], weights: list[float], bias: float, ham: int, spam: int) -> bytes:
    """Return the file of a model; features that weigh nothing are left out."""
    kept = [(name, number) for name, weight in zip(names, weights, strict=True) if (number := round(weight * UNIT))]
    content = _Content(
        features=features.VERSION,
        ham=ham,
        spam=spam,
        bias=round(bias * UNIT),
        names="\n".join(name for name, _ in kept),
        weights=[number for _, number in kept],
    )
    body = msgspec.json.encode(content) + b"\n"
    return f"{MAGIC} sha256:{hashlib.sha256(body).hexdigest()}\n".encode() + body


def load(data: bytes, where: str) -> Model:
    """Return the model in a file's octets; raise ConfigError, one line, for anything else or a damaged one."""
    head, _, body = data[:LIMIT].partition(b"\n")
    digest = hashlib.sha256(body).hexdigest()
    if not head.startswith(MAGIC.encode()):
        raise ConfigError(f"{where} is no model of this version ({MAGIC})")
    if head != f"{MAGIC} sha256:{digest}".encode():
        raise ConfigError(f"{where} is damaged: its digest does not fit")
    try:
        content = msgspec.json.decode(body, type=_Content)
        if content.features != features.VERSION:
            raise ConfigError(f"{where} was trained for other features ({content.features}); train it again")
        return Model(content, digest)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(f"{where} can't be read as a model: {type(error).__name__}") from error


def open_model(path: str) -> Model:
    """Return the model in the file, the shipped one when the path is empty; raise ConfigError."""
    return _shipped() if not path else _read(Path(path))


def _read(path: Path) -> Model:
    try:
        with path.open("rb") as file:
            return load(file.read(LIMIT + 1), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


@cache
def _shipped() -> Model:
    return load(resources.files(__package__).joinpath(_SHIPPED).read_bytes(), _SHIPPED)
