"""Fitting: a linear classifier over sets of features, the same to the last bit on every machine.

An L2-regularised support vector machine with squared hinge loss, by dual coordinate descent (Hsieh, Chang, Keerthi,
Lin, Sundararajan: A Dual Coordinate Descent Method for Large-scale Linear SVM, 2008). It needs only what IEEE 754
defines exactly (+, -, *, /, square root), so two machines agree; a logarithm or exponential would not promise that.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_PASSES: Final = 60
_ENOUGH: Final = 0.01  # of the largest step of a pass, at which the weights no longer move
_SEED: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A message as the fitting sees it."""

    features: frozenset[str]
    spam: bool
    source: str  # who sent it: a feature must have been seen from several
    weight: float = 1.0  # how much it costs to be wrong about it


def vocabulary(examples: Iterable[Example], least: int) -> list[str]:
    """Return the features that came from at least that many sources, sorted.

    A word that only one list or one sender uses says who wrote and not what was written. And a model that learned
    from a customer's mail holds no word that just a few people know.
    """
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for example in examples:
        for name in example.features:
            sources[name].add(example.source)
    return sorted(name for name, seen in sources.items() if len(seen) >= least)


def fit(examples: Sequence[Example], names: Sequence[str]) -> tuple[list[float], float]:
    """Return a weight for each name, and the bias. A margin above 0 means spam.

    Each message is scaled to length 1, so that a long one has no louder voice.
    """
    at = {name: number for number, name in enumerate(names)}
    rows = [[at[name] for name in sorted(example.features) if name in at] for example in examples]
    scales = [1.0 / math.sqrt(len(row) + 1) for row in rows]
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
            row, scale, sign = rows[number], scales[number], signs[number]
            margin = bias
            for column in row:
                margin += weights[column]
            gradient = sign * margin * scale - 1.0 + softness[number] * alphas[number]
            if alphas[number] == 0.0 and gradient >= 0.0:
                continue
            before = alphas[number]
            alphas[number] = max(0.0, before - gradient / (1.0 + softness[number]))  # a row's length is 1
            change = (alphas[number] - before) * sign * scale
            largest = max(largest, abs(alphas[number] - before))
            bias += change
            for column in row:
                weights[column] += change
        if largest < _ENOUGH:
            break
    return weights, bias


def margin(features: Iterable[str], weights: Mapping[str, float], bias: float) -> float:
    """Return how far a message is on the side of spam."""
    known = [weights[name] for name in features if name in weights]
    return (sum(known) + bias) / math.sqrt(len(known) + 1)
