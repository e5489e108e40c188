"""What shadows said beside the live verdicts on the same messages. Pure: events in, a comparison out."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping

from schemas.events import Customer, Received, Shadow, Status, Verdict
from services.replay.decide import differences, treatments, with_candidates

EXAMPLES = 10
_SILENT = frozenset({Status.UNAVAILABLE, Status.GONE})


@dataclasses.dataclass(slots=True)
class Compared:
    """One shadow against its live scanner. Times are milliseconds of scanning."""

    name: str
    messages: int = 0
    agree: int = 0
    only_shadow: int = 0
    only_live: int = 0
    unavailable: int = 0  # one of the two could not tell
    alone: int = 0  # no live verdict there: the scanner isn't in the plan, or has not answered yet
    otherwise: int = 0  # messages that would have been treated otherwise
    live_ms: list[float] = dataclasses.field(default_factory=list)
    shadow_ms: list[float] = dataclasses.field(default_factory=list)
    examples: list[str] = dataclasses.field(default_factory=list)


def compare(
    received: Mapping[str, Received],
    verdicts: Iterable[Verdict],
    shadows: Iterable[Shadow],
    customers: Mapping[str, Customer],
) -> list[Compared]:
    """Return a comparison for each shadow, by name. A message counts once; what is not in `received` is left out."""
    live: dict[str, dict[str, Verdict]] = {}
    for verdict in verdicts:
        mine = live.setdefault(verdict.id, {})
        if verdict.scanner not in mine or mine[verdict.scanner].status is Status.UNAVAILABLE:
            mine[verdict.scanner] = verdict
    latest = {(shadow.name, shadow.verdict.id): shadow.verdict for shadow in shadows}
    found: dict[str, Compared] = {}
    for (name, message), said in sorted(latest.items()):
        if message not in received:
            continue
        compared = found.setdefault(name, Compared(name))
        _count(compared, received[message], live.get(message, {}), said, customers)
    return list(found.values())


def _count(
    compared: Compared,
    received: Received,
    live: Mapping[str, Verdict],
    said: Verdict,
    customers: Mapping[str, Customer],
) -> None:
    compared.messages += 1
    compared.shadow_ms.append(said.elapsed_ms)
    own = live.get(said.scanner)
    if own is not None:
        compared.live_ms.append(own.elapsed_ms)
    then = Status.CLEAN if own is None else own.status
    compared.alone += own is None
    if said.status in _SILENT or then in _SILENT:
        compared.unavailable += 1
        return
    flags, flagged = said.status is not Status.CLEAN, then is not Status.CLEAN
    compared.agree += flags == flagged
    compared.only_shadow += flags and not flagged
    compared.only_live += flagged and not flags
    customer = customers.get(received.customer) or Customer(id=received.customer)
    heard = tuple(live.values())
    before = treatments(received, heard, customer, said.scanned_at)
    after = treatments(received, with_candidates(heard, (said,)), customer, said.scanned_at)
    changes = differences(received, before, after)
    compared.otherwise += bool(changes)
    if (flags != flagged or changes) and len(compared.examples) < EXAMPLES:
        treated = "; ".join(f"{each.before.brief} -> {each.after.brief}" for each in changes) or "treated the same"
        compared.examples.append(f"{received.id}  live {_words(own)}  shadow {_words(said)}  {treated}")


def _words(verdict: Verdict | None) -> str:
    if verdict is None:
        return "nothing"
    return verdict.status.value + (f" ({verdict.evidence[0].text})" if verdict.evidence else "")


def percentiles(times: list[float]) -> tuple[float, float]:
    """Return the 50th and 99th percentile, 0 for none."""
    if len(times) < 2:  # noqa: PLR2004 - quantiles of one value are itself
        return (times[0], times[0]) if times else (0.0, 0.0)
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]
