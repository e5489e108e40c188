"""Fitting: a linear classifier over sets of features, the same to the last bit on every machine.

An L2-regularised support vector machine with squared hinge loss, by dual coordinate descent (Hsieh, Chang, Keerthi,
Lin, Sundararajan: A Dual Coordinate Descent Method for Large-scale Linear SVM, 2008). It needs only what IEEE 754
defines exactly (+, -, *, /, square root), so two machines agree; a logarithm or exponential would not promise that.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

_PASSES: Final = 30
_ENOUGH: Final = 0.01  # of the largest step of a pass, at which the weights no longer move
_SEED: Final = 1


class Voice(enum.Enum):
    """A kind of features that are scaled together. The value is how much all of the kind say at most."""

    WORDS = 0.55
    PHRASES = 0.45
    SUBJECT = 0.3
    FORM = 0.8

    __hash__ = object.__hash__  # Enum's is written in Python, and called for each feature of each message


BIAS: Final = 0.3  # the same for what is so of every message
_VOICES: Final = {"word": Voice.WORDS, "two": Voice.PHRASES, "subject": Voice.SUBJECT}


def voice(name: str) -> Voice:
    """Return the kind that a feature belongs to."""
    return _VOICES.get(name.partition(":")[0], Voice.FORM)


def scales(voices: Iterable[Voice]) -> dict[Voice, float]:
    """Return what one feature of each kind counts in a message with these kinds: the more there are, the less."""
    counts = Counter(voices)
    return {each: each.value / math.sqrt(counts[each] + 1) for each in Voice}


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A message as the fitting sees it."""

    features: frozenset[str]
    spam: bool
    source: str  # who sent it: a feature must have been seen from several
    weight: float = 1.0  # how much it costs to be wrong about it


def vocabulary(examples: Iterable[Example], least: int, least_two: int) -> list[str]:
    """Return the features that came from at least that many sources, `least_two` for two words in a row, sorted.

    A word that only one list or one sender uses says who wrote and not what was written. And a model that learned
    from a customer's mail holds no word that just a few people know.
    """
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for example in examples:
        for name in example.features:
            sources[name].add(example.source)
    return sorted(
        name for name, seen in sources.items() if len(seen) >= (least_two if name.startswith("two:") else least)
    )


def fit(examples: Sequence[Example], names: Sequence[str]) -> tuple[list[float], float]:
    """Return a weight for each name, and the bias. A margin above 0 means spam.

    A message is scaled kind by kind, see `scales`: a long one has no louder voice, nor do many words drown its form.
    """
    at = {name: number for number, name in enumerate(names)}
    rows, lengths = [], []
    for example in examples:
        known = [name for name in sorted(example.features) if name in at]
        voices = [voice(name) for name in known]
        each = scales(voices)
        values = [each[one] for one in voices]
        rows.append([(at[name], value) for name, value in zip(known, values, strict=True)])
        lengths.append(BIAS * BIAS + sum(value * value for value in values))
    signs = [1.0 if example.spam else -1.0 for example in examples]
    softness = [0.5 / example.weight for example in examples]
    weights, bias = [0.0] * len(names), 0.0
    alphas = [0.0] * len(examples)
    order = list(range(len(examples)))
    chance = random.Random(_SEED)  # noqa: S311  # an order that repeats, not a secret
    for _ in range(_PASSES):
        chance.shuffle(order)
        largest = 0.0
        for number in order:
            row, sign = rows[number], signs[number]
            margin = bias * BIAS
            for column, value in row:
                margin += weights[column] * value
            gradient = sign * margin - 1.0 + softness[number] * alphas[number]
            if alphas[number] == 0.0 and gradient >= 0.0:
                continue
            before = alphas[number]
            alphas[number] = max(0.0, before - gradient / (lengths[number] + softness[number]))
            change = (alphas[number] - before) * sign
            largest = max(largest, abs(alphas[number] - before))
            bias += change * BIAS
            for column, value in row:
                weights[column] += change * value
        if largest < _ENOUGH:
            break
    return weights, bias
