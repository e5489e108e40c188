"""The faults of a run, from its seed: the same seed gives the same faults in the same order. Pure."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: what, where, and for how many seconds."""

    kind: str  # kill, pause, fill, cut, reset, delay, throttle
    target: str
    seconds: float


WEIGHTS = {"kill": 5, "pause": 4, "cut": 2, "reset": 2, "delay": 1, "throttle": 1, "fill": 1}
LONGEST = {
    # A pause past the session's time-out of 10 s makes a zombie: its group went on without it.
    "pause": 14.0,
    "kill": 4.0,
    "fill": 5.0,
    "cut": 12.0,
    "reset": 0.2,
    "delay": 5.0,
    "throttle": 5.0,
}


def plan(seed: int, count: int, processes: Sequence[str], wires: Sequence[str], disks: Sequence[str]) -> list[Fault]:
    """Return `count` faults. Every process is killed and paused and every wire cut once before chance decides."""
    chance = random.Random(seed)
    targets = {
        **dict.fromkeys(("kill", "pause"), processes),
        **dict.fromkeys(("cut", "reset", "delay", "throttle"), wires),
        **({"fill": disks} if disks else {}),
    }
    first = [(kind, target) for kind in ("kill", "pause", "cut") for target in targets[kind]]
    first += [("fill", disk) for disk in disks]
    chance.shuffle(first)
    kinds = list(targets)
    while len(first) < count:
        (kind,) = chance.choices(kinds, [WEIGHTS[kind] for kind in kinds])
        first.append((kind, chance.choice(targets[kind])))
    return [Fault(kind, target, round(chance.uniform(0.2, 1.0) * LONGEST[kind], 1)) for kind, target in first[:count]]
