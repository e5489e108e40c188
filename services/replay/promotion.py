"""Whether a shadow has shown enough to be promoted, and what its promotion changes. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from services.replay.shadows import Compared

LEAST: Final = 100  # messages that it must have been compared on
SILENT_MOST: Final = 0.01  # of what it saw: unavailable holds mail
_ENGINE_TELLS: Final = frozenset({"GATEPOST_YARA_DIR", "GATEPOST_CONTENT_MODEL"})  # a digest stands in `Verdict.engine`
SEEN_LEAST: Final = 0.9  # of what came in: the rest was done before it looked


@dataclasses.dataclass(frozen=True, slots=True)
class Promotion:
    """What the live configuration needs so that the live scanner is what the shadow was."""

    settings: dict[str, str]
    by_hand: tuple[str, ...] = ()  # settings whose value no event carries
    same: bool = False  # live mail is scanned just so already


def objections(found: Compared, least: int = LEAST) -> list[str]:
    """Return why it is too early or unwise to promote, each a sentence; none when nothing speaks against it."""
    said = []
    if found.compared < least:
        said.append(f"it was compared on {found.compared} messages; {least} are the least")
    if found.silent_share > max(SILENT_MOST, found.live_silent_share):
        said.append(
            f"it could not tell {found.silent_share:.1%} of what it saw (live {found.live_silent_share:.1%}),"
            " and such mail is held"
        )
    if found.received and found.seen / found.received < SEEN_LEAST:
        said.append(f"it saw {found.seen} of {found.received} messages: what it says is about some kinds of mail alone")
    if len(found.engines) > 1:
        said.append(f"it spoke under several versions in this time: {'; '.join(sorted(found.engines))}")
    if found.changed:
        said.append("its settings were changed in this time; give --since a later one")
    return said


def promotion(found: Compared, plan: Iterable[str]) -> Promotion:
    """Return what to set. `plan`: the scanners that new mail waits for at present."""
    required: Sequence[str] = sorted(plan)
    settings = {name: value for name, value in found.settings if value}
    if found.scanner not in required:
        settings["GATEPOST_SCANNERS"] = ",".join(sorted({*required, found.scanner}))
    live = max(found.live_engines, key=lambda engine: found.live_engines[engine], default="")
    told = all(name in _ENGINE_TELLS for name, _ in found.settings)
    return Promotion(
        settings=settings,
        by_hand=tuple(name for name, value in found.settings if not value),
        same=told and found.scanner in required and set(found.engines) == {live},
    )
